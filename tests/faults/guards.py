"""What guards against each of Ray's traps, as text that can be taken out, and the test that fails.

Traps are numbered as in ``test_traps``. Two have no guard that could be taken out: that a full
object store spills (9) is Ray's own doing, and what may lie in it is bounded by the guard of 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A piece of code, once in its file.

    Attributes:
        trap: its number.
        name: what it does.
        file: where it stands.
        text: the guard.
        without: what stands there if it is taken out.
        test: which fails then.
        more: what else has to change for the rest to work as before.
    """

    trap: int
    name: str
    file: str
    text: str
    without: str
    test: str
    more: tuple[tuple[str, str], ...] = ()

    def take_out(self, root: Path) -> str:
        """Take it out of a copy of the tree; gives the file as it was."""
        path = root / self.file
        whole = changed = path.read_text(encoding="utf-8")
        for text, without in ((self.text, self.without), *self.more):
            assert changed.count(text) == 1, f"{self.file}: {text!r}"
            changed = changed.replace(text, without)
        path.write_text(changed, encoding="utf-8")
        return whole


SEGMENTS = "tests/faults/test_segments.py::"
GANG = "tests/cluster/test_gang.py::"
TRAPS = "tests/faults/test_traps.py::"
GUARDS = (
    Guard(
        trap=1,
        name="Ray starts no dead actor again",
        file="actors/handles.py",
        text="max_restarts=0,",
        without="max_restarts=-1,",
        test="tests/cluster/test_failures.py::test_ray_never_starts_a_dead_actor_again",
    ),
    Guard(
        trap=1,
        name="Ray repeats no call",
        file="actors/handles.py",
        text="max_task_retries=0,",
        without="max_task_retries=-1,",
        test=f"{GANG}test_no_actor_is_ever_restarted_or_asked_twice",
    ),
    Guard(
        trap=1,
        name="a call of another epoch is refused",
        file="actors/segment.py",
        text="role = self._roles.get(epoch)",
        without="role = next(iter(self._roles.values()), None)",
        test=f"{GANG}test_a_call_for_another_epoch_is_refused",
    ),
    Guard(
        trap=1,
        name="an actor that has lost its state refuses",
        file="actors/segment.py",
        text="if role is None:",
        without="if role is None and self._roles:",
        test=f"{SEGMENTS}test_an_actor_that_ray_restarted_empty_is_refused",
    ),
    Guard(
        trap=1,
        name="a call of another step is refused",
        file="actors/role.py",
        text="if self.sampler.step != step:",
        without="if self.sampler.step < 0:",
        test=f"{GANG}test_a_call_for_another_step_is_refused_and_changes_nothing",
    ),
    Guard(
        trap=2,
        name="boundaries are returned, not put",
        file="actors/transport.py",
        text="                )\n        return message",
        without="                )\n        return ray.put(message)",
        more=(
            (
                'object store."""\n        return message',
                'object store."""\n        return ray.get(message, timeout=60)',
            ),
            ("from pipeline.errors", "import ray\n\nfrom pipeline.errors"),
        ),
        test=f"{SEGMENTS}test_a_boundary_outlives_the_process_that_made_it",
    ),
    Guard(
        trap=3,
        name="what arrives is copied before anything is done with it",
        file="pipeline/sampler.py",
        text="into_TCHW.numpy()[:] = message.latents_TCHW",
        without="into_TCHW.copy_(torch.from_numpy(message.latents_TCHW).mul_(0.5))",
        test=f"{GANG}test_boundaries_arrive_as_read_only_memory_and_are_never_written_to",
    ),
    Guard(
        trap=4,
        name="an actor has one thread that computes",
        file="actors/handles.py",
        text="max_restarts=0,",
        without="max_restarts=0,\n            max_concurrency=2,",
        test=f"{TRAPS}test_an_actor_has_one_thread_of_each_kind_and_no_event_loop",
    ),
    Guard(
        trap=5,
        name="what no replay needs is let go of",
        file="actors/retained.py",
        text="self._drop([key for key in self._refs if key[1] < step])",
        without="del step",
        test=f"{SEGMENTS}test_what_is_kept_for_replays_is_bounded_by_the_cuts",
    ),
    Guard(
        trap=6,
        name="a driver's python is found beside the dispatcher's own",
        file="jobs/ray_jobs.py",
        text="""f'PATH={folder}:"$PATH" exec python {words}'""",
        without="""f'exec python {words}' + folder[:0]""",
        test="tests/queue/test_drivers.py::test_a_driver_has_the_python_of_its_dispatcher",
    ),
    Guard(
        trap=7,
        name="no thread keeps an actor's process",
        file="actors/snapshot_writer.py",
        text="daemon=True)",
        without="daemon=False)",
        test="tests/actors/test_snapshot_writer.py::test_a_process_ends_though_it_is_writing",
    ),
    Guard(
        trap=8,
        name="a video that takes too much memory fails by name",
        file="actors/take.py",
        text="processes died: {reason}",
        without="processes died",
        test="tests/faults/test_running_out.py::"
        "test_a_node_that_runs_out_of_memory_loses_nothing[kill_for_memory]",
    ),
    Guard(
        trap=10,
        name="a boundary that is gone sends the gang back",
        file="actors/failures.py",
        text="    if isinstance(cause, OBJECT_GONE):\n",
        without="    if isinstance(cause, ()):\n",
        test="tests/actors/test_failures.py::test_whose_fault_it_is",
    ),
    Guard(
        trap=11,
        name="Ray chooses its own ports",
        file="actors/cluster.py",
        text='"dashboard_host": "127.0.0.1",',
        without='"dashboard_host": "127.0.0.1",\n        "dashboard_port": 8265,',
        test=f"{TRAPS}test_ray_chooses_its_own_ports",
    ),
    Guard(
        trap=12,
        name="nobody ends everybody's Ray",
        file="benchmarks/processes.py",
        text="from __future__ import annotations\n",
        without='from __future__ import annotations\n\nSTOP = ["ray", "stop"]\n',
        test=f"{TRAPS}test_nobody_calls_ray_stop",
    ),
)

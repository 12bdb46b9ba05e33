"""Ray's traps that nothing but a look at the code can guard against, and where the others are.

Each was met and measured with Ray 2.60, and each has a test that fails when the guard is taken out,
which ``test_guards`` does:

     1  state lost in silence by a restart   test_segments: ..._ray_restarted_empty_is_refused
                                             tests/cluster/test_gang: ..._restarted_or_asked_twice
     2  a put object dies with its actor     test_segments: a_boundary_outlives_the_process_...
     3  writing into shared memory           tests/cluster/test_gang: boundaries_arrive_as_read_...
     4  concurrency groups' event loops      here
     5  a view pins shared memory            test_segments: the fixture ``object_store``
     6  an entrypoint's ``python``           a queued job's: tests/queue/test_drivers
     7  threads that keep a worker alive     tests/actors/test_snapshot_writer; test_delivery
     8  the memory monitor                   test_running_out: kill_for_memory
     9  a full object store spills           test_running_out: spill
    10  no reconstruction of actors' results tests/actors/test_failures; test_nodes on real nodes
    11  clashing ports                       here; test_two_drivers runs two clusters at once
    12  ``ray stop`` ends everybody's Ray    here
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from actors.segment import CONCURRENCY_GROUPS, SegmentActor

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("pipeline", "actors", "storage", "jobs", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
]


# This test, and the one that shows that it notices.
NAMES_IT = {"test_traps.py", "guards.py"}


def test_an_actor_has_one_thread_of_each_kind_and_no_event_loop() -> None:
    methods = inspect.getmembers(SegmentActor, inspect.isfunction)
    assert len(methods) > 5
    assert not [name for name, method in methods if inspect.iscoroutinefunction(method)]
    assert keywords("max_concurrency") == []
    assert set(CONCURRENCY_GROUPS.values()) == {1}
    groups = {
        name: getattr(method, "__ray_concurrency_group__", None)
        for name, method in methods
        if not name.startswith("_")
    }
    assert set(groups.values()) == {None, *CONCURRENCY_GROUPS}
    # Those that touch a video's state while it is sampled are answered in order, by one thread.
    computing = {name for name, group in groups.items() if group is None}
    assert computing == {"begin", "step", "finish", "encode_prompts", "encode_image"}


def test_no_actor_or_task_is_repeated_by_ray() -> None:
    """Only a test that shows what would happen may ask for it, and the guard asks for none."""
    asked = [where for where in keywords("max_restarts", "max_task_retries") if "test" not in where]
    assert asked == ["actors/handles.py: max_restarts=0", "actors/handles.py: max_task_retries=0"]


def test_ray_chooses_its_own_ports() -> None:
    assert keywords("dashboard_port", "node_manager_port", "object_manager_port") == []


def test_nobody_calls_ray_stop() -> None:
    calls = re.compile(r"ray[\"', ]+stop\b|\[[^]]*\"stop\"")
    callers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.name not in NAMES_IT and calls.search(code_of(path))
    ]
    assert callers == []


def keywords(*names: str) -> list[str]:
    """Where code passes arguments, or makes dictionaries, with these names."""
    found = []
    for path in SOURCES:
        where = path.relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in names:
                found.append(f"{where}: {node.arg}={ast.unparse(node.value)}")
            if isinstance(node, ast.Dict):
                found += [
                    f"{where}: {key.value}={ast.unparse(value)}"
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant) and key.value in names
                ]
    return sorted(found)


def code_of(path: Path) -> str:
    """A file without its docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0] = ast.Pass()
    return ast.unparse(tree)

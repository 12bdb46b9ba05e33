"""Plain processes, as many as there are actors: what copying costs, and what gloo takes.

Both move the bytes that the actors move. Copying: everything that is sent is copied once into
shared memory that was touched before, everything that is received once out of it; nobody waits for
anybody, so it is the least that any way through shared memory can cost. Gloo: all processes send to
and receive from both neighbours and wait until that is done, as single-purpose systems exchange
before each step (``torch.distributed.batch_isend_irecv``).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from types import TracebackType
    from typing import Self

# Starting includes importing torch, on a busy machine in all processes at once.
TIMEOUT_S = 300.0
WARM_UP_ROUNDS = 2
FLOAT_BYTES = 4


class Peers:
    """So many processes in a line. Use as a context manager."""

    def __init__(self, num_peers: int) -> None:
        context = get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for rank in range(num_peers):
            ours, theirs = context.Pipe()
            arguments = (theirs, rank, num_peers, f"{self._folder.name}/gloo")
            process = context.Process(target=_peer, args=arguments, daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        self._answers()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(TIMEOUT_S)
        self._folder.cleanup()

    def seconds_per_step(self, what: str, num_bytes: int, num_steps: int) -> float:
        """Seconds for one exchange of all.

        Args:
            what: ``memcpy`` or ``gloo``.
            num_bytes: of each boundary, in one direction.
            num_steps: how many exchanges are timed.
        """
        for pipe in self._pipes:
            pipe.send((what, num_bytes, num_steps))
        return max(self._answers())

    def _answers(self) -> list[float]:
        answers = []
        for pipe in self._pipes:
            if not pipe.poll(TIMEOUT_S):
                raise RuntimeError(f"a process has not answered in {TIMEOUT_S:g} s")
            answers.append(float(pipe.recv()))
        return answers


def _peer(pipe: Connection, rank: int, num_peers: int, rendezvous: str) -> None:
    """One process: joins the others, then does what it is asked until the pipe is closed."""
    import torch  # noqa: PLC0415
    from torch import distributed  # noqa: PLC0415

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=num_peers
    )
    neighbours = [other for other in (rank - 1, rank + 1) if 0 <= other < num_peers]
    pipe.send(0.0)
    try:
        while True:
            what, num_bytes, num_steps = pipe.recv()
            measure = {"memcpy": _copy, "gloo": _exchange}[what]
            pipe.send(measure(distributed, neighbours, num_bytes, num_steps))
    except EOFError:
        distributed.destroy_process_group()


def _copy(distributed: Any, neighbours: list[int], num_bytes: int, num_steps: int) -> float:
    """Seconds for one round of copies, on average over all rounds."""
    own = np.ones((len(neighbours), num_bytes // FLOAT_BYTES), np.float32)
    got = np.zeros_like(own)
    memory = SharedMemory(create=True, size=own.nbytes)
    shared: np.ndarray[Any, np.dtype[np.float32]] = np.ndarray(own.shape, own.dtype, memory.buf)
    try:
        for round_ in range(-WARM_UP_ROUNDS, num_steps):
            if round_ == 0:
                distributed.barrier()
                started_s = time.perf_counter()
            np.copyto(shared, own)
            np.copyto(got, shared)
        return (time.perf_counter() - started_s) / num_steps
    finally:
        del shared
        memory.close()
        memory.unlink()


def _exchange(distributed: Any, neighbours: list[int], num_bytes: int, num_steps: int) -> float:
    """The median time of an exchange, as this process sees it."""
    import torch  # noqa: PLC0415

    own = [torch.ones(num_bytes // FLOAT_BYTES) for _ in neighbours]
    got = [torch.zeros(num_bytes // FLOAT_BYTES) for _ in neighbours]
    operations = [
        distributed.P2POp(operation, tensor, other)
        for operation, tensors in ((distributed.isend, own), (distributed.irecv, got))
        for tensor, other in zip(tensors, neighbours, strict=True)
    ]
    distributed.barrier()
    times_s = []
    for _ in range(WARM_UP_ROUNDS + num_steps):
        started_s = time.perf_counter()
        for work in distributed.batch_isend_irecv(operations):
            work.wait()
        times_s.append(time.perf_counter() - started_s)
    assert all(bool(tensor.all()) for tensor in got)
    return statistics.median(times_s[WARM_UP_ROUNDS:])

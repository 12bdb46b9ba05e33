"""A Ray head as an operator starts it: a process of its own, with dashboard and token."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
MARK = "NIGHTREEL_TEST_MARK"
TIMEOUT_S = 120.0
# In the titles of segment actors: idle, sampling, decoding, and between.
ACTORS = ("SegmentActor", "/segment-", "/delivery", "/prompts", "/snapshot", "load engine", "ping")
# All that a head listens on, so that several may run on one machine.
PORTS = (
    *("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"),
    *("metrics-export-port", "ray-client-server-port", "node-manager-port"),
    *("object-manager-port", "runtime-env-agent-port"),
)


class RayHead:
    """One cluster of one node; may be killed and started again on the same ports."""

    def __init__(
        self, folder: Path, num_cpus: int = 2, more: Mapping[str, str] | None = None
    ) -> None:
        self.mark, self._more = uuid.uuid4().hex, more or {}
        self._folder, self._num_cpus = folder, num_cpus
        self._ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self.token = uuid.uuid4().hex
        self._log = folder / "head.log"
        self._scratches: list[Path] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._ports['dashboard-port']}"

    @property
    def gcs_address(self) -> str:
        return f"127.0.0.1:{self._ports['port']}"

    @property
    def service_discovery(self) -> Path:
        """The file in which it says where its metrics are."""
        return self._scratches[-1] / "prom_metrics_service_discovery.json"

    @property
    def environment(self) -> Mapping[str, str]:
        """For whoever talks to it; it hands the same on to the processes that it starts."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        return kept | {
            MARK: self.mark,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            # A node whose agent does not answer in time ends itself; a busy machine takes its time.
            "RAY_agent_register_timeout_ms": "120000",
            "RAY_enable_worker_prestart": "0",
            "RAY_prestart_worker_first_driver": "0",
            # Ray's usual 15 would starve workers beside whatever else this machine does.
            "RAY_worker_niceness": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            **self._more,
        }

    def start(self) -> None:
        # Unix sockets want a short path, which a test's own folder is not.
        scratch = tempfile.mkdtemp(prefix="nr-")
        self._scratches.append(Path(scratch))
        arguments = [f"--{name}={port}" for name, port in self._ports.items()]
        with self._log.open("ab") as said:
            subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("ray")),
                    *("start", "--head", "--block", "--dashboard-host=127.0.0.1"),
                    *("--node-ip-address=127.0.0.1", "--include-dashboard=true"),
                    *(f"--num-cpus={self._num_cpus}", f"--object-store-memory={150 << 20}"),
                    *(f"--temp-dir={scratch}", "--disable-usage-stats"),
                    *arguments,
                ],
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                # Whose code a job runs is no matter of where the head was started.
                cwd=scratch,
                env=dict(self.environment),
            )
        self._await_dashboard()

    def kill(self) -> None:
        """As a machine that loses its power: nobody gets to say anything."""
        while alive := self.processes():
            for process in alive:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(alive, timeout=10)

    def tidy(self) -> None:
        """Remove what a dead head left."""
        for scratch in self._scratches:
            shutil.rmtree(scratch, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Everything that the head started, and what that started, and so on."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get(MARK) == self.mark
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def actors(self) -> list[str]:
        """Titles of the segment actors that run now; one that is at work bears its task's name."""
        titles = [_title(process) for process in self.processes()]
        return [t for t in titles if t.startswith("ray::") and any(x in t for x in ACTORS)]

    def actor_pids(self) -> set[int]:
        """Processes of the segment actors that do nothing just now."""
        found = self.processes()
        return {p.pid for p in found if _title(p).startswith("ray::SegmentActor")}

    def _await_dashboard(self) -> None:
        end_s = time.monotonic() + TIMEOUT_S
        # The Jobs API comes a moment after the dashboard itself.
        asked = Request(
            f"{self.address}/api/jobs/", headers={"Authorization": f"Bearer {self.token}"}
        )
        while True:
            with suppress(URLError, OSError), urlopen(asked, timeout=10):
                return
            if time.monotonic() > end_s:
                pytest.fail(f"no dashboard at {self.address}:\n{self._log.read_text()}")
            time.sleep(0.2)


@contextmanager
def ray_head(
    folder: Path, num_cpus: int = 2, more: Mapping[str, str] | None = None
) -> Iterator[RayHead]:
    """Start one, with ``more`` in its environment; nothing of it survives the block."""
    head = RayHead(folder, num_cpus, more)
    try:
        head.start()
        yield head
    finally:
        head.kill()
        head.tidy()


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _free_ports(count: int) -> list[int]:
    """Below those that the kernel hands out by itself and beside those of Ray's workers."""
    sockets = []
    for _ in range(count):
        held = socket.socket()
        held.bind(("127.0.0.1", 0))
        sockets.append(held)
    ports = [int(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return ports

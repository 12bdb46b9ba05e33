"""``python -m tests.pictures FOLDER``: a night shift, and what a person sees of it, as pictures.

A head, a dispatcher, a Prometheus, three jobs of which one renders the demo; then the terminal of
``nightreel watch``, pages of Ray's dashboard, the panels of the Grafana dashboard, the page of the
job while it runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from storage.job_queue import JobQueue
from storage.open import open_store
from tests.jobs.chromium import running, served
from tests.pictures.dashboard import log_in, picture
from tests.pictures.panels import draw
from tests.pictures.terminal import Terminal
from tests.queue.ray_head import MARK, ROOT, ray_head
from tests.services.test_prometheus import free_port, prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.jobs.chromium import Browser
    from tests.queue.ray_head import RayHead

# The virtual environment's programs come first, so that a driver's command is short.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
ENVIRONMENT = {
    "RAY_metrics_report_interval_ms": "3000",
    "PATH": PATH,
}
PATIENCE_S = 900.0
NUM_COLOURS = 128
TONIGHT = """\
{"id": "dune", "duration_s": 6.0, "prompt": "a red ball rolls in the desert at dusk"}
{"id": "storm", "duration_s": -6.0, "prompt": "a blue balloon floats over the sea in the rain"}
"""


class Shift:
    """The command line of one night."""

    def __init__(self, folder: Path, head: RayHead) -> None:
        self.folder, self.head = folder, head
        self.queue = JobQueue(open_store(str(folder / "queue")))
        own = {"NIGHTREEL_QUEUE": str(folder / "queue")}
        kept = {k: v for k, v in head.environment.items() if k != MARK}
        self.environment: Mapping[str, str] = kept | own

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "jobs.cli", *words]

    def nightreel(self, *words: str) -> str:
        done = subprocess.run(
            self.words(*words),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    @contextmanager
    def at_work(self, *words: str) -> Iterator[None]:
        process = subprocess.Popen(self.words(*words), cwd=self.folder, env=self.environment)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)

    def submit_all(self) -> str:
        """Three jobs; the id of the one that runs first."""
        first = self.nightreel(
            *("submit", "examples/demo.parquet", "--output", "out/demo"),
            *("--owner", "ann", "--priority", "5", "--not-before", "00:00", "--not-after", "23:59"),
        )
        (self.folder / "tonight.jsonl").write_text(TONIGHT)
        self.nightreel("submit", "tonight.jsonl", "--output", "out/tonight", "--owner", "ben")
        self.nightreel(
            *("schedule", "add", "nightly", "--cron", "0 1 * * *", "--timezone", "Europe/Paris"),
            *("--manifest", "tonight.jsonl", "--output", "out/{date}"),
        )
        soon = time.strftime("%H:%M", time.gmtime(time.time() + 6 * 3600))
        later = time.strftime("%H:%M", time.gmtime(time.time() + 12 * 3600))
        self.nightreel(
            *("submit", "examples/demo.parquet", "--output", "out/nightly", "--owner", "eve"),
            *("--not-before", soon, "--not-after", later),
        )
        return first

    def wait(self, condition: object, what: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():  # type: ignore[operator]
            if time.monotonic() > end_s:
                raise TimeoutError(what)
            time.sleep(0.5)


def smaller(path: Path) -> None:
    """Few colours, and so few bytes."""
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(NUM_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def take(folder: Path, shift: Shift, browser: Browser, job: str, terminal: Terminal) -> None:
    """All that is to be seen while the job runs, when one film is done and another is sampled."""

    def in_mid_job() -> bool:
        said = "\n".join(terminal.lines())
        return "rendered" in said and "sampling" in said

    shift.wait(in_mid_job, "a film")
    time.sleep(5)
    drawing = shift.folder / "watch.svg"
    drawing.write_text(terminal.drawing("nightreel watch"))
    with served(shift.folder) as address:
        browser.open(f"{address}/watch.svg")
        size = browser.run(
            "const b = document.documentElement.viewBox.baseVal; return [b.width, b.height]"
        )
        browser.look((int(size[0]), int(size[1])))
        browser.picture(folder / "watch.png")
        browser.open(f"{address}/out/demo/index.html")
        browser.look((1280, 800))
        time.sleep(2)
        browser.picture(folder / "page.png")
    address = shift.head.address
    log_in(browser, address, shift.head.token)
    for page, size in (
        ("actors", (1500, 640)),
        ("jobs", (1500, 620)),
        ("metrics", (1500, 200)),
    ):
        picture(browser, address, page, folder / f"ray-{page}.png", size)


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nr-pictures-") as scratch:
        photograph(folder, Path(scratch))
    for path in folder.glob("*.png"):
        smaller(path)


def photograph(folder: Path, scratch: Path) -> None:
    """Live through the night and take the pictures."""
    (scratch / "examples").symlink_to(ROOT / "examples")
    port, scheduler_port, started_s = free_port(), free_port(), time.time()
    with (
        ray_head(scratch, more=ENVIRONMENT) as head,
        prometheus(scratch / "monitoring", head.service_discovery, port, scheduler_port) as server,
        running() as browser,
    ):
        shift = Shift(scratch, head)
        dispatch = ("dispatch", "--address", head.address, "--python", "python")
        with (
            shift.at_work(*dispatch, "--metrics-port", str(port)),
            shift.at_work("scheduler", "--metrics-port", str(scheduler_port)),
        ):
            job = shift.submit_all()
            with Terminal(shift.words("watch"), shift.environment, scratch) as terminal:
                take(folder, shift, browser, job, terminal)
                shift.wait(lambda: shift.queue.job(job).state == "finished", "end of the job")
                time.sleep(10)
                draw(server, started_s, time.time(), folder / "panels.png")
            for other in shift.queue.jobs():
                if other.state != "finished":
                    shift.nightreel("cancel", other.request.id)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

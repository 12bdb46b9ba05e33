"""The command by which a driver is started, and what is sent along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jobs.ray_jobs import DriverEnvironment, code_folders


def test_a_driver_has_the_python_of_its_dispatcher() -> None:
    """Ray's agent has a path of its own, on which a virtual environment's python need not be."""
    command = DriverEnvironment().command("sysconfig")
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f'scripts = "{Path(sys.executable).parent}"' in done.stdout


def test_an_interpreter_that_was_named_is_taken_as_it_is() -> None:
    command = DriverEnvironment(python="/opt/my python").command("jobs.queued", "a b")
    assert command == "exec '/opt/my python' -m jobs.queued 'a b'"


def test_what_is_sent_along_is_this_code_and_says_what_it_is() -> None:
    folders = [Path(folder) for folder in code_folders()]
    names = {folder.name for folder in folders}
    assert {"pipeline", "actors", "storage", "jobs"} < names
    assert any(name.startswith("nightreel-") for name in names - {"pipeline"})
    assert all(folder.is_dir() for folder in folders)

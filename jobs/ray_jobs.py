"""Ray's Jobs API, as far as a dispatcher needs it: start a driver, look after it, stop it.

What Ray says of a job is advice: its memory ends with the head. Its token is sent along where it is
found (``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH``, ``~/.ray/auth_token``).
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from ray.job_submission import JobSubmissionClient

from pipeline.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Ray ends what does not end by itself 3 s after SIGTERM; a gang may need more to go home.
STOP_WAIT_S: Final = 60
# An address of Ray's own that stands in the environment would win over one that was given.
_ADDRESS_VARIABLE: Final = "RAY_API_SERVER_ADDRESS"
_ENDED: Final = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})
_PACKAGES: Final = ("pipeline", "actors", "storage", "jobs")
_TAIL_CHARACTERS: Final = 2000
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class RayJob:
    """What Ray says of one driver.

    Attributes:
        status: in Ray's words, such as ``RUNNING``.
        message: Ray's sentence about it.
        exit_code: of the driver's process, if it has ended by itself.
    """

    status: str
    message: str
    exit_code: int | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status in _ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverEnvironment:
    """What a driver finds on the cluster.

    Attributes:
        python: the interpreter that runs it; empty: this process's own, if it is there, else the
            ``python`` on the path of Ray's agent.
        ships_code: send this code along, for a cluster that has another release or none; what it
            depends on has to be there, or in ``runtime_env``.
        runtime_env: more of Ray's runtime environment, such as ``pip``.
    """

    python: str = ""
    ships_code: bool = False
    runtime_env: Mapping[str, Any] | None = None

    def command(self, module: str, *arguments: str) -> str:
        """The shell command that runs a module of ours.

        Ray's agent has a path of its own on which a virtual environment's ``python`` need not be.
        """
        words = shlex.join(["-m", module, *arguments])
        if self.python:
            return f"exec {shlex.quote(self.python)} {words}"
        folder = shlex.quote(str(Path(sys.executable).parent))
        return f'PATH={folder}:"$PATH" exec python {words}'

    def as_ray_has_it(self) -> dict[str, Any]:
        """The runtime environment."""
        given = dict(self.runtime_env or {})
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), **given.pop("env_vars", {})}
        modules = [*given.pop("py_modules", []), *(code_folders() if self.ships_code else [])]
        shipped = {"py_modules": modules} if modules else {}
        return {**given, **shipped, "env_vars": variables}


def code_folders() -> list[str]:
    """The folders that make up this code, its metadata included, for Ray to send along.

    Ray unpacks each in a place of its own, so those of code that was sent are no neighbours.
    """
    folders = [str(_folder_of(package)) for package in _PACKAGES]
    try:
        files = metadata.distribution("nightreel").files or []
    except metadata.PackageNotFoundError:
        return folders
    described = {str(Path(str(f.locate())).parent) for f in files if f.name == "METADATA"}
    return [*folders, *sorted(described)]


def _folder_of(package: str) -> Path:
    found = find_spec(package)
    assert found is not None, f"{package} is part of this program"
    assert found.origin is not None, f"{package} is no folder of its own"
    return Path(found.origin).resolve().parent


def runtime_env_of(given: str | None) -> dict[str, Any] | None:
    """Ray's runtime environment from a YAML file, or from YAML itself that begins with a brace.

    Raises:
        ConfigError: it can't be read or is no mapping.
    """
    if given is None:
        return None
    try:
        text = given if given.startswith("{") else Path(given).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{given}: can't read this runtime environment: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{given}: got {type(found).__name__}, expected keys and values")
    return found


class RayJobs:
    """The jobs of one cluster."""

    def __init__(self, address: str, environment: DriverEnvironment) -> None:
        """``address`` is the dashboard's, or ``auto`` on the cluster itself."""
        self._address, self._environment = address, environment
        self._client: JobSubmissionClient | None = None

    def all(self) -> dict[str, RayJob]:
        """What Ray knows, by submission id.

        Raises:
            ClusterError: it can't be asked.
        """
        with self._asked("what it runs") as client:
            return {
                job.submission_id: RayJob(
                    status=str(job.status.value),
                    message=job.message or "",
                    exit_code=job.driver_exit_code,
                )
                for job in client.list_jobs()
                if job.submission_id
            }

    def submit(
        self,
        submission_id: str,
        module: str,
        arguments: Sequence[str],
        metadata: Mapping[str, str],
    ) -> None:
        """Start a module of ours on the cluster's head.

        Raises:
            ClusterError: Ray refused.
        """
        with self._asked(f"to start {submission_id}") as client:
            client.submit_job(
                submission_id=submission_id,
                entrypoint=self._environment.command(module, *arguments),
                runtime_env=self._environment.as_ray_has_it(),
                metadata=dict(metadata),
            )

    def stop(self, submission_id: str) -> None:
        """End a driver: first asked to, then made to.

        Raises:
            ClusterError: Ray refused.
        """
        with self._asked(f"to stop {submission_id}") as client:
            client.stop_job(submission_id)

    def forget(self, submission_id: str) -> None:
        """Let the id of a driver that has ended be used again.

        Raises:
            ClusterError: Ray refused.
        """
        with self._asked(f"to forget {submission_id}") as client:
            client.delete_job(submission_id)

    def last_words(self, submission_id: str) -> str:
        """The end of what a driver printed; empty if Ray has nothing of it."""
        try:
            with self._asked(f"for the log of {submission_id}") as client:
                return client.get_job_logs(submission_id)[-_TAIL_CHARACTERS:]
        except ClusterError:
            return ""

    @contextmanager
    def _asked(self, what: str) -> Iterator[JobSubmissionClient]:
        try:
            if self._client is None:
                self._client = _client(self._address)
            yield self._client
        except (RuntimeError, ValueError, OSError) as error:
            self._client = None
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            said = lines[-1] if lines else type(error).__name__
            raise ClusterError(f"Ray at {self._address}, asked {what}: {said[:500]}") from error


def _client(address: str) -> JobSubmissionClient:
    if address == AUTO:
        return JobSubmissionClient()
    before = os.environ.get(_ADDRESS_VARIABLE)
    os.environ[_ADDRESS_VARIABLE] = address
    try:
        return JobSubmissionClient(address)
    finally:
        if before is None:
            del os.environ[_ADDRESS_VARIABLE]
        else:
            os.environ[_ADDRESS_VARIABLE] = before

"""What the exit status says of a run, and the one line that goes with it; no Ray needed for these.

0 and 130 are shown on the whole program in ``tests/e2e``.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from jobs.cli import main
from tests.manifests import SMALL, row, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.s3_server import S3Server

    Nightreel = Callable[..., tuple[int, str]]


@pytest.fixture
def nightreel(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Nightreel]:
    """Runs the command line in this process; gives exit status and everything that was said."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["nightreel", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.parquet", [row("first")])


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    rows = [row("first"), row("silent", prompt=""), row("odd", height=33)]
    return write(tmp_path / "mixed.parquet", rows)


def test_help_and_version_say_0(nightreel: Nightreel) -> None:
    code, said = nightreel("--help")
    assert code == 0
    assert all(command in said for command in ("render", "validate", "engines", "demo"))
    assert nightreel("--version")[0] == 0


def test_validate_says_0_3_or_2_and_names_every_bad_row(
    nightreel: Nightreel, good: Path, mixed: Path
) -> None:
    assert nightreel("validate", str(good), *SMALL)[0] == 0
    code, said = nightreel("validate", str(mixed), *SMALL)
    assert code == 3
    assert "row 2 (silent): prompt" in said
    assert "row 3 (odd): height = 33" in said
    assert "the nearest are 32 or 48" in said
    assert "1 of 3 rows can be rendered, 2 can't" in said
    assert nightreel("validate", "--strict", str(mixed), *SMALL)[0] == 2


def test_a_run_that_only_rejects_says_3_and_starts_nothing(
    nightreel: Nightreel, tmp_path: Path
) -> None:
    manifest = write(tmp_path / "bad.parquet", [row("silent", prompt="")])
    was_running = ray.is_initialized()
    code, said = nightreel("render", str(manifest), f"--output={tmp_path / 'out'}", *SMALL)
    assert code == 3
    assert "row 1 (silent): prompt" in said
    assert ray.is_initialized() == was_running
    assert pq.read_table(tmp_path / "out" / "rejected.parquet").num_rows == 1


def test_strict_says_2(nightreel: Nightreel, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said = nightreel("render", "--strict", str(mixed), f"--output={out}", *SMALL)
    assert code == 2
    assert "ManifestError: --strict:" in said
    assert "row 2 (silent)" in said
    assert not list(out.rglob("*.*"))


def test_manifests_that_cant_be_read_say_2(nightreel: Nightreel, tmp_path: Path) -> None:
    out = f"--output={tmp_path / 'out'}"
    no_id = tmp_path / "no-id.parquet"
    pq.write_table(pa.table({"prompt": ["a red ball"]}), no_id)
    not_parquet = tmp_path / "text.parquet"
    not_parquet.write_text("id,prompt\n")
    for manifest, error, words in (
        (no_id, "ManifestError", "id"),
        (not_parquet, "ManifestError", "arquet"),
        (tmp_path / "missing.parquet", "ManifestMissingError", "missing.parquet"),
    ):
        code, said = nightreel("render", str(manifest), out, *SMALL)
        assert code == 2
        assert f"nightreel: {error}: " in said
        assert words in said
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["engine.name=wam"], "engine.name: Invalid value 'wam'"),
        (["boundary.mod=halo"], "did you mean boundary.mode?"),
        (["--preset=embeded"], "embeded"),
        (["engine.name=wan", "engine.weights=/nowhere"], "WeightsError: /nowhere: no such file"),
        (["--nonsense"], "No such option"),
        (["--output=ftp://host/films"], "ftp"),
    ],
)
def test_what_was_asked_for_wrongly_says_2(
    nightreel: Nightreel, good: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    code, said = nightreel("render", str(good), f"--output={tmp_path / 'out'}", *SMALL, *arguments)
    assert code == 2
    assert words in said
    assert "Traceback" not in said


def test_a_bucket_that_cant_be_reached_says_4(nightreel: Nightreel, good: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"store.endpoint_url=http://127.0.0.1:{unused.getsockname()[1]}"
        settings = ["store.max_attempts=1", "store.connect_timeout_s=2"]
        code, said = nightreel("render", str(good), "-o", "s3://films/x", endpoint, *settings)
    assert code == 4
    assert "nightreel: Store" in said
    assert "s3://films" in said
    assert "Traceback" not in said


@pytest.mark.s3
def test_wrong_credentials_say_4_and_are_not_shown(
    nightreel: Nightreel,
    good: Path,
    s3_server: S3Server,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    options = s3_server.options()
    settings = [
        f"store.endpoint_url={options.endpoint_url}",
        f"store.region={options.region}",
        f"store.addressing_style={options.addressing_style}",
    ]
    code, said = nightreel("render", str(good), "-o", f"s3://{s3_bucket}/x", *SMALL, *settings)
    assert code == 4
    assert "StoreAccessError" in said
    assert "not-the-secret" not in said


@pytest.mark.s3
def test_a_bucket_that_is_not_there_says_4(
    nightreel: Nightreel, good: Path, s3_server: S3Server
) -> None:
    options = s3_server.options()
    settings = [
        f"store.endpoint_url={options.endpoint_url}",
        f"store.region={options.region}",
        f"store.addressing_style={options.addressing_style}",
    ]
    code, said = nightreel("render", str(good), "-o", "s3://no-such-bucket/x", *SMALL, *settings)
    assert code == 4
    assert "no-such-bucket" in said

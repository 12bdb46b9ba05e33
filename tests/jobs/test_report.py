"""The page: what it says, that nothing in it can break out, and that it never harms a render."""

from __future__ import annotations

import io
import itertools
import json
import re
import shlex
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from jobs.config import load_config
from jobs.progress_log import LogProgress
from jobs.render import Job, render
from jobs.report.collect import Collector
from jobs.report.facts import facts_of
from jobs.report.page import page_html
from jobs.report.rows import MAX_SHOWN
from jobs.report.watching import put_page
from jobs.report.writer import PageWriter
from jobs.triage import ToRender, Triage
from pipeline.engines.registry import read_spec
from pipeline.errors import StoreUnavailableError
from storage import keys
from storage.leases import LeaseOptions, Leases
from storage.local import LocalStore
from storage.manifest import Manifest
from storage.open import StoreConfig, open_store
from tests.jobs.report_store import BAD_ROW, HOSTILE, add_failure, add_film, add_night, sidecar
from tests.manifests import SMALL, row, write

if TYPE_CHECKING:
    from pathlib import Path

    from storage.record import LedgerRecord
    from tests.s3_server import S3Server

READ_S = 2.0


class _Reader(HTMLParser):
    """What a browser would see: tags, and the text of the data block."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self._in_data = False
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_data = dict(attrs).get("id") == "data"

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data
            self._in_data = False


def read(page: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_Reader(page).data)
    return data


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "out")


def test_the_page_says_what_the_store_holds(store: LocalStore) -> None:
    add_night(store)
    assert Leases(store, LeaseOptions()).acquire("now", "f") is not None
    put_page(store, Collector(store))
    data = read(store.get_bytes(keys.INDEX))
    videos = {video["id"]: video for video in data["videos"]}
    assert {name: video["state"] for name, video in videos.items()} == {
        "balloon": "rendered",
        "dawn-to-night": "rendered",
        "hostile": "rendered",
        "now": "rendering",
        "torn": "failed",
    }
    assert data["counts"] == {
        "rendered": 3,
        "rendering": 1,
        "pending": 0,
        "failed": 1,
        "rejected": 1,
    }
    assert videos["dawn-to-night"]["prompts"] == [
        [0, "a meadow at dawn"],
        [1.5, "a meadow at night"],
    ]
    assert videos["balloon"]["quality"]["joins"]["detail"] == [1.061, 0.9, 1.2]
    assert len(videos["balloon"]["quality"]["likeness"]) <= 24
    assert videos["balloon"]["timings"]["sampling_s"] == 27.9
    assert videos["torn"]["error"] == "QualityError"
    assert ", process " in videos["now"]["holder"]
    assert data["rejected"][0]["reason"] == BAD_ROW.reason
    assert data["refresh_s"] is None


def test_links_are_relative_and_lead_to_what_is_there(store: LocalStore, tmp_path: Path) -> None:
    add_night(store)
    put_page(store, Collector(store))
    for video in read(store.get_bytes(keys.INDEX))["videos"]:
        for name in ("video", "poster", "sidecar") if video["state"] == "rendered" else ():
            assert (tmp_path / "out" / video[name]).is_file()
            assert video[name].startswith(f"videos/{video['id']}/")


def test_nothing_in_a_manifest_breaks_out_of_the_page(store: LocalStore) -> None:
    add_night(store)
    put_page(store, Collector(store))
    page = store.get_bytes(keys.INDEX)
    tags = _Reader(page).tags
    assert [name for name, _ in tags].count("script") == 2
    assert [attributes for name, attributes in tags if name == "img"] == []
    hostile = next(video for video in read(page)["videos"] if video["id"] == "hostile")
    assert hostile["prompts"] == [[0, HOSTILE]]
    assert HOSTILE.encode() not in page
    block = page[page.index(b'<script id="data"') :].split(b">", 1)[1]
    assert b"<" not in block[: block.index(b"</script>")]


def test_the_page_asks_nobody_and_runs_its_own_program_only(store: LocalStore) -> None:
    add_night(store)
    put_page(store, Collector(store))
    page, tags = store.get_bytes(keys.INDEX), _Reader(store.get_bytes(keys.INDEX)).tags
    policy = next(a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    given = [(name, a[key]) for name, a in tags for key in ("src", "href", "action") if key in a]
    assert given == [("link", "data:,")]
    assert set(re.findall(rb"https?://[^\s\"'`)]+", page)) == {b"http://www.w3.org/2000/svg"}


def test_a_manifest_adds_rows_that_nobody_has_begun(store: LocalStore, tmp_path: Path) -> None:
    add_film(store, "done", {0.0: "x"})
    add_film(store, "of-another-job", {0.0: "x"})
    rows = [row("new", prompt="soon"), row("done"), row("silent", prompt="")]
    manifest = Manifest.open(str(write(tmp_path / "m.parquet", rows)))
    report = Collector(store, manifest).collect()
    assert [(video["id"], video["state"]) for video in report.videos] == [
        ("new", "pending"),
        ("done", "rendered"),
        ("of-another-job", "rendered"),
    ]
    assert report.videos[0]["prompts"] == [[0, "soon"]]
    assert [each.id for each in report.rejected] == ["silent"]
    assert report.counts["pending"] == 1


def test_of_very_many_the_page_shows_those_that_matter_and_counts_all(
    store: LocalStore, tmp_path: Path
) -> None:
    add_failure(store, "bad", "torn")
    rows = [row(f"v{number}") for number in range(MAX_SHOWN + 50)]
    manifest = Manifest.open(str(write(tmp_path / "m.parquet", [*rows, row("bad")])))
    report = Collector(store, manifest).collect()
    assert len(report.videos) == MAX_SHOWN
    assert report.videos[-1]["id"] == "bad"
    assert (report.counts["pending"], report.counts["failed"]) == (MAX_SHOWN + 50, 1)


@pytest.mark.parametrize(
    "content",
    [
        *(None, [], 7, "text", {}, {"quality": [], "prompts": {}, "request": None}),
        {"quality": {"seams": {"detail": {"ratio": float("inf"), "low": "x"}}, "drift": 5}},
        {"prompts": [{"start_s": float("nan"), "prompt": "x"}, 5, {"prompt": "y"}]},
        {"request": {"id": "../x", "seed": True}, "engine": {"name": "$(reboot)"}},
    ],
)
def test_a_strange_sidecar_is_no_more_than_a_film_without_figures(content: object) -> None:
    text = json.dumps(facts_of(content), allow_nan=False)
    assert "reboot" not in text or "command" not in text
    assert "prompts" not in text


def test_a_film_whose_sidecar_is_damaged_or_whose_key_lies_elsewhere(store: LocalStore) -> None:
    record = add_film(store, "a", {0.0: "x"})
    store.put_bytes(keys.sidecar("a", record.fingerprint), b"{", overwrite=True)
    text = json.dumps({"id": "b", "state": "rendered", "fingerprint": "f", "key": "javascript:x"})
    store.put_bytes(keys.ledger("b", 1), (text[:-1] + ', "size_bytes": 1, "crc32": 1}').encode())
    first, second = Collector(store).collect().videos
    assert first["video"].endswith(".mp4")
    assert "quality" not in first
    assert "video" not in second
    assert "javascript" not in json.dumps(second)


def test_a_page_is_there_whole_at_any_moment(store: LocalStore) -> None:
    add_night(store)
    collector = Collector(store)
    put_page(store, collector)
    seen, stop = [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.append(store.get_bytes(keys.INDEX).endswith(b"</html>\n"))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(40):
        put_page(store, collector)
    stop.set()
    reader.join()
    assert seen
    assert all(seen)


@pytest.mark.s3
def test_a_page_in_a_bucket(s3_server: S3Server, s3_bucket: str) -> None:
    store = open_store(f"s3://{s3_bucket}/night", s3=s3_server.options())
    add_night(store)
    for _ in range(2):
        put_page(store, Collector(store))
    found = s3_server.client().get_object(Bucket=s3_bucket, Key="night/index.html")
    assert found["ContentType"] == "text/html; charset=utf-8"
    assert read(found["Body"].read())["counts"]["rendered"] == 3


def test_records_and_sidecars_are_read_once(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_night(store)
    collector = Collector(store)
    before = collector.collect()
    asked, get_bytes = [], LocalStore.get_bytes

    def counted(self: LocalStore, key: str) -> bytes:
        asked.append(key)
        return get_bytes(self, key)

    monkeypatch.setattr(LocalStore, "get_bytes", counted)
    assert collector.collect().videos == before.videos
    assert asked == []
    add_film(store, "new", {0.0: "x"})
    asked.clear()
    assert len(collector.collect().videos) == len(before.videos) + 1
    assert asked == [keys.ledger("new", 1), keys.sidecar("new", "0123456789abcdef0123")]


def test_pages_keep_their_distance_and_the_last_one_says_so() -> None:
    written: list[tuple[float, bool]] = []
    writer = PageWriter(lambda on: written.append((time.monotonic(), on)), interval_s=0.3)
    writer.start()
    end_s = time.monotonic() + 1.0
    while time.monotonic() < end_s:
        writer.changed()
        time.sleep(0.01)
    writer.end()
    times = [at for at, goes_on in written if goes_on]
    assert 2 <= len(times) <= 4
    assert all(later - earlier >= 0.3 for earlier, later in itertools.pairwise(times))
    assert [goes_on for _, goes_on in written[-2:]] == [True, False]


def test_without_news_there_is_no_new_page() -> None:
    written: list[bool] = []
    writer = PageWriter(written.append, interval_s=0.01)
    writer.start()
    time.sleep(0.3)
    assert written == [True]
    writer.end()
    assert written == [True, False]


def test_a_store_that_refuses_costs_the_page_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(goes_on: bool) -> None:
        raise StoreUnavailableError("no such luck" if goes_on else "still none")

    writer = PageWriter(refuse, interval_s=0.01)
    writer.start()
    writer.end()
    assert "no such luck" in caplog.text
    assert "still none" in caplog.text


def test_the_end_of_a_job_that_never_began_writes_nothing() -> None:
    written: list[bool] = []
    PageWriter(written.append).end()
    assert written == []


class _Curious(LogProgress):
    """Looks at the page while the job runs."""

    def __init__(self, index: Path) -> None:
        super().__init__(io.StringIO())
        self.index, self.states = index, []

    def video_finished(self, record: LedgerRecord, duration_s: float) -> None:
        super().video_finished(record, duration_s)
        end_s = time.monotonic() + READ_S
        while not self.index.is_file() and time.monotonic() < end_s:
            time.sleep(0.05)
        self.states.append(read(self.index.read_bytes()))


def job(manifest: Path, out: Path) -> Job:
    config = load_config(overrides=[*SMALL, "gang.actors=1"])
    return Job(manifest=str(manifest), store=StoreConfig(uri=str(out)), config=config)


@pytest.mark.slow
@pytest.mark.cluster
def test_a_render_writes_it_from_the_start_and_its_command_makes_the_same_film(
    tmp_path: Path, ray_cluster: None
) -> None:
    out, rows = tmp_path / "out", [row("it"), row("odd", width=50), row("later")]
    manifest = write(tmp_path / "m.parquet", rows)
    progress = _Curious(out / keys.INDEX)
    assert render(job(manifest, out), progress).rendered == ["it", "later"]
    first = progress.states[0]
    assert first["refresh_s"] == 30
    assert {video["id"] for video in first["videos"]} >= {"it", "later"}
    last = read((out / keys.INDEX).read_bytes())
    assert last["refresh_s"] is None
    assert last["counts"]["rendered"] == 2
    assert [each["column"] for each in last["rejected"]] == ["width"]
    video = last["videos"][0]
    assert video["seed"] == 1
    assert video["quality"]["health"]["black_share"] == 0
    write_row, again = video["command"].splitlines()
    words = shlex.split(again)
    (tmp_path / words[2]).write_text(shlex.split(write_row)[2] + "\n")
    config = load_config(overrides=words[5:])
    triage = Triage(config, read_spec(config.engine))
    (made,) = triage.rows(Manifest.open(str(tmp_path / words[2])))
    assert isinstance(made, ToRender)
    assert made.fingerprint == video["fingerprint"]


@pytest.mark.slow
@pytest.mark.cluster
def test_a_page_that_cant_be_written_costs_no_film(
    tmp_path: Path, ray_cluster: None, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    (out / keys.INDEX / "in-the-way").mkdir(parents=True)
    manifest = write(tmp_path / "m.parquet", [row("film", num_frames=5)])
    summary = render(job(manifest, out), LogProgress(io.StringIO()))
    assert (summary.rendered, summary.failed) == (["film"], {})
    assert "can't write the report" in caplog.text


PROGRAM = """
import sys
sys.argv = ["nightreel", *sys.argv[1:]]
from jobs.cli import main
try:
    main()
finally:
    print(sorted({"ray", "torch", "diffusers"} & set(sys.modules)), file=sys.stderr)
"""


def test_the_command_needs_neither_ray_nor_torch(store: LocalStore, tmp_path: Path) -> None:
    add_night(store)
    manifest = write(tmp_path / "m.parquet", [row("new"), row("balloon")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "report", store.uri, str(manifest)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("[]")
    assert done.stdout.strip() == f"{store.uri}/index.html"
    assert read(store.get_bytes(keys.INDEX))["counts"]["pending"] == 1


def test_very_long_text_is_cut_and_no_command_is_made_of_it(store: LocalStore) -> None:
    facts = facts_of(sidecar("a", {0.0: "x" * 100_000}))
    assert len(facts["prompts"][0][1]) == 4_000
    assert "command" not in facts
    assert page_html(Collector(store).collect()).endswith(b"</html>\n")

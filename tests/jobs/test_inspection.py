"""``nightreel inspect`` on real files: what it prints, draws and refuses."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from jobs.cli import main
from jobs.inspection import JoinOptions, inspect_videos
from jobs.sidecar_joins import SidecarJoins, joins_from
from pipeline.errors import VideoFileError
from pipeline.quality.joins import joins_of
from storage.open import open_store
from tests.pipeline.encoding.clips import WIDTH, numbered, video, write
from tests.pipeline.quality.moving import CUT_DIFFERENCE, every, moving_noise
from tests.plans import small_gaussian, small_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.s3_server import S3Server

    Nightreel = Callable[..., tuple[int, str, str]]

NUM_FRAMES = 36 * 5 + 1
JOINS = every(36, NUM_FRAMES).starts
GIVEN = ("--joins", ",".join(str(start) for start in JOINS))


@pytest.fixture
def nightreel(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Nightreel]:
    """Runs the command line in this process; gives exit status, output and errors."""
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["nightreel", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield run
    signal.signal(signal.SIGTERM, handler)


def _film(path: Path, cuts: tuple[int, ...] = (), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.stack(list(moving_noise(NUM_FRAMES, cuts=cuts, seed=seed)))
    write(path, noise.repeat(2, axis=1).repeat(WIDTH // 32, axis=2), video(NUM_FRAMES))
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    _film(folder / "ridden.mp4", JOINS)
    _film(folder / "clean.mp4")
    return folder


def sidecar_of(mode: str, num_frames: int = NUM_FRAMES, fps: float | None = None) -> dict[str, Any]:
    """What ``jobs.sidecar`` writes of a video, as far as its joins depend on it."""
    plan = small_plan(small_gaussian(), num_frames, mode=mode, num_steps=6)
    request = asdict(plan.request)
    return {
        "request": request | ({"fps": fps} if fps else {}),
        "engine": asdict(plan.engine),
        "options": {f"boundary.{k}": v for k, v in asdict(plan.options.boundary).items()},
        "num_latent_frames": plan.num_latent_frames,
        "sigmas": [level.sigma for level in plan.levels],
    }


def test_json_holds_every_figure(films: Path, nightreel: Nightreel) -> None:
    code, out, _ = nightreel(films / "ridden.mp4", films / "clean.mp4", *GIVEN, "--json")
    assert code == 0
    said = json.loads(out)
    ridden, clean = said["videos"]
    assert ridden["video"] == str(films / "ridden.mp4")
    assert ridden["joins_from"] == "--joins"
    assert (ridden["num_joins"], ridden["period_frames"]) == (4, 36)
    assert ridden["seams"]["frame_difference"]["ratio"] == pytest.approx(CUT_DIFFERENCE, rel=0.2)
    assert clean["seams"]["frame_difference"]["high"] < 1.3
    assert set(said["pooled"]) == set(ridden["seams"])
    assert said["pooled"]["detail"]["count"] == 2
    assert set(clean["health"]) >= {"black_share", "frozen_share", "largest_jump"}
    assert set(clean["drift"]["lightness"]) == {"mean", "per_minute", "first_to_last"}


def test_text_names_what_was_found(films: Path, nightreel: Nightreel) -> None:
    code, out, _ = nightreel(films, *GIVEN)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "clean.mp4"
    assert "11.3 s, 181 frames of 96x64 at 16 fps; 4 joins, one every 36 frames" in lines[1]
    differences = [line.split() for line in lines if line.startswith("frame difference (D1)")]
    assert [words[-1] for words in differences[1:]] == ["4", "2"]  # joins, then videos
    assert differences[1][-2] == "*"
    assert "all 2 videos" in lines
    assert "lightness L*" in out
    assert "black 0%, flat 0%, saturated 0%, frozen 0%" in out


def test_without_joins_there_is_drift_and_health_all_the_same(
    films: Path, nightreel: Nightreel
) -> None:
    code, out, _ = nightreel(films / "clean.mp4", "--json")
    assert code == 0
    (found,) = json.loads(out)["videos"]
    assert found["joins_from"] == "unknown: no sidecar, no --joins"
    assert found["seams"] == dict.fromkeys(found["seams"])
    assert found["health"]["largest_jump"] > 0
    code, out, _ = nightreel(films / "clean.mp4")
    assert "at joins over beside them" not in out
    assert "lightness L*" in out


def test_a_window_puts_a_join_every_so_many_frames(films: Path, nightreel: Nightreel) -> None:
    code, out, _ = nightreel(films / "clean.mp4", "--window", 40, "--rhythm", 1, "--json")
    assert code == 0
    (found,) = json.loads(out)["videos"]
    assert (found["joins_from"], found["num_joins"], found["period_frames"]) == ("--window", 4, 40)


@pytest.mark.parametrize("mode", ["halo", "consensus", "decay", "none"])
def test_a_sidecar_tells_the_joins_of_its_mode(mode: str) -> None:
    found = joins_from(json.dumps(sidecar_of(mode)).encode(), "here")
    plan = small_plan(small_gaussian(), NUM_FRAMES, mode=mode, num_steps=6)
    joins = joins_of(plan.boundary, num_steps=6, temporal_compression=4, num_frames=NUM_FRAMES)
    assert found == SidecarJoins(mode, joins)
    assert 5 <= len(joins) <= 9  # windows of 9 latent frames, 46 latent frames


@pytest.mark.slow
def test_a_video_is_found_with_its_sidecar_wherever_one_points(films: Path, tmp_path: Path) -> None:
    film = tmp_path / "out" / "videos" / "clip" / "0123.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes((films / "clean.mp4").read_bytes())
    film.with_suffix(".json").write_text(json.dumps(sidecar_of("halo")))
    for place, name in ((film, str(film)), (film.parent, film.name)):
        (found,) = inspect_videos([str(place)], JoinOptions())
        assert (found.joins_from, found.name) == ("sidecar, halo", name)
    (found,) = inspect_videos([str(tmp_path / "out")], JoinOptions())
    assert (found.joins_from, found.name) == ("sidecar, halo", "clip/0123.mp4")
    (found,) = inspect_videos([str(film)], JoinOptions(joins=(9, 18)))
    assert (found.joins_from, found.joins.starts) == ("--joins", (9, 18))


def test_options_that_were_not_in_force_are_left_out_of_a_sidecar() -> None:
    content = sidecar_of("none")
    content["options"] = {"boundary.mode": "none"}
    assert len(joins_from(json.dumps(content).encode(), "here").joins) == 5


def test_a_retimed_video_has_no_known_joins() -> None:
    content = sidecar_of("halo", fps=24.0)
    assert not joins_from(json.dumps(content).encode(), "here").joins


@pytest.mark.parametrize("text", ["[]", "{}", "no JSON", '{"options": {"boundary.mode": "x"}}'])
def test_a_sidecar_that_is_none_is_named(text: str) -> None:
    with pytest.raises(VideoFileError, match=r"here\.json: not the sidecar of a video"):
        joins_from(text.encode(), "here.json")


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_plot_is_a_picture_with_something_on_it(
    films: Path, tmp_path: Path, nightreel: Nightreel, suffix: str
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"plot{suffix}"
    code, _, err = nightreel(films / "ridden.mp4", *GIVEN, "--plot", path)
    assert code == 0, err
    if suffix == ".png":
        with Image.open(path) as picture:
            assert picture.width >= 1000
            assert len(set(picture.convert("L").resize((200, 120)).tobytes())) > 50
    else:
        assert "periodicity (FOLD)" in path.read_text(encoding="utf-8")


def test_a_plot_without_joins_is_drawn_too(
    films: Path, tmp_path: Path, nightreel: Nightreel
) -> None:
    pytest.importorskip("matplotlib")
    code, _, err = nightreel(films / "clean.mp4", "--plot", tmp_path / "plot.png")
    assert code == 0, err
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_a_missing_matplotlib_is_named_before_anything_is_measured(
    films: Path, tmp_path: Path, nightreel: Nightreel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.inspection_plot.find_spec", lambda _: None)
    code, out, err = nightreel(films / "clean.mp4", "--plot", tmp_path / "plot.png")
    assert (code, out) == (2, "")
    assert "--plot needs matplotlib, which is not installed: pip install 'nightreel[plots]'" in err


def test_what_can_t_be_measured_says_2_and_why(
    films: Path, tmp_path: Path, nightreel: Nightreel
) -> None:
    empty, text, short = tmp_path / "empty", tmp_path / "text.mp4", tmp_path / "short.mp4"
    empty.mkdir()
    text.write_text("no video")
    write(short, numbered(2), video(2))
    film = films / "clean.mp4"
    refused = {
        (tmp_path / "absent.mp4",): "absent.mp4: no such file",
        (empty,): "empty: no videos in this folder",
        (text,): "text.mp4: not a readable video",
        (short,): "short.mp4: the video has 2 frames, expected at least 3",
        (film, "--joins", "8,x"): "--joins 8,x: expected whole numbers, such as 81,162,243",
        (film, "--joins", "0,8"): "--joins 0,8: expected frames from 1 on",
        (film, "--window", "-1"): "--window -1: expected a number of frames",
        (film, "--rhythm", "0"): "--rhythm 0: expected at least 1 frame",
        (film, "--plot", tmp_path / "plot.doc"): "expected a name that ends in .pdf, .png, .svg",
        (film, "--plot", tmp_path / "no" / "plot.png"): "its folder does not exist",
        ("ftp://here/film.mp4",): "scheme 'ftp://' is not known",
    }
    for arguments, reason in refused.items():
        code, _, err = nightreel(*arguments)
        assert code == 2, arguments
        assert reason in err, arguments


@pytest.mark.slow
@pytest.mark.s3
def test_videos_in_s3_are_fetched_with_their_sidecars(
    films: Path, s3_server: S3Server, s3_bucket: str
) -> None:
    root, s3 = f"s3://{s3_bucket}/night", s3_server.options()
    store = open_store(root, s3=s3)
    store.put_file("videos/clip/0123.mp4", films / "clean.mp4")
    store.put_bytes("videos/clip/0123.json", json.dumps(sidecar_of("halo")).encode())
    store.put_bytes("ledger/clip/000001.json", b"{}")
    for place in (root, f"{root}/videos/clip", f"{root}/videos/clip/0123.mp4"):
        (found,) = inspect_videos([place], JoinOptions(), s3)
        assert found.joins_from == "sidecar, halo"
        assert found.quality.num_frames == NUM_FRAMES
    assert found.name == place
    with pytest.raises(VideoFileError, match="absent"):
        inspect_videos([f"{root}/absent.mp4"], JoinOptions(), s3)

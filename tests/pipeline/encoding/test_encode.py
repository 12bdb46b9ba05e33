"""Real frames through a real ffmpeg, read back with PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from pipeline.encoding.encode import VideoWriter
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.probe import check
from pipeline.encoding.provenance import Provenance
from tests.pipeline.encoding.clips import (
    BAR_PX,
    BARS,
    FAST,
    HEIGHT,
    PROVENANCE,
    bars,
    decoded,
    noise,
    numbered,
    video,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "options",
    [
        EncodeOptions(),
        EncodeOptions(codec="libx265", preset="ultrafast"),
        EncodeOptions(codec="libsvtav1", preset="10"),
        EncodeOptions(pixel_format="yuv444p", crf=10),
        EncodeOptions(codec="libx265", preset="ultrafast", pixel_format="yuv420p10le"),
        EncodeOptions(faststart=False, threads=1),
    ],
    ids=lambda options: f"{options.codec}-{options.pixel_format}",
)
def test_colours_come_back_with_their_tags(tmp_path: Path, options: EncodeOptions) -> None:
    path = tmp_path / "bars.mp4"
    write(path, bars(24), video(24), options)
    info = check(path, video(24), options)
    tags = (info.color_primaries, info.color_transfer, info.color_matrix, info.color_range)
    assert tags == (1, 1, 1, 1)
    for frame in (decoded(path)[0], decoded(path)[-1]):
        for index, color in enumerate(BARS.values()):
            middle = frame[HEIGHT // 2, index * BAR_PX + BAR_PX // 2].astype(int)
            assert np.abs(middle - color).max() <= 4, (list(BARS)[index], middle)


def test_pixels_are_bt709_and_limited_range(tmp_path: Path) -> None:
    """Luma by the definition; with BT.601's matrix, green would be 145 and not 173."""
    write(tmp_path / "bars.mp4", bars(1), video(1))
    with av.open(str(tmp_path / "bars.mp4")) as container:
        luma = next(container.decode(video=0)).to_ndarray()[:HEIGHT]
    for index, (red, green, blue) in enumerate(BARS.values()):
        expected = 16 + 219 / 255 * (0.2126 * red + 0.7152 * green + 0.0722 * blue)
        assert abs(int(luma[HEIGHT // 2, index * BAR_PX + BAR_PX // 2]) - expected) <= 1.5


@pytest.mark.parametrize("num_frames", [1, 3, 161])
@pytest.mark.parametrize(
    ("fps", "rate"),
    [(16, Fraction(16)), (24, Fraction(24)), (23.976, Fraction(24000, 1001)), (30, Fraction(30))],
)
@pytest.mark.parametrize("options", [FAST, EncodeOptions()], ids=["intra", "b-frames"])
def test_rate_and_length_are_exact(
    tmp_path: Path, num_frames: int, fps: float, rate: Fraction, options: EncodeOptions
) -> None:
    path = tmp_path / "video.mp4"
    form = video(num_frames, fps)
    write(path, bars(num_frames), form, options)
    info = check(path, form, options)
    assert (info.num_frames, info.fps) == (num_frames, rate)
    assert info.duration_s == num_frames / rate


@pytest.mark.parametrize("num_frames", [1, 5, 33])
@pytest.mark.parametrize("fps", [24, 23.976, 30, 8, 5])
def test_retime_shows_what_the_engine_shows_at_that_time(
    tmp_path: Path, num_frames: int, fps: float
) -> None:
    path = tmp_path / "video.mp4"
    form = video(num_frames, 16, fps)
    frames = numbered(num_frames)
    write(path, frames, form)
    assert check(path, form, FAST).num_frames == form.num_output_frames
    assert 0 <= form.duration_s - Fraction(num_frames, 16) < 1 / form.rate
    levels = frames[:, 0, 0, 0].astype(int)
    for index, frame in enumerate(decoded(path)):
        expected = levels[int(index / form.rate * 16)]
        assert abs(float(frame.mean()) - expected) <= 2, (index, frame.mean(), expected)


def test_surplus_frames_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    frames = numbered(13)
    writer = write(path, frames, video(10), piece=4)
    assert (writer.num_written, check(path, video(10), FAST).num_frames) == (10, 10)
    assert abs(float(decoded(path)[-1].mean()) - frames[9, 0, 0, 0]) <= 2


def test_index_is_in_front(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, bars(24), video(24))
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_groups_of_pictures_are_closed_and_two_seconds_long(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, noise(70), video(70), EncodeOptions(crf=40))
    with av.open(str(path)) as container:
        keys = [index for index, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == [0, 32, 64]


@pytest.mark.parametrize(
    "options",
    [
        EncodeOptions(),
        EncodeOptions(codec="libx265", preset="fast"),
        EncodeOptions(codec="libsvtav1", preset="10"),
    ],
    ids=lambda options: options.codec,
)
def test_same_frames_give_the_same_bytes(tmp_path: Path, options: EncodeOptions) -> None:
    frames = noise(20)
    files = [tmp_path / "first.mp4", tmp_path / "second.mp4"]
    for path, piece in zip(files, (4, 7), strict=True):
        write(path, frames, video(20), options, piece)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_file_says_that_it_is_ai_generated(tmp_path: Path) -> None:
    write(tmp_path / "video.mp4", bars(1), video(1))
    with av.open(str(tmp_path / "video.mp4")) as container:
        metadata = container.metadata
    assert metadata["title"] == "a red fox at dawn"
    assert metadata["comment"].startswith("AI-generated by nightreel 0.1.0 with engine wan")
    assert "trainedAlgorithmicMedia" in metadata["comment"]


def test_title_survives_what_people_write() -> None:
    title = Provenance(title="a=b; 'c' \\ \0 \u202e" + "x" * 500, engine="e", version="1")
    assert title.one_line_title.startswith("a=b; 'c' \\ xxx")
    assert len(title.one_line_title) == 200


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "-y.mp4", "50%d.mp4", "sp ace'.mp4", "\u00fcml\u00e4ut.mp4"]
)
def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, bars(1), video(1))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_older_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"older")
    with VideoWriter(path, video(4), FAST, PROVENANCE) as writer:
        writer.write(bars(4))
        assert path.read_bytes() == b"older"
    assert check(path, video(4), FAST).num_frames == 4


def test_frames_need_not_be_contiguous(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, numbered(8)[::-1, :, ::-1], video(8))
    assert abs(float(decoded(path)[0].mean()) - 255) <= 2

"""Real files: written by the project's encoder, read back and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.encoding.encode_options import EncodeOptions
from pipeline.errors import VideoFileError
from pipeline.quality.frames import count_frames, open_video
from pipeline.quality.measure import measure
from tests.pipeline.encoding.clips import WIDTH, numbered, video, write
from tests.pipeline.quality.moving import CUT_DIFFERENCE, every, moving_noise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NUM_FRAMES = 36 * 5 + 1
JOINS = every(36, NUM_FRAMES)


def _film(path: Path, cuts: Sequence[int] = (), crf: float | None = None) -> Path:
    """Noise of 32 x 32, shown as blocks of 3 x 2 so that the encoder has something to keep."""
    noise = np.stack(list(moving_noise(NUM_FRAMES, cuts=cuts)))
    frames = noise.repeat(2, axis=1).repeat(WIDTH // 32, axis=2)
    write(path, frames, video(NUM_FRAMES), EncodeOptions(preset="ultrafast", crf=crf))
    return path


def test_frames_come_back_one_by_one_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "numbered.mp4"
    frames = numbered(12)
    write(path, frames, video(12))
    with open_video(path) as opened:
        assert opened.fps == 16
        for expected, found in zip(frames, opened.frames, strict=True):
            assert np.abs(found.astype(int) - expected).max() <= 3
    assert count_frames(path) == 12


def test_a_cut_and_its_absence_survive_the_encoder(tmp_path: Path) -> None:
    ridden = measure(_film(tmp_path / "cut.mp4", JOINS.starts, crf=5), JOINS)
    clean = measure(_film(tmp_path / "clean.mp4", crf=5), JOINS)
    assert (clean.num_frames, clean.width, clean.height, clean.fps) == (NUM_FRAMES, 96, 64, 16)
    assert clean.num_joins == 4
    for quality in (ridden, clean):
        assert quality.seams.frame_difference is not None
        assert quality.health.frozen_share == quality.health.flat_share == 0.0
    assert ridden.seams.frame_difference is not None
    assert clean.seams.frame_difference is not None
    assert ridden.seams.frame_difference.ratio == pytest.approx(CUT_DIFFERENCE, rel=0.15)
    assert clean.seams.frame_difference.is_within(0.85, 1.15)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoFileError, match=r"absent\.mp4: no such file"):
        measure(tmp_path / "absent.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 100)
    with pytest.raises(VideoFileError, match=r"text\.mp4: not a readable video"):
        measure(text)
    short = tmp_path / "short.mp4"
    write(short, numbered(2), video(2))
    with pytest.raises(VideoFileError, match=r"short\.mp4: the video has 2 frames"):
        measure(short)


def test_a_file_that_breaks_off_is_named(tmp_path: Path) -> None:
    whole = _film(tmp_path / "whole.mp4").read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoFileError, match=r"broken\.mp4"):
        measure(broken)
    damaged = tmp_path / "damaged.mp4"
    middle = len(whole) // 2
    damaged.write_bytes(whole[:middle] + bytes(len(whole) - middle))
    with pytest.raises(VideoFileError, match=r"damaged\.mp4"):
        measure(damaged)

"""The poster is the right frame and says what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.encoding.poster import poster_jpeg
from tests.pipeline.encoding.clips import (
    HEIGHT,
    PROVENANCE,
    WIDTH,
    bars,
    decoded,
    numbered,
    video,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_poster_is_the_frame_at_a_third(tmp_path: Path) -> None:
    frames = numbered(30)
    writer = write(tmp_path / "video.mp4", frames, video(30), piece=7)
    assert (writer.poster_frame == frames[10]).all()
    (tmp_path / "poster.jpg").write_bytes(poster_jpeg(writer.poster_frame, PROVENANCE))
    picture = decoded(tmp_path / "poster.jpg")[0]
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert abs(float(picture.mean()) - frames[10, 0, 0, 0]) <= 2
    assert b"AI-generated" in (tmp_path / "poster.jpg").read_bytes()


def test_poster_of_a_single_frame(tmp_path: Path) -> None:
    writer = write(tmp_path / "video.mp4", bars(1), video(1))
    assert (writer.poster_frame == bars(1)[0]).all()

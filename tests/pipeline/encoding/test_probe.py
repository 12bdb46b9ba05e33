"""A file is what was asked for, or every difference is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.probe import check, probe
from pipeline.errors import EncodeError
from tests.pipeline.encoding.clips import FAST, bars, noise, video, write

if TYPE_CHECKING:
    from pathlib import Path


def test_check_names_every_difference(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, bars(10), video(10))
    with pytest.raises(EncodeError) as caught:
        check(path, video(12, 24), EncodeOptions(codec="libx265"))
    message = str(caught.value)
    for part in (
        "codec is h264, expected hevc",
        "fps is 16, expected 24",
        "num_frames is 10, expected 12",
    ):
        assert part in message


def test_torn_file_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, noise(32), video(32))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(EncodeError):
        check(path, video(32), FAST)
    path.write_bytes(b"")
    with pytest.raises(EncodeError, match="not a readable video"):
        probe(path)

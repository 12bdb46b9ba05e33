"""Whatever goes wrong is named, ends ffmpeg and leaves no file behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.encoding.encode import VideoWriter
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.ffmpeg_process import available_encoders, ffmpeg_executable
from pipeline.encoding.probe import check
from pipeline.encoding.video_format import VideoFormat
from pipeline.errors import EncodeError, StoreFullError
from tests.pipeline.encoding.clips import (
    FAST,
    PROVENANCE,
    assert_nothing_left,
    bars,
    noise,
    video,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_on(writer: VideoWriter) -> None:
    while True:
        writer.write(bars(5))


def test_too_few_frames_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="got 9 frames, expected 10"):
        write(tmp_path / "video.mp4", bars(9), video(10))
    assert list(tmp_path.iterdir()) == []


def test_error_in_the_block_ends_ffmpeg_and_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "video.mp4", video(), FAST, PROVENANCE) as writer:
            pids.append(writer.pid)
            writer.write(bars(4))
            raise KeyboardInterrupt

    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert_nothing_left(tmp_path, pids[0])


def test_killed_ffmpeg_is_named(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "video.mp4", video(500), FAST, PROVENANCE)
    writer.write(bars(10))
    os.kill(writer.pid, signal.SIGKILL)
    with pytest.raises(EncodeError, match=r"after \d+ of 500 frames: .*killed by SIGKILL"):
        write_on(writer)
    assert_nothing_left(tmp_path, writer.pid)


def test_ffmpeg_killed_after_the_last_frame_is_named(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "video.mp4", video(10), FAST, PROVENANCE)
    writer.write(bars(10))
    os.kill(writer.pid, signal.SIGKILL)
    with pytest.raises(EncodeError, match=r"after 10 of 10 frames: .*killed by SIGKILL"):
        writer.close()
    assert_nothing_left(tmp_path, writer.pid)


def test_stuck_ffmpeg_is_ended(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "video.mp4", video(500), FAST, PROVENANCE, stall_timeout_s=0.3)
    os.kill(writer.pid, signal.SIGSTOP)
    with pytest.raises(EncodeError, match=r"took no frame for 0\.3 s"):
        write_on(writer)
    assert_nothing_left(tmp_path, writer.pid)


def test_ffmpeg_that_does_not_end_is_ended(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "video.mp4", video(1), FAST, PROVENANCE, finish_timeout_s=0.3)
    os.kill(writer.pid, signal.SIGSTOP)
    writer.write(bars(1))
    with pytest.raises(EncodeError, match=r"did not end within 0\.3 s"):
        writer.close()
    assert_nothing_left(tmp_path, writer.pid)


@contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("can't mount a small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size_kib", [4, 64, 256])
def test_full_disk_is_named(tmp_path: Path, size_kib: int) -> None:
    form = video(40)
    with small_disk(tmp_path / "disk", size_kib) as disk:
        with pytest.raises(StoreFullError, match="no space left"):
            write(disk / "video.mp4", noise(40), form, EncodeOptions(preset="ultrafast", crf=0))
        assert list(disk.iterdir()) == []


def test_disk_that_is_full_at_the_end_is_named(tmp_path: Path) -> None:
    """Room for nearly all: whatever is missing, the file is either whole or not there."""
    form = video(4)
    write(tmp_path / "whole.mp4", noise(4), form)
    pages = -(-(tmp_path / "whole.mp4").stat().st_size // 4096)
    outcomes = []
    for spare_pages in (-2, -1, 0):
        with small_disk(tmp_path / f"disk{spare_pages}", (pages + spare_pages) * 4) as disk:
            try:
                write(disk / "video.mp4", noise(4), form)
            except StoreFullError:
                outcomes.append("full")
                assert list(disk.iterdir()) == []
            else:
                outcomes.append("whole")
                check(disk / "video.mp4", form, FAST)
    assert outcomes == ["full", "full", "whole"]


FILE_TOO_LARGE = """
import resource, sys
from pathlib import Path
import numpy as np
from pipeline.encoding.encode import VideoWriter
from pipeline.encoding.encode_options import EncodeOptions
from pipeline.errors import StoreFullError
from pipeline.encoding.provenance import Provenance
from pipeline.encoding.video_format import VideoFormat

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
form = VideoFormat(width=96, height=64, num_frames=100, engine_fps=16, fps=16)
options = EncodeOptions(preset="ultrafast", crf=0)
noise = np.random.default_rng(0).integers(0, 256, (100, 64, 96, 3), np.uint8)
try:
    unknown = Provenance(title="", engine="", version="")
    with VideoWriter(Path(sys.argv[1]), form, options, unknown) as writer:
        writer.write(noise)
except StoreFullError:
    sys.exit(42)
"""


def test_file_size_limit_is_named_with_warnings_as_errors(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FILE_TOO_LARGE, str(tmp_path / "video.mp4")]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (42, "")
    assert list(tmp_path.iterdir()) == []


def test_missing_encoder_names_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrapper stands for an ffmpeg that was built without libx264."""
    real = ffmpeg_executable()
    wrapper = tmp_path / "ffmpeg"
    wrapper.write_text(f'#!/bin/bash\nexec "{real}" "${{@/libx264/libx000}}"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr("pipeline.encoding.ffmpeg_command.ffmpeg_executable", lambda: str(wrapper))
    with pytest.raises(EncodeError, match=r"lacks the encoder; it has: .*libsvtav1"):
        write(tmp_path / "video.mp4", bars(4), video(4))
    assert list(tmp_path.iterdir()) == [wrapper]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there may be a hardware encoder")
def test_encoder_without_its_hardware_says_why(tmp_path: Path) -> None:
    form = VideoFormat(width=256, height=256, num_frames=4, engine_fps=16, fps=16)
    with pytest.raises(EncodeError, match=r"it said:\n.*libcuda"):
        write(tmp_path / "video.mp4", noise(4, 256, 256), form, EncodeOptions(codec="h264_nvenc"))
    assert list(tmp_path.iterdir()) == []


def test_encoders_are_listed() -> None:
    assert {"libx264", "libx265", "libsvtav1"} <= set(available_encoders(ffmpeg_executable()))


def test_wrong_frames_are_named(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "video.mp4", video(), FAST, PROVENANCE)
    for wrong in (bars(2).astype(np.float32), bars(2)[:, :-1], bars(2)[0]):
        with pytest.raises(EncodeError, match=r"expected uint8 \[T, 64, 96, 3\]"):
            writer.write(wrong)  # type: ignore[arg-type]
    writer.abort()
    writer.abort()
    assert_nothing_left(tmp_path, writer.pid)


@pytest.mark.parametrize(
    ("width", "height", "pixel_format", "message"),
    [
        (95, 64, "yuv420p", "width = 95: yuv420p needs a multiple of 2; the nearest are 94 and 96"),
        (96, 63, "yuv420p", "height = 63"),
        (95, 63, "yuv422p", "width = 95"),
        (0, 64, "yuv420p", "width = 0: expected at least 1"),
    ],
)
def test_odd_sizes_are_named(
    tmp_path: Path, width: int, height: int, pixel_format: str, message: str
) -> None:
    with pytest.raises(EncodeError, match=message):
        VideoWriter(
            tmp_path / "video.mp4",
            VideoFormat(width=width, height=height, num_frames=1, engine_fps=16, fps=16),
            EncodeOptions(pixel_format=pixel_format),  # type: ignore[arg-type]
            PROVENANCE,
        )


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="its folder does not exist"):
        write(tmp_path / "none" / "video.mp4", bars(1), video(1))

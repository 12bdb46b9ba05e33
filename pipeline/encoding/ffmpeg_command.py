"""What is asked of ffmpeg: raw RGB frames on standard input become one MP4.

Frames are RGB bytes ``[T, H, W, 3]``, full range, sRGB-like; the file is BT.709, limited range, in
its pixels and in its tags. The same frames and options give the same bytes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import ffmpeg

from pipeline.encoding.ffmpeg_process import ffmpeg_executable

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.encoding.encode_options import EncodeOptions
    from pipeline.encoding.provenance import Provenance
    from pipeline.encoding.video_format import VideoFormat

# A closed group of pictures this long: players seek to its start, files can be cut and joined
# there.
GOP_S = 2

# A clock at least this fine, as most muxers choose; a multiple of the rate, or lengths get rounded.
MIN_TICKS_PER_S = 10_000


def encode_command(
    partial: Path, video: VideoFormat, options: EncodeOptions, provenance: Provenance
) -> list[str]:
    """The ffmpeg command line that turns raw RGB on standard input into the MP4 at ``partial``."""
    stream = ffmpeg.input(
        "pipe:0",
        format="rawvideo",
        pix_fmt="rgb24",
        video_size=(video.width, video.height),
        framerate=str(video.engine_rate),
    ).video
    if video.rate != video.engine_rate:
        # Rounded up, an output frame shows what the engine shows at that time (VideoFormat).
        stream = stream.filter("fps", fps=str(video.rate), round="up")
    # Tags alone are not enough: without out_color_matrix older versions write BT.601 pixels, and
    # without setparams newer ones drop the tags behind a scale filter.
    stream = (
        stream.filter(
            "scale",
            out_color_matrix="bt709",
            out_range="tv",
            flags="bicubic+accurate_rnd+full_chroma_inp+bitexact",
        )
        .filter("format", pix_fmts=options.pixel_format)
        .filter(
            "setparams",
            color_primaries="bt709",
            color_trc="bt709",
            colorspace="bt709",
            range="tv",
        )
    )
    # "file:" keeps ffmpeg from reading a protocol into a name with a colon.
    output = stream.output(f"file:{partial}", **_output_options(video, options, provenance))
    command: list[str] = output.compile(
        cmd=[ffmpeg_executable(), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"],
        overwrite_output=True,
    )
    return command


def _output_options(
    video: VideoFormat, options: EncodeOptions, provenance: Provenance
) -> dict[str, object]:
    gop_frames = max(1, round(GOP_S * video.rate))
    ticks_per_s = video.rate.numerator * math.ceil(MIN_TICKS_PER_S / video.rate.numerator)
    return {
        "format": "mp4",
        "vcodec": options.codec,
        # With "+" ffmpeg refuses a format that the encoder lacks instead of choosing another.
        "pix_fmt": f"+{options.pixel_format}",
        "g": gop_frames,
        "flags": "+cgop",
        "threads": options.threads,
        **_codec_options(options, gop_frames),
        # Without dates and versions, the same frames give the same bytes.
        "fflags": "+bitexact",
        "video_track_timescale": ticks_per_s,
        "movie_timescale": ticks_per_s,
        **({"movflags": "+faststart"} if options.faststart else {}),
        # One option may stand several times; its name in a dictionary may not.
        "metadata:g:0": f"title={provenance.one_line_title}",
        "metadata:g:1": f"comment={provenance.comment}",
    }


def _codec_options(options: EncodeOptions, gop_frames: int) -> dict[str, object]:
    common: dict[str, object] = {"preset": options.effort}
    quality = f"{options.quality:g}"
    fixed_gop = {"keyint_min": gop_frames, "sc_threshold": 0}
    match options.codec:
        case "libx264":
            return {**common, **fixed_gop, "crf": quality}
        case "libx265":
            threads = f"pools={options.threads}:frame-threads=2"
            return {
                **common,
                **fixed_gop,
                "crf": quality,
                "tag:v": "hvc1",
                "x265-params": f"log-level=error:open-gop=0:{threads}",
            }
        case "libsvtav1":
            return {**common, "crf": quality, "svtav1-params": f"lp={options.threads}"}
        case "h264_nvenc" | "hevc_nvenc" | "av1_nvenc":
            tag = {"tag:v": "hvc1"} if options.codec == "hevc_nvenc" else {}
            return {**common, **tag, "rc": "vbr", "cq": quality, "b:v": 0, "forced-idr": 1}

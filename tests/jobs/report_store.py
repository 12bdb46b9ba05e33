"""Output folders as a job leaves them, small: records, sidecars, posters, and films that play."""

from __future__ import annotations

import io
import json
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import imageio_ffmpeg
from PIL import Image

from storage import keys
from storage.ledger import Ledger
from storage.record import LedgerRecord
from storage.rejected import Rejection, put_rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.stored import StoreWithListing

FINGERPRINT = "0123456789abcdef0123"
FILM_S = 3
# What a prompt must not be able to do.
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> <!--"
BAD_ROW = Rejection(
    row=7, id="odd", column="width", value=HOSTILE, reason="expected 48 or 64", file="m.csv"
)


@cache
def film() -> bytes:
    """Three seconds of H.264 that any browser plays."""
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi"),
        *("-i", f"testsrc=d={FILM_S}:s=112x64:r=16", "-pix_fmt", "yuv420p"),
        *("-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "-"),
    ]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@cache
def poster(hue: int = 30) -> bytes:
    """A picture of one colour."""
    content = io.BytesIO()
    Image.new("HSV", (112, 64), (hue, 120, 160)).convert("RGB").save(content, "JPEG")
    return content.getvalue()


def sidecar(video_id: str, prompts: Mapping[float, str]) -> dict[str, Any]:
    """As ``jobs.sidecar`` writes it, as far as the page reads it."""
    effect = {"ratio": 1.0612345678, "low": 0.9, "high": 1.2, "count": 4}
    change = {"mean": 45.0, "per_minute": 0.5, "first_to_last": -0.25}
    events = [{"start_s": at, "prompt": text} for at, text in prompts.items()]
    return {
        "id": video_id,
        "nightreel": "0.1.0",
        "request": {
            "id": video_id,
            "prompt": "",
            "events": events,
            "negative_prompt": "",
            "seed": 2**63 - 1,
            "num_frames": 16 * FILM_S,
            "width": 112,
            "height": 64,
            "fps": 16.0,
            "engine_fps": 16.0,
            "num_inference_steps": 20,
            "guidance_scale": 3.0,
            "flow_shift": 3.0,
            "metadata": {"series": "weather"},
        },
        "prompts": events,
        "engine": {"name": "wan", "weights_digest": "85b8"},
        "options": {"sampler.solver": "ab2", "boundary.shift": True},
        "num_latent_frames": 13,
        "safe_settings": False,
        "quality": {
            "num_joins": 4,
            "seams": {"frame_difference": effect, "detail": effect, "warp_error": None},
            "drift": {
                **dict.fromkeys(("lightness", "saturation", "contrast", "sharpness"), change),
                "color_distance": 0.3,
                "correlation": [[0.25 * step, 1 - 0.01 * step] for step in range(60)],
            },
            "health": {"black_share": 0.0, "frozen_share": 0.02, "largest_jump": 2.2},
        },
        "timings": {
            "total_s": 90.1,
            "sampling_s": 27.9,
            "compute_s": 27.8,
            "num_windows": 100,
            "num_segments": 1,
            "boundary_bytes": 0,
        },
        "video": {"codec": "h264"},
    }


def add_film(
    store: StoreWithListing, video_id: str, prompts: Mapping[float, str], content: bytes = b"film"
) -> LedgerRecord:
    """A finished video, as ``jobs.desk`` leaves it."""
    video = store.put_bytes(keys.video(video_id, FINGERPRINT), content)
    store.put_bytes(keys.poster(video_id, FINGERPRINT), poster(len(video_id) * 9 % 256))
    store.put_bytes(
        keys.sidecar(video_id, FINGERPRINT), json.dumps(sidecar(video_id, prompts)).encode()
    )
    record = LedgerRecord(
        id=video_id,
        state="rendered",
        fingerprint=FINGERPRINT,
        key=video.key,
        size_bytes=video.size_bytes,
        crc32=video.crc32,
        num_frames=16 * FILM_S,
        duration_s=float(FILM_S),
        width=112,
        height=64,
        fps=16.0,
        started_at="2026-11-27T01:00:00.000+00:00",
        finished_at="2026-11-27T01:01:30.000+00:00",
        engine="wan",
    )
    return Ledger(store).append(record)


def add_failure(store: StoreWithListing, video_id: str, message: str) -> None:
    """A video that failed by name."""
    record = LedgerRecord(
        id=video_id, state="failed", fingerprint="f", error="QualityError", message=message
    )
    Ledger(store).append(record)


def add_night(store: StoreWithListing, content: bytes = b"film") -> None:
    """Three films, one with prompts over time and one with a hostile one; a failure; a bad row."""
    add_film(store, "balloon", {0.0: "a red balloon"}, content)
    add_film(store, "dawn-to-night", {0.0: "a meadow at dawn", 1.5: "a meadow at night"}, content)
    add_film(store, "hostile", {0.0: HOSTILE}, content)
    add_failure(store, "torn", f"warp_error_at_joins = 7: {HOSTILE}")
    put_rejected(store, [BAD_ROW])

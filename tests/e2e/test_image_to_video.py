"""From an image to a film, by the command: its first frame is the image, as the model sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image

from pipeline.engines.registry import EngineOptions, load_engine
from tests.e2e.program import program
from tests.tiny_wan import make_tiny_wan

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.longest]

# 15 latent frames in windows of 9.
NUM_FRAMES = 57
# As near to the pixels that the model gave as H.264 comes.
NEARLY_LOSSLESS = ("encode.crf=1", "encode.pixel_format=yuv444p", "encode.preset=ultrafast")


def frames_of(out: Path, video_id: str) -> NDArray[np.float32]:
    (path,) = out.glob(f"videos/{video_id}/*.mp4")
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.float32)


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean over all pixels, of 255."""
    return float(np.abs(one - other).mean())


def test_the_first_frame_of_the_film_is_the_image(tmp_path: Path, ray_cluster: None) -> None:
    weights = make_tiny_wan(tmp_path / "weights", window_latent_frames=9, layout="2.2-5b")
    engine = load_engine(EngineOptions(weights=str(weights), device="cpu"))
    width, height = engine.spec.width, engine.spec.height
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels_HWC = np.stack([across, down, 255 - across], axis=2).astype(np.uint8)
    Image.fromarray(pixels_HWC).save(tmp_path / "still.png")
    usual = {"prompt": "a red ball", "seed": 1, "num_frames": NUM_FRAMES, "num_inference_steps": 2}
    rows = [
        {"id": "still", "image": str(tmp_path / "still.png"), **usual},
        {"id": "text", "image": None, **usual},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "manifest.parquet")
    command = [
        *("render", str(tmp_path / "manifest.parquet"), "--output", str(tmp_path / "out")),
        f"--address={ray.get_runtime_context().gcs_address}",
        *(f"engine.weights={weights}", "engine.device=cpu", "gang.actors=2"),
        *(f"image.allowed_prefixes={tmp_path}", "quality.gate=false", *NEARLY_LOSSLESS),
    ]
    with program(tmp_path / "scratch", *command) as run:
        assert run.wait() == 0, run.said
    (seen,) = engine.stream_decoder().push(engine.encode_image(pixels_HWC).latents_TCHW[:1])
    expected_HWC = seen[0].astype(np.float32)
    film, text = frames_of(tmp_path / "out", "still"), frames_of(tmp_path / "out", "text")
    assert film.shape == text.shape == (NUM_FRAMES, height, width, 3)
    shown, without = (difference(frames[0], expected_HWC) for frames in (film, text))
    print(f"first frame: {shown:.2f} of 255 from the image as decoded, without it {without:.1f}")
    assert shown < 2.0
    assert without > 10.0
    # The image is told of, not stood still on.
    assert difference(film[-1], film[0]) > 10.0

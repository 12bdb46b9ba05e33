"""An encoder is tried before it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.encoding.encode_options import EncodeOptions
from pipeline.encoding.encoder_trial import try_encoder
from pipeline.errors import EncodeError


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_software_encoders_work(codec: str) -> None:
    try_encoder(EncodeOptions(codec=codec))  # type: ignore[arg-type]


def test_unknown_preset_is_refused_in_ffmpegs_words() -> None:
    with pytest.raises(EncodeError, match="it said"):
        try_encoder(EncodeOptions(preset="swift"))


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there may be a hardware encoder")
@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_missing_hardware_is_found_out(codec: str) -> None:
    with pytest.raises(EncodeError, match=r"it said:\n.*libcuda"):
        try_encoder(EncodeOptions(codec=codec))  # type: ignore[arg-type]

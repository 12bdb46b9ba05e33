"""Options that do not fit are refused by name."""

from __future__ import annotations

import pytest

from pipeline.encoding.encode_options import EncodeOptions
from pipeline.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": "mpeg4"}, "encode.codec = 'mpeg4': expected one of libx264"),
        ({"crf": 52}, r"encode\.crf = 52: libx264 takes 0 \(best\) to 51"),
        ({"crf": float("nan")}, "encode.crf = nan"),
        (
            {"codec": "libsvtav1", "pixel_format": "yuv444p"},
            "libsvtav1 writes yuv420p, yuv420p10le",
        ),
        ({"threads": 0}, "encode.threads = 0: expected at least 1"),
    ],
)
def test_options_that_do_not_fit_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EncodeOptions(**changes)  # type: ignore[arg-type]

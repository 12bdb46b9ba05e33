"""Images from somebody else: what is taken, what is refused, and what becomes of their shape."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ConfigError, ImageError
from pipeline.image import FORMATS, ImageOptions, decode, fitted


def picture(width: int = 48, height: int = 32, mode: str = "RGB") -> Image.Image:
    """Red left half, blue right half, brighter downwards."""
    pixels = np.zeros((height, width, 3), np.uint8)
    ramp = np.linspace(80, 255, height).astype(np.uint8)[:, None]
    pixels[:, : width // 2, 0] = ramp
    pixels[:, width // 2 :, 2] = ramp
    return Image.fromarray(pixels).convert(mode)


def data_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_of_the_video_s_size_comes_back_as_it_is(kind: str) -> None:
    image = picture()
    options = {"lossless": True} if kind == "WEBP" else {}
    got = fitted(data_of(image, kind, **options), 48, 32, ImageOptions())
    assert got.fitted_by == "exact"
    assert got.pixels_HWC.shape == (32, 48, 3)
    if kind != "JPEG":
        np.testing.assert_array_equal(got.pixels_HWC, np.asarray(image))


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        ((96, 64), "crop", "exact"),
        ((50, 32), "crop", "crop"),
        ((48, 64), "pad", "pad"),
        ((48, 64), "stretch", "stretch"),
    ],
)
def test_shapes_are_fitted_as_asked(size: tuple[int, int], fit: Any, expected: str) -> None:
    got = fitted(data_of(picture(*size)), 48, 32, ImageOptions(fit=fit))
    assert got.fitted_by == expected
    assert got.pixels_HWC.shape == (32, 48, 3)
    left, right = got.pixels_HWC[16, 20], got.pixels_HWC[16, 27]
    assert left[0] > 100 > left[2]
    assert right[2] > 100 > right[0]
    assert bool(got.pixels_HWC[:, :11].any()) == (expected != "pad")


def test_crop_keeps_the_middle() -> None:
    pixels = np.asarray(picture(48, 32)).copy()
    wide = np.pad(pixels, ((0, 0), (2, 2), (0, 0)), constant_values=255)
    got = fitted(data_of(Image.fromarray(wide)), 48, 32, ImageOptions())
    np.testing.assert_array_equal(got.pixels_HWC, pixels)


@pytest.mark.parametrize(
    ("size", "options", "share"),
    [
        ((48, 64), ImageOptions(), "50%"),
        ((50, 32), ImageOptions(fit="error"), "4%"),
        ((50, 32), ImageOptions(max_crop_share=0.0), "4%"),
    ],
)
def test_a_shape_too_far_from_the_video_s_is_refused_with_advice(
    size: tuple[int, int], options: ImageOptions, share: str
) -> None:
    with pytest.raises(ImageError, match=f"would cut away {share} .*width and height") as caught:
        fitted(data_of(picture(*size)), 48, 32, options)
    assert f"{size[0]}x{size[1]}" in str(caught.value)


def test_a_camera_s_orientation_is_followed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned = picture().transpose(Image.Transpose.ROTATE_90)
    got = decode(data_of(turned, exif=exif), 10_000)
    np.testing.assert_array_equal(np.asarray(got), np.asarray(picture()))


def test_what_is_transparent_turns_white() -> None:
    image = picture(mode="RGBA")
    image.putalpha(0)
    assert (np.asarray(decode(data_of(image), 10_000)) == 255).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no whole JPEG, PNG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no whole JPEG, PNG or WebP"),
        (data_of(picture(), "GIF"), "no whole JPEG, PNG or WebP"),
        (data_of(picture(), "TIFF"), "no whole JPEG, PNG or WebP"),
        (data_of(picture())[:-40], "no whole JPEG, PNG or WebP"),
        (data_of(picture(), "JPEG")[:-300], "no whole JPEG, PNG or WebP"),
        (data_of(picture(), "WEBP", save_all=True, append_images=[picture(mode="L")]), "moving"),
        (data_of(Image.new("I;16", (48, 32))), "mode I;16"),
        (data_of(Image.new("CMYK", (48, 32)), "JPEG"), "mode CMYK"),
        (png_that_claims(9000, 9000), "9000x9000 pixels, expected at most"),
        (png_that_claims(10_000, 10_000), "decompression bomb"),
        (png_that_claims(100_000, 100_000), "decompression bomb"),
        (png_that_claims(48, 32), "no whole JPEG, PNG or WebP"),
    ],
)
def test_what_is_no_good_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        fitted(data, 48, 32, ImageOptions())


def test_limits_are_looked_at_before_the_work() -> None:
    data = data_of(picture())
    with pytest.raises(ImageError, match=f"{len(data)} bytes, expected at most image.max_bytes=10"):
        fitted(data, 48, 32, ImageOptions(max_bytes=10))
    with pytest.raises(ImageError, match=r"48x32 pixels, expected at most image.max_pixels=1535"):
        fitted(data, 48, 32, ImageOptions(max_pixels=1535))


def test_the_digest_is_of_the_file() -> None:
    first, again = (fitted(data_of(picture()), 48, 32, ImageOptions()) for _ in range(2))
    other = fitted(data_of(picture(), "JPEG"), 48, 32, ImageOptions())
    assert first.digest == again.digest != other.digest
    assert "pixels" not in repr(first)


@pytest.mark.parametrize(
    "options",
    [
        {"fit": "zoom"},
        {"anchor": "all"},
        {"max_crop_share": 1.0},
        {"max_bytes": 0},
        {"max_pixels": 100_000_000},
    ],
)
def test_options_out_of_range_are_refused_by_key(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"image.{next(iter(options))} = "):
        ImageOptions(**options)

"""An image from somebody else: decoded safely, and brought to a video's size without guessing.

Every limit is looked at before the work that it limits: bytes by whoever reads them, the format and
the number of pixels in the header before anything is decoded.

Not covered: colour profiles are not applied, as in diffusers; what is transparent turns white.

Shape suffixes: H height, W width, C = 3 RGB.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import ConfigError, ImageError
from pipeline.request import RequestedImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.engines.protocol import EngineSpec

FORMATS = ("JPEG", "PNG", "WEBP")
# Eight bits a channel; Pillow would cut deeper greys off at 255.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
# Where Pillow itself begins to call an image a decompression bomb.
MOST_PIXELS = 89_478_485
# What Pillow's decoders are known to raise on damaged or hostile files.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

Fit = Literal["crop", "pad", "stretch", "error"]
FittedBy = Literal["exact", "crop", "pad", "stretch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """Which images are taken, and how they are shown to the model.

    Attributes:
        allowed_prefixes: folders and ``s3://`` prefixes that a manifest may name images under,
            with commas between them; with none, images are refused.
        max_bytes: of a file.
        max_pixels: width times height in the file.
        fit: what is done with an image of another shape than the video: ``crop`` to its middle,
            ``pad`` with black, ``stretch``, or ``error``.
        max_crop_share: how much of an image's area ``crop`` may cut away; more is an error.
        anchor: ``first_frame``: the video begins with the image; ``every_window``: besides, every
            later window is shown it as a frame just before its own; ``auto``: the second for
            models that can't do without an image, the first for the others.
    """

    allowed_prefixes: str = ""
    max_bytes: int = 20 << 20
    max_pixels: int = 50_000_000
    fit: Fit = "crop"
    max_crop_share: float = 0.1
    anchor: Literal["auto", "first_frame", "every_window"] = "auto"

    def __post_init__(self) -> None:
        if self.fit not in {"crop", "pad", "stretch", "error"}:
            raise ConfigError(f"image.fit = {self.fit!r}: expected crop, pad, stretch or error")
        if self.anchor not in {"auto", "first_frame", "every_window"}:
            raise ConfigError(
                f"image.anchor = {self.anchor!r}: expected auto, first_frame or every_window"
            )
        if not 0.0 <= self.max_crop_share < 1.0:
            raise ConfigError(
                f"image.max_crop_share = {self.max_crop_share}: expected 0 <= max_crop_share < 1"
            )
        if self.max_bytes < 1:
            raise ConfigError(f"image.max_bytes = {self.max_bytes}: expected at least 1")
        if not 1 <= self.max_pixels <= MOST_PIXELS:
            raise ConfigError(f"image.max_pixels = {self.max_pixels}: expected 1 to {MOST_PIXELS}")

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The allowed prefixes, one by one."""
        return tuple(filter(None, map(str.strip, self.allowed_prefixes.split(","))))


@dataclass(frozen=True, slots=True)
class FittedImage:
    """An image at a video's size.

    Attributes:
        digest: hash of the file's bytes.
        fitted_by: what was done to its shape.
        pixels_HWC: RGB bytes ``[H, W, 3]``.
    """

    digest: str
    fitted_by: FittedBy
    pixels_HWC: NDArray[np.uint8] = field(repr=False, compare=False)


def fitted(data: bytes, width: int, height: int, options: ImageOptions) -> FittedImage:
    """Decode a file and bring it to ``width`` x ``height`` pixels.

    Raises:
        ImageError: it is too large, damaged, of another format, or of a shape that ``options.fit``
            does not allow.
    """
    if len(data) > options.max_bytes:
        raise ImageError(f"{len(data)} bytes, expected at most image.max_bytes={options.max_bytes}")
    image = decode(data, options.max_pixels)
    placed, fitted_by = _placed(image, width, height, options)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    return FittedImage(digest, fitted_by, np.array(placed))


def requested_image(
    image: FittedImage, options: ImageOptions, engine: EngineSpec
) -> RequestedImage:
    """What a request says of an image; ``anchor: auto`` is what ``engine`` was trained for."""
    anchor = options.anchor
    if anchor == "auto":
        anchor = "every_window" if engine.image == "channels" else "first_frame"
    return RequestedImage(digest=image.digest, fit=image.fitted_by, anchor=anchor)


def decode(data: bytes, max_pixels: int) -> Image.Image:
    """An upright RGB image from a JPEG, PNG or WebP file.

    Raises:
        ImageError: it is none, is damaged, has more pixels, moves, or is deeper than eight bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as header:
                _check_header(header, max_pixels)
                header.verify()
            # ``verify`` leaves nothing to decode from.
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _rgb(ImageOps.exif_transpose(image))
    except DAMAGE as error:
        raise ImageError(f"no whole JPEG, PNG or WebP image: {error}") from error


def _check_header(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(f"{width}x{height} pixels, expected at most image.max_pixels={max_pixels}")
    if getattr(image, "is_animated", False):
        raise ImageError("a moving picture, expected a still one")
    if image.mode not in MODES:
        raise ImageError(f"pixels of mode {image.mode}, expected RGB or grey of 8 bits a channel")


def _rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    front = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front).convert("RGB")


def _placed(
    image: Image.Image, width: int, height: int, options: ImageOptions
) -> tuple[Image.Image, FittedBy]:
    """The image at the video's size; resampled as diffusers' ``VideoProcessor`` does it."""
    if image.width * height == image.height * width:
        return _resized(image, width, height), "exact"
    if options.fit == "stretch":
        return _resized(image, width, height), "stretch"
    if options.fit == "pad":
        scale = min(width / image.width, height / image.height)
        inner = [max(1, round(side * scale)) for side in image.size]
        canvas = Image.new("RGB", (width, height))
        place = ((width - inner[0]) // 2, (height - inner[1]) // 2)
        canvas.paste(_resized(image, *inner), place)
        return canvas, "pad"
    scale = max(width / image.width, height / image.height)
    share = 1.0 - (width / (image.width * scale)) * (height / (image.height * scale))
    if options.fit == "error" or share > options.max_crop_share:
        raise ImageError(
            f"{image.width}x{image.height} pixels for a video of {width}x{height}: image.fit=crop "
            f"would cut away {share:.0%} of it, image.fit={options.fit} with "
            f"image.max_crop_share={options.max_crop_share:g} does not; give the row a width and "
            "height of the image's shape, or choose pad or stretch"
        )
    left = (image.width - width / scale) / 2
    top = (image.height - height / scale) / 2
    box = (left, top, left + width / scale, top + height / scale)
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box), "crop"


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)

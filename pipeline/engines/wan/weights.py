"""Weight files as they lie in a folder: which there are, safetensors headers, their digest.

Nothing here reads tensors into memory or needs torch. The format of safetensors
(https://github.com/huggingface/safetensors, README.md, "Format"): 8 bytes of little-endian header
length N, N bytes of JSON ``{name: {dtype, shape, data_offsets: [begin, end]}}``, then the data that
the offsets count from. A file of ``torch.save`` is a zip archive, one record per tensor; an older
one is no archive and is read as a whole.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.engines.wan.json_file import JsonFile
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SAFETENSORS = ".safetensors"
TORCH_SUFFIXES = (".bin", ".pth", ".pt")
TORCH_STEMS = {"model": "pytorch_model"}
# Beside a transformer's weights: the low-rank changes that are merged into them.
LORAS, LORA_STEM = "loras.json", "lora-"
# The format's own limit; whatever claims more is not a safetensors file.
MAX_HEADER_BYTES = 100_000_000
# Reading 28 GB to name a 14B model costs minutes on every start: in larger files, pieces stand for
# the whole.
MAX_WHOLE_DIGEST_BYTES = 256 * 2**20
DIGEST_PIECE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor in a safetensors file; ``begin`` and ``end`` count bytes from the file's start."""

    path: Path
    name: str
    shape: tuple[int, ...]
    begin: int
    end: int


def weight_files(folder: Path, stem: str) -> list[Path]:
    """The weight files of one component: a single file, or the shards that its index names.

    Safetensors come before what ``torch.save`` wrote.

    Args:
        folder: the component's folder.
        stem: ``diffusion_pytorch_model`` (diffusers) or ``model`` (transformers; its torch files
            are called ``pytorch_model``).

    Raises:
        WeightsError: there are none, or one that the index names is missing.
    """
    for suffix in (SAFETENSORS, *TORCH_SUFFIXES):
        name = stem if suffix == SAFETENSORS else TORCH_STEMS.get(stem, stem)
        single, index = folder / f"{name}{suffix}", folder / f"{name}{suffix}.index.json"
        if single.is_file():
            return [single]
        if index.is_file():
            return _shards(index)
    single = folder / f"{stem}{SAFETENSORS}"
    raise WeightsError(
        f"{single}: no such file, expected weights under this name, {single.name}.index.json, or "
        f"{TORCH_STEMS.get(stem, stem)} with {', '.join(TORCH_SUFFIXES)}"
    )


def read_header(path: Path) -> list[TensorEntry]:
    """What a safetensors file says it holds, checked against its size, in the order of the data.

    Raises:
        WeightsError: it is no safetensors file, or is shorter or longer than its header says.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if not 2 <= header_bytes <= min(MAX_HEADER_BYTES, size_bytes - 8):
            raise WeightsError(
                f"{path}: got a header of {header_bytes} bytes in a file of {size_bytes}, "
                "expected a safetensors file"
            )
        entries = _parse_header(path, file.read(header_bytes))
    expected_bytes = max((entry.end for entry in entries), default=8 + header_bytes)
    if size_bytes != expected_bytes:
        raise WeightsError(
            f"{path}: got {size_bytes} bytes, expected {expected_bytes}: damaged or cut off"
        )
    return entries


def digest_files(root: Path, paths: Sequence[Path]) -> str:
    """BLAKE2b over the names below ``root``, the sizes and the contents of ``paths``.

    Of a file larger than 256 MiB it reads the header and, of every tensor, 64 KiB at its start,
    middle and end: enough to tell any two trainings apart, at a fraction of the reading.
    It is a name for the weights, not a checksum of every byte.

    Returns:
        32 hexadecimal digits.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(paths):
        if not path.is_file():
            raise WeightsError(f"{path}: no such file")
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        for piece in _pieces(path):
            digest.update(piece)
    return digest.hexdigest()


def _parse_header(path: Path, header: bytes) -> list[TensorEntry]:
    start = 8 + len(header)
    try:
        fields: dict[str, Any] = json.loads(header)
        fields.pop("__metadata__", None)
        entries = [
            TensorEntry(
                path=path,
                name=name,
                shape=tuple(field["shape"]),
                begin=start + int(field["data_offsets"][0]),
                end=start + int(field["data_offsets"][1]),
            )
            for name, field in fields.items()
        ]
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise WeightsError(f"{path}: got a header that can't be read ({error})") from error
    return sorted(entries, key=lambda entry: entry.begin)


def _shards(index: Path) -> list[Path]:
    weight_map = JsonFile.read(index).values.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: weight_map: got {weight_map!r}, expected names and files")
    paths = [index.parent / str(name) for name in sorted({str(n) for n in weight_map.values()})]
    for path in paths:
        if path.parent != index.parent or not path.is_file():
            raise WeightsError(f"{path}: no such file, expected the shard that {index.name} names")
    return paths


def _pieces(path: Path) -> Iterator[bytes]:
    runs = _runs(path)
    with path.open("rb") as file:
        if not runs or path.stat().st_size <= MAX_WHOLE_DIGEST_BYTES:
            while piece := file.read(2**20):
                yield piece
            return
        yield file.read(runs[0][0])
        for begin, end in runs:
            last = max(begin, end - DIGEST_PIECE_BYTES)
            for place in sorted({begin, (begin + last) // 2, last}):
                file.seek(place)
                yield file.read(min(DIGEST_PIECE_BYTES, end - place))


def _runs(path: Path) -> list[tuple[int, int]]:
    """Where in a file its tensors lie, from byte to byte, as far as its kind says."""
    if path.suffix == SAFETENSORS:
        return [(entry.begin, entry.end) for entry in read_header(path)]
    if path.suffix in TORCH_SUFFIXES and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            records = sorted(archive.infolist(), key=lambda record: record.header_offset)
            # A record's own header lies before its data, and is read with it. The directory at the
            # end has the checksums of all.
            places = [*(record.header_offset for record in records), archive.start_dir]
            return [*pairwise([*places, path.stat().st_size])]
    return []


def some(names: Sequence[str], limit: int = 8) -> str:
    """The first few of a list, and how many more there are."""
    rest = len(names) - limit
    return str(list(names[:limit])) + (f" and {rest} more" if rest > 0 else "")

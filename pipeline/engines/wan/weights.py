"""Safetensors files as they lie in a folder: their headers, the names in them, their digest.

Nothing here reads tensors into memory. The format (https://github.com/huggingface/safetensors,
README.md, "Format"): 8 bytes of little-endian header length N, N bytes of JSON
``{name: {dtype, shape, data_offsets: [begin, end]}}``, then the data that the offsets count from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.engines.wan.json_file import JsonFile
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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
    """The safetensors files of one component: a single file, or the shards that its index names.

    Args:
        folder: the component's folder.
        stem: ``diffusion_pytorch_model`` (diffusers) or ``model`` (transformers).

    Raises:
        WeightsError: there are none, or one that the index names is missing.
    """
    single = folder / f"{stem}.safetensors"
    if single.is_file():
        return [single]
    index_path = folder / f"{stem}.safetensors.index.json"
    if not index_path.is_file():
        raise WeightsError(
            f"{single}: no such file, expected safetensors weights or {index_path.name}"
        )
    weight_map = JsonFile.read(index_path).values.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(
            f"{index_path}: weight_map: got {weight_map!r}, expected names and files"
        )
    paths = [folder / str(name) for name in sorted({str(name) for name in weight_map.values()})]
    for path in paths:
        if path.parent != folder or not path.is_file():
            raise WeightsError(
                f"{path}: no such file, expected the shard that {index_path.name} names"
            )
    return paths


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


def check_tensors(
    expected: dict[str, tuple[int, ...]],
    entries: Sequence[TensorEntry],
    optional: Sequence[str] = (),
) -> None:
    """Check that ``entries`` are the tensors that a network expects, by name and shape.

    Args:
        expected: the network's own names and shapes.
        entries: what the files hold.
        optional: names that may be missing because the network fills them from others.

    Raises:
        WeightsError: names are missing, not known, or of another shape; the error lists them.
    """
    where = entries[0].path.parent if entries else "no file"
    found = {entry.name: entry.shape for entry in entries}
    missing = sorted(set(expected) - set(found) - set(optional))
    unknown = sorted(set(found) - set(expected))
    if missing or unknown:
        raise WeightsError(f"{where}: missing tensors {_some(missing)}; unknown {_some(unknown)}")
    misshapen = [
        f"{name} (got {list(shape)}, expected {list(expected[name])})"
        for name, shape in sorted(found.items())
        if shape != expected[name]
    ]
    if misshapen:
        raise WeightsError(f"{where}: tensors of another shape: {_some(misshapen)}")


def digest_files(root: Path, paths: Sequence[Path]) -> str:
    """BLAKE2b over the names below ``root``, the sizes and the contents of ``paths``.

    Of a safetensors file larger than 256 MiB it reads the header and, of every tensor, 64 KiB at
    its start, middle and end: enough to tell any two trainings apart, at a fraction of the reading.
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


def _pieces(path: Path) -> Iterator[bytes]:
    whole = path.suffix != ".safetensors" or path.stat().st_size <= MAX_WHOLE_DIGEST_BYTES
    entries = [] if path.suffix != ".safetensors" else read_header(path)
    with path.open("rb") as file:
        if whole:
            while piece := file.read(2**20):
                yield piece
            return
        yield file.read(entries[0].begin)
        for entry in entries:
            last = max(entry.begin, entry.end - DIGEST_PIECE_BYTES)
            for begin in sorted({entry.begin, (entry.begin + last) // 2, last}):
                file.seek(begin)
                yield file.read(min(DIGEST_PIECE_BYTES, entry.end - begin))


def _some(names: Sequence[str], limit: int = 8) -> str:
    rest = len(names) - limit
    return str(list(names[:limit])) + (f" and {rest} more" if rest > 0 else "")

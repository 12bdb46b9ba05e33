"""From the names and shapes in files, of any published layout, to those of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.engines.wan.tensor_files import read_tensors
from pipeline.engines.wan.weights import some
from pipeline.engines.wan.wrappers import unwrapped
from pipeline.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from torch import Tensor

    from pipeline.engines.wan.name_table import NameTable
    from pipeline.engines.wan.tensor_files import StoredTensor

Shape = tuple[int, ...]

# A patch embedding as a linear layer: TurboDiffusion and rCM, weights [D, C * kt * kh * kw].
FLATTENED = "patch_embedding.weight"
# No weights of the network: the tokenizer that some repackaged text encoders carry.
NOT_OF_THE_NETWORK = frozenset({"spiece_model"})


@dataclass(frozen=True, slots=True)
class StateDict:
    """A network's tensors where they lie in files.

    Attributes:
        tensors: by canonical name.
        shapes: what each becomes; the same but for a flattened patch embedding.
    """

    tensors: Mapping[str, StoredTensor]
    shapes: Mapping[str, Shape]

    @classmethod
    def match(
        cls,
        stored: Sequence[StoredTensor],
        expected: Mapping[str, Shape],
        table: NameTable,
        *,
        optional: Collection[str] = (),
    ) -> StateDict:
        """Find a network's tensors in files of its canonical or its published layout.

        Args:
            stored: what the files hold.
            expected: the network's own names and shapes.
            table: published names and canonical ones.
            optional: names that may be missing because the network fills them from others.

        Raises:
            WeightsError: names are missing, not known, twice there or of another shape; the error
                lists them.
        """
        where = stored[0].path.parent if len({s.path for s in stored}) > 1 else _path(stored)
        by_name = _once(stored, where)
        try:
            own = unwrapped(by_name)
        except WeightsError as error:
            raise WeightsError(f"{where}: {error}") from None
        is_published = table.is_published(own)
        found = {
            (table.canonical(name) if is_published else None) or name: by_name[raw]
            for name, raw in own.items()
            if name not in NOT_OF_THE_NETWORK
        }
        _check_names(set(found), expected, optional, where)
        _check_shapes(found, expected, where)
        return cls(found, {name: expected[name] for name in found})

    def read(self) -> Iterator[tuple[str, Tensor]]:
        """Canonical names and memory-mapped tensors, one file open at a time."""
        canonical = {(stored.path, stored.name): name for name, stored in self.tensors.items()}
        for path in dict.fromkeys(stored.path for stored in self.tensors.values()):
            names = [name for of, name in canonical if of == path]
            for stored_name, tensor in read_tensors(path, names):
                name = canonical[path, stored_name]
                yield name, tensor.reshape(self.shapes[name])


def _path(stored: Sequence[StoredTensor]) -> object:
    return stored[0].path if stored else "no file"


def _once(stored: Sequence[StoredTensor], where: object) -> dict[str, StoredTensor]:
    by_name = {tensor.name: tensor for tensor in stored}
    if len(by_name) < len(stored):
        names = [tensor.name for tensor in stored]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise WeightsError(f"{where}: tensors in several files: {some(twice)}")
    return by_name


def _check_names(
    found: set[str], expected: Mapping[str, Shape], optional: Collection[str], where: object
) -> None:
    missing = sorted(set(expected) - found - set(optional))
    unknown = sorted(found - set(expected))
    if missing or unknown:
        raise WeightsError(f"{where}: missing tensors {some(missing)}; unknown {some(unknown)}")


def _check_shapes(
    found: Mapping[str, StoredTensor], expected: Mapping[str, Shape], where: object
) -> None:
    misshapen = [
        f"{name} (got {list(stored.shape)}, expected {list(expected[name])})"
        for name, stored in sorted(found.items())
        if stored.shape not in _accepted(name, expected[name])
    ]
    if misshapen:
        raise WeightsError(f"{where}: tensors of another shape: {some(misshapen)}")


def _accepted(name: str, shape: Shape) -> tuple[Shape, ...]:
    if name != FLATTENED:
        return (shape,)
    columns = 1
    for size in shape[1:]:
        columns *= size
    return shape, (shape[0], columns)

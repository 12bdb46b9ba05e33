"""Which GPUs are free, node by node, and which of them a gang gets.

A gang gets one node where one has room, the fullest such node, so that whole nodes stay whole.
Else it gets as few nodes as can be, and its neighbours sit side by side on them. GPUs with less
memory go first, so that those with more are there for who needs them.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Gpu(NamedTuple):
    """One GPU of the fleet."""

    node: str
    number: int


@dataclass(frozen=True, slots=True)
class Node:
    """A machine: GPUs that are neighbours, of so much memory each."""

    name: str
    num_gpus: int
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no machine.

        Raises:
            ValueError: no GPU, or less than no memory.
        """
        if self.num_gpus < 1:
            raise ValueError(f"node '{self.name}': {self.num_gpus} GPUs, expected 1 or more")
        if self.memory_bytes < 0:
            raise ValueError(f"node '{self.name}': {self.memory_bytes} bytes, expected 0 or more")


@dataclass(slots=True)
class _Shelf:
    """Nodes of GPUs with the same memory, by how many of these are free.

    ``by_room[k]`` holds numbers of nodes that had ``k`` free GPUs when they were put there; what is
    no longer true of a node is dropped when it comes up.
    """

    num_free: int = 0
    num_gpus: int = 0
    by_room: list[list[int]] = field(default_factory=list)


class FreeGpus:
    """The free GPUs of a fleet whose nodes come and go. Equal histories give equal answers."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._free: dict[str, list[Gpu]] = {}
        self._shelves: dict[int, _Shelf] = {}

    def join(self, node: Node) -> None:
        """Add a node, all of it free.

        Raises:
            ValueError: there is one of that name.
        """
        if node.name in self._nodes:
            raise ValueError(f"node '{node.name}' has joined already")
        self._nodes[node.name] = node
        self._numbers[node.name] = len(self._names)
        self._names.append(node.name)
        self._free[node.name] = []
        shelf = self._shelves.setdefault(node.memory_bytes, _Shelf())
        shelf.num_gpus += node.num_gpus
        shelf.by_room += [[] for _ in range(len(shelf.by_room), node.num_gpus + 1)]
        self._shelves = dict(sorted(self._shelves.items()))
        self.give(Gpu(node.name, number) for number in range(node.num_gpus))

    def leave(self, name: str) -> None:
        """Remove a node.

        Raises:
            ValueError: there is none of that name.
        """
        if name not in self._nodes:
            raise ValueError(f"node '{name}' is not there; it can't leave")
        node = self._nodes.pop(name)
        shelf = self._shelves[node.memory_bytes]
        shelf.num_gpus -= node.num_gpus
        shelf.num_free -= len(self._free.pop(name))
        if shelf.num_gpus == 0:
            del self._shelves[node.memory_bytes]

    def num_free(self, need_bytes: int = 0) -> int:
        """Free GPUs with so much memory."""
        return sum(
            shelf.num_free for memory, shelf in self._shelves.items() if memory >= need_bytes
        )

    def num_gpus(self, need_bytes: int = 0) -> int:
        """GPUs with so much memory, free or not."""
        return sum(
            shelf.num_gpus for memory, shelf in self._shelves.items() if memory >= need_bytes
        )

    def memory_bytes(self, gpu: Gpu) -> int:
        """What a GPU has whose node is there."""
        return self._nodes[gpu.node].memory_bytes

    @property
    def most_bytes(self) -> int:
        """Memory of the largest GPU, 0 of an empty fleet."""
        return max(self._shelves, default=0)

    def give(self, gpus: Iterable[Gpu]) -> None:
        """GPUs are free again; of a node that has left they are gone."""
        for gpu in gpus:
            free = self._free.get(gpu.node)
            if free is None:
                continue
            assert gpu not in free, f"{gpu} is free already"
            insort(free, gpu)
            self._put_back(gpu.node, 1)

    def take(self, count: int, need_bytes: int = 0) -> tuple[Gpu, ...] | None:
        """GPUs for a gang, neighbours side by side; ``None`` if there are too few."""
        if self.num_free(need_bytes) < count:
            return None
        shelves = [shelf for memory, shelf in self._shelves.items() if memory >= need_bytes]
        for shelf in shelves:
            node = self._fullest(shelf, count)
            if node is not None:
                return self._taken(node, count)
        taken: list[Gpu] = []
        while len(taken) < count:
            left = count - len(taken)
            node = next(filter(None, (self._fullest(shelf, left) for shelf in shelves)), None)
            node = node or max(
                filter(None, map(self._roomiest, shelves)),
                key=lambda name: len(self._free[name]),
            )
            taken += self._taken(node, min(left, len(self._free[node])))
        return tuple(taken)

    def _fullest(self, shelf: _Shelf, count: int) -> str | None:
        """The node with the least room that has room for so many."""
        rooms = range(count, len(shelf.by_room))
        return next(filter(None, (self._first(shelf, room) for room in rooms)), None)

    def _roomiest(self, shelf: _Shelf) -> str | None:
        rooms = range(len(shelf.by_room) - 1, 0, -1)
        return next(filter(None, (self._first(shelf, room) for room in rooms)), None)

    def _first(self, shelf: _Shelf, room: int) -> str | None:
        """The node that joined first of those with just so much room."""
        numbers = shelf.by_room[room]
        while numbers:
            name = self._names[numbers[0]]
            is_there = self._numbers[name] == numbers[0] and name in self._free
            if is_there and len(self._free[name]) == room:
                return name
            heappop(numbers)
        return None

    def _taken(self, name: str, count: int) -> tuple[Gpu, ...]:
        free = self._free[name]
        taken = tuple(free[:count])
        del free[:count]
        self._put_back(name, -count)
        return taken

    def _put_back(self, name: str, change: int) -> None:
        shelf = self._shelves[self._nodes[name].memory_bytes]
        shelf.num_free += change
        room = len(self._free[name])
        if room:
            heappush(shelf.by_room[room], self._numbers[name])

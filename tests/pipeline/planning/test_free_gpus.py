"""Free GPUs against a plain set of them, and gangs side by side."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.planning.free_gpus import FreeGpus, Gpu, Node

NODES = [Node("a", 4, 24), Node("b", 8, 80), Node("c", 2, 24), Node("d", 8, 24)]


@given(st.lists(st.tuples(st.sampled_from("tgl"), st.integers(0, 12), st.sampled_from([0, 80]))))
@settings(max_examples=150, deadline=None)
def test_free_gpus_are_those_of_a_plain_set(moves: list[tuple[str, int, int]]) -> None:
    free, taken = FreeGpus(), list[tuple[Gpu, ...]]()
    there = {node.name: node for node in NODES}
    left = {Gpu(node.name, n) for node in NODES for n in range(node.num_gpus)}
    for node in NODES:
        free.join(node)
    for move, number, need in moves:
        fit = {gpu for gpu in left if there[gpu.node].memory_bytes >= need}
        assert free.num_free(need) == len(fit)
        if move == "t" and number:
            found = free.take(number, need)
            assert (found is None) == (len(fit) < number)
            if found is not None:
                assert len(set(found)) == number
                assert set(found) <= fit
                left -= set(found)
                taken.append(found)
        elif move == "g" and taken:
            back = taken.pop(number % len(taken))
            free.give(back)
            left |= set(back)
        elif move == "l":
            node = NODES[number % len(NODES)]
            free.leave(node.name)
            left = {gpu for gpu in left if gpu.node != node.name}
            taken = [tuple(gpu for gpu in gang if gpu.node != node.name) for gang in taken]
            free.join(node)
            left |= {Gpu(node.name, n) for n in range(node.num_gpus)}


def fleet(*sizes: int) -> FreeGpus:
    free = FreeGpus()
    for number, size in enumerate(sizes):
        free.join(Node(f"node-{number}", size))
    return free


def nodes_of(gang: tuple[Gpu, ...] | None) -> list[str]:
    assert gang is not None
    return [gpu.node for gpu in gang]


def test_a_gang_is_on_one_node_where_one_has_room_and_whole_nodes_stay_whole() -> None:
    free = fleet(8, 4, 8)
    assert nodes_of(free.take(1)) == ["node-1"]
    assert nodes_of(free.take(1)) == ["node-1"]
    assert nodes_of(free.take(2)) == ["node-1"] * 2
    assert nodes_of(free.take(8)) == ["node-0"] * 8


def test_a_gang_that_no_node_holds_is_on_as_few_as_can_be_side_by_side() -> None:
    assert nodes_of(fleet(4, 8, 2).take(10)) == ["node-1"] * 8 + ["node-2"] * 2
    assert nodes_of(fleet(3, 3, 3).take(4)) == ["node-0"] * 3 + ["node-1"]


def test_gpus_with_less_memory_go_first() -> None:
    free = FreeGpus()
    free.join(Node("large", 8, 80))
    free.join(Node("small", 8, 24))
    assert nodes_of(free.take(2, 20)) == ["small"] * 2
    assert nodes_of(free.take(2, 40)) == ["large"] * 2
    assert free.take(7, 40) is None

"""What is said of windows in one batch."""

from __future__ import annotations

import torch

from benchmarks.batching.__main__ import BATCHES, seconds_of_a_window, table


def test_every_batch_has_its_turn_in_every_round_after_one_to_warm_up() -> None:
    seen = []

    def forward(batch: int) -> torch.Tensor:
        seen.append(batch)
        return torch.zeros(batch, 1)

    found = seconds_of_a_window(forward, 3)
    assert seen == [*BATCHES] * 4
    assert {batch: len(seconds) for batch, seconds in found.items()} == dict.fromkeys(BATCHES, 3)


def test_a_batch_is_compared_within_its_round() -> None:
    # The third round was slow for all alike.
    found = {1: [0.1, 0.1, 1.0], 2: [0.08, 0.09, 0.8], 4: [0.1, 0.1, 1.1]}
    assert table({"m": found}).splitlines()[2:] == [
        "| m | 1 | 100.0 ms | 1.00 |",
        "| m | 2 | 80.0 ms | 0.80 |",
        "| m | 4 | 100.0 ms | 1.00 |",
    ]

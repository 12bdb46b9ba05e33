"""The benchmark of decoding, on as little as shows that it measures."""

from __future__ import annotations

import math

import numpy as np
import torch

from benchmarks.decode.autoencoders import Subject
from benchmarks.decode.gang import Delivery
from benchmarks.decode.tables import time_table, warmup_table
from benchmarks.decode.warmup import Difference, compare, differences, same_bytes_from
from pipeline.engines.gaussian import GaussianDecoder


def test_the_oracle_needs_a_warm_up_of_one() -> None:
    latents = torch.randn(17, 4, 2, 4, generator=torch.Generator().manual_seed(1))
    subject = Subject("oracle", 1, latents, lambda _tiling: GaussianDecoder())
    found = differences(subject, (0, 1, 2), 2)
    assert list(found) == [0, 1]
    assert found[0].largest > 0
    assert math.isinf(found[1].psnr_db)
    assert same_bytes_from(found) == 1
    table = warmup_table({"oracle": found}, {"oracle": 1})
    assert "| 1 | the same bytes |" in table
    assert "no byte differs (holds). Of the widths measured none differs from 1 on" in table


def test_a_difference_is_what_it_is() -> None:
    black, grey = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 0, np.uint8)
    grey[0, 0, 0, 0] = 255
    found = compare(grey, black)
    assert found == Difference(mean_squared=255**2 / 12, largest=255, share=1 / 12)
    assert found.psnr_db == 10 * math.log10(12)


def test_one_lucky_width_does_not_count() -> None:
    same, other = Difference(0.0, 0, 0.0), Difference(1.0, 1, 0.1)
    assert same_bytes_from({1: same, 2: other, 3: same, 4: same}) == 3


def test_times_are_compared_by_their_medians() -> None:
    delivery = Delivery({False: [3.0, 9.0, 3.0], True: [2.0, 2.0, 8.0]}, {b"film"}, 361)
    table = time_table(delivery, 28, 90.0)
    assert "the same file, byte for byte. By pieces is 1.50 times as fast" in table
    delivery.files.add(b"other")
    assert "DIFFERENT files" in time_table(delivery, 28, 90.0)

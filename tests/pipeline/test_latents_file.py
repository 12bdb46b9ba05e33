"""Finished latents as objects."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import ObjectCorruptError
from pipeline.latents_file import SLOTS_PER_FILE, file_name, files_of, from_bytes, to_bytes
from pipeline.spans import Span


def test_what_is_stored_is_read_back() -> None:
    latents = torch.randn(5, 4, 3, 2)
    span = Span(10, 15)
    assert torch.equal(from_bytes(to_bytes(latents, span, "clip"), span), latents)


def test_files_tile_what_is_owned_and_sort_in_its_order() -> None:
    spans = list(files_of(Span(7, 300)))
    assert spans[0].start == 7
    assert spans[-1].stop == 300
    assert all(len(span) == SLOTS_PER_FILE for span in spans[:-1])
    assert [a.stop for a in spans[:-1]] == [b.start for b in spans[1:]]
    assert sorted(map(file_name, spans)) == list(map(file_name, spans))


def test_a_file_of_another_length_is_refused() -> None:
    data = to_bytes(torch.zeros(5, 1, 1, 1), Span(0, 5), "clip")
    with pytest.raises(ObjectCorruptError, match="got 5 slots, expected 6"):
        from_bytes(data, Span(0, 6))

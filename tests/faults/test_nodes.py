"""Nodes that are lost, in clusters of several nodes: the gang goes back to its last whole cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.losing_nodes import SCENARIOS
from tests.faults.nodes import in_own_process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.faults]


# One of each kind is enough for every landing; the others take minutes.
OFTEN = {"with_driver"}


LONGEST = [pytest.param(name, marks=pytest.mark.longest) for name in SCENARIOS if name not in OFTEN]


@pytest.mark.parametrize("scenario", [*sorted(OFTEN), *LONGEST])
def test_a_film_outlives_its_nodes(tmp_path: Path, scenario: str) -> None:
    assert "as promised" in in_own_process("losing_nodes", str(tmp_path / "out"), scenario)

"""Nodes that are lost, in clusters of several nodes: the gang goes back to its last whole cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.losing_nodes import SCENARIOS
from tests.faults.nodes import in_own_process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.faults]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_film_outlives_its_nodes(tmp_path: Path, scenario: str) -> None:
    assert "as promised" in in_own_process("losing_nodes", str(tmp_path / "out"), scenario)

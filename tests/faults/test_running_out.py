"""Too little shared memory, too little memory: traps 8 and 9 of Ray's own machinery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.nodes import in_own_process
from tests.faults.running_out import SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.faults]


LONGEST = [pytest.param("spill", marks=pytest.mark.longest)]


@pytest.mark.parametrize("scenario", [*sorted(SCENARIOS.keys() - {"spill"}), *LONGEST])
def test_a_node_that_runs_out_of_memory_loses_nothing(tmp_path: Path, scenario: str) -> None:
    assert "as promised" in in_own_process("running_out", str(tmp_path / "out"), scenario)

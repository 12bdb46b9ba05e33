"""What every test stands on: one thread, no token of the user's, no network name look-ups."""

from __future__ import annotations

import os
import secrets

import pytest
import torch
from hypothesis import settings

# Ray 2.60 makes a token file under HOME unless it is given one; tests bring their own.
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(16)
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("RAY_ADDRESS", None)

# A busy machine is no counterexample.
settings.register_profile("nightreel", deadline=None)
settings.load_profile("nightreel")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(True)

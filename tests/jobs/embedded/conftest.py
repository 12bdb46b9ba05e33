"""A finished tiny run, shared by the tests of this folder."""

from pathlib import Path

import pytest
import torch

from jobs.embedded import stages
from jobs.embedded.recipe import Recipe, tiny_recipe
from jobs.embedded.training import Budget

STEPS = 6


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return tiny_recipe()


@pytest.fixture(scope="session")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    stages.train_autoencoder(recipe, folder, Budget(steps=STEPS))
    stages.fill_latents(recipe, folder)
    stages.train_transformer(recipe, folder, Budget(steps=STEPS))
    return folder

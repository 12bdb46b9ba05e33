"""What a judge can't look at, what it isn't sure of, and when something changes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import WeightsError
from pipeline.world import GROUNDS, MOTIONS, SHAPES
from pipeline.world.judge import (
    NONE,
    Answer,
    Judge,
    JudgeNetwork,
    JudgeShape,
    Moment,
    changes,
    judge_over_time,
    load_judge,
    save_judge,
    shares,
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """A judge that knows nothing yet."""
    torch.manual_seed(0)
    shape = JudgeShape(
        looks={"ground": GROUNDS, "shape": (*SHAPES, NONE)}, movements={"motion": (*MOTIONS, NONE)}
    )
    return Judge(shape, JudgeNetwork(shape))


def test_over_time_there_is_a_moment_every_quarter_of_a_second(judge: Judge):
    frames = np.zeros((16 * 5, 64, 112, 3), np.uint8)
    moments = judge_over_time(judge, frames, 16.0)
    assert [moment.time_s for moment in moments] == [i / 4 for i in range(20)]
    assert all(set(moment.answers) == {"ground", "shape", "motion"} for moment in moments)


def test_a_saved_judge_answers_as_before(judge: Judge, tmp_path: Path):
    frames = np.random.default_rng(0).integers(0, 256, (49, 64, 112, 3), dtype=np.uint8)
    save_judge(judge, tmp_path)
    before, after = judge.judge(frames, 16.0), load_judge(tmp_path).judge(frames, 16.0)
    for name, answer in before.items():
        assert after[name].odds == pytest.approx(answer.odds, abs=5e-3)


def test_what_is_not_sure_is_none(judge: Judge):
    values = len(judge.shape.attributes["ground"])
    assert judge.answer("ground", np.full(values, 1 / values, dtype=np.float32)).value == NONE


def test_a_short_slip_is_no_change():
    values = ["day"] * 8 + ["dusk"] * 2 + ["day"] * 8 + ["night"] * 8
    moments = [Moment(i / 4, {"daytime": Answer(v, 1.0)}) for i, v in enumerate(values)]
    found = changes(moments)
    assert [(c.time_s, c.before, c.value) for c in found] == [
        (0.0, "", "day"),
        (4.5, "day", "night"),
    ]
    assert changes([]) == []
    assert shares(moments)["daytime"] == {"day": 16 / 26, "night": 8 / 26, "dusk": 2 / 26}
    assert shares([]) == {}


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (np.zeros((49, 64, 112, 3)), 16.0, "frames are float64, expected uint8"),
        (np.zeros((49, 32, 56, 3), np.uint8), 16.0, r"\[49, 32, 56, 3\], expected .* 64, 112"),
        (np.zeros((64, 112, 3), np.uint8), 16.0, r"frames are \[64, 112, 3\]"),
        (np.zeros((49, 64, 112, 3), np.uint8), 2.0, "needs at least 4"),
        (np.zeros((40, 64, 112, 3), np.uint8), 16.0, "expected at least 49"),
    ],
)
def test_what_it_can_not_look_at(judge: Judge, frames: np.ndarray, fps: float, message: str):
    with pytest.raises(ValueError, match=message):
        judge.judge(frames, fps)


def test_a_damaged_judge_is_named(judge: Judge, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"judge\.json is missing"):
        load_judge(tmp_path)
    save_judge(judge, tmp_path)
    path = tmp_path / "judge.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, "channels": 48}))
    with pytest.raises(WeightsError, match=r"model\.safetensors doesn't fit judge\.json"):
        load_judge(tmp_path)
    path.write_text(json.dumps({**described, "depth": 3}))
    with pytest.raises(WeightsError, match="describes no judge"):
        load_judge(tmp_path)

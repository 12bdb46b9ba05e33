"""The stage judge: its footage, what it does to pictures, its training; an evaluation."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from jobs.embedded import stages
from jobs.embedded.cli import app
from jobs.embedded.degrade import blur, coarse_colours, degrade, quantise
from jobs.embedded.evaluation import OTHER_WORDS, PLAIN, Renderer, evaluate, held_out_cases
from jobs.embedded.evaluation_report import write_report
from jobs.embedded.judge import JudgeStage, to_clips
from jobs.embedded.judge_footage import (
    FLAWS,
    LOOKS,
    MOVEMENTS,
    JudgeFootage,
    PoolSize,
    judged_clip,
)
from jobs.embedded.recipe import Recipe
from jobs.embedded.training import Budget, Schedule, Trainer
from jobs.embedded.video_file import read_video
from pipeline.world import render
from pipeline.world.judge import NONE, load_judge

CPU = torch.device("cpu")
FLAT = Schedule(learning_rate=3e-3, ema=0.9)
SIZE = PoolSize(clips=6, frames=5, fps=4, height=16, width=32)


@pytest.fixture(scope="module")
def trained(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a judge of a few steps."""
    folder = tmp_path_factory.mktemp("judge")
    stages.train_judge(recipe, folder, Budget(steps=4))
    return folder


def clip_with(flaw: str):
    clips = (judged_clip(seed, 9, 4, 64, 112) for seed in range(400))
    return next(clip for clip in clips if clip.flaw == flaw)


@pytest.mark.parametrize("flaw", FLAWS)
def test_the_true_answers_of_every_flaw(flaw: str):
    clip = clip_with(flaw)
    shape, colour = ([LOOKS[name][i] for i in clip.looks(name)] for name in ("shape", "colour"))
    hidden = [NONE if not seen else None for seen in clip.visible]
    nothing = flaw in {"missing", "double"}
    shapeless = nothing or flaw in {"shapeless", "melted"}
    assert shape == [NONE if shapeless else h or clip.scene.shape for h in hidden]
    assert colour == [NONE if nothing else h or clip.scene.colour for h in hidden]
    moves = flaw in {"whole", "shapeless", "melted"}
    assert MOVEMENTS["motion"][clip.movement("motion")] == (clip.scene.motion if moves else NONE)
    assert MOVEMENTS["camera"][clip.movement("camera")] == clip.scene.camera
    assert LOOKS["ground"][clip.looks("ground")[0]] == clip.scene.ground


def test_a_clip_without_flaw_is_the_world_itself():
    clip = judged_clip(5, 3, 4, 16, 32, flawless=True)
    start = np.random.default_rng([5, 7]).uniform(0.0, 60.0)
    np.testing.assert_array_equal(clip.frames, render(clip.scene, start + np.arange(3) / 4, 16, 32))


def test_a_pool_is_made_once_and_is_what_was_asked_for(tmp_path: Path):
    first = JudgeFootage(tmp_path, SIZE)
    made = (tmp_path / "judge_footage.npy").stat().st_mtime_ns
    frames, answers = JudgeFootage(tmp_path, SIZE).batch(np.random.default_rng(0), 4)
    assert (tmp_path / "judge_footage.npy").stat().st_mtime_ns == made
    assert frames.shape == (4, 5, 16, 32, 3)
    picked = np.random.default_rng(0).integers(6, size=4)
    clips = [judged_clip(int(seed), 5, 4, 16, 32) for seed in picked]
    np.testing.assert_array_equal(frames, np.stack([clip.frames for clip in clips]))
    np.testing.assert_array_equal(answers["shape"], [clip.looks("shape") for clip in clips])
    np.testing.assert_array_equal(answers["motion"], [clip.movement("motion") for clip in clips])
    assert first.batch(np.random.default_rng(0), 4)[0].shape == frames.shape
    with pytest.raises(ValueError, match="delete it"):
        JudgeFootage(tmp_path, PoolSize(clips=7, frames=5, fps=4, height=16, width=32))


def test_processes_render_the_same_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    JudgeFootage(tmp_path / "one", SIZE)
    monkeypatch.setattr("jobs.embedded.judge_footage.CLIPS_PER_TASK", 32)
    large = PoolSize(clips=33, frames=5, fps=4, height=16, width=32)
    JudgeFootage(tmp_path / "many", large)
    one, many = (np.load(tmp_path / name / "judge_footage.npy") for name in ("one", "many"))
    np.testing.assert_array_equal(one, many[:6])


def test_degrading_is_reproducible_and_mild():
    frames = np.stack([judged_clip(seed, 3, 4, 64, 112).frames for seed in range(6)])
    clips = to_clips(frames)
    once, again = (degrade(clips, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, again)
    assert once.shape == clips.shape
    assert float(once.abs().max()) <= 1.0
    error = (once - clips).square().mean(dim=(1, 2, 3, 4)).sqrt()
    assert float(error.max()) < 0.2
    assert float(error.max()) > 0.02


def test_what_degrades_leaves_plain_surfaces_alone():
    plain = torch.full((2, 3, 16, 32), 0.25)
    torch.testing.assert_close(blur(plain, 1.5), plain)
    torch.testing.assert_close(coarse_colours(plain), plain)
    noisy = torch.randn(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(quantise(noisy, 1e-6), noisy, atol=1e-5, rtol=0.0)
    assert float((quantise(noisy, 0.5) - noisy).abs().mean()) > 0.05


def test_the_judges_loss_goes_down(recipe: Recipe, trained: Path):
    trainer = Trainer(JudgeStage(recipe, trained, CPU), FLAT, trained / "down")
    losses = [float(trainer.advance(0.1)["loss"]) for _ in range(60)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_a_resumed_judge_is_bit_identical(recipe: Recipe, trained: Path, tmp_path: Path):
    def advance(trainer: Trainer, until: int) -> Trainer:
        while trainer.step < until:
            trainer.advance(trainer.step / 6)
        trainer.save()
        return trainer

    def fresh(name: str) -> Trainer:
        return Trainer(JudgeStage(recipe, trained, CPU), FLAT, tmp_path / name)

    whole = advance(fresh("whole"), 6)
    advance(fresh("parts"), 3)
    second = fresh("parts")
    assert second.restore()
    advance(second, 6)
    one, other = (torch.load(t.path, weights_only=True) for t in (whole, second))
    for name, value in one["modules"].items():
        assert torch.equal(value, other["modules"][name]), name
    for value, again in zip(one["average"], other["average"], strict=True):
        assert torch.equal(value, again)


def test_a_judge_is_exported_and_loaded(recipe: Recipe, trained: Path, tmp_path: Path):
    stages.export_judge(recipe, trained, tmp_path / "judge")
    judge = load_judge(tmp_path / "judge")
    assert judge.shape.attributes == {**LOOKS, **MOVEMENTS}
    frames = judged_clip(3, 9, 16, 16, 32).frames
    answers = judge.judge(frames, 16.0)
    assert set(answers) == set(judge.shape.attributes)
    assert all(a.value in (*judge.shape.attributes[n], NONE) for n, a in answers.items())


def test_an_evaluation_writes_tables_and_a_picture(
    recipe: Recipe, run: Path, trained: Path, tmp_path: Path
):
    stages.export_run(recipe, run, tmp_path / "weights")
    stages.export_judge(recipe, trained, tmp_path / "judge")
    renderer, judge = Renderer(tmp_path / "weights", "cpu"), load_judge(tmp_path / "judge")
    outcomes = list(evaluate(renderer, judge, held_out_cases(5)))
    assert [outcome.clip.shape for outcome in outcomes] == [(9, 16, 32, 3)] * 10
    tables = write_report(outcomes, tmp_path / "report", 4)
    assert (tmp_path / "report" / "evaluation.md").read_text() == tables
    for text in ("| plain captions |", "| in other words |", "| weather | ", "| mean | "):
        assert text in tables
    record = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert len(record["captions"]) == 10
    assert record["summary"][PLAIN]["shape"]["total"] == 5
    right = sum(
        o.case.kind == OTHER_WORDS and "ground" in o.case.expected and o.is_right("ground")
        for o in outcomes
    )
    assert record["summary"][OTHER_WORDS]["ground"]["right"] == right
    with Image.open(tmp_path / "report" / "samples.png") as picture:
        assert picture.width == 6 * 32 * 2
        assert picture.height > 4 * 16 * 2


def test_a_video_is_described(recipe: Recipe, trained: Path, tmp_path: Path):
    stages.export_judge(recipe, trained, tmp_path / "judge")
    frames = judged_clip(3, 33, 16, 16, 32).frames
    path = tmp_path / "video.mp4"
    encode_frames(path, frames, 16)
    read, fps = read_video(path)
    assert read.shape == frames.shape
    assert fps == 16.0
    answer = CliRunner().invoke(app, ["describe", str(path), "--judge", str(tmp_path / "judge")])
    assert answer.exit_code == 0, answer.output
    assert answer.output.count("of the time") == 7
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"text\.mp4 holds no video"):
        read_video(tmp_path / "text.mp4")


def encode_frames(path: Path, frames: np.ndarray, fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_prompts_rendered_together_are_those_rendered_alone(
    recipe: Recipe, run: Path, tmp_path: Path
):
    stages.export_run(recipe, run, tmp_path / "weights")
    renderer = Renderer(tmp_path / "weights", "cpu")
    together = renderer.render(["a red ball", "a blue star in the snow"], [1, 2])
    alone = renderer.render(["a blue star in the snow"], [2])[0]
    assert np.abs(together[1].astype(int) - alone.astype(int)).max() <= 1

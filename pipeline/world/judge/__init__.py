"""The judge: says of a clip what a caption says of a scene, so that a model can be held to it."""

from pipeline.world.judge.network import NONE, JudgeNetwork, JudgeShape
from pipeline.world.judge.over_time import Change, Moment, changes, judge_over_time, shares
from pipeline.world.judge.verdict import Answer, Judge, load_judge, save_judge

__all__ = [
    "NONE",
    "Answer",
    "Change",
    "Judge",
    "JudgeNetwork",
    "JudgeShape",
    "Moment",
    "changes",
    "judge_over_time",
    "load_judge",
    "save_judge",
    "shares",
]

"""What an evaluation found: ``evaluation.md``, ``evaluation.json`` and ``samples.png``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jobs.embedded.evaluation import OTHER_WORDS, PLAIN
from jobs.embedded.tally import AttributeTally, mean_share, tally_attribute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobs.embedded.evaluation import Outcome

FRAMES_PER_ROW = 6
SCALE = 2
TEXT_PX = 20
MARGIN_PX = 6
PAPER, INK = (255, 255, 255), (20, 20, 20)
RIGHT_INK, WRONG_INK, UNSAID_INK = (20, 120, 50), (200, 20, 30), (150, 150, 150)


def tally(outcomes: Sequence[Outcome], kind: str) -> list[AttributeTally]:
    """The count of every attribute over the captions of one kind; unsaid ones are left out."""
    mine = [outcome for outcome in outcomes if outcome.case.kind == kind]
    counted = (
        tally_attribute(
            attribute,
            (
                (outcome.case.expected[attribute], outcome.seen[attribute].value)
                for outcome in mine
                if attribute in outcome.case.expected
            ),
        )
        for attribute in (mine[0].seen if mine else ())
    )
    return [one for one in counted if one is not None]


def write_report(outcomes: Sequence[Outcome], folder: Path, pictured: int) -> str:
    """Write all three files into ``folder``; returns the tables as Markdown.

    Args:
        outcomes: everything that was rendered.
        folder: made if it isn't there.
        pictured: how many outcomes, from the first on, go into the picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = "\n".join(_table(kind, tally(outcomes, kind)) for kind in (PLAIN, OTHER_WORDS))
    (folder / "evaluation.md").write_text(tables, encoding="utf-8")
    text = json.dumps(_record(outcomes), indent=1) + "\n"
    (folder / "evaluation.json").write_text(text, encoding="utf-8")
    save_samples(outcomes[:pictured], folder / "samples.png")
    return tables


def _table(kind: str, tallies: Sequence[AttributeTally]) -> str:
    lines = [
        f"| {kind} | right | 95 % interval | hardest value |",
        "|---|---|---|---|",
    ]
    for one in tallies:
        low, high = one.tally.interval
        hard = one.hardest
        taken = f", seen as {hard.mistaken_for}" if hard.mistaken_for else ""
        lines.append(
            f"| {one.attribute} | {one.tally.right}/{one.tally.total} = {one.tally.share:.1%} "
            f"| {low:.1%} to {high:.1%} "
            f"| {hard.value} {hard.tally.right}/{hard.tally.total}{taken} |"
        )
    if tallies:
        lines.append(f"| mean | {mean_share(tallies):.1%} | | |")
    return "\n".join(lines) + "\n"


def _record(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Everything that the tables were made from."""
    summary = {}
    for kind in (PLAIN, OTHER_WORDS):
        tallies = tally(outcomes, kind)
        summary[kind] = {
            one.attribute: {
                "right": one.tally.right,
                "total": one.tally.total,
                "interval": list(one.tally.interval),
                "hardest": one.hardest.value,
                "mistaken_for": one.hardest.mistaken_for,
            }
            for one in tallies
        }
    captions = [
        {
            "kind": outcome.case.kind,
            "prompt": outcome.case.prompt,
            "seed": outcome.case.seed,
            "expected": dict(outcome.case.expected),
            "seen": {
                name: {"value": answer.value, "odds": round(answer.odds, 4)}
                for name, answer in outcome.seen.items()
            },
        }
        for outcome in outcomes
    ]
    return {"summary": summary, "captions": captions}


def save_samples(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write one strip of frames per outcome, under its caption and what the judge says of it."""
    strips = [_strip(outcome) for outcome in outcomes]
    sheet = Image.new("RGB", (strips[0].width, sum(s.height for s in strips)), PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.save(path)


def _strip(outcome: Outcome) -> Image.Image:
    picked = np.linspace(0, len(outcome.clip) - 1, FRAMES_PER_ROW).round().astype(int)
    frames = Image.fromarray(np.concatenate(list(outcome.clip[picked]), axis=1))
    frames = frames.resize((frames.width * SCALE, frames.height * SCALE), Image.Resampling.NEAREST)
    text_px = 2 * (TEXT_PX + MARGIN_PX) + MARGIN_PX
    strip = Image.new("RGB", (frames.width, text_px + frames.height), PAPER)
    strip.paste(frames, (0, text_px))
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(TEXT_PX)
    draw.text((MARGIN_PX, MARGIN_PX // 2), outcome.case.prompt, INK, font)
    left: float = MARGIN_PX
    for text, ink in _remarks(outcome):
        draw.text((left, TEXT_PX + MARGIN_PX), text, ink, font)
        left += draw.textlength(text + "   ", font)
    return strip


def _remarks(outcome: Outcome) -> list[tuple[str, tuple[int, int, int]]]:
    """What the judge saw of every attribute: right, wrong or not asked for."""
    remarks = []
    for attribute, answer in outcome.seen.items():
        if attribute not in outcome.case.expected:
            remarks.append((f"({answer.value})", UNSAID_INK))
        elif outcome.is_right(attribute):
            remarks.append((answer.value, RIGHT_INK))
        else:
            wrong = f"{attribute}: {answer.value}, not {outcome.case.expected[attribute]}"
            remarks.append((wrong, WRONG_INK))
    return remarks

"""``python -m benchmarks.modes [FOLDER]``: what the embedded model's joins look like in each mode.

Renders the same one-minute videos in every boundary mode with the real command, measures them as
``nightreel inspect`` does, and writes table and picture to the README. FOLDER (``out/modes``) keeps
the videos; what is there already is not rendered again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import environment
from benchmarks.hardware import setting
from benchmarks.modes.picture import save_joins
from benchmarks.readme import write_section
from benchmarks.usage import command_line
from jobs.inspection import JoinOptions, effect_rows, inspect_videos, pool
from jobs.inspection_text import interval
from pipeline.quality.measure import as_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.inspection import Inspected

HERE = Path(__file__).parent
README, MANIFEST, PICTURE = HERE / "README.md", HERE / "videos.jsonl", HERE / "joins.png"
FOLDER = Path("out/modes")

# How many of the manifest's videos are made in each mode: eight where small differences count.
NUM_VIDEOS = {"halo": 8, "consensus": 2, "decay": 8, "none": 3}
# The one that the picture shows in every mode.
PICTURED = "desert"
ACTORS = ("gang.actors=2", "gang.threads_per_actor=1")

BAND = (0.95, 1.05)

# Where no window begins: half a window away from the joins, in the same place of the rhythm.
PLACEBO = "halo, half a window away"


def main(words: Sequence[str] | None = None) -> None:
    parser = command_line(__package__, __doc__)
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, default=FOLDER, help="keeps the videos"
    )
    folder = parser.parse_args(words).folder
    measured = {}
    for mode, count in NUM_VIDEOS.items():
        render(mode, count, folder)
        measured[mode] = inspect_videos([str(folder / mode)], JoinOptions())
        print(f"{mode}: {len(measured[mode])} videos measured", flush=True)
    pictured = {mode: _pictured(folder, mode, videos) for mode, videos in measured.items()}
    measured[PLACEBO] = inspect_videos([str(folder / "halo")], _placebo(measured["halo"]))
    save_joins(pictured, PICTURE)
    (folder / "modes.json").write_text(json.dumps(_figures(measured), indent=2) + "\n")
    text = table(measured)
    print(text)
    write_section(README, "table", text)


def render(mode: str, count: int, folder: Path) -> None:
    """Render the first ``count`` videos in ``mode``; quick if they are there.

    Raises:
        RuntimeError: the command failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / f"{mode}.jsonl"
    rows = MANIFEST.read_text(encoding="utf-8").splitlines(keepends=True)[:count]
    manifest.write_text("".join(rows), encoding="utf-8")
    command = [sys.executable, "-m", "jobs.cli", "render", str(manifest)]
    command += ["--output", str(folder / mode), f"boundary.mode={mode}", *ACTORS]
    if code := subprocess.run(command, env=environment(), check=False).returncode:
        raise RuntimeError(f"nightreel render ended with {code}")


def table(measured: dict[str, list[Inspected]]) -> str:
    """A row per mode, a column per measure."""
    names = [label for label, _ in effect_rows(pool(measured["halo"]))]
    lines = [
        setting("python -m benchmarks.modes") + "; videos of one minute.",
        "",
        f"| mode | videos | joins | {' | '.join(names)} |",
        "| --- | ---: | ---: |" + " --- |" * len(names),
    ]
    for mode, videos in measured.items():
        effects = dict(effect_rows(pool(videos)))
        cells = [
            f"{effects[name].ratio:.2f} ({interval(effects[name])})" if name in effects else ""
            for name in names
        ]
        joins = sum(len(video.joins) for video in videos)
        lines.append(f"| `{mode}` | {len(videos)} | {joins} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", _verdict(measured)])


def _placebo(videos: list[Inspected]) -> JoinOptions:
    """What the same measurement says where there is nothing to find: its own noise."""
    joins = videos[0].joins
    rhythm, period = joins.rhythm_frames, joins.period_frames
    assert period is not None
    shift = rhythm * round(period / (2 * rhythm))
    places = tuple(start + shift for start in joins.starts)
    return JoinOptions(joins=places, rhythm_frames=rhythm)


def _verdict(measured: dict[str, list[Inspected]]) -> str:
    rows = effect_rows(pool(measured["halo"]))
    outside = [label for label, effect in rows if not effect.is_within(*BAND)]
    low, high = BAND
    if not outside:
        return f"`halo`: every interval lies within {low} .. {high}."
    seen = [label for label, effect in rows if effect.tells_a_seam]
    return (
        f"`halo`: intervals that are not wholly within {low} .. {high}: {', '.join(outside)}; "
        f"that leave 1 out: {', '.join(seen) or 'none'}."
    )


def _figures(measured: dict[str, list[Inspected]]) -> dict[str, object]:
    return {
        mode: {
            "pooled": as_plain(pool(videos)),
            "videos": {video.name: as_plain(video.quality) for video in videos},
        }
        for mode, videos in measured.items()
    }


def _pictured(folder: Path, mode: str, videos: Sequence[Inspected]) -> tuple[Path, Inspected]:
    video = next(video for video in videos if Path(video.name).parts[0] == PICTURED)
    return folder / mode / "videos" / video.name, video


if __name__ == "__main__":
    main()

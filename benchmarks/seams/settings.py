"""The settings that are compared, by the name that the table gives them."""

from __future__ import annotations

from benchmarks.seams.closed_form import Setting

SETTINGS: dict[str, Setting] = {
    "halo": Setting(),
    "halo, shared_dc 0.3": Setting(shared_dc=0.3),
    "halo, fixed grid": Setting(shift=False),
    "halo, Euler, 40 steps": Setting(solver="euler", num_steps=40),
    "halo, 10 steps": Setting(num_steps=10),
    "consensus": Setting(mode="consensus"),
    "consensus, fixed grid": Setting(mode="consensus", shift=False),
    "decay": Setting(mode="decay"),
    "none": Setting(mode="none"),
}

# The four modes as they are unless told otherwise, for the plot.
MODES = ("halo", "consensus", "decay", "none")

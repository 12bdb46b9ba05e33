"""The panels of the Grafana dashboard, drawn without Grafana: its queries, asked of Prometheus."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.jobs.test_dashboards import panels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.services.test_prometheus import Prometheus

STEP_S = 2
ACROSS = 3
# What Grafana fills in.
_VARIABLES = {"$job_id": ".*", "$__rate_interval": "24s"}
_UNITS = {"s": ("s", 1.0), "percentunit": ("%", 100.0), "Bps": ("kB/s", 1e-3), "short": ("", 1.0)}


def draw(server: Prometheus, start_s: float, end_s: float, path: Path) -> None:
    """All panels over a stretch of time, as the JSON has them, into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = panels()
    rows = -(-len(shown) // ACROSS)
    style = {"font.size": 7, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure, axes = plt.subplots(rows, ACROSS, figsize=(13, 1.9 * rows), layout="constrained")
        for axis in axes.flat[len(shown) :]:
            axis.axis("off")
        for axis, panel in zip(axes.flat, shown, strict=False):
            lines = _answers(server, panel, start_s, end_s)
            _panel(axis, panel, lines, end_s - start_s)
        figure.savefig(path, dpi=100)
        plt.close(figure)


def filled_in(query: str) -> str:
    """A query of the dashboard with Grafana's variables filled in."""
    for name, value in _VARIABLES.items():
        query = query.replace(name, value)
    return query


def _answers(
    server: Prometheus, panel: Mapping[str, Any], start_s: float, end_s: float
) -> dict[str, dict[float, float]]:
    """For each line's label its values by seconds since the start."""
    found = {}
    for target in panel["targets"]:
        times = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": str(STEP_S)}
        answer = server.get("query_range", query=filled_in(target["expr"]), **times)
        for line in answer["result"]:
            metric = line["metric"]
            label = re.sub(r"\{\{(\w+)\}\}", lambda m: metric.get(m[1], ""), target["legendFormat"])  # noqa: B023
            found[label] = {float(at) - start_s: float(value) for at, value in line["values"]}
    return found


def _panel(
    axis: Any, panel: Mapping[str, Any], lines: Mapping[str, Mapping[float, float]], length_s: float
) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    unit, scale = _UNITS[defaults["unit"]]
    if defaults["custom"]["stacking"]["mode"] == "normal" and lines:
        times = sorted({at for line in lines.values() for at in line})
        heights = [[scale * line.get(at, 0.0) for at in times] for line in lines.values()]
        axis.stackplot(times, heights, labels=list(lines), alpha=0.7)
    else:
        for label, line in lines.items():
            axis.plot(list(line), [scale * v for v in line.values()], label=label, linewidth=1)
    axis.set_title(panel["title"], loc="left", fontweight="bold")
    axis.set_ylabel(unit)
    axis.set_xlim(0, length_s)
    axis.set_ylim(min(0.0, axis.get_ylim()[0]), max(1e-3, 1.3 * axis.get_ylim()[1]))
    axis.grid(alpha=0.3)
    if lines:
        axis.legend(frameon=False, fontsize=6, ncols=4, loc="upper left", borderaxespad=0.0)

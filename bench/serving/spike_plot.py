"""The plot of the spiky traffic: requests, replicas and latency over time, one colour an allocation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serving.open_loop import Floats, Outcome

# Colours that people who see few colours tell apart (Okabe and Ito), with a line style of its own for each.
STYLES = (("#D55E00", ":"), ("#0072B2", "--"), ("#009E73", "-"))
BINS = 60

Line = tuple[str, Outcome, list[tuple[float, int]]]


def draw(lines: Sequence[Line], path: Path) -> None:
    """Write the plot as SVG. ``lines`` are (name, outcome, (second, replicas) looks)."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams |= {"svg.hashsalt": "argosy", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullLocator

    figure, (load, replicas, latency) = pyplot.subplots(
        3, 1, figsize=(8, 7), sharex=True, layout="constrained"
    )
    _draw_load(load, lines[0][1])
    for (name, outcome, looks), (colour, style) in zip(lines, STYLES, strict=True):
        times, counts = zip(*looks, strict=True)
        replicas.step(times, counts, where="post", color=colour, linestyle=style)
        middles, p99 = p99_over_time(outcome)
        latency.plot(middles, p99, color=colour, linestyle=style, label=name)
    most = max(count for _, _, looks in lines for _, count in looks)
    replicas.set(ylabel="replicas", ylim=(0, most + 0.5), yticks=range(most + 1))
    latency.set(ylabel="p99 latency, ms", xlabel="seconds", yscale="log")
    latency.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    latency.yaxis.set_major_formatter("{x:g}")
    latency.yaxis.set_minor_locator(NullLocator())
    handles, labels = latency.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(lines), frameon=False)
    for axis in (load, replicas, latency):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _draw_load(axis: Any, outcome: Outcome) -> None:
    seconds, rates = zip(*outcome.stages, strict=True)
    edges = np.concatenate([[0.0], np.cumsum(seconds)])
    axis.stairs(rates, edges, fill=True, color="#BBBBBB")
    axis.set(ylabel="requests/s", ylim=(0, None), title="Spiky traffic: autoscaled beside static allocation")


def p99_over_time(outcome: Outcome) -> tuple[Floats, Floats]:
    """(middle of each bin in seconds, p99 of its accepted requests in milliseconds), empty bins left out."""
    end = sum(seconds for seconds, _ in outcome.stages)
    edges = np.linspace(0, end, BINS + 1)
    due, latency = outcome.due[outcome.accepted], outcome.latency[outcome.accepted]
    at = np.digitize(due, edges) - 1
    filled = [number for number in range(BINS) if np.any(at == number)]
    middles = np.asarray([(edges[number] + edges[number + 1]) / 2 for number in filled])
    return middles, np.asarray([np.percentile(latency[at == number], 99) * 1000 for number in filled])

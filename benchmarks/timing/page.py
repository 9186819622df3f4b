"""Measured figures as plots, and as tables between the marks of a page of documentation."""

import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dml_instance.report import table

from .growth import exponents, total_ms

# What the tables show, in this order; the JSON files hold more.
_COLUMNS = {
    "evaluator": ("image_size", "images", "predictions", "seconds", "peak_mib_added", "AP50"),
    "inference": (
        "objects",
        "batch",
        "run",
        "instances",
        "ms_an_image",
        "ms_low",
        "ms",
        "ms_high",
        "mib",
    ),
    "grouping": (
        "objects",
        "run",
        "threads",
        "images_per_second",
        "images",
        "ms_low",
        "ms",
        "ms_high",
        "instances",
    ),
    "peers": (
        "method",
        "ms_low",
        "ms",
        "ms_high",
        "times_ours",
        "times_ours_in_all",
        "AP",
        "AP50",
        "instances",
        "images",
    ),
    "training": (
        "run",
        "part",
        "ms_low",
        "ms",
        "ms_high",
        "share",
        "images_per_second",
        "batch",
        "mib",
    ),
    "growth": ("of", "value", "network_ms", "grouping_ms", "instances", "mib"),
    "writing": ("objects", "run", "form", "instances", "seconds", "mib", "megabytes"),
    "roofline": (
        "part",
        "mflop",
        "mib",
        "limit_us",
        "bound",
        "ms_low",
        "ms",
        "ms_high",
        "times_limit",
    ),
}


def rows_table(part: str, rows: Sequence[dict]) -> str:
    """The rows of one part of benchmarks.speed as a Markdown table."""
    columns = [name for name in _COLUMNS[part] if any(row.get(name) is not None for row in rows)]
    return table([[row.get(name) for name in columns] for row in rows], columns)


def section(part: str, results: dict) -> str:
    """Table, exponents where something grows, and what was measured how.

    Args:
        part: of benchmarks.speed.
        results: its JSON: ``command``, ``machine`` and the rows under the name of the part.
    """
    lines = [rows_table(part, results[part])]
    if part == "growth":
        fitted = [list(row.values()) for row in exponents(results[part])]
        lines += ["", table(fitted, ["in", "of", "exponent", "between the two largest"], digits=2)]
    machine = results["machine"]
    where = f"{machine['threads']} threads on {machine['cores']} cores ({machine['processor']}), "
    lines += ["", f"`{results['command']}`, {where}torch {machine['torch']}, {machine['date']}."]
    return "\n".join(lines)


def with_section(page: str, name: str, text: str) -> str:
    """A page whose part between the marks ``<!-- name -->`` and ``<!-- /name -->`` is replaced.

    Raises:
        ValueError: for a page without the marks.
    """
    pattern = re.compile(
        rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL
    )
    if not pattern.search(page):
        raise ValueError(f"the page has no marks <!-- {name} --> and <!-- /{name} -->")
    return pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def plot_growth(rows: Sequence[dict], path: str) -> None:
    """Time over all that was varied, and memory over the side, on logarithmic axes, as PNG."""
    figure = Figure(figsize=(11, 6.4))
    panels = figure.subplots(2, 3)
    titles = {
        "side": "side of the image, pixels",
        "objects": "objects in the image",
        "seeds": "seeds at most",
        "embedding size": "embedding channels",
        "thresholds": "thresholds",
    }
    for axes, (of, title) in zip(panels.flat, titles.items(), strict=False):
        group = [row for row in rows if row["of"] == of]
        for figure_of, label in ((total_ms, "all"), (_grouping_ms, "grouping")):
            _plot(axes, group, figure_of, label)
        axes.set(xlabel=title, ylabel="ms")
    _plot(
        panels[1, 2],
        [row for row in rows if row["of"] == "side"],
        lambda row: row.get("mib"),
        "memory added",
    )
    panels[1, 2].set(xlabel=titles["side"], ylabel="MiB")
    for axes in panels.flat:
        _make_logarithmic(axes)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _make_logarithmic(axes: Axes) -> None:
    """Both axes, with plain numbers: measured values along x; at least a factor of 4 along y."""
    values = sorted({float(x) for line in axes.lines for x in line.get_xdata()})
    heights = [float(y) for line in axes.lines for y in line.get_ydata()]
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    if heights:
        axes.set_ylim(min(heights) / 2, max(heights) * 2)


def _grouping_ms(row: dict) -> float:
    return row["grouping_ms"]


def _plot(axes: Axes, rows: Sequence[dict], figure_of, label: str) -> None:
    points = [(row["value"], figure_of(row)) for row in rows if figure_of(row) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), marker="o", label=label)


def plot_training(rows: Sequence[dict], path: str) -> None:
    """Where the time of a training iteration goes, for every run, per image, as PNG."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    figure = Figure(figsize=(8, 1.2 + 0.6 * len(runs)))
    axes = figure.subplots()
    left = dict.fromkeys(runs, 0.0)
    batch = {row["run"]: row["batch"] for row in rows if row.get("batch")}
    shown = [row for row in rows if row.get("share") is not None and not row.get("batch")]
    for index, part in enumerate(dict.fromkeys(row["part"] for row in shown)):
        widths = {row["run"]: row["ms"] / batch[row["run"]] for row in shown if row["part"] == part}
        axes.barh(
            list(widths),
            list(widths.values()),
            left=[left[r] for r in widths],
            label=part,
            color=f"C{index}",
        )
        left |= {run: left[run] + width for run, width in widths.items()}
    axes.set(xlabel="ms an image, medians")
    axes.invert_yaxis()
    axes.legend(ncols=4, fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


PLOTS = {"growth": plot_growth, "training": plot_training}

"""Charts of a training, as SVG."""

import io
import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ..progress import LOSS_WORDS, TOTAL_LOSS
from .history import series

# A scalar, or two in one chart, and what is written over it. What was never logged has no chart.
_CHARTS = (
    ((TOTAL_LOSS,), "loss"),
    *(((name,), f"loss: {words}") for name, words in LOSS_WORDS.items()),
    (("lr",), "learning rate"),
    (("dml/distance_within", "dml/distance_apart"), "squared distance of pairs"),
    (("dml/target_iou", "dml/predicted_iou"), "IoU of grown masks"),
    (("dml/seed_lambda",), "weight of the seed loss"),
    (("segm/AP",), "AP of masks"),
)
_LABELS = {
    "dml/distance_within": "in one object",
    "dml/distance_apart": "to anything else",
    "dml/target_iou": "true",
    "dml/predicted_iou": "predicted",
}
# At this squared distance the similarity is one half: what is nearer belongs together.
_HALF = math.log(3)

_COLUMNS, _COLOURS = 4, ("#2458a8", "#c4532d")


def training_chart(rows: Sequence[dict]) -> str | None:
    """Losses, learning rate and statistics over iterations; None where nothing has two points.

    Args:
        rows: of ``read_history``.
    """
    charts = [chart for chart in _CHARTS if any(len(series(rows, n)[0]) > 1 for n in chart[0])]
    if not charts:
        return None
    end = max(series(rows, TOTAL_LOSS)[0])
    lines = -(-len(charts) // _COLUMNS)
    figure = Figure(figsize=(12, 2.3 * lines), layout="constrained")
    axes = figure.subplots(lines, _COLUMNS, squeeze=False).flatten()
    for ax, (names, title) in zip(axes, charts, strict=False):
        for name, colour in zip(names, _COLOURS, strict=False):
            done, values = series(rows, name)
            # What is scored after the last iteration is logged with the number of one more.
            done = [min(number, end) for number in done]
            few = {"marker": "o", "markersize": 3} if len(done) < 12 else {}
            ax.plot(done, values, color=colour, linewidth=1.3, label=_LABELS.get(name), **few)
        if len(names) > 1:
            ax.legend(fontsize=7, frameon=False)
        if "dml/distance_apart" in names:
            ax.axhline(_HALF, color="#888888", linewidth=0.8, linestyle=":")
            ax.set_yscale("log")
            # Numbers, and not powers.
            ax.yaxis.set_major_formatter(LogFormatter())
            ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
        _plain(ax, title)
    for ax in axes[len(charts) :]:
        ax.set_axis_off()
    return _svg(figure)


def f1_chart(curve: dict[float, float], min_score: float) -> str:
    """F1 over least scores, and the one that is used.

    Args:
        curve: F1 in [0, 1] by least score.
        min_score: the one.
    """
    figure = Figure(figsize=(5, 2.6), layout="constrained")
    ax = figure.subplots()
    ax.plot(
        list(curve),
        [100 * value for value in curve.values()],
        color=_COLOURS[0],
        marker="o",
        markersize=3,
    )
    ax.axvline(min_score, color=_COLOURS[1], linewidth=1, linestyle="--")
    ax.set_xlabel("least score of an object", fontsize=8)
    _plain(ax, "F1 at IoU 0.5, in percent")
    return _svg(figure)


def _plain(ax: Axes, title: str) -> None:
    ax.set_title(title, fontsize=9, loc="left")
    ax.tick_params(which="both", labelsize=7)
    ax.grid(color="#e4e4e4", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    # Without a date: the same figures give the same file.
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()

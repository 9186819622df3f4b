"""Figures for people: tables, and times in words."""

from collections.abc import Sequence

from tabulate import tabulate


def counted(count: int, noun: str) -> str:
    """A number with what it counts: "1 image", "2 images"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def with_more(line: str, images: int) -> str:
    """A line on an image, and how many more it holds for."""
    return f"{line} ({counted(images, 'image')} more like it)" if images else line


def table(
    rows: list[list], header: list[str], digits: int | Sequence[int] = 1, form: str = "github"
) -> str:
    """Rows as a Markdown table: so many decimals, and "-" for what was not measured (None or NaN).

    Args:
        rows, header: of the table.
        digits: of all columns, or of each.
        form: of tabulate: "github", or "html", escaped.
    """
    digits = [digits] * len(header) if isinstance(digits, int) else digits
    return tabulate(
        [[None if value != value else value for value in row] for row in rows],
        headers=header,
        floatfmt=[f".{number}f" for number in digits],
        missingval="-",
        tablefmt=form,
    )


def class_table(
    result: dict[str, float], metrics: Sequence[str] | None = None, whole: str = "mean"
) -> str:
    """Figures of each class, and a last row of them all.

    Args:
        result: ``METRIC`` of all classes and ``METRIC-CLASS`` of each; NaN shows as "-".
        metrics: the columns; None: all that ``result`` has.
        whole: what the last row is called.
    """
    metrics = metrics or [name for name in result if "-" not in name]
    # A class may have a dash in its name; a metric has none.
    classes = dict.fromkeys(name.split("-", 1)[1] for name in result if "-" in name)
    rows = [[name, *(result[f"{metric}-{name}"] for metric in metrics)] for name in classes]
    rows.append([whole, *(result[metric] for metric in metrics)])
    return table(rows, ["class", *metrics])


def duration(seconds: float) -> str:
    """A time as exact as one wants to know it: "40 s", "9 min", "2 h 10 min", "3 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"

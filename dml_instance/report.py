"""Result files as tables for people."""

from tabulate import tabulate

_METRICS = ("AP", "AP50", "AP75")


def table(rows: list[list], header: list[str]) -> str:
    """Rows as a Markdown table: one decimal, and "-" for what was not measured."""
    return tabulate(rows, headers=header, floatfmt=".1f", missingval="-", tablefmt="github")


def results_table(results: dict) -> str:
    """The figures of one ``results.json`` as a text table, a row a data set and task.

    Args:
        results: ``metrics`` {data set: {task: {metric: value}}}, ``ms_per_image`` and ``training``, as
            ``Trainer.test`` writes them. A metric that was not measured (null) shows as "-".
    """
    minutes = (results.get("training") or {}).get("minutes")
    rows = []
    for dataset, tasks in results.get("metrics", {}).items():
        for task, metrics in tasks.items():
            rows.append(
                [dataset, {"segm": "masks", "bbox": "boxes"}.get(task, task)]
                + [metrics.get(name) for name in _METRICS]
                + [minutes, results.get("ms_per_image")]
            )
    # Masks are what this project is for; boxes follow.
    rows.sort(key=lambda row: (row[0], row[1] != "masks"))
    return table(rows, ["data set", "of", *_METRICS, "training min", "ms/image"])

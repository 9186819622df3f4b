"""Result files as tables for people."""

from tabulate import tabulate

# COCO's metrics, and between them those of mAP^r; a table shows the columns that some row has.
_METRICS = ("AP", "AP50", "AP60", "AP70", "AP75", "AP80", "AP90", "APvol")
_TASKS = {"segm": "masks", "segm_voc": "masks, mAP^r", "bbox": "boxes"}


def table(rows: list[list], header: list[str], digits: int = 1) -> str:
    """Rows as a Markdown table: so many decimals, and "-" for what was not measured."""
    return tabulate(rows, headers=header, floatfmt=f".{digits}f", missingval="-", tablefmt="github")


def results_table(results: dict) -> str:
    """The figures of one ``results.json`` as a text table, a row a data set and task.

    Args:
        results: ``metrics`` {data set: {task: {metric: value}}}, ``ms_per_image`` and ``training``,
            as ``Trainer.test`` writes them. A metric that was not measured (null) shows as "-".
    """
    minutes = (results.get("training") or {}).get("minutes")
    measured = [
        (dataset, task, metrics)
        for dataset, tasks in results.get("metrics", {}).items()
        for task, metrics in tasks.items()
    ]
    # Masks are what this project is for; boxes follow.
    measured.sort(key=lambda row: (row[0], row[1] == "bbox"))
    shown = [name for name in _METRICS if any(name in metrics for *_, metrics in measured)]
    rows = [
        [
            dataset,
            _TASKS.get(task, task),
            *map(metrics.get, shown),
            minutes,
            results.get("ms_per_image"),
        ]
        for dataset, task, metrics in measured
    ]
    return table(rows, ["data set", "of", *shown, "training min", "ms/image"])

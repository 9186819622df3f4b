"""What a run leaves behind: names of files, the figures in them, and the machine they are of."""

import os
import platform
from datetime import datetime, timezone

import torch

from ..files import read_json, write_json
from ..report import table

# In OUTPUT_DIR: scalars of a training, as lines of JSON, what it took, and what evaluation found.
METRICS_FILE = "metrics.json"
TRAINING_FILE = "training.json"
RESULTS_FILE = "results.json"

# COCO's metrics, and between them those of mAP^r; a table shows the columns that some row has.
_METRICS = ("AP", "AP50", "AP60", "AP70", "AP75", "AP80", "AP90", "APvol")
_TASKS = {
    "segm": "masks",
    "segm_voc": "masks, mAP^r",
    "segm_boundary": "masks, boundaries",
    "bbox": "boxes",
}
# Metrics of the predictions of a least score; a table of its own shows these.
_INSTANCE_TASK = "segm_instances"
_INSTANCE_METRICS = (
    *("AP_dsb", "AP_dsb@50", "F1", "F1@50", "precision@50", "recall@50"),
    *("PQ", "SQ", "RQ", "SBD", "absDiC", "BF"),
)


def machine() -> dict[str, str | int | None]:
    """What figures are measured on: date (UTC), torch, threads, cores, processor and GPU."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        # With the instructions that torch uses: the same two cores train twice as fast with AVX512
        # as with AVX2.
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def predictions_folder(output_dir: str, dataset_name: str) -> str:
    """Where the predictions of a run on a data set are saved."""
    return os.path.join(output_dir, "inference", dataset_name)


def predictions_file(output_dir: str, dataset_name: str) -> str:
    """Where Detectron2's COCOEvaluator puts the predictions of a run."""
    folder = predictions_folder(output_dir, dataset_name)
    return os.path.join(folder, "coco_instances_results.json")


def write_results(folder: str, metrics: dict[str, dict], ms_per_image: float) -> None:
    """Write ``results.json`` into a folder, with what ``training.json`` beside it says.

    Args:
        folder: OUTPUT_DIR of the run.
        metrics: {data set: {task: {metric: value}}}, as ``DefaultTrainer.test`` returns for
            several data sets.
        ms_per_image: mean time of inference.
    """
    write_json(
        os.path.join(folder, RESULTS_FILE),
        {
            "metrics": metrics,
            "ms_per_image": round(ms_per_image, 1),
            "training": read_json(os.path.join(folder, TRAINING_FILE)) or None,
            "machine": machine(),
        },
    )


def results_table(results: dict, form: str = "github") -> str:
    """The figures of one ``results.json`` as a text table, a row a data set and task.

    The metrics that want a least score follow in a second table, where they were measured.

    Args:
        results: ``metrics`` {data set: {task: {metric: value}}}, ``ms_per_image`` and ``training``,
            as ``Trainer.test`` writes them. A metric that was not measured (null) shows as "-".
        form: of the tables, see ``table``.
    """
    minutes = (results.get("training") or {}).get("minutes")
    measured = [
        (dataset, task, metrics)
        for dataset, tasks in results.get("metrics", {}).items()
        for task, metrics in tasks.items()
        if task != _INSTANCE_TASK
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
    tables = [table(rows, ["data set", "of", *shown, "training min", "ms/image"], form=form)]
    of_instances = {
        dataset: tasks[_INSTANCE_TASK]
        for dataset, tasks in results.get("metrics", {}).items()
        if _INSTANCE_TASK in tasks
    }
    if of_instances:
        tables.append(instance_table(of_instances, "data set", form))
    return "\n\n".join(tables)


def instance_table(
    figures: dict[str, dict[str, float | None]], what: str, form: str = "github"
) -> str:
    """The metrics that want a least score, as ``score_instances`` gives them, a row an entry.

    Args:
        figures: by the name of the row.
        what: the names are of.
        form: of the table, see ``table``.
    """
    shown = ("min_score", *_INSTANCE_METRICS)
    rows = [[name, *(metrics[metric] for metric in shown)] for name, metrics in figures.items()]
    digits = [1, 2, *[1] * (len(shown) - 1)]
    return table(rows, [what, "least score", *_INSTANCE_METRICS], digits, form)

"""What a comparison found, as one dictionary, as Markdown and as plots."""

import os

from detectron2.data import DatasetCatalog, MetadataCatalog
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pycocotools.coco import COCO

from ..engine import RESULTS_FILE, instance_table
from ..evaluation import (
    OBJECT_KINDS,
    PREDICTION_KINDS,
    InstanceMetricRules,
    best_min_score,
    candidates,
    gather_masks,
    score_instances,
)
from ..files import read_json, write_json, write_text
from ..keys.classes import with_class_indices
from ..report import table
from .errors import count_errors
from .neighbours import by_neighbours, part_ap
from .scores import (
    attribute_groups,
    box_overlaps,
    group_ap,
    mask_scores,
    object_counts,
    objects_of_classes,
    quantile_groups,
)

# AP of a class with fewer objects is chance.
FEW_OBJECTS = 10
# Images are put in so many groups by a property.
GROUPS = 4

_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")


def summarize(
    ground_truth: COCO,
    dataset: str,
    folders: dict[str, str],
    predictions: dict[str, COCO],
    max_detections: int,
    instance_rules: dict[str, InstanceMetricRules] | None = None,
) -> dict:
    """Everything that is known of each run, from its predictions and the files in its folder.

    Args:
        ground_truth: of the data set.
        dataset: its registered name.
        folders: OUTPUT_DIR of each run by the run's name.
        predictions: of each run by its name.
        max_detections: counted an image.
        instance_rules: of each run by its name, for the metrics of ``score_instances``, which go
            to ``instance_metrics``; None: these are not wanted.

    Returns:
        {"groups": {property: {group: number of images}}, "neighbours": {part: number of objects},
        "classes": {name: number of objects}, "runs": {name: {...}}}, ready for JSON.
    """
    groups = {
        "scene": attribute_groups(ground_truth, "scene"),
        "objects in the image": quantile_groups(object_counts(ground_truth), GROUPS, "{:.0f}"),
        "overlap of boxes": quantile_groups(box_overlaps(ground_truth), GROUPS, "{:.3f}"),
    }
    groups = {kind: members for kind, members in groups.items() if len(members) > 1}
    neighbours = by_neighbours(ground_truth)
    runs = {}
    records, class_names = DatasetCatalog.get(dataset), MetadataCatalog.get(dataset).thing_classes
    for name, folder in folders.items():
        results = read_json(os.path.join(folder, RESULTS_FILE))
        found = predictions[name]
        of_classes = with_class_indices(found.anns.values(), dataset)
        images = gather_masks(records, of_classes, len(class_names)).values()
        min_score = best_min_score(c for i in images for c in candidates(i.with_objects()))
        runs[name] = {
            "metrics": mask_scores(ground_truth, found, max_detections),
            "training": results.get("training") or {},
            "ms_per_image": results.get("ms_per_image"),
            "peak_memory_mib": results.get("peak_memory_mib"),
            "peak_gpu_memory_mib": results.get("peak_gpu_memory_mib"),
            "curve": _curve(folder, dataset, results),
            "min_score": min_score,
            "errors": count_errors(ground_truth, found, min_score),
            "groups": {
                kind: {
                    group: group_ap(ground_truth, found, max_detections, ids)
                    for group, ids in g.items()
                }
                for kind, g in groups.items()
            },
            "neighbours": {
                part: part_ap(ground_truth, found, max_detections, ids)
                for part, ids in neighbours.items()
            },
            "voc": results.get("metrics", {}).get(dataset, {}).get("segm_voc"),
        }
        if instance_rules is not None:
            runs[name]["instance_metrics"] = score_instances(
                records, of_classes, class_names, instance_rules[name], max_detections
            )
    return {
        "groups": {
            kind: {group: len(ids) for group, ids in members.items()}
            for kind, members in groups.items()
        },
        "neighbours": {part: len(ids) for part, ids in neighbours.items()},
        "classes": objects_of_classes(ground_truth),
        "runs": runs,
    }


def _curve(folder: str, dataset: str, final: dict) -> list[dict[str, float]]:
    """AP and AP50 at the minutes at which the run was scored, the last one included."""
    marks = [
        read_json(os.path.join(entry.path, RESULTS_FILE))
        for entry in os.scandir(folder)
        if entry.is_dir()
    ]
    points = []
    for results in (*marks, final):
        metrics = results.get("metrics", {}).get(dataset, {}).get("segm")
        if metrics:
            minutes = (results.get("training") or {}).get("minutes", 0.0)
            points.append({"minutes": minutes, "AP": metrics["AP"], "AP50": metrics["AP50"]})
    return sorted(points, key=lambda point: point["minutes"])


def markdown(summary: dict) -> str:
    """The report for people.

    Args:
        summary: that of ``summarize`` with ``title``, ``command``, ``minutes``, ``dataset``,
            ``max_detections`` and ``machine`` added.
    """
    runs = summary["runs"]
    machine = summary["machine"]
    parts = [
        f"# {summary['title']}",
        f"{summary['minutes']:g} minutes of training for each run, in turns on one machine "
        f"({machine['cores']} cores, {machine['processor']}, torch {machine['torch']}, "
        f"{machine['threads']} threads, {machine['date']}). Mask AP on `{summary['dataset']}`, at "
        f"most {summary['max_detections']} detections an image. The command:",
        "    " + summary["command"],
        "## Result",
        table(
            [[name, *_row(run)] for name, run in runs.items()],
            [
                "run",
                *_METRICS,
                "minutes",
                "iterations",
                "images/s",
                "ms/image",
                "peak MiB",
                "M parameters",
            ],
        ),
        "Peak MiB is the process's, from training to evaluation; ms/image is inference alone, "
        "everything included.",
        "## AP over minutes",
        table(
            [
                [name, point["minutes"], point["AP"], point["AP50"]]
                for name, run in runs.items()
                for point in run["curve"]
            ],
            ["run", "minutes", "AP", "AP50"],
        ),
    ]
    if summary["groups"]:
        parts.append(
            "In the tables of AP by a property a class counts by the number of its objects in the "
            "images of a line."
        )
    for kind, members in summary["groups"].items():
        parts += [
            f"## AP by {kind}",
            table(
                [
                    [group, count, *(run["groups"][kind][group] for run in runs.values())]
                    for group, count in members.items()
                ],
                [kind, "images", *runs],
            ),
        ]
    if summary["neighbours"]:
        parts += [
            "## AP50 by neighbours",
            "Objects that touch one of their class (at most 10 pixels lie between them), and the "
            "others; those of the other line are ignored.",
            table(
                [
                    [part, count, *(run["neighbours"][part]["AP50"] for run in runs.values())]
                    for part, count in summary["neighbours"].items()
                ],
                ["objects that", "objects", *runs],
            ),
        ]
    parts += _voc_table(summary)
    of_instances = {
        name: run["instance_metrics"] for name, run in runs.items() if "instance_metrics" in run
    }
    if of_instances:
        boundaries = {name: figures["segm_boundary"] for name, figures in of_instances.items()}
        parts += [
            "## Metrics of instances",
            "`docs/metrics.md` says what each means. Of the predictions of a least score:",
            instance_table(
                {name: figures["segm_instances"] for name, figures in of_instances.items()}, "run"
            ),
            "Boundary AP:",
            table(
                [
                    [name, *(figures[metric] for metric in _METRICS[:3])]
                    for name, figures in boundaries.items()
                ],
                ["run", *_METRICS[:3]],
            ),
        ]
    parts += [
        "## Errors",
        "Each run at the least score that makes its F1 at IoU 0.5 highest ("
        + ", ".join(f"{name}: {run['min_score']:.2f}" for name, run in runs.items())
        + "); what the kinds mean stands in `dml_instance/evaluation/fates.py`.",
        table(
            [
                [kind, *(run["errors"][kind] for run in runs.values())]
                for kind in (*OBJECT_KINDS, *PREDICTION_KINDS)
            ],
            ["objects and predictions", *runs],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _voc_table(summary: dict) -> list[str]:
    """mAP^r at IoU 0.5 and 0.7 of classes with enough objects, where runs were scored by it."""
    runs = {name: run["voc"] for name, run in summary["runs"].items() if run["voc"]}
    classes = {name: n for name, n in summary["classes"].items() if n >= FEW_OBJECTS}
    if not runs or not classes:
        return []
    columns = [f"AP{percent}" for percent in (50, 70)]
    rows = [
        [name, count, *(run[f"{column}-{name}"] for run in runs.values() for column in columns)]
        for name, count in classes.items()
    ]
    means = [sum(column) / len(rows) for column in zip(*(row[2:] for row in rows), strict=True)]
    rows.append(["mean", sum(classes.values()), *means])
    return [
        "## mAP^r",
        f"Of classes with at least {FEW_OBJECTS} objects, at IoU 0.5 and 0.7.",
        table(
            rows,
            ["class", "objects", *(f"{name}, {column[2:]}" for name in runs for column in columns)],
        ),
    ]


def _row(run: dict) -> list[float | None]:
    """Figures of one run, in the order of the first table."""
    training = run["training"]
    return [
        *(run["metrics"][metric] for metric in _METRICS),
        *(training.get(key) for key in ("minutes", "iterations", "images_per_second")),
        run["ms_per_image"],
        run["peak_memory_mib"],
        (training.get("parameters") or 0) / 1e6,
    ]


def plot(summary: dict, path: str) -> None:
    """AP over minutes, and AP by overlap of boxes where it was measured, as one PNG.

    Where every run was scored at its end alone there is no curve; AP, AP50 and AP75 are drawn as
    bars instead.
    """
    groups = "overlap of boxes" if "overlap of boxes" in summary["groups"] else None
    figure = Figure(figsize=(10 if groups else 5, 4.0), layout="constrained")
    (first, *others), *_ = figure.subplots(1, 2 if groups else 1, squeeze=False)
    if any(len(run["curve"]) > 1 for run in summary["runs"].values()):
        _plot_curves(summary, first)
    else:
        _plot_bars(summary, first)
    first.set(title=summary["dataset"])
    for axis in others:
        for run in summary["runs"].values():
            values = run["groups"][groups]
            axis.plot(list(values), list(values.values()), marker="o")
        axis.set(xlabel="overlap of an image's boxes (mean largest IoU)", ylabel="mask AP")
    for axis in (first, *others):
        # Zero counts as data: the margin above is then one of the whole height.
        axis.update_datalim([(0, 0)], updatex=False)
        axis.autoscale_view()
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110)


def _plot_curves(summary: dict, axis: Axes) -> None:
    for name, run in summary["runs"].items():
        axis.plot(
            [p["minutes"] for p in run["curve"]],
            [p["AP"] for p in run["curve"]],
            marker="o",
            label=name,
        )
    axis.set(xlabel="minutes of training", ylabel="mask AP", xlim=(0, None))


def _plot_bars(summary: dict, axis: Axes) -> None:
    metrics = ("AP", "AP50", "AP75")
    width = 0.8 / len(summary["runs"])
    for index, (name, run) in enumerate(summary["runs"].items()):
        left = [place - 0.4 + index * width for place in range(len(metrics))]
        axis.bar(
            left, [run["metrics"][metric] for metric in metrics], width, align="edge", label=name
        )
    axis.set_xticks(range(len(metrics)), metrics)
    axis.set(xlabel=f"after {summary['minutes']:g} minutes of training", ylabel="mask metric")


def write_report(summary: dict, stem: str) -> list[str]:
    """Write ``stem.json``, ``stem.md`` and ``stem.png``; returns the paths."""
    os.makedirs(os.path.dirname(os.path.abspath(stem)), exist_ok=True)
    write_text(
        f"{stem}.md", markdown(summary) + f"\n![AP over minutes]({os.path.basename(stem)}.png)\n"
    )
    write_json(f"{stem}.json", summary)
    plot(summary, f"{stem}.png")
    return [f"{stem}.{ending}" for ending in ("md", "json", "png")]

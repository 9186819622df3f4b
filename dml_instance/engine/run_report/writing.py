"""The report on a run: its figures gathered, and put on a page."""

import logging
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import nn

from ...evaluation import OBJECT_KINDS
from ...files import read_json, write_text
from ...report import duration, table
from ..errors import message_of
from ..fitting import FITTED_KEYS
from ..inference import at_inference
from ..pictures import picture_of
from ..progress import TOTAL_LOSS, loss_word
from ..results import METRICS_FILE, RESULTS_FILE, TRAINING_FILE, machine, results_table
from ..starting import has_imagenet_weights
from ..watched_image import FOLDER
from .advice import Figures, advise
from .curves import f1_chart, training_chart
from .history import read_history, series
from .page import Page, advice_block, folded, image, paragraph, rows
from .scoring import ScoredImage, Scoring, score_saved, score_training_sample

# In OUTPUT_DIR.
REPORT_FILE = "report.html"

# Of the pictures that were drawn during the training so many are shown.
_WATCHED = 4
_JPEG_QUALITY = 88

_KINDS = {
    "found": "a prediction of its class has IoU 0.5 and more with it",
    "wrong class": "only one of another class has",
    "merged": "a prediction covers half of it and half of another object",
    "split": "several predictions lie in it, and cover half of it together",
    "poor mask": "a prediction has IoU 0.1 and more with it",
    "missed": "none has",
}

_T = TypeVar("_T")
_logger = logging.getLogger(__name__)


def write_report(cfg: CfgNode, model: nn.Module, command: Sequence[str]) -> str | None:
    """Write ``report.html`` into OUTPUT_DIR, from what a run has left there.

    It is one file with all its pictures. Up to 20 images of the training set, and three of those
    that were scored, are segmented for it. What cannot be told is left out, and the log says why;
    nothing that goes wrong here is raised.

    Args:
        cfg: of the run.
        model: what it has trained or evaluated.
        command: that it was started by.

    Returns:
        The file; None where there is none.
    """
    path = os.path.join(cfg.OUTPUT_DIR, REPORT_FILE)
    _logger.info("a report is made: %s", path)
    try:
        with torch.no_grad(), at_inference(cfg, model) as model:
            write_text(path, _page(cfg, model, command).html())
    except Exception as error:
        # A training that is done shall not be lost to what is said of it.
        _logger.warning("%s was not written: %s", path, message_of(error))
        _logger.debug("", exc_info=True)
        return None
    return path


def _page(cfg: CfgNode, model: nn.Module, command: Sequence[str]) -> Page:
    folder = cfg.OUTPUT_DIR
    results = read_json(os.path.join(folder, RESULTS_FILE))
    training = read_json(os.path.join(folder, TRAINING_FILE))
    history = read_history(os.path.join(folder, METRICS_FILE))
    scoring = sample = None
    if cfg.DATASETS.TEST:
        scoring = _attempt("which objects were found", lambda: score_saved(cfg))
    if scoring is not None and set(cfg.DATASETS.TRAIN[:1]) & set(DatasetCatalog.list()):
        sample = _attempt(
            "how training images are segmented",
            lambda: score_training_sample(model, cfg, scoring.min_score),
        )
    page = Page(f"{os.path.basename(os.path.abspath(folder))}: report", _subtitle(cfg, training))
    page.section("Result", *_result(results, scoring, sample))
    page.section("Pictures", *_pictures(cfg, model, scoring))
    page.section("What to try next", *_advice(cfg, history, training, scoring, sample))
    page.section("Training", *_training(history))
    page.section("One image while it learnt", *_watched(folder))
    page.section("Which objects were found", *_fates(scoring))
    page.section("Least score", *_least_score(scoring))
    page.section("Lengths", *_lengths(cfg))
    page.section("The run", *_run(cfg, training, command))
    return page


def _attempt(what: str, find: Callable[[], _T]) -> _T | None:
    """What a function returns; None, and a line in the log, where it fails."""
    try:
        return find()
    except Exception as error:
        _logger.warning("the report does not say %s: %s", what, message_of(error))
        _logger.debug("", exc_info=True)
        return None


def _subtitle(cfg: CfgNode, training: dict) -> str:
    parts = [cfg.MODEL.META_ARCHITECTURE]
    if training:
        parts += [f"{training['iterations']} iterations", duration(60 * training["minutes"])]
    return " · ".join([*parts, machine()["date"]])


def _result(results: dict, scoring: Scoring | None, sample: Scoring | None) -> Iterator[str]:
    if results.get("metrics"):
        yield results_table(results, "html")
    for dataset, tasks in results.get("metrics", {}).items():
        by_class = {
            name.removeprefix("AP-"): value
            for name, value in tasks.get("segm", {}).items()
            if name.startswith("AP-")
        }
        if len(by_class) > 1:
            yield paragraph(f"AP of masks of {dataset} by class:")
            yield table([list(by_class.values())], list(by_class), form="html")
    if scoring is None:
        yield paragraph("Nothing was scored, or not as masks in COCO's form.", "note")
        return
    fates = scoring.fates
    counts = ", ".join(f"{fates[kind]} {kind}" for kind in OBJECT_KINDS if fates[kind])
    yield paragraph(
        f"Of {sum(fates[kind] for kind in OBJECT_KINDS)} objects in {len(scoring.images)} images: "
        f"{counts or 'none'}. F1 at IoU 0.5 is {_percent(scoring.f1)}, for objects of score "
        f"{scoring.min_score:g} and more."
    )
    if sample is not None:
        yield paragraph(
            f"On {len(sample.images)} images of the training set F1 is {_percent(sample.f1)}."
        )


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if value == value else "not known"


def _pictures(cfg: CfgNode, model: nn.Module, scoring: Scoring | None) -> Iterator[str]:
    if scoring is None or not scoring.ranked:
        return
    yield paragraph(
        "The best, a typical and the worst image by F1 (mean over IoU 0.5 to 0.95).", "note"
    )
    if cfg.MODEL.META_ARCHITECTURE == "DMLInstance":
        yield paragraph(
            "What the model sees, its embedding as colours, where good seeds lie, what it found, "
            "and what is there. An embedding is good where objects have colours of their own.",
            "note",
        )
    for title, chosen in _chosen(scoring).items():
        drawn = _attempt(
            f"how {chosen.record['file_name']} looks",
            lambda chosen=chosen: _drawn(cfg, model, chosen, scoring.min_score),
        )
        name = os.path.basename(chosen.record["file_name"])
        yield paragraph(f"{title}: {name}, F1 {_percent(chosen.score)}")
        yield drawn or ""


def _chosen(scoring: Scoring) -> dict[str, ScoredImage]:
    """Images to look at, no one twice."""
    ranked = scoring.ranked
    places = {"Best": 0, "Worst": len(ranked) - 1, "Typical": len(ranked) // 2}
    titles = {place: title for title, place in reversed(places.items())}
    return {titles[place]: ranked[place] for place in sorted(titles)}


def _drawn(cfg: CfgNode, model: nn.Module, chosen: ScoredImage, min_score: float) -> str:
    metadata = MetadataCatalog.get(chosen.dataset)
    picture, _ = picture_of(model, cfg, chosen.record, metadata, min_score)
    return image(_jpeg(picture), "image/jpeg", "input, embedding, seeds, result and truth")


def _jpeg(rgb: np.ndarray) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return cv2.imencode(".jpg", rgb[:, :, ::-1], options)[1].tobytes()


def _advice(
    cfg: CfgNode,
    history: Sequence[dict],
    training: dict,
    scoring: Scoring | None,
    sample: Scoring | None,
) -> Iterator[str]:
    waiting, steps = (sum(series(history, name)[1]) for name in ("data_time", "time"))
    figures = Figures(
        iterations=training.get("iterations", 0),
        losses=series(history, TOTAL_LOSS)[1],
        waiting=waiting / steps if steps else None,
        from_imagenet=bool(cfg.MODEL.WEIGHTS) or has_imagenet_weights(cfg),
        **_scored_figures(scoring, sample),
    )
    found = advise(figures, cfg)
    if not found:
        yield paragraph("Nothing stands out.")
        return
    yield paragraph(
        "By rules on the figures of this page; what stands in brackets is where it was measured. "
        "Keys go behind the command.",
        "note",
    )
    for advice in found:
        yield advice_block(advice.title, advice.options, advice.reason, advice.source)


def _scored_figures(scoring: Scoring | None, sample: Scoring | None) -> dict:
    if scoring is None:
        return {}
    return {
        "fates": scoring.fates,
        "missed_by_size": scoring.missed_by_size,
        "most_objects": max((len(i.masks.truth) for i in scoring.images), default=0),
        "f1": scoring.f1,
        "min_score": scoring.min_score,
        "train_f1": None if sample is None else sample.f1,
        "train_images": 0 if sample is None else len(sample.images),
    }


def _training(history: Sequence[dict]) -> Iterator[str]:
    if not series(history, TOTAL_LOSS)[1]:
        return
    chart = training_chart(history)
    if chart is not None:
        yield image(chart.encode(), "image/svg+xml", "losses and learning rate over iterations")
        yield paragraph("Over iterations.", "note")
    if series(history, "dml/seed_lambda")[1]:
        yield paragraph(
            "The weight of the seed loss grows in the first part of a training, so that the loss "
            "may rise there. Pairs of one object should come under the dotted line, others above "
            "it; what is predicted of grown masks should meet what is true.",
            "note",
        )
    names = {name for row in history for name in row if "loss" in name and name != TOTAL_LOSS}
    lines = []
    for name in (TOTAL_LOSS, *sorted(names)):
        _, values = series(history, name)
        words = "all together" if name == TOTAL_LOSS else loss_word(name)
        lines.append([words, values[0], min(values), values[-1]])
    yield table(lines, ["loss", "first", "least", "last"], 3, form="html")


def _watched(folder: str) -> Iterator[str]:
    files = sorted((Path(folder) / FOLDER).glob("iteration_*.jpg"))
    places = np.unique(np.linspace(0, len(files) - 1, min(_WATCHED, len(files))).round()).astype(
        int
    )
    for file in (files[place] for place in places):
        yield paragraph(f"After {int(file.stem.split('_')[1])} iterations")
        yield image(file.read_bytes(), "image/jpeg", "the watched image")


def _fates(scoring: Scoring | None) -> Iterator[str]:
    if scoring is None:
        return
    fates = scoring.fates
    objects = sum(fates[kind] for kind in OBJECT_KINDS)
    lines = [
        [kind, fates[kind], 100 * fates[kind] / max(objects, 1), _KINDS[kind]]
        for kind in OBJECT_KINDS
    ]
    yield table(lines, ["object", "number", "percent", "which means"], form="html")
    (missed, small), (others, large) = scoring.missed_by_size
    if small:
        yield paragraph(
            f"Of the smallest quarter of the objects {missed} of {small} were missed, of the "
            f"others {others} of {large}."
        )
    yield paragraph(
        f"Predictions that found nothing: {fates['duplicate']} of objects that another one found, "
        f"{fates['background']} on background, {fates['other']} beside or across objects."
    )


def _least_score(scoring: Scoring | None) -> Iterator[str]:
    if scoring is None:
        return
    if not any(len(scored.masks.predictions) for scored in scoring.images):
        yield paragraph("Nothing was found, at any score.")
        return
    yield image(
        f1_chart(scoring.curve, scoring.min_score).encode(), "image/svg+xml", "F1 by least score"
    )
    yield paragraph(
        f"Objects of score {scoring.min_score:g} and more are written and drawn (TEST.MIN_SCORE). "
        "A higher one leaves out wrong objects and some right ones: --min-score."
    )


def _lengths(cfg: CfgNode) -> Iterator[str]:
    if not cfg.INPUT.OBJECT_DIAMETERS:
        return
    quartiles = " / ".join(f"{diameter:g}" for diameter in cfg.INPUT.OBJECT_DIAMETERS)
    yield paragraph(
        f"Objects of the training set are {quartiles} pixels across (quartiles). What goes with "
        "that, or was given:"
    )
    yield rows((key, attrgetter(key)(cfg)) for key in FITTED_KEYS)


def _run(cfg: CfgNode, training: dict, command: Sequence[str]) -> Iterator[str]:
    here = machine()
    facts = {
        "command": " ".join(map(_quoted, command)),
        "folder": os.path.abspath(cfg.OUTPUT_DIR),
        "DATASETS.TRAIN": ", ".join(cfg.DATASETS.TRAIN) or "none",
        "DATASETS.TEST": ", ".join(cfg.DATASETS.TEST) or "none",
        "MODEL.WEIGHTS": cfg.MODEL.WEIGHTS or "none named",
        "seed": training.get("seed", cfg.SEED),
        "parameters": f"{training['parameters']:,}" if training else None,
        "training": training and f"{training['images_per_second']:g} images/s",
        "bfloat16": training and ("yes" if training["bfloat16"] else "no"),
        "processor": f"{here['processor']}, {here['threads']} of {here['cores']} cores",
        "GPU": here["cuda"] or "none",
        "torch": here["torch"],
        "date": f"{here['date']} (UTC)",
    }
    yield rows((name, value) for name, value in facts.items() if value not in (None, {}))
    file = os.path.join(cfg.OUTPUT_DIR, "config.yaml")
    if os.path.isfile(file):
        yield folded("config.yaml", Path(file).read_text(encoding="utf-8"))


def _quoted(word: str) -> str:
    """As one types it: "('cell_val',)" stays readable."""
    return f'"{word}"' if "'" in word and not set('"$`\\!') & set(word) else shlex.quote(word)

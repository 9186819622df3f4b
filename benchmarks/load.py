"""Thousands of images through one process: whether memory and open files stay what they are.

    nice -n 5 python -m benchmarks.load --images 20000 --output benchmarks/results/load.json \\
        --plot docs/images/load.svg

A tiny untrained model, and a few drawn images of 128 x 128 pixels under so many names:

segment     the code of ``dml segment``, with the forms that it writes by default
evaluate    Detectron2's loop and its COCOEvaluator, which keeps all predictions, as RLEs, until all
            are scored: memory grows by these, and ``kept_kib_an_image`` says by how much
train       iterations of the project's trainer, 2 images each, without other processes

At regular points: images (of train: iterations) done, seconds of wall time, processor seconds, the
resident set in MiB, and open files. Of each part ``kib_an_image`` is the slope of the resident set
over the last half, by least squares; of ``evaluate`` what is kept is part of it.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from unittest import mock

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import HookBase
from detectron2.evaluation import COCOEvaluator, inference_on_dataset
from matplotlib.figure import Figure

from dml_instance import add_dml_config
from dml_instance.commands import segment
from dml_instance.data import register_coco
from dml_instance.data.coco import annotation_of
from dml_instance.engine import Trainer, use_huge_pages
from dml_instance.files import replacing, write_json
from dml_instance.report import table
from dml_instance.stored_config import with_config

from .figures import about
from .large_image import processor_seconds
from .memory import in_fresh_process

SIDE, DRAWN, DISCS = 128, 16, 5
POINTS = 50
COLUMNS = ("done", "seconds", "processor_s", "rss_mib", "open_files")


class Course:
    """The state of this process at regular points.

    Attributes:
        points: a row of COLUMNS each.
    """

    def __init__(self, total: int):
        """
        Args:
            total: of what is done.
        """
        self.points: list[dict] = []
        self._every = max(total // POINTS, 1)
        self._done = 0
        self._start = time.perf_counter(), processor_seconds()
        self._look()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._done % self._every == 0:
            self._look()

    def _look(self) -> None:
        wall, processor = self._start
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        values = (
            self._done,
            round(time.perf_counter() - wall, 1),
            round(processor_seconds() - processor, 1),
            round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2),
            len(os.listdir("/proc/self/fd")),
        )
        self.points.append(dict(zip(COLUMNS, values, strict=True)))

    def figures(self) -> dict:
        """The points, and what follows from them."""
        later = self.points[len(self.points) // 2 :]
        done, rss = ([point[name] for point in later] for name in ("done", "rss_mib"))
        middle, last = later[0], later[-1]
        return {
            "done": last["done"],
            "kib_an_image": round(1024 * float(np.polyfit(done, rss, 1)[0]), 3),
            "open_files_first_last": [self.points[1]["open_files"], last["open_files"]],
            "processor_ms_an_image": [
                round(1000 * (b["processor_s"] - a["processor_s"]) / (b["done"] - a["done"]), 2)
                for a, b in ((self.points[1], middle), (middle, last))
            ],
            "points": self.points,
        }


def tiny_config() -> CfgNode:
    """A model of 8 to 24 channels for one class."""
    cfg = get_cfg()
    add_dml_config(cfg)
    options = {
        "MODEL.DEVICE": "cpu",
        "MODEL.META_ARCHITECTURE": "DMLInstance",
        "MODEL.MASK_ON": True,
        "MODEL.BACKBONE.NAME": "build_slim_resnet_backbone",
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.RESNETS.NORM": "BN",
        "MODEL.RESNETS.OUT_FEATURES": ["stem", "res2", "res3", "res4", "res5"],
        "MODEL.DML.BACKBONE.CHANNELS": [8, 12, 16, 20, 24],
        "MODEL.DML.BACKBONE.BLOCKS": [1, 1, 1, 1],
        "MODEL.DML.NUM_CLASSES": 1,
        "MODEL.DML.INPUT_NORMALIZATION": "image",
        "MODEL.DML.DECODER.CHANNELS": 8,
        "MODEL.DML.EMBEDDING_HEAD.CHANNELS": 8,
        "MODEL.DML.SEED_HEAD.CHANNELS": 8,
        "MODEL.DML.SEED_HEAD.DILATIONS": [1],
        "MODEL.DML.SEED_HEAD.RADII": [],
        "MODEL.DML.GROUPING.MAX_SEEDS": 10,
        "DATASETS.CLASS_NAMES": ["disc"],
        "DATASETS.CATEGORY_IDS": [1],
        "INPUT.FORMAT": "RGB",
        "INPUT.MASK_FORMAT": "bitmask",
        "INPUT.MIN_SIZE_TEST": 0,
        "INPUT.MIN_SIZE_TRAIN": (0,),
        "SOLVER.IMS_PER_BATCH": 2,
        "DATALOADER.NUM_WORKERS": 0,
        "TEST.MIN_SCORE": 0.0,
    }
    cfg.merge_from_list([part for pair in options.items() for part in pair])
    return cfg


def write_images(folder: str, images: int) -> str:
    """Discs on noise, as PNG files under many names, and their annotations in COCO's format.

    Returns:
        The file of the annotations; the images lie in ``images`` beside it.
    """
    rng = np.random.default_rng(0)
    root = os.path.join(folder, "images")
    os.makedirs(root)
    entries, annotations, drawn = [], [], []
    for number in range(min(DRAWN, images)):
        image = rng.integers(0, 40, (SIDE, SIDE, 3)).astype(np.uint8)
        masks = []
        for _ in range(DISCS):
            centre = rng.integers(16, SIDE - 16, 2)
            mask = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), centre.tolist(), 9, 1, -1) > 0
            grey = rng.integers(80, 200)
            image[mask] = rng.integers(grey, grey + 40, (int(mask.sum()), 3))
            masks.append(mask)
        file = os.path.join(folder, f"drawn_{number}.png")
        cv2.imwrite(file, image)
        drawn.append((file, masks))
    for number in range(images):
        file, masks = drawn[number % len(drawn)]
        name = f"{number:06}.png"
        os.link(file, os.path.join(root, name))
        entries.append({"id": number + 1, "file_name": name, "height": SIDE, "width": SIDE})
        for mask in masks:
            of_object = annotation_of(mask, 1, (0, 0), (SIDE, SIDE))
            number_here = len(annotations) + 1
            annotations.append({"id": number_here, "image_id": number + 1, **of_object})
    path = os.path.join(folder, "annotations.json")
    categories = [{"id": 1, "name": "disc"}]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    with replacing(path) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(content, file)
    return path


def segmented(folder: str, images: int) -> dict:
    """``dml segment`` over all of them."""
    use_huge_pages()
    torch.manual_seed(0)
    write_images(folder, images)
    cfg, weights = tiny_config(), os.path.join(folder, "tiny.pth")
    torch.save(with_config({"model": Trainer.build_model(cfg).state_dict()}, cfg), weights)
    course = None

    def watched(records, act, *rest, **options):
        nonlocal course
        course = Course(images)

        def act_and_look(record):
            act(record)
            course.step()

        return run(records, act_and_look, *rest, **options)

    run, found = segment.run_over_images, os.path.join(folder, "found")
    words = ["--model", weights, "--input", os.path.join(folder, "images"), "--output", found]
    with mock.patch.object(segment, "run_over_images", watched), _quietly():
        segment.main(segment.argument_parser().parse_args(words))
    return course.figures()


def evaluated(folder: str, images: int) -> dict:
    """Detectron2's evaluation over all of them, but for the scoring itself at the end."""
    use_huge_pages()
    torch.manual_seed(0)
    annotations = write_images(folder, images)
    register_coco("load", annotations, os.path.join(folder, "images"))
    cfg = tiny_config()
    model = Trainer.build_model(cfg).eval()
    course, evaluator = Course(images), COCOEvaluator("load", ("segm",), output_dir=None)
    process = evaluator.process

    def process_and_look(inputs, outputs):
        process(inputs, outputs)
        course.step()

    with (
        mock.patch.object(evaluator, "process", process_and_look),
        mock.patch.object(evaluator, "evaluate", dict),
        _quietly(),
    ):
        inference_on_dataset(model, Trainer.build_test_loader(cfg, "load"), evaluator)
    kept = evaluator._predictions
    number = sum(len(of_image["instances"]) for of_image in kept)
    size = _deep_size(kept[: len(kept) // 10]) / max(len(kept) // 10, 1)
    figures = {"predictions_an_image": round(number / images, 2)}
    return {**course.figures(), **figures, "kept_kib_an_image": round(size / 1024, 3)}


def _deep_size(value) -> int:
    """Bytes of lists, dicts, texts and numbers; keys are shared and do not count."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(map(_deep_size, value.values()))
    if isinstance(value, list | tuple):
        return size + sum(map(_deep_size, value))
    return size


class _Look(HookBase):
    def __init__(self, course: Course):
        self._course = course

    def before_step(self):
        # Of the iteration before: at the end of the last one the model is saved.
        if self.trainer.iter > self.trainer.start_iter:
            self._course.step()


def trained(folder: str, iterations: int) -> dict:
    """So many iterations of a training."""
    use_huge_pages()
    annotations = write_images(folder, DRAWN)
    register_coco("load", annotations, os.path.join(folder, "images"))
    cfg = tiny_config()
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("load",), ()
    cfg.OUTPUT_DIR, cfg.SOLVER.MAX_ITER = os.path.join(folder, "output"), iterations
    os.makedirs(cfg.OUTPUT_DIR)
    with _quietly():
        trainer = Trainer(cfg)
        course = Course(iterations)
        trainer.register_hooks([_Look(course)])
        trainer.train()
    return course.figures()


@contextlib.contextmanager
def _quietly():
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


PARTS: dict[str, Callable[[str, int], dict]] = {
    "segment": segmented,
    "evaluate": evaluated,
    "train": trained,
}


def _plot(parts: dict[str, dict], path: str) -> None:
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for axis, (name, figures) in zip(axes, parts.items(), strict=True):
        points = figures["points"][1:]
        done = [point["done"] for point in points]
        axis.plot(done, [point["rss_mib"] for point in points])
        axis.set_ylim(0, 1.2 * max(point["rss_mib"] for point in points))
        axis.set_title(f"{name}: {figures['kib_an_image']:.2f} KiB each")
        axis.set_xlabel("iterations" if name == "train" else "images")
        axis.set_ylabel("resident set, MiB")
    with replacing(path) as part:
        figure.savefig(part, format=os.path.splitext(path)[1][1:])


def main(args: argparse.Namespace) -> None:
    parts = {}
    for name in args.parts:
        with tempfile.TemporaryDirectory() as folder:
            count = args.iterations if name == "train" else args.images
            parts[name] = in_fresh_process(PARTS[name], folder, count)
        if args.output:
            write_json(args.output, {**about("benchmarks.load", __doc__), "load": parts})
    shown = ("done", "kib_an_image", "kept_kib_an_image", "open_files_first_last")
    shown += ("processor_ms_an_image",)
    rows = [[name, *map(figures.get, shown)] for name, figures in parts.items()]
    print(table(rows, ["part", *shown]))
    if args.plot:
        _plot(parts, args.plot)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=20000, metavar="N", help="of each part")
    parser.add_argument("--iterations", type=int, default=2000, metavar="N", help="of training")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all"
    )
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    parser.add_argument("--plot", metavar="FILE", help="and a plot there, .svg or .png")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

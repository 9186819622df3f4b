"""Train StarDist on a COCO data set for some minutes, and score it as benchmarks.compare does.

It needs an environment of its own, which must not hold Detectron2's pins. From the repository's
root:

    python -m venv .venv-stardist
    .venv-stardist/bin/pip install -r benchmarks/peers/requirements-stardist.txt
    .venv-stardist/bin/python -m benchmarks.peers.stardist_coco --minutes 12 \\
        --output output/compare/stardist_12 --images datasets/dsb2018/images \\
        --train datasets/dsb2018/annotations/instances_train.json \\
        --val datasets/dsb2018/annotations/instances_val.json

Settings are those of StarDist's own example for these nuclei (32 rays, grid 2 x 2, flips, right
angles and intensities as augmentation, percentile normalisation), on RGB. Its score threshold is
lowered, since AP ranks all detections.
"""

import argparse
import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from stardist.models import Config2D, StarDist2D
from tqdm import tqdm

# One of so many images of train is for StarDist's validation, by which it lowers its learning rate.
_HELD_OUT_EVERY = 10
_MIN_SCORE = 0.05
_PATCH = 256


def load_image(coco: COCO, image_id: int, folder: Path) -> np.ndarray:
    """(H, W, 3) float32, normalised by its percentiles."""
    image = cv2.imread(str(folder / coco.imgs[image_id]["file_name"]))[:, :, ::-1]
    return normalize(image, 1, 99.8, axis=(0, 1)).astype(np.float32)


def load_labels(coco: COCO, image_id: int) -> np.ndarray:
    """(H, W) int32: 0 for background, i + 1 for the annotation i of the image."""
    record = coco.imgs[image_id]
    labels = np.zeros((record["height"], record["width"]), np.int32)
    for number, annotation in enumerate(coco.imgToAnns[image_id], start=1):
        labels[coco.annToMask(annotation) > 0] = number
    return labels


def padded(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At least as large as a training patch."""
    missing = [(0, max(_PATCH - side, 0)) for side in labels.shape]
    return np.pad(image, [*missing, (0, 0)], mode="reflect"), np.pad(labels, missing)


def augment(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One of the eight symmetries of the square, and a random gain and offset."""
    turns, is_flipped = np.random.randint(4), np.random.randint(2)
    image, labels = np.rot90(image, turns), np.rot90(labels, turns)
    if is_flipped:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2), labels


class StopAfter(tf.keras.callbacks.Callback):
    """Ends a training at the first step after its seconds are over, validation not counted."""

    def __init__(self, seconds: float):
        super().__init__()
        self.budget, self.used, self.steps = seconds, 0.0, 0

    def on_train_begin(self, logs=None):
        self._since = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.used += time.perf_counter() - self._since

    on_test_end = on_train_begin

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.used, self._since = self.used + now - self._since, now
        self.steps += 1
        if self.used >= self.budget:
            raise _BudgetSpentError


class _BudgetSpentError(Exception):
    """Keras ends an epoch before it stops; this ends it at once."""


def detections(model: StarDist2D, image: np.ndarray, image_id: int, category_id: int) -> list[dict]:
    """COCO results of one normalised image."""
    labels, details = model.predict_instances(image, prob_thresh=_MIN_SCORE)
    results = []
    for number, score in enumerate(details["prob"], start=1):
        mask = labels == number
        if mask.any():
            segmentation = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            segmentation["counts"] = segmentation["counts"].decode()
            results.append(
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "score": float(score),
                    "segmentation": segmentation,
                }
            )
    return results


def main(args: argparse.Namespace) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    np.random.seed(args.seed)
    tf.random.set_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    train, val = COCO(str(args.train)), COCO(str(args.val))
    pairs = [
        padded(load_image(train, image_id, args.images), load_labels(train, image_id))
        for image_id in tqdm(sorted(train.imgs), desc="loading", unit="image")
    ]
    held_out = pairs[::_HELD_OUT_EVERY]
    fitted = [pair for index, pair in enumerate(pairs) if index % _HELD_OUT_EVERY]
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=3,
        train_patch_size=(_PATCH, _PATCH),
        train_batch_size=4,
        train_learning_rate=args.learning_rate,
        train_tensorboard=False,
    )
    model = StarDist2D(config, name="model", basedir=str(args.output))
    model.prepare_for_training()
    clock = StopAfter(60 * args.minutes)
    model.callbacks.append(clock)
    try:
        model.train(
            *zip(*fitted, strict=True),
            validation_data=tuple(zip(*held_out, strict=True)),
            augmenter=augment,
            seed=args.seed,
            epochs=10_000,
            steps_per_epoch=100,
        )
    except _BudgetSpentError:
        model.keras_model.save_weights(str(args.output / "model" / "weights_last.weights.h5"))
    (category_id,) = val.cats
    results, seconds = [], []
    for image_id in tqdm(sorted(val.imgs), desc="scoring", unit="image"):
        image = load_image(val, image_id, args.images)
        start = time.perf_counter()
        results += detections(model, image, image_id, category_id)
        seconds.append(time.perf_counter() - start)
    evaluation = COCOeval(val, val.loadRes(results), "segm")
    evaluation.params.maxDets = [1, 10, args.detections]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, 2]
    report = {
        "AP": 100 * precision.mean(),
        "AP50": 100 * precision[0].mean(),
        "AP75": 100 * precision[5].mean(),
        "ms_per_image": 1e3 * float(np.mean(seconds[3:])),
        "minutes": clock.used / 60,
        "iterations": clock.steps,
        "parameters": int(model.keras_model.count_params()),
        "settings": {
            key: value for key, value in vars(args).items() if isinstance(value, int | float)
        },
        "tensorflow": tf.__version__,
    }
    part = args.output / "results.json.part"
    part.write_text(json.dumps(report, indent=2) + "\n")
    os.replace(part, args.output / "results.json")
    print(json.dumps(report, indent=2))


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.stardist_coco",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, required=True, help="of training")
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="image folder of both splits"
    )
    parser.add_argument(
        "--train", type=Path, required=True, metavar="JSON", help="COCO annotations to train on"
    )
    parser.add_argument(
        "--val", type=Path, required=True, metavar="JSON", help="COCO annotations to score on"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--learning-rate", type=float, default=3e-4, help="StarDist's default: %(default)s"
    )
    parser.add_argument(
        "--detections", type=int, default=400, help="counted an image (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

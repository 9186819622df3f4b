"""Trainings that are killed again and again, beside one that is not.

    python -m benchmarks.kills --kills 50 --output benchmarks/results/kills.json

Tiny trainings on drawn images run in processes of their own, which get SIGKILL at random moments:
while they start, in an iteration, while a checkpoint is written. Each is then resumed, killed
again, and at last left to end. Its losses of every iteration, also of those that were computed
twice, and the weights, the optimiser and all else in its last checkpoint are held against those of
the same training that nobody killed, bit for bit.
"""

import argparse
import glob
import json
import os
import random
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.engine import HookBase
from detectron2.utils.env import seed_all_rng

from dml_instance.data import register_coco
from dml_instance.data.annotated import AnnotatedObject
from dml_instance.data.coco import CocoWriter
from dml_instance.engine import Trainer, load_config, machine
from dml_instance.engine.run_report.history import read_history
from dml_instance.files import write_json
from dml_instance.model_zoo import config_file
from dml_instance.rle import encoded

ITERATIONS, PERIOD = 20, 3
_DATA = "killed_training"
_LOSSES = "losses.jsonl"
# Of a row of metrics.json, what no two trainings share.
_TIMES = ("time", "data_time", "rank_data_time")

# Small networks; what is random in this project's and in Detectron2's own trainings.
_COMMON = {
    "MODEL.DEVICE": "cpu",
    "DATASETS.TEST": (),
    "SOLVER.MAX_ITER": ITERATIONS,
    "SOLVER.CHECKPOINT_PERIOD": PERIOD,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.AMP.CPU_BFLOAT16": "off",
    "INPUT.FIT_TO_OBJECTS": False,
    "INPUT.AUG.SCALE_RANGE": [0.8, 1.2],
    "INPUT.AUG.COLOR_JITTER": 0.25,
    "DATALOADER.ASPECT_RATIO_GROUPING": True,
}
_CONFIGS = {
    "ours": (
        "Shapes/dml_slim_unet.yaml",
        {
            "MODEL.DML.BACKBONE.CHANNELS": [8, 12, 16, 20, 24],
            "MODEL.DML.BACKBONE.BLOCKS": [1, 1, 1, 1],
            "MODEL.DML.DECODER.STRIDE": 4,
            "MODEL.DML.SEED_HEAD.DILATIONS": [1],
            "MODEL.DML.SEED_HEAD.RADII": [8],
            "MODEL.DML.SEED_HEAD.CHANNELS": 16,
            "INPUT.AUG.COPY_PASTE": 0.5,
            "DATALOADER.NUM_WORKERS": 2,
        },
    ),
    "mask_rcnn": (
        "Shapes/mask_rcnn_R_18_FPN.yaml",
        {
            "MODEL.RESNETS.DEPTH": 50,
            "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
            "MODEL.RESNETS.RES2_OUT_CHANNELS": 8,
            "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
            "MODEL.FPN.OUT_CHANNELS": 8,
            "MODEL.RPN.CONV_DIMS": [8],
            "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 100,
            "MODEL.RPN.POST_NMS_TOPK_TRAIN": 20,
            "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
            "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
            "MODEL.ROI_MASK_HEAD.CONV_DIM": 8,
            "DATALOADER.NUM_WORKERS": 0,
        },
    ),
}
KINDS = tuple(_CONFIGS)


@dataclass(frozen=True)
class Kill:
    """One process that was killed, and the one that went on.

    Attributes:
        model: one of KINDS.
        training: which of them, from 0.
        moment: what it was meant to hit: "start", "iteration" or "checkpoint".
        iterations: that the process had done when it was killed.
        was_writing: whether a checkpoint was being written, which left a part of a file.
        resumed_at: first iteration of the process that went on, from 0; None: of none, it was
            killed before its first one.
        is_exact: whether every loss of every iteration of the process that went on is the same.
    """

    model: str
    training: int
    moment: str
    iterations: int
    was_writing: bool
    resumed_at: int | None
    is_exact: bool


def write_data(folder: str) -> None:
    """Eleven images of three shapes, wide, high and square, with one to five objects each."""
    drawing = np.random.default_rng(3)
    with CocoWriter(folder, ["square", "disc"]) as writer:
        writer.start_split("train", "drawn")
        for number in range(11):
            size = ((48, 80), (80, 48), (64, 64))[number % 3]
            image, objects = np.full((*size, 3), 60, np.uint8), []
            for index in range(1 + number % 5):
                row, column = (int(drawing.integers(8, side - 8)) for side in size)
                mask = np.zeros(size, np.uint8)
                if index % 2:
                    cv2.circle(mask, (column, row), 7, 1, -1)
                else:
                    cv2.rectangle(mask, (column - 6, row - 6), (column + 6, row + 6), 1, -1)
                image[mask > 0] = drawing.integers(90, 255, 3)
                objects.append(AnnotatedObject(encoded(mask > 0), ("square", "disc")[index % 2]))
            writer.add("train", f"{number:02}", image, size, objects)


class KilledTraining:
    """A training in processes that are forked from this one, which has imported all they need."""

    def __init__(self, kind: str, data: str, folder: str, *options):
        """
        Args:
            kind: one of KINDS.
            data: folder that ``write_data`` wrote.
            folder: of the training, with nothing in it.
            options: more ``KEY, value`` pairs.
        """
        self.kind, self.folder, self._data, self._options = kind, folder, data, options
        self._process = None
        os.makedirs(folder, exist_ok=True)

    def start(self) -> None:
        """Begin, or go on."""
        sys.stdout.flush()
        self._process = os.fork()
        if self._process == 0:
            status = 1
            try:
                log = open(self._path("log.txt"), "a", buffering=1)  # noqa: SIM115
                sys.stdout = sys.stderr = log
                self._train()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def wait(self) -> None:
        """Until it ends; raises RuntimeError where that is an error."""
        _, status = os.waitpid(self._process, 0)
        self._process = None
        if status != 0:
            with open(self._path("log.txt"), encoding="utf-8") as file:
                raise RuntimeError(f"the training failed: {file.read()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL; nothing can be done about that."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._process = None

    def wait_for(self, moment: str, chance: random.Random) -> None:
        """Until a moment of the process, "start", "iteration" or "checkpoint", by chance."""
        done, target = len(self.losses()), chance.randint(1, 8)
        until = time.monotonic() + 60
        if moment == "start":
            time.sleep(chance.uniform(0, 0.5))
        while moment != "start" and time.monotonic() < until and not self._is_over():
            is_due = self.is_writing() if moment == "checkpoint" else len(self.losses()) > done
            if is_due and moment == "iteration" and len(self.losses()) < done + target:
                is_due = False
            if is_due:
                break
        if moment == "iteration":
            time.sleep(chance.uniform(0, 0.1))

    def is_writing(self) -> bool:
        """Whether a part of a checkpoint lies there."""
        return bool(glob.glob(self._path("*.part.pth")))

    def losses(self) -> list[dict]:
        """What each iteration logged, in the order of time; some come twice."""
        if not os.path.isfile(self._path(_LOSSES)):
            return []
        with open(self._path(_LOSSES), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def metrics(self) -> dict[int, dict]:
        """Rows of ``metrics.json`` by iteration, but for times."""
        rows = read_history(self._path("metrics.json"))
        return {r["iteration"]: {k: v for k, v in r.items() if k not in _TIMES} for r in rows}

    def final(self) -> dict:
        """The last checkpoint, without its clock."""
        state = torch.load(self._path("model_final.pth"), weights_only=True)
        del state["dml_instance"]  # the config, which names the folder
        del state["trainer"]["hooks"]["TrainingClock"]
        return state

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _is_over(self) -> bool:
        return os.path.isfile(self._path("model_final.pth"))

    def _train(self) -> None:
        torch.set_num_threads(1)
        if _DATA not in DatasetCatalog.list():
            where = os.path.join(self._data, "annotations", "instances_train.json")
            register_coco(_DATA, where, os.path.join(self._data, "images"))
        cfg = self._config()
        seed_all_rng(cfg.SEED)
        trainer = _UnwatchedTrainer(cfg)
        trainer.register_hooks([_NoteLosses(self._path(_LOSSES))])
        trainer.resume_or_load(resume=True)
        trainer.train()

    def _config(self) -> CfgNode:
        file, options = _CONFIGS[self.kind]
        keys = {**_COMMON, **options, "DATASETS.TRAIN": (_DATA,), "OUTPUT_DIR": self.folder}
        pairs = [part for pair in keys.items() for part in pair]
        return load_config(config_file(file), [*pairs, *self._options])


class _UnwatchedTrainer(Trainer):
    def build_watched_image(self):
        return None  # it takes longer than the training


class _NoteLosses(HookBase):
    """Notes the losses of each iteration in full, a line each."""

    def __init__(self, path: str):
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115

    def after_step(self):
        latest = self.trainer.storage.latest()
        losses = {name: value for name, (value, _) in latest.items() if "loss" in name}
        line = {"process": os.getpid(), "iteration": self.trainer.iter, "lr": latest["lr"][0]}
        self._file.write(json.dumps({**line, **losses}) + "\n")


def kill_and_resume(
    training: KilledTraining,
    number: int,
    moments: list[str],
    expected: dict[int, dict],
    chance: random.Random,
) -> Iterator[Kill]:
    """Kill a training at each of some moments, and let it end.

    Args:
        training: that has not begun.
        number: of it.
        moments: of ``KilledTraining.wait_for``.
        expected: by iteration the losses of one that was not killed.
        chance: source of random moments.
    """
    facts = []
    for moment in moments:
        before = len(training.losses())
        training.start()
        training.wait_for(moment, chance)
        training.kill()
        facts.append((before, moment, len(training.losses()) - before, training.is_writing()))
    before = len(training.losses())
    training.start()
    training.wait()
    lines = training.losses()
    starts = [fact[0] for fact in facts[1:]] + [before]
    ends = [*starts[1:], len(lines)]
    for fact, start, end in zip(facts, starts, ends, strict=True):
        went_on = lines[start:end]
        yield Kill(
            *(training.kind, number, *fact[1:]),
            resumed_at=went_on[0]["iteration"] if went_on else None,
            is_exact=all(same_losses(line, expected[line["iteration"]]) for line in went_on),
        )


def same_losses(line: dict, other: dict) -> bool:
    """Whether two lines say the same of an iteration, to the last bit."""
    return {**line, "process": 0} == {**other, "process": 0}


def same(value, other) -> bool:
    """Whether two contents of checkpoints are the same, to the last bit."""
    if isinstance(value, dict):
        return (
            isinstance(other, dict)
            and value.keys() == other.keys()
            and all(same(value[k], other[k]) for k in value)
        )
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, torch.Tensor):
        return value.dtype == other.dtype and torch.equal(value, other)
    return value == other


def main(args: argparse.Namespace) -> int:
    chance = random.Random(args.seed)
    kills, endings, began = [], [], time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        data = os.path.join(root, "data")
        write_data(data)
        whole = {kind: KilledTraining(kind, data, os.path.join(root, kind)) for kind in KINDS}
        for training in whole.values():
            training.start()
            training.wait()
        number = 0
        while len(kills) < args.kills:
            kind = KINDS[number % 3 == 2]  # a third of them Detectron2's Mask R-CNN
            moments = chance.choices(["start", "iteration", "checkpoint"], [1, 3, 3], k=5)
            moments = moments[: args.kills - len(kills)]
            training = KilledTraining(kind, data, os.path.join(root, f"{kind}_{number}"))
            expected = {line["iteration"]: line for line in whole[kind].losses()}
            kills += kill_and_resume(training, number, moments, expected, chance)
            is_same = same(training.final(), whole[kind].final())
            rows, expected_rows = training.metrics(), whole[kind].metrics()
            endings.append(
                {
                    "model": kind,
                    "training": number,
                    "kills": len(moments),
                    "same_checkpoint": is_same,
                    "same_rows": same(rows, {i: expected_rows.get(i) for i in rows}),
                    "rows_missing": len(expected_rows.keys() - rows.keys()),
                }
            )
            print(f"{len(kills)} of {args.kills} kills, {kind} ends the same: {is_same}")
            number += 1
    exact = sum(kill.is_exact for kill in kills)
    at_the_end = sum(ending["same_checkpoint"] and ending["same_rows"] for ending in endings)
    write_json(
        args.output,
        {
            "what": "trainings that got SIGKILL at random moments and were resumed, against the "
            "same training that was not: losses of every iteration, and at the end weights, "
            "optimiser, schedule and logged figures, bit for bit",
            "command": f"python -m benchmarks.kills {shlex.join(sys.argv[1:])}",
            "date": date.today().isoformat(),
            "machine": machine(),
            "training": f"{ITERATIONS} iterations of 2 drawn images, a checkpoint every {PERIOD}; "
            "ours with 2 workers that load images and paste objects, mask_rcnn with none",
            "kills": len(kills),
            "resumed_exactly": exact,
            "kills_while_a_checkpoint_was_written": sum(kill.was_writing for kill in kills),
            "kills_before_the_first_iteration": sum(kill.iterations == 0 for kill in kills),
            "trainings": len(endings),
            "trainings_that_end_the_same": at_the_end,
            "minutes": round((time.monotonic() - began) / 60, 1),
            "of_each_training": endings,
            "of_each_kill": [asdict(kill) for kill in kills],
        },
    )
    print(f"{exact} of {len(kills)} kills were resumed exactly; the figures: {args.output}")
    return 0 if exact == len(kills) and at_the_end == len(endings) else 1


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON to write")
    return parser


if __name__ == "__main__":
    sys.exit(main(argument_parser().parse_args()))

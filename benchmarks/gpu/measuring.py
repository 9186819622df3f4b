"""Training, accuracy and speed of both models on photographs, on whatever device torch finds."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import cycle, islice

import torch
from detectron2.data import detection_utils as utils

from dml_instance.commands.compare import is_finished
from dml_instance.engine import RESULTS_FILE, load_config
from dml_instance.files import read_json

from ..timing.inference import time_inference
from ..timing.predicted import evenly_taken

RUNS = {
    "ours": "configs/VOC/dml_efficientnet_lite0.yaml",
    "mask_rcnn": "configs/VOC/mask_rcnn_efficientnet_lite0_FPN.yaml",
}
DATASET = "voc_2012_instance_val"
# The grouping by itself is timed on the maps of the shipped model.
_SHIPPED = ("configs/DSB2018/dml_efficientnet_lite0.yaml", "dml://nuclei")
# Of the output of a program that failed so many characters say why.
_TAIL = 2000


def graphics_card() -> dict | None:
    """Name, memory and driver of the GPU, after a product on it; None where there is none.

    Raises:
        RuntimeError: for a GPU that torch does not use, with what to do.
    """
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (FileNotFoundError, subprocess.CalledProcessError):
        listed = []
    if not torch.cuda.is_available():
        if listed:
            raise RuntimeError(
                f"nvidia-smi shows a GPU, but torch {torch.__version__} does not use it: install "
                "a torch that is built for CUDA and for this driver, "
                f"{listed[0]}"
            )
        return None
    ones = torch.ones(64, 64, device="cuda", dtype=torch.bfloat16)
    if (ones @ ones).sum().item() != 64**3:
        raise RuntimeError("a product of two matrices on the GPU is wrong")
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "memory_mib": properties.total_memory // 2**20,
        "driver": listed[0] if listed else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def run_program(module: str, arguments: Sequence[object], log: str) -> None:
    """``python -m MODULE ARGUMENTS`` with all that it prints in a file.

    Raises:
        RuntimeError: if it fails, with the end of the file.
    """
    with open(log, "w", encoding="utf-8") as file:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {_end_of(log)}")


def _end_of(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()[-_TAIL:].strip()


def gpu_tests(folder: str) -> str:
    """The last line of ``pytest -m gpu``."""
    log = os.path.join(folder, "tests.txt")
    options = ("-q", "-rs", "-m", "gpu", "-p", "no:cacheprovider", "tests/test_gpu.py")
    run_program("pytest", options, log)
    return _end_of(log).splitlines()[-1]


def grouping_speed(folder: str) -> list[dict]:
    """The rows of ``benchmarks.speed grouping``, over threads from one to all cores."""
    output = os.path.join(folder, "grouping.json")
    given = ["grouping", "--output", output, "--run", "ours", *_SHIPPED]
    run_program("benchmarks.speed", given, os.path.join(folder, "grouping.txt"))
    return read_json(output)["grouping"]


def run_options(config_file: str, batch: int, options: Sequence[str]) -> list[str]:
    """What a run changes of its yaml, as KEY VALUE pairs.

    The rate goes with the square root of the batch, a rule of thumb for AdamW that was not tried
    here. On a GPU training steps are in bfloat16.

    Args:
        config_file: of the run.
        batch: images a training step.
        options: of the command line, which come last.
    """
    solver = load_config(config_file).SOLVER
    rate = solver.ADAMW.BASE_LR * math.sqrt(batch / solver.IMS_PER_BATCH)
    changed = {
        "SOLVER.IMS_PER_BATCH": batch,
        "SOLVER.ADAMW.BASE_LR": f"{rate:.3g}",
        "DATALOADER.NUM_WORKERS": os.cpu_count() or 1,
    }
    if torch.cuda.is_available():
        changed |= {"SOLVER.AMP.ENABLED": True, "SOLVER.AMP.PRECISION": "bfloat16"}
    return [*(str(part) for pair in changed.items() for part in pair), *options]


def compare(folder: str, minutes: float, batch: int, options: Sequence[str]) -> dict:
    """Both models trained one after the other by ``benchmarks.compare``, and scored.

    Args:
        folder: for the files of the runs and their report.
        minutes: of training for each.
        batch, options: see ``run_options``.

    Returns:
        The report; under ``scores`` what the evaluators of the data set found, mAP^r among it; and
        under ``failed`` what those runs printed last that did not end. The others are reported all
        the same.

    Raises:
        RuntimeError: if none ended.
    """

    def call(names: Sequence[str]) -> None:
        given = ["--minutes", minutes, "--turn", "inf", "--output", folder]
        given += ["--title", f"Photographs, {minutes:g} minutes"]
        for name in names:
            given += ["--run", name, RUNS[name], *run_options(RUNS[name], batch, options)]
        run_program("benchmarks.compare", given, f"{folder}.txt")

    failed = {}
    try:
        call(list(RUNS))
    except RuntimeError:
        ended = [name for name in RUNS if is_finished(os.path.join(folder, name), minutes)]
        if not ended:
            raise
        for name in RUNS.keys() - ended:
            failed[name] = _end_of(os.path.join(folder, name, "stdout.txt"))
        call(ended)
    report = read_json(os.path.join(folder, "report.json"))
    scores = {
        name: read_json(os.path.join(folder, name, RESULTS_FILE))["metrics"][DATASET]
        for name in report["runs"]
    }
    return {**report, "scores": scores, "failed": failed}


def inference_speed(folder: str, batches: Sequence[int], repeats: int) -> list[dict]:
    """Images a second of the trained models on photographs of val, in float32.

    Args:
        folder: of ``compare``.
        batches: images a call.
        repeats: timed calls.

    Returns:
        For each batch and run a row: the figures of ``time_inference``, ``batch``, ``run``,
        ``images_per_second``, and of our network and grouping the ``share`` of the whole, in
        percent: the two are timed apart.
    """
    runs = {
        name: (os.path.join(folder, name, "config.yaml"), None)
        for name in RUNS
        if os.path.isfile(os.path.join(folder, name, "model_final.pth"))
    }
    records = evenly_taken(DATASET, max(batches))
    images = [utils.read_image(record["file_name"], "RGB") for record in records]
    rows = []
    for batch in batches:
        times = time_inference(runs, list(islice(cycle(images), batch)), repeats)
        for name, figures in times.items():
            row = {"batch": batch, "run": name, **figures}
            row["images_per_second"] = round(1e3 * batch / figures["ms"], 1)
            whole, _, part = name.partition(": ")
            if part:
                row["share"] = round(100 * figures["ms"] / times[whole]["ms"], 1)
            rows.append(row)
    return rows

"""What writing results costs beside the model that finds them, in each form and in all at once."""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dml_instance.data import register_given
from dml_instance.data.forms.results import RESULT_FORMS, ResultImage, ResultWriter, found_objects
from dml_instance.engine import load_trained
from dml_instance.keys.classes import classes_of

from ..memory import AddedMemory, in_fresh_process
from .inference import model_inputs


def measure_writing(run: tuple, image: np.ndarray, registrations: Sequence[str] = ()) -> list[dict]:
    """Seconds, and peak memory in MiB, of the model, and of writing all that it finds.

    Args:
        run: the arguments of ``load_trained``.
        image: (H, W, 3) uint8.
        registrations: of data sets, as ``--register-coco`` takes them; a new process knows of none.

    Returns:
        A row for the model, whose memory is what it adds to a process that has loaded it, and that
        still holds the masks in the other rows; for each form; and for all of them. Rows of forms
        have the ``megabytes`` of their files.
    """
    return in_fresh_process(_measured, run, image, registrations)


@torch.no_grad()
def _measured(run: tuple, image: np.ndarray, registrations: Sequence[str]) -> list[dict]:
    register_given(registrations)
    model, cfg = load_trained(*run)
    inputs, classes = model_inputs([image], cfg), classes_of(cfg)
    start = time.perf_counter()
    with AddedMemory() as added:
        instances = model(inputs)[0]["instances"]
    seconds = round(time.perf_counter() - start, 2)
    rows = [{"form": "model", "instances": len(instances), "seconds": seconds, "mib": added.mib}]
    for name, forms in (*((form, [form]) for form in RESULT_FORMS), ("all", list(RESULT_FORMS))):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            with AddedMemory() as added, ResultWriter(folder, classes, forms) as writer:
                writer.add(ResultImage("a", "a.png", image.shape[:2]), found_objects(instances))
            seconds = round(time.perf_counter() - start, 2)
            sizes = [os.path.getsize(path) for path in Path(folder).rglob("*.*")]
        megabytes = round(sum(sizes) / 1e6, 1)
        rows.append({"form": name, "seconds": seconds, "mib": added.mib, "megabytes": megabytes})
    return rows

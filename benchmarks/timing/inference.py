"""Inference of models on the same images; of this project's also network and grouping apart."""

from collections.abc import Sequence

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.config import CfgNode

from dml_instance.data import build_test_augmentation, register_given
from dml_instance.engine import load_trained
from dml_instance.modeling import DMLInstance

from ..memory import AddedMemory, in_fresh_process
from .measure import interleaved


def model_inputs(images: Sequence[np.ndarray], cfg: CfgNode) -> list[dict]:
    """Images (H, W, 3) uint8 as inputs, resized as for evaluation."""
    resize = T.AugmentationList(build_test_augmentation(cfg))
    inputs = []
    for image in images:
        seen = T.AugInput(image)
        resize(seen)
        tensor = torch.from_numpy(np.ascontiguousarray(seen.image.transpose(2, 0, 1)))
        inputs.append({"image": tensor, "height": image.shape[0], "width": image.shape[1]})
    return inputs


@torch.no_grad()
def time_inference(
    runs: dict[str, tuple], images: Sequence[np.ndarray], repeats: int
) -> dict[str, dict]:
    """Milliseconds of one call with all images as a batch.

    Args:
        runs: name to the arguments of ``load_trained``.
        images: (H, W, 3) uint8.
        repeats: timed calls.

    Returns:
        For each name, and for ours also "NAME: network" and "NAME: grouping", what ``interleaved``
        gives; and ``instances``, how many were found an image.
    """
    functions, found = {}, {}
    for name, run in runs.items():
        model, cfg = load_trained(*run)
        inputs = model_inputs(images, cfg)
        functions[name] = lambda model=model, inputs=inputs: model(inputs)
        found[name] = sum(len(result["instances"]) for result in model(inputs)) / len(images)
        if isinstance(model, DMLInstance):
            functions |= _parts(name, model, inputs)
    times = interleaved(functions, repeats)
    for name, count in found.items():
        times[name]["instances"] = count
    return times


def _parts(name: str, model: DMLInstance, inputs: list[dict]) -> dict:
    """The network and the grouping of one model, each without the other."""
    batches = model.inference_batches(inputs)
    predicted = [(model.pyramids(batch), batch) for batch in batches]
    return {
        f"{name}: network": lambda: [model.pyramids(batch) for batch in batches],
        f"{name}: grouping": lambda: [model.inference(*of_batch) for of_batch in predicted],
    }


def memory_of_inference(
    run: tuple, images: Sequence[np.ndarray], registrations: Sequence[str] = ()
) -> float:
    """Peak memory in MiB that the inference of a batch adds to a process that has loaded the model.

    Args:
        run: the arguments of ``load_trained``.
        images: (H, W, 3) uint8.
        registrations: of data sets, as ``--register-coco`` takes them; a new process knows of none.
    """
    return in_fresh_process(_added_by_inference, run, images, registrations)


@torch.no_grad()
def _added_by_inference(
    run: tuple, images: Sequence[np.ndarray], registrations: Sequence[str]
) -> float:
    register_given(registrations)
    model, cfg = load_trained(*run)
    inputs = model_inputs(images, cfg)
    with AddedMemory() as added:
        model(inputs)
    return added.mib

"""Gradients of a training step, over as many processes as there are."""

import os

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import defaults
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from dml_instance import add_dml_config
from dml_instance.engine import wrapping_for
from dml_instance.model_zoo import config_file
from dml_instance.modeling import CRITERION_REGISTRY, DMLCriterion

from .drawn import training_input

# Numbers of images of a batch, of which each process takes its share in this order. The objects of
# the second lie all in its first half: the other process, and the last of three, has none.
BATCHES = {"mixed": (0, 1, 2, 3, 4, 5), "objects in one half": (0, 1, 2, 3, 7, 11)}
_STEPS = 2

GRADIENTS_FILE = "gradients.pth"

_SMALL = (
    *("MODEL.DML.BACKBONE.CHANNELS", [32, 64, 96, 128, 160]),
    *("MODEL.DML.BACKBONE.BLOCKS", [1, 1, 1, 1]),
)
# Norms of a batch would see another batch. The seed loss has its full weight from the first
# iteration on where the schedule has only one.
_REPEATABLE = ("MODEL.RESNETS.NORM", "GN", "MODEL.DML.NORM", "GN", "SOLVER.MAX_ITER", 1)
_FEW_PROPOSALS = (
    *("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 100, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 20),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 16, "MODEL.ROI_BOX_HEAD.FC_DIM", 32),
)
MODELS = {
    "ours": ("Shapes/dml_slim_unet.yaml", *_REPEATABLE, *_SMALL),
    "mask_rcnn": ("Shapes/mask_rcnn_R_18_FPN.yaml", *_FEW_PROPOSALS),
}


@CRITERION_REGISTRY.register()
class RepeatableCriterion(DMLCriterion):
    """Samples the same pixels of an image in whatever process and place of the batch it is."""

    def plan(self, truth, image_size, stride):
        torch.manual_seed(int(truth.masks.pixels.sum()))
        return super().plan(truth, image_size, stride)


def step_all(folder: str, models: tuple[str, ...] = tuple(MODELS)) -> None:
    """A step of each of MODELS on each of BATCHES, divided among the processes; the first one
    writes ``gradients.pth`` into a folder.

    That holds, for ``MODEL, BATCH``: ``losses``, means over processes; ``gradients`` by the names
    of parameters; ``without``, the parameters without one; ``objects``, those that were counted for
    ``MIN_SHARE_APART``, of each process.
    """
    found = {}
    for name in models:
        for batch, numbers in BATCHES.items():
            found[f"{name}, {batch}"] = _step(_config(name), numbers)
    if comm.is_main_process():
        torch.save(found, os.path.join(folder, GRADIENTS_FILE))


def _config(name: str) -> CfgNode:
    file, *options = MODELS[name]
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_file(config_file(file))
    cfg.merge_from_list(
        [
            *("MODEL.DEVICE", "cpu", "MODEL.DML.NUM_CLASSES", 2, "MODEL.ROI_HEADS.NUM_CLASSES", 2),
            *("MODEL.DML.CRITERION.NAME", "RepeatableCriterion"),
            *options,
        ]
    )
    return cfg


def _step(cfg: CfgNode, numbers: tuple[int, ...]) -> dict:
    # Of all processes alike, as every model is behind DistributedDataParallel.
    torch.manual_seed(0)
    model = build_model(cfg)
    with wrapping_for(cfg.MODEL.DEVICE):
        wrapped = defaults.create_ddp_model(model, broadcast_buffers=False)
    share = len(numbers) // comm.get_world_size()
    mine = numbers[comm.get_rank() * share :][:share]
    wrapped.train()
    for _ in range(_STEPS):
        # A parameter that took no part in one step ends the next one, where there are several.
        model.zero_grad()
        with EventStorage():
            losses = wrapped([training_input(number) for number in mine])
        sum(losses.values()).backward()
    of_all = comm.all_gather({key: value.item() for key, value in losses.items()})
    pieces = getattr(getattr(model, "grouping", None), "pieces", None)
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    return {
        "losses": {key: sum(of[key] for of in of_all) / len(of_all) for key in losses},
        "gradients": {key: p.grad for key, p in trained.items() if p.grad is not None},
        "without": [key for key, p in trained.items() if p.grad is None],
        "objects": comm.all_gather(None if pieces is None else pieces.num_objects.tolist()),
    }


def difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Length of the difference of two gradients, over that of the second; NaN where they are not of
    the same parameters."""
    if found.keys() != expected.keys():
        return float("nan")
    apart, whole = (
        torch.cat([g.flatten().double() for g in part]).norm()
        for part in (
            [found[key] - expected[key] for key in expected],
            list(expected.values()),
        )
    )
    return float(apart / whole)

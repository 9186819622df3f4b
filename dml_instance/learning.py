"""A model that goes on learning from a few images in memory, for some minutes.

Shapes: H x W pixels of an image.
"""

import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import HookBase
from detectron2.utils.env import seed_all_rng
from tqdm import tqdm

from .data import register_coco
from .data.annotated import AnnotatedObject
from .data.coco import CocoWriter
from .data.forms.readers.label_images import numbered
from .engine import BudgetTrainer, likest_classes, load_config, load_model
from .files import write_text
from .keys.classes import classes_of
from .modeling import transfer_classes
from .rle import encoded, encoded_part
from .stored_config import weights_in

# Of the learning rate of a training from the beginning.
_RATE = 0.25
# A few images show objects of one size in one light, and others shall be found, too.
_SCALES, _JITTER = (0.5, 3.0), 0.4
# How far the weights go from those before to those that the training ends with.
_SHARE = 0.75


def write_training_set(
    root: str,
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    class_names: Sequence[Mapping[int, str]],
) -> list[str]:
    """Write images and label images as a data set in COCO's format, with the split train alone.

    Args:
        root: folder to write, which must not exist.
        images: (H, W, 3) uint8 each, red, green and blue.
        labels: (H, W) whole numbers each: 0 is background, -1 neither object nor background.
        class_names: of each image the class of each of its labels.

    Returns:
        The names of the classes, in the order of their ids.

    Raises:
        ValueError: for lists of different lengths, a label image of another size than its image or
            of other numbers, a label without a class, or where there is no object at all.
        FileExistsError: if there is a ``root``.
    """
    if not len(images) == len(labels) == len(class_names):
        raise ValueError(
            f"each image wants one label image, got {len(images)} images, {len(labels)} label "
            f"images and classes of {len(class_names)}"
        )
    objects = [
        list(_objects(number, *of_image))
        for number, of_image in enumerate(zip(images, labels, class_names, strict=True))
    ]
    names = sorted({o.class_name for of_image in objects for o in of_image if not o.is_crowd})
    if not names:
        raise ValueError("no label image has an object to learn from: give each object a number")
    with CocoWriter(root, names) as writer:
        writer.start_split("train", "to learn from")
        for number, (image, of_image) in enumerate(zip(images, objects, strict=True)):
            writer.add("train", f"{number:05}", image[..., ::-1], image.shape[:2], of_image)
    return names


def _objects(
    number: int, image: np.ndarray, labels: np.ndarray, class_names: Mapping[int, str]
) -> Iterator[AnnotatedObject]:
    """The objects of a label image; what is not to be learned from as a crowd without a class."""
    labels, size = np.asarray(labels), image.shape[:2]
    if labels.shape != size:
        raise ValueError(f"image {number} is {size}, but its label image {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < -1:
        raise ValueError(
            f"the label image of image {number} holds {labels.dtype} from {labels.min()} on: whole "
            "numbers from -1 on are wanted"
        )
    for label, window in numbered(labels.clip(min=0)):
        corner = (window[0].start, window[1].start)
        mask = encoded_part(labels[window] == label, corner, size)
        try:
            yield AnnotatedObject(mask, class_names[label])
        except KeyError as error:
            raise ValueError(f"label {label} of image {number} has no class") from error
    if (labels == -1).any():
        yield AnnotatedObject(encoded(labels == -1), "", is_crowd=True)


def train_further(
    cfg: CfgNode,
    weights: str,
    data: str,
    folder: str,
    *,
    minutes: float,
    labelled_share: float,
    hooks: Sequence[HookBase] = (),
) -> str:
    """Train a model further on a data set that ``write_training_set`` wrote.

    Lengths stay those of the model. Where the classes of the data are others than the model's, a
    new one starts from that which the model takes its objects for, see ``transfer_classes``.

    A few images are to teach a model without its losing what it knows of others: the statistics of
    its batch norms stay, and the weights in the end lie between those before and those that the
    training ends with (Wortsman et al., arXiv:2109.01903), at three quarters of the way.

    Args:
        cfg: of the model.
        weights: of it.
        data: folder of the data set.
        folder: of the training: OUTPUT_DIR.
        minutes: of training steps.
        labelled_share: of all objects, about how many are annotated, in (0, 1].
        hooks: that watch the ``BudgetTrainer``.

    Returns:
        The file of the new weights, with the config in it.

    Raises:
        ValueError: for minutes that are not above 0, and for a share out of its range.
    """
    if minutes <= 0:
        raise ValueError(f"minutes of training are above 0, got {minutes}")
    name = f"learning_{uuid.uuid4().hex}"
    annotations = os.path.join(data, "annotations", "instances_train.json")
    register_coco(name, annotations, os.path.join(data, "images"))
    try:
        os.makedirs(folder, exist_ok=True)
        start = _start(cfg, weights, name, folder)
        cfg = _training_config(cfg, name, labelled_share)
        cfg.MODEL.WEIGHTS, cfg.OUTPUT_DIR = start, folder
        write_text(os.path.join(folder, "config.yaml"), cfg.dump())
        seed_all_rng(cfg.SEED if cfg.SEED >= 0 else None)
        # Detectron2's trainer prints the whole model where nobody has set up its log.
        logging.getLogger("detectron2").setLevel(logging.INFO)
        trainer = BudgetTrainer(cfg, minutes)
        trainer.register_hooks([_KeepsStatistics(), _PartWay(), _ProgressBar(), *hooks])
        trainer.resume_or_load(resume=False)
        trainer.train()
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    return os.path.join(folder, "model_final.pth")


def _start(cfg: CfgNode, weights: str, name: str, folder: str) -> str:
    """The weights to start from: of a ``DMLInstance`` for other classes than the data's, new ones
    in the folder."""
    before, after = classes_of(cfg).names, MetadataCatalog.get(name).thing_classes
    if list(after) == list(before) or cfg.MODEL.META_ARCHITECTURE != "DMLInstance":
        return weights
    likest = likest_classes(load_model(cfg.clone(), weights), cfg, DatasetCatalog.get(name))
    state = transfer_classes(weights_in(weights), before, after, len(cfg.MODEL.DML.TAUS), likest)
    start = os.path.join(folder, "start.pth")
    torch.save({"model": state}, start)
    return start


class _KeepsStatistics(HookBase):
    """Has batch norms compute with the statistics of the training from the beginning."""

    def before_step(self):
        for module in self.trainer.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()


class _PartWay(HookBase):
    """Takes the weights back by a part of the way that they went."""

    def before_train(self):
        self._start = [weight.detach().clone() for weight in self.trainer.model.parameters()]

    @torch.no_grad()
    def after_train(self):
        for start, weight in zip(self._start, self.trainer.model.parameters(), strict=True):
            weight.copy_(start.lerp(weight, _SHARE))


class _ProgressBar(HookBase):
    """Of the seconds that a ``BudgetTrainer`` has used up."""

    def before_train(self):
        seconds = round(60 * self.trainer.minutes)
        form = "{l_bar}{bar}| {n:.0f} of {total} s{postfix}"
        self._bar = tqdm(total=seconds, desc="learning", bar_format=form)

    def after_step(self):
        self._bar.update(min(60 * self.trainer.used, self._bar.total) - self._bar.n)
        if self.trainer.iter % 10 == 0:
            loss = self.trainer.storage.history("total_loss").latest()
            self._bar.set_postfix_str(f"loss {loss:.2f}", refresh=False)

    def after_train(self):
        self._bar.close()


def _training_config(cfg: CfgNode, name: str, labelled_share: float) -> CfgNode:
    """The config of a model, to go on with a data set."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (name,), ()
    cfg.MODEL.DML.SEED_LOSS.LABELLED_SHARE = labelled_share
    # The embedding is there already, and masks can be judged from the first step on.
    cfg.MODEL.DML.SEED_LOSS.RAMP_START = cfg.MODEL.DML.SEED_LOSS.RAMP_END = 0.0
    rates = cfg.SOLVER.ADAMW if cfg.SOLVER.ADAMW.BASE_LR is not None else cfg.SOLVER
    rates.BASE_LR *= _RATE
    augmentation, (low, high) = cfg.INPUT.AUG, cfg.INPUT.AUG.SCALE_RANGE
    augmentation.SCALE_RANGE = [min(low, _SCALES[0]), max(high, _SCALES[1])]
    augmentation.COLOR_JITTER = max(augmentation.COLOR_JITTER, _JITTER)
    if cfg.INPUT.MIN_SIZE_TRAIN[0] == 0:
        cfg.INPUT.CROP.ENABLED = True  # images may have any size where no stock resizing is
    # They follow from the data.
    cfg.DATASETS.CLASS_NAMES, cfg.DATASETS.CATEGORY_IDS = [], []
    cfg.MODEL.DML.NUM_CLASSES, cfg.MODEL.ROI_HEADS.NUM_CLASSES = 0, 80
    return load_config(cfg)

"""Detectron2's ``DatasetMapper`` with this project's reader of images; quicker where objects are
many, and its errors name the file."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from detectron2.data import detection_utils as utils
from detectron2.data.transforms import AugInput, AugmentationList, TransformList
from detectron2.structures import BitMasks, BoxMode
from PIL import Image
from pycocotools import mask as coco_mask
from scipy import ndimage

from ..errors import FileError
from ..images import PLAIN, ReadingRules, read_image
from ..object_masks import ObjectMasks
from ..rle import as_rle, decoded_part
from .augmentation import build_test_augmentation, build_train_augmentation
from .copy_paste import CopyPaste

# Objects that share one label map: what an 8-bit map, which every transform takes, can tell apart.
_OBJECTS_A_LAYER = 255


class ImageMapper(DatasetMapper):
    """The stock mapper, whose images are read by ``read_image``."""

    def __init__(self, *args, rules: ReadingRules, **options):
        """
        Args:
            args, options: of the stock mapper.
            rules: of reading.
        """
        super().__init__(*args, **options)
        self.rules = rules

    def __call__(self, record: dict) -> dict:
        """A Detectron2 record to the model's input dict.

        Raises:
            FileError: for a file that cannot be read or is not what its record says.
            NotImplementedError: for maps of semantic segmentation and precomputed proposals.
        """
        if "sem_seg_file_name" in record or self.proposal_topk is not None:
            raise NotImplementedError(
                f"{record['file_name']} comes with sem_seg_file_name, or MODEL.LOAD_PROPOSALS is "
                "True: this mapper knows neither; give Detectron2's DatasetMapper to the loader"
            )
        # The stock method reads by a function of Detectron2 and has no place for another, so this
        # is what it does with the kinds of records that this project makes.
        record = copy.deepcopy(record)
        pixels = read_image(record["file_name"], self.rules)
        utils.check_image_size(record, pixels)
        inputs = AugInput(_in_format(pixels, self.image_format))
        transforms = self.augmentations(inputs)
        record["image"] = _as_tensor(inputs.image)
        if not self.is_train:
            record.pop("annotations", None)
        elif "annotations" in record:
            self._transform_annotations(record, transforms, inputs.image.shape[:2])
        return record


def _as_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, C) to (C, H, W)."""
    return torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _in_format(rgb: np.ndarray, image_format: str) -> np.ndarray:
    """(H, W, C) in one of Detectron2's formats of images, of (H, W, 3) uint8."""
    if image_format in ("RGB", "BGR"):
        return rgb if image_format == "RGB" else rgb[..., ::-1]
    return utils.convert_PIL_to_numpy(Image.fromarray(rgb), image_format)


class LabelMapMapper(ImageMapper):
    """RLE masks are transformed together, and pixels can be left out.

    Detectron2 decodes and transforms the mask of every object by itself, at the size of the image:
    hundreds of passes over an image of nuclei. Here objects that the crop leaves out are dropped by
    their boxes, and the others are painted into as few label maps as keep them apart, which are
    transformed instead. The result is the same. Polygons and keypoints go the stock way.

    Masks are handed on as ``BitMasks``, which stock models want, or as ``ObjectMasks``, whose
    memory goes with the area of the objects, and not with their number times the pixels.

    Where a record has crowds (annotations with ``iscrowd``) or a ``void`` RLE, pixels that are
    neither object nor background, they are transformed with the image and handed on as ``ignored``,
    (H, W) bool. Detectron2 drops them.
    """

    def __init__(self, *args, in_windows: bool, **options):
        """
        Args:
            args, options: of ``ImageMapper``.
            in_windows: whether masks are ``ObjectMasks``.
        """
        super().__init__(*args, **options)
        self.in_windows = in_windows

    def _transform_annotations(
        self, dataset_dict: dict, transforms: TransformList, image_shape: tuple[int, int]
    ):
        """Replace ``annotations`` by ``instances``, ``void`` and crowds by ``ignored``."""
        annotations = dataset_dict["annotations"]
        left_out = [dataset_dict.pop("void")] if "void" in dataset_dict else []
        left_out += [
            a["segmentation"] for a in annotations if a.get("iscrowd", 0) and a.get("segmentation")
        ]
        if left_out:
            size = (dataset_dict["height"], dataset_dict["width"])
            union = coco_mask.decode(
                coco_mask.merge([as_rle(segmentation, *size) for segmentation in left_out])
            )
            dataset_dict["ignored"] = torch.from_numpy(
                transforms.apply_segmentation(union).copy()
            ).bool()
        annotations = [annotation for annotation in annotations if not annotation.get("iscrowd", 0)]
        if not self.use_keypoint:
            for annotation in annotations:
                annotation.pop("keypoints", None)
        are_rle = all(
            isinstance(annotation.get("segmentation"), dict) for annotation in annotations
        )
        # Without objects the stock way stumbles over the boxes that it wants to compute from masks.
        if annotations and (not are_rle or self.use_keypoint or not self.use_instance_mask):
            super()._transform_annotations(dataset_dict, transforms, image_shape)
            return
        del dataset_dict["annotations"]
        height, width = image_shape
        boxes = transforms.apply_box(_absolute_boxes(annotations))
        is_seen = (boxes[:, :2] < (width, height)).all(1) & (boxes[:, 2:] > 0).all(1)
        seen = [annotation for annotation, kept in zip(annotations, is_seen, strict=True) if kept]
        masks = _transformed([annotation["segmentation"] for annotation in seen], transforms)
        boxes = boxes[is_seen].clip(0, (width, height) * 2)
        left, windows, corners = [], [], []
        for annotation, box, (mask, corner) in zip(seen, boxes, masks, strict=True):
            if mask.size:
                (row, column), (rows, columns) = corner, mask.shape
                tight = (column, row, column + columns, row + rows)
                annotation = {**annotation, "bbox": tight if self.recompute_boxes else box}
                del annotation["segmentation"]
                left.append({**annotation, "bbox_mode": BoxMode.XYXY_ABS})
                windows.append(mask)
                corners.append(corner)
        instances = utils.annotations_to_instances(left, image_shape)
        if left:
            objects = ObjectMasks.of_windows(windows, corners, image_shape)
            instances.gt_masks = objects if self.in_windows else BitMasks(objects.tensor)
        dataset_dict["instances"] = utils.filter_empty_instances(instances, by_mask=False)


def _absolute_boxes(annotations: list[dict]) -> np.ndarray:
    """(N, 4) float64 boxes (left, top, right, bottom) of annotations.

    Those of one mode are converted together.
    """
    boxes = np.array([annotation["bbox"] for annotation in annotations], dtype=float).reshape(-1, 4)
    modes = np.array([annotation["bbox_mode"] for annotation in annotations])
    for mode in np.unique(modes):
        boxes[modes == mode] = BoxMode.convert(
            boxes[modes == mode], BoxMode(mode), BoxMode.XYXY_ABS
        )
    return boxes


def _transformed(
    rles: list[dict], transforms: TransformList
) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """COCO RLEs under transforms that take each output pixel from one input pixel.

    Returns:
        For each the window (h, w) bool that it just fills, empty where nothing is left; and the row
        and column of its first pixel.
    """
    layers: list[np.ndarray] = []
    counts: list[int] = []
    place = []
    for rle in rles:
        mask, (top, left) = decoded_part(rle)
        window = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        for index, layer in enumerate(layers):
            if counts[index] < _OBJECTS_A_LAYER and not layer[window][mask].any():
                break
        else:
            index = len(layers)
            layers.append(np.zeros(rle["size"], dtype=np.uint8))
            counts.append(0)
        counts[index] += 1
        layers[index][window][mask] = counts[index]
        place.append((index, counts[index]))
    moved = [transforms.apply_segmentation(layer) for layer in layers]
    windows = [
        ndimage.find_objects(layer, max_label=count)
        for layer, count in zip(moved, counts, strict=True)
    ]
    masks = []
    for index, number in place:
        window = windows[index][number - 1]
        if window is None:
            masks.append((np.zeros((0, 0), bool), (0, 0)))
        else:
            masks.append((moved[index][window] == number, (window[0].start, window[1].start)))
    return masks


class FileNamingMapper:
    """Calls a mapper; whatever goes wrong in it is raised again with the name of the image file.

    Raises:
        FileError: for a file that cannot be read, or has another size than its record says;
            with the cure.
        RuntimeError: for any other error, which is no fault of the file.
    """

    def __init__(self, mapper: DatasetMapper):
        self.mapper = mapper

    def __call__(self, record: dict) -> dict:
        """A Detectron2 record to the model's input dict."""
        file = record["file_name"]
        try:
            return self.mapper(record)
        except (FileError, MemoryError):
            raise
        except utils.SizeMismatchError as error:
            raise FileError(f"{file} is not what its record says: {error}") from error
        except Exception as error:
            raise RuntimeError(f"cannot map {file}: {type(error).__name__}: {error}") from error


def training_records(cfg) -> list[dict]:
    """Detectron2's records of ``DATASETS.TRAIN``."""
    return get_detection_dataset_dicts(
        cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    )


def build_train_mapper(cfg, records: Sequence[dict] | None = None) -> FileNamingMapper | CopyPaste:
    """The stock mapper's work with the augmentation of ``build_train_augmentation``, and objects
    pasted as ``INPUT.AUG.COPY_PASTE`` says.

    Args:
        cfg: of a training.
        records: to paste from; None: ``training_records``, loaded where they are wanted.
    """
    mapper = FileNamingMapper(
        LabelMapMapper(
            cfg,
            is_train=True,
            augmentations=build_train_augmentation(cfg),
            recompute_boxes=cfg.MODEL.MASK_ON and cfg.INPUT.CROP.ENABLED,
            rules=PLAIN,
            # Pasting works on whole masks, and so do the models of Detectron2.
            in_windows=cfg.MODEL.META_ARCHITECTURE == "DMLInstance"
            and not cfg.INPUT.AUG.COPY_PASTE,
        )
    )
    if not cfg.INPUT.AUG.COPY_PASTE:
        return mapper
    if records is None:
        records = training_records(cfg)
    return CopyPaste(mapper, records, cfg.INPUT.AUG.COPY_PASTE)


class PixelMapper:
    """Images in memory to the model's input dict, as ``build_test_mapper`` maps files."""

    def __init__(self, cfg):
        """
        Args:
            cfg: of a training.
        """
        self._augmentations = AugmentationList(build_test_augmentation(cfg))
        self._format = cfg.INPUT.FORMAT

    def __call__(self, rgb: np.ndarray) -> dict:
        """(H, W, 3) uint8 red, green and blue to ``image`` (C, h, w), ``height`` and ``width``."""
        inputs = AugInput(_in_format(rgb, self._format))
        self._augmentations(inputs)
        height, width = rgb.shape[:2]
        return {"image": _as_tensor(inputs.image), "height": height, "width": width}


def build_test_mapper(cfg, rules: ReadingRules = PLAIN) -> FileNamingMapper:
    """The stock mapper for inference with the resizing of ``build_test_augmentation``.

    Args:
        cfg: of a training.
        rules: of reading the images.
    """
    return FileNamingMapper(
        ImageMapper(cfg, is_train=False, augmentations=build_test_augmentation(cfg), rules=rules)
    )

"""What a few clicks on one image and minutes of learning are worth on others.

    python -m benchmarks.correct_and_learn --data datasets/dsb2018 --model shapes --output loop.json

A user is played on one image of the training set: what the model finds there stays where it is an
object (IoU 0.5 and more). Of 20 clicks the first delete what is false. Each of the others grows an
object that was missed, from the point farthest inside it, with the slider where the mask is best,
and is undone if that is no object either. The model learns from this image for three minutes, and
is scored on ten of the images to evaluate on before and after: of any kind, or, with ``--alike``,
of the size of the corrected one, coloured or grey as it is, as the images of one experiment are.
Another image and other ten are drawn for each seed.
"""

import argparse
import contextlib
import io
import os
import tempfile
from collections import defaultdict

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage

import dml_instance
from dml_instance.data import PixelMapper
from dml_instance.engine import machine
from dml_instance.evaluation.average_precision import mask_iou
from dml_instance.evaluation.coco_scheme import accumulated, mean_percent
from dml_instance.files import write_json
from dml_instance.images import read_image
from dml_instance.rle import as_rle, encoded_part

# An object, and not something else.
_IOU = 0.5
# Where the user tries the slider.
_TAUS = np.linspace(0.05, 0.95, 19)
_MOST_DETECTIONS = 1000


class Images:
    """One split of a data set in COCO's format."""

    def __init__(self, root: str, split: str, largest: int):
        """
        Args:
            root: folder with annotations/ and images/.
            split: "train" or "val".
            largest: images with a longer side are left out, in pixels.
        """
        self._folder = os.path.join(root, "images")
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(os.path.join(root, "annotations", f"instances_{split}.json"))
        sizes = {i: max(e["height"], e["width"]) for i, e in self.coco.imgs.items()}
        self.ids = [i for i, side in sizes.items() if side <= largest]

    def file(self, image_id: int) -> str:
        return os.path.join(self._folder, self.coco.imgs[image_id]["file_name"])

    def kind(self, image_id: int) -> tuple[int, int, bool]:
        """Height, width, and whether it has colours."""
        entry, pixels = self.coco.imgs[image_id], read_image(self.file(image_id))
        return entry["height"], entry["width"], bool((pixels != pixels[..., :1]).any())

    def masks(self, image_id: int) -> list[dict]:
        """True objects, as compressed RLE."""
        entry = self.coco.imgs[image_id]
        annotations = self.coco.imgToAnns[image_id]
        return [as_rle(a["segmentation"], entry["height"], entry["width"]) for a in annotations]


def correct(model: dml_instance.Segmenter, file: str, truth: list[dict], clicks: int) -> dict:
    """What the user leaves: ``labels`` (H, W), and counts of what was done.

    Args:
        model: that the page runs.
        file: of the image.
        truth: its objects.
        clicks: to spend.
    """
    result = model(file)
    size = result.image.shape[:2]
    found = [encoded_part(o.mask, o.corner, size) for o in result.objects]
    iou = mask_iou(found, truth)
    kept, known = [], set()
    for index in range(len(found)):  # best score first
        best = int(iou[index].argmax())
        if iou[index, best] >= _IOU and best not in known:
            known.add(best)
            kept.append(found[index])
    false = [mask for mask in found if mask not in kept]
    counts = {"objects": len(truth), "found": len(kept), "false": len(false)}
    missed = [index for index in range(len(truth)) if index not in known]
    grown = []
    for index in missed[: max(clicks - len(false), 0)]:
        mask = _grown(model, result.image, truth[index])
        if mask is not None:
            grown.append(mask)
    false = false[clicks:]
    labels = np.zeros(size, np.int32)
    for number, mask in enumerate([*false, *kept, *grown], start=1):
        labels[coco_mask.decode(mask).astype(bool)] = number
    return {**counts, "grown": len(grown), "left_false": len(false), "labels": labels}


def _grown(model: dml_instance.Segmenter, image: np.ndarray, truth: dict) -> dict | None:
    """The best mask of the slider from inside an object; None where none is that object."""
    inside = np.pad(coco_mask.decode(truth), 1)
    depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
    point = np.unravel_index(depth.argmax(), depth.shape)
    size = image.shape[:2]
    with torch.no_grad():
        (pyramid,) = model.model.pyramids([PixelMapper(model.cfg)(image)])
    ground = model.model.grouping.ground(pyramid, size)
    masks = [m for m in (ground.grow(point, float(tau)) for tau in _TAUS) if m is not None]
    rles = [encoded_part(m.pixels, m.corner, size) for m in masks]
    iou = mask_iou(rles, [truth])[:, 0]
    if not len(iou) or iou.max() < _IOU:
        return None
    return rles[int(iou.argmax())]


def average_precision(model: dml_instance.Segmenter, images: Images, ids: list[int]) -> float:
    """COCO's mask AP of one class on some images, 0 to 100."""
    detections = []
    for image_id in ids:
        result = model(images.file(image_id), min_score=0.0)
        for found in result.objects:
            mask = encoded_part(found.mask, found.corner, result.image.shape[:2])
            detections.append(
                {"image_id": image_id, "category_id": 1, "segmentation": mask, "score": found.score}
            )
    if not detections:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(images.coco, images.coco.loadRes(detections), "segm")
    evaluation.params.imgIds = ids
    precision, _ = accumulated(evaluation, _MOST_DETECTIONS)
    return mean_percent(precision[..., 0])


def drawn_images(
    train: Images, val: Images, seed: int, args: argparse.Namespace
) -> tuple[int, list[int]]:
    """The image to correct, and those to score on."""
    rng = np.random.default_rng(seed)
    crowded = [i for i in train.ids if args.least <= len(train.coco.imgToAnns[i])]
    while True:
        image, of_val = int(rng.choice(crowded)), val.ids
        if args.alike:
            of_val = [i for i in val.ids if val.kind(i) == train.kind(image)]
        if len(of_val) >= args.images:
            return image, [int(i) for i in rng.choice(of_val, args.images, replace=False)]


def main(args: argparse.Namespace) -> None:
    model = dml_instance.load(args.model)
    train, val = (Images(args.data, split, args.largest) for split in ("train", "val"))
    runs = []
    for seed in args.seeds:
        image, others = drawn_images(train, val, seed, args)
        left = correct(model, train.file(image), train.masks(image), args.clicks)
        labels = left.pop("labels")
        share = min((left["found"] + left["grown"]) / left["objects"], 1.0)
        before = average_precision(model, val, others)
        with tempfile.TemporaryDirectory() as folder:
            learned = model.fine_tune(
                [read_image(train.file(image))],
                [labels],
                minutes=args.minutes,
                class_names=[defaultdict(lambda: "nucleus")],
                labelled_share=share,
                output=os.path.join(folder, "learned"),
            )
            after = average_precision(learned, val, others)
        name = os.path.basename(train.file(image))
        facts = {"seed": seed, "image": name, **left, "labelled_share": round(share, 3)}
        runs.append({**facts, "before": round(before, 1), "after": round(after, 1)})
        print(runs[-1], flush=True)
        given = {k: v for k, v in vars(args).items() if k not in ("data", "output")}
        write_json(args.output, {"arguments": given, "machine": machine(), "runs": runs})


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.correct_and_learn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="annotations/ and images/")
    parser.add_argument("--model", default="shapes", help="to start from (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=3.0, help="default: %(default)g")
    parser.add_argument("--clicks", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=10, help="to score on (default: %(default)s)")
    parser.add_argument(
        "--alike", action="store_true", help="score on images of the kind of the corrected one"
    )
    parser.add_argument(
        "--largest", type=int, default=400, help="longer side of images (default: %(default)s)"
    )
    parser.add_argument(
        "--least",
        type=int,
        default=20,
        help="objects of the corrected image (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", required=True, metavar="FILE.json")
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

"""Segment images with a trained model, and write what is found in the forms of other programs.

    dml segment --model nuclei --input a.png b.png --output masks
    dml segment --model output/cell --input raw --output masks --format csv geojson rois
    python tools/predict.py --config-file output/cell/config.yaml --input raw --output masks

Folders are searched with their sub-folders. Forms, of which the first three are written by default:

    labels     labels/NAME.png, label image of 16 bits: 0 is background, 1, 2, 3 ... the objects,
               best score first; of more than 65,535 objects, or 100 million pixels, NAME.tif of
               32 bits
    csv        objects.csv, a line for each object: image, label, class, score, area, centre and box
               in pixels
    coco       instances.json, masks in COCO's format: --register-coco takes it, once corrected, as
               training data
    labels32   labels32/NAME.tif of 32 bits
    geojson    geojson/NAME.geojson, outlines that QuPath imports
    rois       rois/NAME.zip, regions for the ROI Manager of ImageJ and Fiji

NAME is the image's, with its sub-folders. Each image is written when it is segmented, and stays,
whatever happens to a later one. A file that is no readable image is skipped; the last lines list
such files, and the exit status is 1.

Images beyond --max-pixels are segmented region by region, where they are TIFF or Zarr. With
--scheduler images and regions are shared out over the workers of a Dask cluster:

    dask scheduler & dask worker tcp://HOST:8786 --nthreads 1
    dml segment --model nuclei --input slides --output masks --scheduler tcp://HOST:8786
"""

import argparse
import contextlib
import os
import sys

import torch
from detectron2.utils.logger import setup_logger

from ..data import register_given
from ..data.forms.results import (
    DEFAULT_FORMS,
    RESULT_FORMS,
    ResultImage,
    ResultWriter,
    result_files,
)
from ..data.input_files import check_apart, input_files, remarks_on_names
from ..engine import (
    Finder,
    FinderPlan,
    Tally,
    Workers,
    found_here,
    given_model,
    load_model,
    message_of,
    min_score_of,
    run_over_images,
)
from ..errors import FileError
from ..grouping import ReachedLimits
from ..keys.classes import classes_of
from ..options import ModelArgumentParser, add_reading_options, add_score_option, reading_rules
from ..report import counted

_MOST = "TEST.DETECTIONS_PER_IMAGE"


def main(args: argparse.Namespace) -> int:
    """Segment everything; returns the exit status: 0 if no file was skipped."""
    setup_logger(name="dml_instance")
    with contextlib.ExitStack() as stack:
        try:
            register_given(args.register_coco)
            targets = [os.path.join(args.output, form.target) for form in RESULT_FORMS.values()]
            results = [args.output, *targets]
            files = {file.path: file for file in input_files(args.input, leave_out=results)}
            names = [file.name for file in files.values()]
            check_apart(files, result_files(args.output, args.format, names))
            rules = reading_rules(args)
            workers = stack.enter_context(Workers(args.scheduler)) if args.scheduler else None
            cfg, weights = given_model(args)
            model = load_model(cfg, weights)
            tally = Tally(min_score_of(cfg, args.min_score))
            replaced = [file.relative for file in files.values()] if args.overwrite else None
            writer = ResultWriter(args.output, classes_of(cfg), args.format, replaced=replaced)
        except (KeyError, OSError, ValueError, ModuleNotFoundError) as error:
            sys.exit(f"error: {message_of(error)}")
        most = cfg.TEST.DETECTIONS_PER_IMAGE if _MOST in args.opts else None
        finder = Finder(model, cfg, rules, tally.min_score, most)
        if workers is None:
            found = found_here(finder, files)
        else:
            device = cfg.MODEL.DEVICE if "MODEL.DEVICE" in args.opts else None
            plan = FinderPlan.of(cfg, weights, rules, tally.min_score, most=most, device=device)
            found = workers.found(plan, files, finder.jobs)
        limits, cut = ReachedLimits(), []

        def segment(record: dict) -> None:
            file, of_image = files[record["file_name"]], next(found)
            if isinstance(of_image, FileError):
                raise of_image
            writer.add(ResultImage(file.name, file.relative, of_image.size), of_image.objects)
            tally.count(file.relative, torch.from_numpy(of_image.scores), len(of_image.objects))
            limits.count(of_image.limits)
            cut.extend([file.relative] * of_image.cut)

        status = run_over_images(
            [{"file_name": path} for path in files],
            segment,
            "segmenting",
            tally,
            args.output,
            results=writer,
            remarks=lambda: [
                *limits.remarks,
                *_remarks_on_cut(cut),
                *writer.remarks,
                *remarks_on_names(list(files.values())),
            ],
        )
    objects, images = counted(tally.objects, "object"), counted(tally.images, "image")
    print(f"{objects} in {images}: {args.output}")
    return status


def _remarks_on_cut(cut: list[str]) -> list[str]:
    """A line on objects that are larger than what regions share, by the image of each."""
    if not cut:
        return []
    return [
        f"{counted(len(cut), 'object')} of {counted(len(set(cut)), 'image')} in regions, as "
        f"{cut[0]}, may be cut: raise --max-pixels or MODEL.DML.TILES.OVERLAP"
    ]


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = ModelArgumentParser(__doc__, prog)
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="images, or folders of images"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=RESULT_FORMS,
        default=DEFAULT_FORMS,
        metavar="FORM",
        help=f"one or several of {', '.join(RESULT_FORMS)} (default: {' '.join(DEFAULT_FORMS)})",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results of the same images in DIR"
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask cluster whose workers segment, as tcp://HOST:8786 (default: this process)",
    )
    add_score_option(parser)
    add_reading_options(parser)
    return parser

"""From the paper's form to this project's on photographs: one departure after the other.

    python -m benchmarks.departures --minutes 10 --output output/compare/departures

trains ``configs/VOC/dml_paper_form.yaml``, then the same with the first departure, with the first
two, and so on to ``configs/VOC/dml_efficientnet_lite0.yaml``, each for the same minutes in turns,
by ``benchmarks.compare``. What stands behind ``--opts`` is for all of them.
"""

import argparse

from dml_instance.commands import compare
from dml_instance.engine import use_huge_pages

PAPER, OURS = "configs/VOC/dml_paper_form.yaml", "configs/VOC/dml_efficientnet_lite0.yaml"

_DML = "MODEL.DML."
DEPARTURES = {
    # Of grown masks as a whole, and of pairs that weigh the same whatever the size of an object.
    "mask_loss": {
        _DML + "MASK_LOSS.WEIGHT": 1.0,
        _DML + "PAIR_LOSS.WEIGHT": 0.1,
        _DML + "PAIR_LOSS.BACKGROUND_PIXELS": 96,
        _DML + "PAIR_LOSS.MAX_INSTANCES": 48,
        _DML + "PAIR_LOSS.GROUP_SIZE": "count",
        _DML + "PAIR_LOSS.NORMALIZATION": "apart",
    },
    # The seed head says how good a mask is, from the first iteration on.
    "iou_prediction": {
        _DML + "SEED_LOSS.TARGET": "iou",
        _DML + "SEED_LOSS.WEIGHT": 0.3,
        _DML + "SEED_LOSS.RAMP_START": 0.0,
        _DML + "SEED_LOSS.RAMP_END": 0.2,
        _DML + "GROUPING.CLASS_BY": "vote",
        _DML + "GROUPING.SCORE": "seediness_similarity",
    },
    "peaks": {
        _DML + "GROUPING.CANDIDATES": "peaks",
        _DML + "GROUPING.MIN_SEEDINESS": 0.05,
        _DML + "GROUPING.MAX_SEEDS": 0,
        _DML + "GROUPING.DIVERSITY": "dissimilarity",
        _DML + "GROUPING.CONNECT_GAP": 32,
        _DML + "GROUPING.SMALL_MASK_CELLS": 2.0,
    },
    "stride_4": {
        "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
        _DML + "DECODER.STRIDE": 4,
        _DML + "DECODER.SEED_STRIDE": 8,
        _DML + "DECODER.CHANNELS": 64,
    },
    "place_and_scale": {
        _DML + "EMBEDDING_HEAD.DIM": 16,
        _DML + "EMBEDDING_HEAD.NUM_CONVS": 1,
        _DML + "EMBEDDING_HEAD.CHANNELS": 64,
        _DML + "EMBEDDING_HEAD.COORDINATE_UNIT": 64.0,
        _DML + "EMBEDDING_HEAD.DISTANCE_SCALE": True,
    },
    "seeds_see_masks": {
        _DML + "SEED_HEAD.DILATIONS": [1, 2, 4, 8],
        _DML + "SEED_HEAD.CHANNELS": 96,
        _DML + "SEED_HEAD.RADII": [16, 32, 64, 128],
    },
    "copy_paste": {"INPUT.AUG.COPY_PASTE": 0.5},
    "class_feature": {
        "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5", "head"],
        _DML + "IN_FEATURES": ["res2", "res3", "res4", "res5"],
        _DML + "SEED_HEAD.CLASS_FEATURE": "head",
    },
    "mean_shifts": {_DML + "GROUPING.MEAN_SHIFTS": 2},
    "classes_a_mask": {
        _DML + "GROUPING.VOTE_EXPONENT": 0.3,
        _DML + "GROUPING.CLASSES_PER_MASK": 3,
    },
    "rates": {"SOLVER.ADAMW.BASE_LR": 0.001, "SOLVER.BACKBONE_MULTIPLIER": 0.2},
    "muon": {"SOLVER.OPTIMIZER": "Muon"},
}


def forms() -> dict[str, list[str]]:
    """KEY VALUE options on top of PAPER, by the name of the departure that is their last."""
    options, every = [], {"paper": []}
    for name, changed in DEPARTURES.items():
        for key, value in changed.items():
            options += [key, str(value)]
        every[name] = list(options)
    return every


def main(args: argparse.Namespace) -> None:
    command = [*("--minutes", str(args.minutes)), *("--output", args.output), *("--pictures", "0")]
    command += ["--title", f"From the paper to this project, {args.minutes:g} minutes"]
    for name, options in forms().items():
        command += ["--run", name, PAPER, *options]
    arguments = compare.argument_parser().parse_args([*command, "--opts", *args.opts])
    compare.main(arguments)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.departures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, required=True, help="of training for each")
    parser.add_argument("--output", required=True, metavar="DIR", help="that of benchmarks.compare")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE options of all"
    )
    return parser


if __name__ == "__main__":
    use_huge_pages()
    main(argument_parser().parse_args())

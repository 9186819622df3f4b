"""Write a trained model as a folder that runs without torch and Detectron2.

    dml export --model nuclei --output nuclei_model
    dml export --model output/cell --output cell_model
    python tools/export.py --config-file configs/DSB2018/dml_efficientnet_lite0.yaml \\
        --weights dml://nuclei --output nuclei_model

The folder holds network.onnx and rules.json. ``dml_instance.runtime.load("cell_model")`` runs it:
docs/export.md. It takes half a minute to some minutes, and compares the result with the model.
"""

import argparse
import sys

from detectron2.utils.logger import setup_logger

from ..data import register_given
from ..engine import find_all, given_model, load_model, message_of
from ..export import export_model
from ..options import ModelArgumentParser, add_score_option


def main(args: argparse.Namespace) -> int:
    """Export, and say what was written; returns the exit status, 0."""
    setup_logger(name="dml_instance")
    try:
        register_given(args.register_coco)
        cfg, weights = given_model(args)
        model = load_model(cfg, weights)
        if "TEST.DETECTIONS_PER_IMAGE" not in args.opts:
            find_all(model)
        written = export_model(
            model, cfg, args.output, min_score=args.min_score, overwrite=args.overwrite
        )
    except (ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {message_of(error)}")
    print(
        f"{args.output}: network.onnx of {written.bytes / 1e6:.1f} MB, ONNX opset "
        f"{written.opset}, and rules.json; onnxruntime and torch differ by "
        f"{written.largest_difference:.1g} at most"
    )
    return 0


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = ModelArgumentParser(__doc__, prog)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace what lies at DIR")
    add_score_option(parser)
    return parser

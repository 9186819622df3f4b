#!/usr/bin/env python
"""Write a trained model as a folder that runs without torch and Detectron2.

    python tools/export.py --config-file output/cells/config.yaml --output cells_model
    python tools/export.py --config-file configs/DSB2018/dml_slim_unet.yaml \\
        --weights dml://nuclei --output nuclei_model

The folder holds network.onnx and rules.json. ``dml_instance.runtime.load("cells_model")`` runs it:
docs/export.md. It takes half a minute to some minutes, and compares the result with the model.
"""

import argparse
import sys

from detectron2.utils.logger import setup_logger

from dml_instance.data import register_given
from dml_instance.engine import add_model_options, add_score_option, load_trained, message_of
from dml_instance.export import export_model
from dml_instance.modeling import DMLInstance


def main(args: argparse.Namespace) -> None:
    """Export, and say what was written."""
    setup_logger(name="dml_instance")
    try:
        register_given(args.register_coco)
        model, cfg = load_trained(args.config_file, args.weights, args.opts, needs_data=False)
        if isinstance(model, DMLInstance) and "TEST.DETECTIONS_PER_IMAGE" not in args.opts:
            # The key bounds what is scored; who segments wants all that is found.
            model.grouping.max_instances = None
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


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace what lies at DIR")
    add_score_option(parser)
    return parser


if __name__ == "__main__":
    main(argument_parser().parse_args())

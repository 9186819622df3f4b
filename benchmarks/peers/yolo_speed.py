"""Time a model beside YOLO11n-seg's own PyTorch predictor, in turn on the same images.

It needs ultralytics, in an environment of its own that also has this project's packages. From the
repository's root:

    python -m venv --system-site-packages .venv-yolo
    .venv-yolo/bin/pip install -r requirements.txt ultralytics
    .venv-yolo/bin/python -m benchmarks.peers.yolo_speed --images photographs --side 512 \\
        --run configs/VOC/dml_efficientnet_lite0.yaml output/voc/model_final.pth \\
        --output benchmarks/results/photographs/speed_beside_yolo.json

Both get an image of uint8 pixels in memory, and end with masks at the size of the image: resizing,
network, and what turns its output into objects. Without ``--yolo`` weights, YOLO's are random: it
finds nothing, which is the least that its last step can cost.
"""

import argparse
import shlex
import sys

import cv2
import torch
from tabulate import tabulate
from ultralytics import YOLO

from dml_instance.data.input_files import input_files
from dml_instance.engine import load_trained, machine, use_huge_pages
from dml_instance.files import write_json
from dml_instance.images import evenly_spread

from ..timing.inference import model_inputs
from ..timing.measure import quartiles
from ..timing.stopwatch import now_ms

_WARM_UP = 5


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    config, weights, *options = args.run
    # The images have their size already.
    model, cfg = load_trained(
        config, weights, [*options, "INPUT.MIN_SIZE_TEST", 0, "MODEL.DEVICE", "cpu"]
    )
    yolo = YOLO(args.yolo)
    images = [  # RGB or BGR: what it costs is the same
        cv2.resize(cv2.imread(file.path), (args.side, args.side))
        for file in evenly_spread(input_files([args.images]), args.count)
    ]
    functions = {
        "ours": lambda image: model(model_inputs([image], cfg))[0]["instances"],
        "yolo": lambda image: yolo.predict(
            image, imgsz=args.side, device="cpu", verbose=False, retina_masks=True
        )[0],
    }
    times = {name: [] for name in functions}
    found = dict.fromkeys(functions, 0)
    for image in [*images[:_WARM_UP], *images]:
        for name, function in functions.items():
            start = now_ms()
            instances = function(image)
            times[name].append(now_ms() - start)
            found[name] += len(instances)
    rows = [
        {"run": name, **quartiles(ms[_WARM_UP:]), "objects": found[name] / len(ms)}
        for name, ms in times.items()
    ]
    print(tabulate(rows, headers="keys", floatfmt=".1f"))
    if args.output:
        command = shlex.join(["python", "-m", "benchmarks.peers.yolo_speed", *sys.argv[1:]])
        write_json(
            args.output,
            {"command": command, "machine": machine(), "side": args.side, "times": rows},
        )


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.yolo_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--run",
        nargs="+",
        required=True,
        metavar=("CONFIG.yaml", "WEIGHTS KEY VALUE"),
        help="the model that is timed beside YOLO",
    )
    parser.add_argument(
        "--yolo",
        default="yolo11n-seg.yaml",
        metavar="FILE",
        help="its yaml, or weights (default: %(default)s)",
    )
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--count", type=int, default=100, help="images taken, evenly (default: %(default)s)"
    )
    parser.add_argument(
        "--side", type=int, default=512, help="of the images in pixels (default: %(default)s)"
    )
    parser.add_argument("--output", metavar="FILE.json", help="write the figures there as well")
    return parser


if __name__ == "__main__":
    use_huge_pages()
    main(argument_parser().parse_args())

"""How far network and grouping are from what the machine allows, by a roofline.

    limit = max( bytes that must move / memory bandwidth,
                 FLOPs that must be done / speed of matrix products )

Both speeds are measured, on the threads that the model uses too. The limit is no promise that it
can be reached: it has no latency, no Python, no sorting and no labelling of parts. Nor is it strict
where data stays in a cache, which is faster than memory, or where a convolution needs fewer
operations than its definition has.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from detectron2.structures import Instances
from torch import Tensor
from tqdm import tqdm

from dml_instance.engine import load_trained
from dml_instance.modeling import DMLInstance

from .measure import interleaved, quartiles
from .operations import multiply_adds
from .predicted import Predicted, check_model, evenly_taken, inputs_of, predict


@dataclass(frozen=True)
class Work:
    """What must be done at least: FLOPs, and bytes moved between memory and processor."""

    flops: int
    bytes: int


@dataclass(frozen=True)
class MachineSpeed:
    """What this process gets from the machine with ``threads``: at best so much a second."""

    bytes_per_second: float
    flops_per_second: float
    threads: int

    def limit_ms(self, work: Work) -> float:
        """Milliseconds that the work takes at least, when moving and computing overlap."""
        return 1e3 * max(work.bytes / self.bytes_per_second, work.flops / self.flops_per_second)


def machine_speed(copied_mib: int = 256, side: int = 2048, repeats: int = 5) -> MachineSpeed:
    """The best of several tries.

    Args:
        copied_mib: size of the array that is copied; every byte is read once and written once. Far
            beyond the caches.
        side: of the square float32 matrices whose product is 2 side^3 FLOPs.
    """
    source = torch.ones(copied_mib * 2**18)
    target = torch.empty_like(source)
    a, b = torch.rand(2, side, side)
    product = torch.empty_like(a)
    return MachineSpeed(
        bytes_per_second=2
        * copied_mib
        * 2**20
        / _least_seconds(lambda: target.copy_(source), repeats),
        flops_per_second=2 * side**3 / _least_seconds(lambda: torch.mm(a, b, out=product), repeats),
        threads=torch.get_num_threads(),
    )


def _least_seconds(function: Callable, repeats: int) -> float:
    """The shortest of some calls, after one that does not count."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def grouping_work(image: Predicted, boxes: Tensor) -> Work:
    """What the grouping of an image must do at least, given the instances that come out.

    Bytes: every class logit is read once, to find the seeds; for every instance the embedding is
    read once in the cells of its box, and every pixel of the box is written once. Pixels outside of
    the boxes are for free: the system hands out zeros. Masks that are grown in vain count nothing.

    FLOPs: 3 a logit for the softmax (an exponential, a sum, a division); 3 D + 1 a cell of a box
    for the squared distance to the seed (difference, square and sum in D channels, and the factor
    of the seed). What is interpolated beyond that counts nothing.

    Args:
        image: the predictions.
        boxes: (N, 4) float, left, top, right and bottom in output pixels, half open.
    """
    embedding, class_logits = image.maps.embedding, image.maps.class_logits
    pixels = int(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sum())
    cells = int(pixels / math.prod(image.cell_size))
    channels = len(embedding)
    return Work(
        flops=3 * class_logits.numel() + cells * (3 * channels + 1),
        bytes=class_logits.numel() * class_logits.element_size()
        + cells * channels * embedding.element_size()
        + pixels,  # a byte each
    )


def network_work(model: DMLInstance, x: dict, image: Predicted) -> Work:
    """What the network must do at least for one input.

    Bytes: image and parameters are read once, predictions are written once; what lies between could
    stay in a cache. FLOPs: 2 for every multiply-add that fvcore counts.
    """
    maps = image.maps
    moved = [x["image"], *model.parameters()]
    moved += [maps.embedding, maps.distance_scale, maps.class_logits]
    return Work(
        flops=2 * int(multiply_adds(model, x)),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in moved),
    )


@torch.no_grad()
def benchmark_roofline(
    name: str, run: tuple, dataset: str, images: int, repeats: int
) -> list[dict]:
    """Network and grouping of a model beside their limits.

    Args:
        name: of the run.
        run: the arguments of ``load_trained``.
        dataset: registered.
        images: how many of it, one at a time.
        repeats: timed calls of an image.

    Returns:
        Two rows: medians over images of ``mflop``, of ``mib`` that must move, of the limit in
        microseconds, ``limit_us``, of ``ms``, with its quartiles, and of the ratio ``times_limit``;
        what sets the limit of most images, ``bound`` by "memory" or "arithmetic"; and the machine's
        ``gb_per_second``, ``gflop_per_second`` and ``threads``.

    Raises:
        ValueError: for a data set or a model that does not fit.
    """
    model, cfg = load_trained(*run)
    check_model(name, model)
    if model.device.type != "cpu":
        raise ValueError(
            f"run {name} is on {model.device}; the machine's speed is that of its processor: "
            "use the CPU"
        )
    records = evenly_taken(dataset, images)
    speed = machine_speed()
    measured: dict[str, list[dict]] = {"network": [], "grouping": []}
    for record in tqdm(records, desc=name, unit="image"):
        (x,) = inputs_of([record], cfg)
        image = predict(model, x)

        def network(x=x) -> Predicted:
            return predict(model, x)

        def grouping(image=image) -> Instances:
            return model.grouping([image.maps], image.output_size)

        work = {
            "network": network_work(model, x, image),
            "grouping": grouping_work(image, grouping().pred_boxes.tensor),
        }
        times = interleaved({"network": network, "grouping": grouping}, repeats, warm_up=1)
        for part, of_part in measured.items():
            of_part.append(_beside_limit(work[part], speed, float(times[part]["ms"])))
    return [
        {"run": name, "part": part, **_summary(of_part, speed)}
        for part, of_part in measured.items()
    ]


def _beside_limit(work: Work, speed: MachineSpeed, ms: float) -> dict:
    limit = speed.limit_ms(work)
    is_memory = work.bytes / speed.bytes_per_second >= work.flops / speed.flops_per_second
    return {
        **asdict(work),
        "limit_ms": limit,
        "ms": ms,
        "times_limit": ms / limit,
        "is_memory": is_memory,
    }


def _summary(images: list[dict], speed: MachineSpeed) -> dict:
    """Images as one row."""
    column = {key: np.array([image[key] for image in images]) for key in images[0]}
    return {
        "mflop": float(np.median(column["flops"])) / 1e6,
        "mib": float(np.median(column["bytes"])) / 2**20,
        "limit_us": 1e3 * float(np.median(column["limit_ms"])),
        "bound": "memory" if column["is_memory"].mean() >= 0.5 else "arithmetic",
        **quartiles(column["ms"]),
        "times_limit": float(np.median(column["times_limit"])),
        "images": len(images),
        "gb_per_second": speed.bytes_per_second / 1e9,
        "gflop_per_second": speed.flops_per_second / 1e9,
        "threads": speed.threads,
    }

"""How time and memory of inference grow with pixels, objects, seeds, embedding size, thresholds."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from dml_instance.engine import load_trained
from dml_instance.modeling.grouping import InstanceGrouping
from dml_instance.modeling.structures import ImageMaps

from .inference import memory_of_inference, model_inputs
from .measure import interleaved
from .predicted import check_model
from .scenes import drawn_cells
from .stopwatch import now_ms

# Pixels; larger objects would grow with the image, and cost by their area.
RADIUS = 10.0

# Objects in the images that grow, and the side in pixels of those that do not.
OBJECTS, SIDE = 50, 512

# Objects of the image of which seeds, embedding sizes and thresholds are varied.
CROWD = 500

# A setting is repeated for so long, but no less than twice and no more often than asked.
_SECONDS = 15.0


@torch.no_grad()
def measure_growth(
    run: tuple[str, str, Sequence[str]],
    *,
    sides: Sequence[int],
    objects: Sequence[int],
    seeds: Sequence[int],
    dims: Sequence[int],
    thresholds: Sequence[int],
    repeats: int,
    registrations: Sequence[str] = (),
) -> Iterator[dict]:
    """Vary one thing at a time; one row after the other.

    Args:
        run: the arguments of ``load_trained``, for a ``DMLInstance`` with one scale at inference.
        sides: of square images, in pixels, with ``OBJECTS`` objects each.
        objects: in images of ``SIDE`` pixels.
        seeds: values of ``GROUPING.MAX_SEEDS``.
        dims: D, not under the model's; more is by channels of zeros, which change no mask.
        thresholds: T, by repeated logits.
        repeats: timed calls at most.
        registrations: of data sets, as ``--register-coco`` takes them; a new process knows of none.

    Yields:
        ``of`` and ``value``: what was varied; ``network_ms`` and ``grouping_ms``, medians;
        ``instances`` found; and for whole images ``mib``, the peak memory added in a process of its
        own.

    Raises:
        ValueError: for another model, or fewer embedding channels than it has.
    """
    model, cfg = load_trained(*run)
    check_model(run[0], model)
    scenes = [("side", side, drawn_cells(side, side, OBJECTS, radius=RADIUS)) for side in sides]
    scenes += [
        ("objects", count, drawn_cells(SIDE, SIDE, count, radius=RADIUS)) for count in objects
    ]
    for of, value, image in scenes:
        inputs = model_inputs([image], cfg)
        pyramids = model.pyramids(inputs)
        found = model.inference(pyramids, inputs)[0]["instances"]
        yield {
            "of": of,
            "value": value,
            "network_ms": _median_ms(lambda inputs=inputs: model.pyramids(inputs), repeats),
            "grouping_ms": _median_ms(lambda p=pyramids, x=inputs: model.inference(p, x), repeats),
            "instances": len(found),
            "mib": memory_of_inference(run, [image], registrations),
        }
    inputs = model_inputs([drawn_cells(SIDE, SIDE, CROWD, radius=RADIUS)], cfg)
    ((maps,),) = model.pyramids(inputs)
    for of, value, grouping, changed in _variants(model.grouping, maps, seeds, dims, thresholds):

        def group(grouping=grouping, changed=changed):
            return grouping([changed], (SIDE, SIDE))

        yield {
            "of": of,
            "value": value,
            "grouping_ms": _median_ms(group, repeats),
            "instances": len(group()),
        }


def _variants(
    grouping: InstanceGrouping,
    maps: ImageMaps,
    seeds: Sequence[int],
    dims: Sequence[int],
    thresholds: Sequence[int],
) -> Iterator[tuple[str, int, InstanceGrouping, ImageMaps]]:
    for count in seeds:
        rules = replace(grouping.rules, max_seeds=count)
        yield "seeds", count, _with(grouping, rules=rules), maps
    dim = len(maps.embedding)
    for count in dims:
        if count < dim:
            raise ValueError(
                f"the model's embedding has {dim} channels: a smaller one, {count}, would be "
                "another model"
            )
        yield (
            "embedding size",
            count,
            grouping,
            replace(maps, embedding=_grown(maps.embedding, count)),
        )
    logits = maps.class_logits
    for count in thresholds:
        index = torch.arange(count) % len(logits)
        changed = replace(maps, class_logits=logits[index])
        repeated = _with(grouping, taus=tuple(grouping.taus[i] for i in index.tolist()))
        yield "thresholds", count, repeated, changed


def _with(grouping: InstanceGrouping, **changes) -> InstanceGrouping:
    changed = copy.copy(grouping)
    vars(changed).update(changes)
    return changed


def _grown(embedding: Tensor, dim: int) -> Tensor:
    """(D, h, w) with channels of zeros up to ``dim``."""
    zeros = embedding.new_zeros((dim - len(embedding), *embedding.shape[1:]))
    return torch.cat([embedding, zeros])


def _median_ms(function: Callable[[], object], repeats: int) -> float:
    """Of as many calls as ``_SECONDS`` allow; the first one only warms up."""
    start = now_ms()
    function()
    affordable = int(1e3 * _SECONDS / (now_ms() - start))
    return interleaved({"": function}, int(np.clip(affordable, 2, repeats)), warm_up=0)[""]["ms"]


def total_ms(row: dict) -> float | None:
    """Network and grouping together; None where the network did not run."""
    return row["network_ms"] + row["grouping_ms"] if "network_ms" in row else None


def exponents(rows: Sequence[dict]) -> list[dict]:
    """Fitted powers: time or memory goes like the varied number to the power of ``exponent``.

    Args:
        rows: from ``measure_growth``.

    Returns:
        For every varied number with at least two values, and every figure of it, a dict ``of``,
        ``figure``, ``exponent`` (least squares on the logarithms) and ``exponent_at_end``, between
        the two largest values. For "side" the number is that of pixels, side x side.
    """
    fitted = []
    for of in dict.fromkeys(row["of"] for row in rows):
        group = sorted((row for row in rows if row["of"] == of), key=lambda row: row["value"])
        for figure in ("network_ms", "grouping_ms", "total_ms", "mib"):
            series = [total_ms(row) if figure == "total_ms" else row.get(figure) for row in group]
            if len(group) < 2 or not all((value or 0) > 0 for value in series):
                continue
            number = np.log([row["value"] for row in group]) * (2 if of == "side" else 1)
            logs = np.log(series)
            fitted.append(
                {
                    "of": "pixels" if of == "side" else of,
                    "figure": figure,
                    "exponent": float(np.polyfit(number, logs, 1)[0]),
                    "exponent_at_end": float((logs[-1] - logs[-2]) / (number[-1] - number[-2])),
                }
            )
    return fitted

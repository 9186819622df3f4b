"""How often a training step waits for its device: where values decide over shapes, or are asked
for. A GPU would stand idle there. Counted on the CPU, by the operations that wait on a GPU."""

import inspect
import traceback
from dataclasses import fields, is_dataclass

import pytest
import torch
from detectron2.structures import ImageList
from detectron2.utils.events import EventStorage
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from dml_instance.modeling import DMLCriterion, meta_arch
from dml_instance.modeling.ground_truth import GroundTruth
from toy_models import empty, model_of
from toy_scenes import model_input, square_and_disc

# Of ATen; indexing by a mask is looked for besides.
WAITING = {
    *("_local_scalar_dense", "is_nonzero", "item", "equal"),
    *("nonzero", "masked_select", "bincount", "repeat_interleave", "_unique2", "unique_dim"),
}


class Waits(TorchDispatchMode):
    """Names the function of this project in which each waiting operation is called."""

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        by_mask = name.startswith(("index", "_index_put")) and any(
            index is not None and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], list | tuple) else ())
        )
        if name in WAITING or by_mask:
            frames = [f for f in traceback.extract_stack() if "dml_instance" in f.filename]
            self.places.append(frames[-1].name if frames else "backward")
        return function(*args, **(kwargs or {}))


def on_host(monkeypatch, owner, name):
    """A function that is for the CPU whatever the device is: what it does is not counted."""
    function = getattr(owner, name)

    def uncounted(*args, **options):
        with _disable_current_modes():
            return function(*args, **options)

    is_method = inspect.isfunction(vars(owner)[name])
    monkeypatch.setattr(owner, name, uncounted if is_method else staticmethod(uncounted))


def waits_of(model, batch):
    with EventStorage(), Waits() as waits:
        sum(model(batch).values()).backward()
    return waits.places


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        ("MODEL.DML.CONTEXT", -1),
        ("MODEL.DML.CONTEXT", 16),
        ("MODEL.DML.CONTEXT", 16, "MODEL.DML.PYRAMID_SCALES", [0.5, 1.0]),
        ("MODEL.DML.CONTEXT", -1, "MODEL.DML.SEED_LOSS.TARGET", "class"),
        ("MODEL.DML.CONTEXT", 16, "MODEL.DML.SEED_LOSS.LABELLED_SHARE", 0.5),
        ("MODEL.DML.CONTEXT", -1, "MODEL.DML.PAIR_LOSS.NORMALIZATION", "joint"),
    ],
)
def test_the_losses_wait_for_nothing(monkeypatch, options, planned):
    """But for the statistics, at the end and at once, which ``tolist`` hides from this count. Where
    the plan is counted, too, there are dozens: the test can tell."""
    model = model_of(*options).train()
    batch = [model_input(*square_and_disc(64, 96)), model_input(*square_and_disc(61, 97))]
    batch.append(empty(48, 64))
    batch[0]["ignored"] = torch.zeros(64, 96, dtype=torch.bool)
    batch[0]["ignored"][:20, :30] = True
    on_host(monkeypatch, GroundTruth, "of_input")
    # Sizes of images, which are never on a device.
    on_host(monkeypatch, ImageList, "from_tensors")
    calls = []
    gather = meta_arch._on_host
    monkeypatch.setattr(meta_arch, "_on_host", lambda found: calls.append(found) or gather(found))
    if planned:
        on_host(monkeypatch, DMLCriterion, "plan")
        assert waits_of(model, batch) == [] and len(calls) == 1
    else:
        assert len(waits_of(model, batch)) > 60


def test_all_that_was_planned_moves_to_the_device():
    criterion = model_of("MODEL.DML.SEED_LOSS.LABELLED_SHARE", 0.5).criterion
    truth = GroundTruth.of_input(model_input(*square_and_disc(64, 96)))
    plan = criterion.plan(truth, (64, 96), 2).to(torch.device("meta"))
    seen = []

    def look(part):
        if isinstance(part, torch.Tensor):
            seen.append(part.device.type)
        elif is_dataclass(part):
            for field in fields(part):
                look(getattr(part, field.name))

    look(plan)
    assert len(seen) > 12 and set(seen) == {"meta"}

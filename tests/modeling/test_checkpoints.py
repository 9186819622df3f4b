"""Checkpoints of the first version: the names in them are those that a model saves and loads,
wherever its modules lie."""

import copy
from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.file_io import PathManager
from torch import nn

from toy_models import model_of

GAP = ("MODEL.DML.GROUPING.CONNECT_GAP", 8)

# Of the first version, of a model with one block a stage.
OLD_NAMES = [
    "backbone.stem.conv.weight",
    "backbone.stem.conv.norm.running_mean",
    "backbone.res5.0.conv2.norm.num_batches_tracked",
    "decoder.lateral.res5.weight",
    "decoder.merge.0.norm.weight",
    "seed_decoder.lateral.res5.weight",
    "embedding_head.layers.0.weight",
    "embedding_head.layers.1.bias",
    "seed_head.layers.4.weight",
    "pieces.num_objects",
    "pieces.sum_apart",
]
OLD_SECTIONS = {name.split(".")[0] for name in OLD_NAMES}


def other_weights(model):
    """The model with every value of its state changed."""
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(1)
    return model


def sections(names):
    return {name.split(".")[0] for name in names}


def assert_same(model, state):
    """By the modules' own names, so that no hook of the model is believed."""
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    own = {name: own[name] for name in own if not name.startswith("pixel_")}
    assert len(own) == len(state)
    for name, value in own.items():
        old = name.removeprefix("network.").removeprefix("grouping.")
        assert torch.equal(value, state[old]), name


def test_names_are_the_old_ones():
    state = model_of(*GAP).state_dict()
    assert sections(state) == OLD_SECTIONS
    assert set(OLD_NAMES) <= set(state)
    # "pieces" is there where it decides something.
    assert sections(model_of().state_dict()) == OLD_SECTIONS - {"pieces"}


def test_names_are_those_of_the_shipped_models():
    state = torch.load(PathManager.get_local_path("dml://shapes"), weights_only=True)["model"]
    assert sections(state) == OLD_SECTIONS
    assert set(OLD_NAMES) <= set(state)


def test_old_names_load_without_any_missing_or_left_over():
    state = other_weights(model_of(*GAP)).state_dict()
    names, model = list(state), model_of(*GAP)
    found = model.load_state_dict(state)
    assert (found.missing_keys, found.unexpected_keys) == ([], [])
    assert_same(model, state)
    assert list(state) == names  # the user's dict is left as it was


def test_names_of_the_modules_load_as_well():
    model = other_weights(model_of(*GAP))
    state = {f"network.{name}": value for name, value in model.network.state_dict().items()}
    state |= {f"grouping.{name}": value for name, value in model.grouping.state_dict().items()}
    loaded = model_of(*GAP)
    loaded.load_state_dict(state)
    assert_same(loaded, model.state_dict())


def test_what_is_missing_and_what_does_not_belong_is_named():
    model, state = model_of(), model_of().state_dict()
    state["decoder.none"] = state.pop("decoder.merge.0.weight")
    found = model.load_state_dict(state, strict=False)
    assert [name.removeprefix("network.") for name in found.missing_keys] == [
        "decoder.merge.0.weight"
    ]
    assert [name.removeprefix("network.") for name in found.unexpected_keys] == ["decoder.none"]
    with pytest.raises(RuntimeError, match=r"decoder\.merge\.0\.weight"):
        model.load_state_dict(state)


class Wrapper(nn.Module):
    """A model in another one, as DistributedDataParallel and averages of weights hold it."""

    def __init__(self, model):
        super().__init__()
        self.module = model
        self.other = nn.Linear(2, 2)


def test_a_model_inside_another_module_has_its_names_behind_that_of_its_place():
    wrapper = Wrapper(other_weights(model_of(*GAP)))
    state = wrapper.state_dict()
    expected = {f"module.{name}" for name in wrapper.module.state_dict()}
    assert set(state) == expected | {"other.weight", "other.bias"}
    loaded = Wrapper(model_of(*GAP))
    found = loaded.load_state_dict(state)
    assert (found.missing_keys, found.unexpected_keys) == ([], [])
    assert_same(loaded.module, wrapper.module.state_dict())
    twice = nn.Sequential(wrapper)
    assert "0.module.backbone.stem.conv.weight" in twice.state_dict()
    nn.Sequential(Wrapper(model_of(*GAP))).load_state_dict(twice.state_dict())


def test_a_copy_has_the_same_names_and_weights_of_its_own():
    model = other_weights(model_of(*GAP))
    copied = copy.deepcopy(model)
    assert list(copied.state_dict()) == list(model.state_dict())
    state = other_weights(model_of(*GAP)).state_dict()
    copied.load_state_dict({name: torch.zeros_like(value) for name, value in state.items()})
    assert_same(model, state)
    assert not any(value.any() for value in copied.state_dict().values())


@pytest.mark.parametrize("wrap", [lambda model: model, Wrapper])
def test_a_checkpoint_is_saved_and_loaded(wrap, tmp_path):
    saved = wrap(other_weights(model_of(*GAP)))
    DetectionCheckpointer(saved, str(tmp_path)).save("model", iteration=7)
    file = Path(tmp_path) / "model.pth"
    names = list(torch.load(file, weights_only=False)["model"])
    assert names == list(saved.state_dict())
    loaded = wrap(model_of(*GAP))
    left = DetectionCheckpointer(loaded).load(str(file))
    assert left["iteration"] == 7
    assert not left.get("missing_keys") and not left.get("unexpected_keys")
    model, of_saved = (getattr(part, "module", part) for part in (loaded, saved))
    assert_same(model, of_saved.state_dict())


class WithMore(nn.Module):
    """A criterion and a grouping that have something to remember."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.register_buffer("count", torch.zeros(2))


def test_parts_of_the_user_are_saved_and_loaded_by_the_names_of_their_places():
    def with_parts():
        model = model_of()
        model.criterion, model.grouping, model.extra = WithMore(), WithMore(), WithMore()
        model.register_parameter("bias", nn.Parameter(torch.zeros(4)))
        return model

    saved, loaded = other_weights(with_parts()), with_parts()
    state = saved.state_dict()
    assert {"criterion.weight", "grouping.count", "extra.weight", "bias"} <= set(state)
    found = loaded.load_state_dict(state)
    assert (found.missing_keys, found.unexpected_keys) == ([], [])
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, state[name]), name

"""What cannot be exported is refused before anything is written; what was exported is checked."""

import os
import re
import sys

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from dml_instance import export
from dml_instance.export import check_exportable, export_model
from dml_instance.modeling import GROUPING_REGISTRY, InstanceGrouping
from dml_instance.modeling.grouping import class_probability
from toy_models import config, convolutions, plain_config

FEW = ("MODEL.RESNETS.OUT_FEATURES", ["stem", "res2"], "MODEL.DML.SEED_HEAD.RADII", [])


def pair_of(*options):
    cfg = config(*FEW, *options)
    return build_model(cfg).eval(), cfg


@pytest.fixture
def own_grouping():
    @GROUPING_REGISTRY.register()
    class OwnGrouping(InstanceGrouping):
        pass

    yield "OwnGrouping"
    GROUPING_REGISTRY._obj_map.pop("OwnGrouping")


REFUSED = {
    "MODEL.DML.TEST_SCALES [1.0]": ("MODEL.DML.TEST_SCALES", [1.0, 2.0]),
    "at one scale": ("MODEL.DML.PYRAMID_SCALES", [0.5, 1.0]),
    "give MODEL.DML.TEST_AUGMENTATIONS 1": ("MODEL.DML.TEST_AUGMENTATIONS", 4),
    "INPUT.FORMAT is L: the runtime knows RGB and BGR": (
        *("INPUT.FORMAT", "L", "MODEL.PIXEL_MEAN", [1.0], "MODEL.PIXEL_STD", [1.0]),
    ),
}


@pytest.mark.parametrize("told", REFUSED)
def test_other_ways_of_inference_are_refused_with_the_key_and_the_cure(tmp_path, told):
    model, cfg = pair_of(*REFUSED[told])
    with pytest.raises(ValueError, match=re.escape(told)):
        export_model(model, cfg, str(tmp_path / "out"))
    assert not os.listdir(tmp_path)


def test_other_models_are_refused(own_grouping):
    model, cfg = pair_of("MODEL.DML.GROUPING.NAME", own_grouping)
    with pytest.raises(ValueError, match=r"GROUPING\.NAME is OwnGrouping: the runtime has"):
        check_exportable(model, cfg)
    model, cfg = pair_of()
    check_exportable(model, cfg)
    with pytest.raises(ValueError, match=r"training mode; call model\.eval\(\)"):
        check_exportable(model.train(), cfg)
    with pytest.raises(ValueError, match=r"META_ARCHITECTURE is GeneralizedRCNN: only DML"):
        check_exportable(torch.nn.Identity().eval(), plain_config())
    model.eval().backbone.__class__ = type(
        "Square", (type(model.backbone),), {"padding_constraints": {"square_size": 64}}
    )
    with pytest.raises(ValueError, match=r"build_slim_resnet_backbone wants .*squares of 64"):
        check_exportable(model, cfg)


def test_what_lies_there_stays_unless_it_may_be_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_write_graph", None)
    model, cfg = pair_of()
    (tmp_path / "kept").write_text("text")
    with pytest.raises(FileExistsError, match=rf"{tmp_path} is there already; .*--overwrite"):
        export_model(model, cfg, str(tmp_path))
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("name", ["onnx", "onnxscript"])
def test_programs_that_are_not_there_are_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    model, cfg = pair_of()
    with pytest.raises(ModuleNotFoundError, match=rf"{name}, which .* pip install onnx onnxscript"):
        export_model(model, cfg, str(tmp_path / "out"))
    assert not os.listdir(tmp_path)


def test_a_network_that_no_graph_holds_is_told_in_a_line(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise TypeError("could not\n\n  trace")

    monkeypatch.setattr(torch.onnx, "export", fail)
    model, cfg = pair_of()
    with pytest.raises(RuntimeError, match=r"cannot export .*\(TypeError: could not trace\); "):
        export_model(model, cfg, str(tmp_path / "out"))
    assert not os.listdir(tmp_path)


class Says:
    """A network that says what the graph of torch does, one map changed."""

    def __init__(self, model, change):
        self.model, self.change = model, change

    def run(self, image, origin):
        with torch.no_grad():
            maps = self.model.network(torch.from_numpy(image), origin)
        found = [maps[0][0], maps[1][0], class_probability(maps[2][0])]
        return self.change([values.numpy().copy() for values in found])


@pytest.mark.parametrize(
    ("index", "name"), list(enumerate(["embedding", "distance_scale", "class_probability"]))
)
def test_a_graph_that_says_something_else_is_refused_by_the_name_of_the_map(index, name):
    model, _ = pair_of()
    graph = export._Graph(model.network)

    def with_error(size):
        def change(maps):
            maps[index].flat[3] += size
            return maps

        return export._largest_difference(graph, Says(model, change), model)

    assert with_error(1e-4) == pytest.approx(1e-4, rel=0.05)
    for size in (0.01, np.nan):
        with pytest.raises(RuntimeError, match=rf"differs from torch .* in {name}.*nothing was wr"):
            with_error(size)


def test_a_graph_that_does_not_run_is_refused_with_what_to_do():
    model, _ = pair_of()

    def fail(maps):
        raise Exception("Reshape:\n 3 to 4")

    with pytest.raises(RuntimeError, match=r"\(Reshape: 3 to 4\); nothing .* torch 2\.9 or newer"):
        export._largest_difference(export._Graph(model.network), Says(model, fail), model)


def test_it_is_compared_at_sizes_that_were_not_traced_and_beside_the_first_tile():
    model, _ = pair_of()
    assert len(convolutions(model)) > 0
    seen = []

    class Noting(Says):
        def run(self, image, origin):
            seen.append((image.shape, origin))
            return super().run(image, origin)

    export._largest_difference(
        export._Graph(model.network), Noting(model, lambda maps: maps), model
    )
    unit = model.network.size_divisibility
    traced = tuple(export._noise(model, export._TRACED)[0].shape)
    assert len(seen) == 2 and traced not in [shape for shape, _ in seen]
    assert all(origin == (unit, 2 * unit) for _, origin in seen)

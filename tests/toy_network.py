"""An exported model whose graph is written by hand, so that nothing has to be traced."""

import os
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dml_instance.grouping import GroupingRules, GroupingSettings
from dml_instance.runtime import ClassRules, ImageRules, ModelRules, NetworkRules, write_rules
from dml_instance.runtime.rules import IMAGE, NETWORK_FILE, ORIGIN, OUTPUTS, sha256_of

STRIDE, UNIT = 2, 8


def write_toy_model(
    folder: str, *, inputs: Sequence[str] = (IMAGE, ORIGIN), tile_size: int = 0, overlap: int = 0
) -> None:
    """A folder as ``dml export`` writes it; the least score is 0.

    Of each cell the embedding is the mean colour of its pixels, and behind it the origin; the
    probability follows from the mean of red.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, NETWORK_FILE)
    onnx.save(_graph(inputs), path)
    network = NetworkRules(sha256_of(path), 18, STRIDE, UNIT, tile_size, overlap)
    rules = ModelRules(
        ImageRules("RGB", 0, 1333, 1.0, 1.0, "dataset", (127.0,) * 3, (25.0,) * 3),
        network,
        GroupingSettings(GroupingRules(), (0.5,), 32.0),
        ClassRules(("cell",), (1,)),
        {"onnx": onnx.__version__},
    )
    write_rules(folder, rules)


def _graph(inputs: Sequence[str]) -> onnx.ModelProto:
    types = {IMAGE: (TensorProto.FLOAT, (1, 3, "H", "W")), ORIGIN: (TensorProto.INT64, (2,))}
    given = [
        helper.make_tensor_value_info(name, *types.get(name, (TensorProto.FLOAT, (1,))))
        for name in inputs
    ]
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["?"] * rank)
        for name, rank in zip(OUTPUTS, (3, 2, 4), strict=True)
    ]
    values = {
        "first": np.array([0]),
        "one": np.array([1]),
        "none": np.float32(0),
        "column": np.array([2, 1, 1]),
    }
    nodes = [
        helper.make_node(
            "AveragePool", [IMAGE], ["mean"], kernel_shape=[STRIDE] * 2, strides=[STRIDE] * 2
        ),
        helper.make_node("Squeeze", ["mean", "first"], ["colours"]),
        helper.make_node("Slice", ["colours", "first", "one", "first"], ["red"]),
        helper.make_node("Mul", ["red", "none"], ["zeros"]),
    ]
    if ORIGIN in inputs:
        nodes += [
            helper.make_node("Cast", [ORIGIN], ["place"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["place", "column"], ["corner"]),
            helper.make_node("Add", ["zeros", "corner"], ["corners"]),
        ]
    else:
        nodes.append(helper.make_node("Concat", ["zeros", "zeros"], ["corners"], axis=0))
    nodes += [
        helper.make_node("Concat", ["colours", "corners"], [OUTPUTS[0]], axis=0),
        helper.make_node("Exp", ["zeros"], ["ones"]),
        helper.make_node("Squeeze", ["ones", "first"], [OUTPUTS[1]]),
        helper.make_node("Sigmoid", ["red"], ["probability"]),
        helper.make_node("Unsqueeze", ["probability", "first"], [OUTPUTS[2]]),
    ]
    constants = [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()]
    graph = helper.make_graph(nodes, "toy", given, results, constants)
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    onnx.checker.check_model(model)
    return model

"""A trace holds the network, from images to maps; it is not a constant, and what it cannot hold
is refused with the cure."""

import pytest
import torch
from detectron2.export import TracingAdapter

from dml_instance.modeling.structures import MAPS
from toy_models import model_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:FutureWarning"),
]

# Each step of the star is a node of the graph.
SMALL = ("MODEL.DML.SEED_HEAD.RADII", [4, 16], "MODEL.DML.SEED_HEAD.DIRECTIONS", 4)


def image(height, width):
    return {"image": torch.randint(0, 255, (3, height, width), dtype=torch.uint8)}


@torch.no_grad()
def traced(model, *inputs):
    """Detectron2's way to trace a model of dicts; called with images, it returns dicts of maps."""
    adapter = TracingAdapter(model, list(inputs), inference_func=lambda m, batch: m(batch))
    graph = torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)
    return lambda *batch: adapter.outputs_schema(graph(*(x["image"] for x in batch)))


@torch.no_grad()
def untraced(model, *batch):
    return [{name: getattr(p[0], name) for name in MAPS} for p in model.pyramids(list(batch))]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("MODEL.DML.INPUT_NORMALIZATION", "dataset"),
        ("MODEL.DML.TEST_SCALES", [1.5]),
        ("MODEL.DML.EMBEDDING_HEAD.INPUT_COORDINATES", True, "MODEL.DML.DECODER.SEED_STRIDE", 2),
    ],
)
def test_a_trace_gives_the_maps_of_each_image_that_it_is_given(options):
    model, first = model_of(*SMALL, *options).eval(), image(61, 97)
    graph, results = traced(model, first), []
    for x in (first, image(61, 97), image(90, 70)):  # one of another size, too
        (found,), (expected,) = graph(x), untraced(model, x)
        assert set(found) == set(MAPS)
        for name in MAPS:
            torch.testing.assert_close(found[name], expected[name])
        results.append(found)
    for name in MAPS:
        assert (results[0][name] - results[1][name]).abs().max() > 1e-3, name


def test_a_trace_of_two_images_pads_them_to_one_size():
    model, batch = model_of(*SMALL).eval(), [image(61, 97), image(40, 64)]
    graph = traced(model, *batch)
    for x in (batch, [image(50, 60), image(64, 33)]):
        for found, expected in zip(graph(*x), untraced(model, *x), strict=True):
            for name in MAPS:
                torch.testing.assert_close(found[name], expected[name])


def test_the_grouping_takes_the_maps_of_a_trace():
    model, x = model_of(*SMALL, "MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0).eval(), image(64, 96)
    (found,) = traced(model, x)(x)
    with torch.no_grad():
        (expected,) = model([x])
        (pyramid,) = model.pyramids([x])
        maps = type(pyramid[0])(**found, stride=2, scale=1.0, image_size=(64, 96))
        instances = model.grouping([maps], (64, 96))
    assert len(instances) > 0
    assert torch.equal(instances.pred_masks, expected["instances"].pred_masks)


def test_the_network_can_be_traced_by_itself():
    network = model_of(*SMALL).eval().network
    with torch.no_grad():
        graph = torch.jit.trace(network, torch.randn(1, 3, 64, 64), check_trace=False)
        x = torch.randn(2, 3, 64, 96)
        for found, expected in zip(graph(x), network(x), strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("options", "training", "message"),
    [
        ((), True, r"losses cannot be traced; call model\.eval\(\) first"),
        (("MODEL.DML.TEST_SCALES", [1.0, 2.0]), False, r"TEST_SCALES to one scale"),
        (("MODEL.DML.PYRAMID_SCALES", [1.0, 2.0]), False, r"TEST_SCALES to one scale"),
        (("MODEL.DML.TEST_AUGMENTATIONS", 2), False, r"TEST_AUGMENTATIONS to 1"),
    ],
)
def test_what_cannot_be_traced_is_refused_with_the_cure(options, training, message):
    model = model_of(*SMALL, *options).train(training)
    with pytest.raises(RuntimeError, match=message):
        traced(model, image(64, 64))

"""Images in threads: order, errors, and what belongs to a thread; and the grouping of a batch."""

import threading
import time

import pytest
import torch

from dml_instance.modeling.image_threads import of_each_image
from toy_models import empty, model_of
from toy_scenes import model_input, square_and_disc

CPU = torch.device("cpu")


def test_results_stand_in_the_order_of_the_images_whichever_is_done_first():
    """The first image waits for the last one, which only another thread can reach."""
    is_last_done = threading.Event()

    def function(number):
        if number == 0:
            assert is_last_done.wait(timeout=60)
        if number == 2:
            is_last_done.set()
        return 10 * number

    images, names = [(0,), (1,), (2,)], ["a", "b", "c"]
    assert of_each_image(function, images, names, threads=2, device=CPU) == [0, 10, 20]


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (2, 2), (8, 3)])
def test_no_more_images_are_in_work_than_there_are_threads(threads, expected):
    at_work = threading.Barrier(expected)
    seen = set()

    def function(number):
        seen.add(threading.get_ident())
        if number < expected:  # the first ones wait until as many are at work
            at_work.wait(timeout=60)
            time.sleep(0.2)  # and leave one thread more the time to take the next image

    of_each_image(function, [(i,) for i in range(3)], "abc", threads=threads, device=CPU)
    assert len(seen) == expected
    assert (threading.get_ident() in seen) == (threads == 1)
    assert of_each_image(function, [], [], threads=threads, device=CPU) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_names_its_image_and_keeps_its_cause(threads):
    def function(number):
        return 1 / number

    images, names = [(2,), (0,), (1,), (0,)], ["a.png", "b.png", "c.png", "d.png"]
    with pytest.raises(RuntimeError, match=r"^b\.png: ZeroDivisionError: division") as caught:
        of_each_image(function, images, names, threads=threads, device=CPU)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("threads", [1, 2])
def test_no_thread_records_gradients(threads):
    weight = torch.ones(1, requires_grad=True)
    images = [(weight,), (weight,)]
    results = of_each_image(lambda w: 2 * w, images, "ab", threads=threads, device=CPU)
    assert not any(result.requires_grad for result in results)


def batch():
    scenes = [square_and_disc(64, 96), square_and_disc(61, 97), square_and_disc(48, 64)]
    inputs = [*(model_input(*scene) for scene in scenes), empty(33, 41)] * 3
    return [{**x, "file_name": f"{index}.png"} for index, x in enumerate(inputs)]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "overrides",
    [
        ("MODEL.DML.TEST_SCALES", [1.0, 2.0], "MODEL.DML.GROUPING.CONNECT_GAP", 8),
        ("MODEL.DML.GROUPING.CANDIDATES", "all", "MODEL.DML.GROUPING.MAX_SEEDS", 30),
    ],
    ids=["two scales and pieces", "chosen seeds"],
)
def test_a_batch_grouped_in_threads_is_bit_for_bit_that_grouped_one_after_the_other(
    overrides, mode
):
    inputs = batch()
    model = model_of("MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0, *overrides).eval()
    with mode():
        pyramids = model.pyramids(inputs)
        expected, *others = (model.inference(pyramids, inputs, threads=n) for n in (1, 4, 12))
    assert sum(len(result["instances"]) for result in expected) > len(inputs)
    for results in others:
        for result, one in zip(results, expected, strict=True):
            found, instances = result["instances"], one["instances"]
            assert found.image_size == instances.image_size
            for name in ("pred_masks", "scores", "pred_classes"):
                assert torch.equal(found.get(name), instances.get(name)), name
            assert torch.equal(found.pred_boxes.tensor, instances.pred_boxes.tensor)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_image_that_cannot_be_grouped_is_named(threads, monkeypatch):
    model, inputs = model_of().eval(), batch()
    broken = inputs[5]["height"] = 10**6

    with torch.no_grad():
        pyramids = model.pyramids(inputs)
    group = model.grouping.forward

    def forward(pyramid, output_size, name):
        if output_size[0] == broken:
            raise MemoryError(f"{broken} rows")
        return group(pyramid, output_size, name)

    monkeypatch.setattr(model.grouping, "forward", forward)
    with pytest.raises(RuntimeError, match=r"5\.png: MemoryError: 1000000 rows"):
        model.inference(pyramids, inputs, threads=threads)


def test_on_the_cpu_images_are_grouped_in_the_thread_of_the_caller(monkeypatch):
    model, seen = model_of().eval(), set()
    group = model.grouping.forward

    def forward(*args):
        seen.add(threading.get_ident())
        return group(*args)

    monkeypatch.setattr(model.grouping, "forward", forward)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    with torch.no_grad():
        assert len(model(batch())) == 12
        model.inference(model.pyramids(batch()), batch())
    assert seen == {threading.get_ident()}

"""What a model keeps of itself when it learns from a few images."""

import os
from collections import defaultdict

import pytest
import torch
from detectron2.engine import HookBase

import dml_instance
from dml_instance.learning import train_further, write_training_set
from dml_instance.stored_config import config_of, weights_in
from toy_scenes import crowd_of_cells

CELLS = crowd_of_cells(96, 128, 24, seed=0)


class Recorder(HookBase):
    """Weights at the beginning, and after the last step."""

    def before_train(self):
        self.start = self._weights()

    def after_step(self):
        self.end = self._weights()

    def _weights(self):
        parameters = self.trainer.model.named_parameters()
        return {k.removeprefix("network."): v.detach().clone() for k, v in parameters}


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The model, the recorder, and the file of the new weights; from shapes to cells."""
    shapes = dml_instance.load("shapes", device="cpu")
    labels = dml_instance.load("nuclei", device="cpu")(CELLS).labels
    folder = tmp_path_factory.mktemp("learned")
    names = [defaultdict(lambda: "cell")]
    write_training_set(str(folder / "data"), [CELLS], [labels], names)
    recorder = Recorder()
    weights = train_further(
        *(shapes.cfg, shapes.weights, str(folder / "data"), str(folder / "training")),
        minutes=0.02,
        labelled_share=1.0,
        hooks=[recorder],
    )
    return shapes, recorder, weights


def test_the_weights_go_three_quarters_of_the_way(learned):
    _, recorder, weights = learned
    new = weights_in(weights)
    assert set(recorder.start) <= set(new)
    moved = 0
    for name, start in recorder.start.items():
        end = recorder.end[name]
        torch.testing.assert_close(new[name], start / 4 + 3 * end / 4)
        moved += not torch.allclose(start, end)
    assert moved > 10


def test_the_statistics_of_norms_stay(learned):
    shapes, _, weights = learned
    before, after = weights_in(shapes.weights), weights_in(weights)
    statistics = [name for name in before if name.endswith(("running_mean", "running_var"))]
    assert len(statistics) > 20
    for name in statistics:
        torch.testing.assert_close(after[name], before[name].float(), msg=name)


def test_the_new_class_starts_from_the_one_that_cells_look_like(learned):
    shapes, recorder, _ = learned
    blob = shapes.classes.names.index("blob")
    taus = len(shapes.cfg.MODEL.DML.TAUS)
    name = max(k for k in recorder.start if k.startswith("seed_head.layers.") and "bias" in k)
    before = weights_in(shapes.weights)[name].float().unflatten(0, (taus, -1))
    started = recorder.start[name].unflatten(0, (taus, -1))
    torch.testing.assert_close(started, before[:, [0, 1 + blob]])


def test_few_images_are_seen_in_crops_at_other_sizes_and_in_other_light(learned):
    shapes, _, weights = learned
    before, after = shapes.cfg.INPUT, config_of(weights).INPUT
    assert (before.AUG.SCALE_RANGE, before.CROP.ENABLED) == ([1.0, 1.0], False)
    low, high = after.AUG.SCALE_RANGE
    assert low <= 0.5 and high >= 2 and after.AUG.COLOR_JITTER > 0 and after.CROP.ENABLED
    assert after.AUG.RIGHT_ANGLES == before.AUG.RIGHT_ANGLES
    assert os.path.basename(weights) == "model_final.pth"

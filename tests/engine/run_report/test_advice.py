"""Rules on made-up figures: each speaks where it should, and no further."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from dml_instance.engine.run_report.advice import Figures, advise
from toy_models import plain_config

ROOT = Path(__file__).parents[3]
OURS = ("MODEL.META_ARCHITECTURE", "DMLInstance")
SIZES = ("INPUT.AUG.SCALE_RANGE", [0.6, 1.7])


def figures(**changes):
    """A long training that found most of 200 objects."""
    return Figures(
        **{
            "iterations": 1500,
            "losses": [1.0] * 75,
            "waiting": 0.02,
            "fates": {"found": 196, "missed": 4},
            "missed_by_size": ((1, 50), (3, 150)),
            "most_objects": 40,
            "f1": 0.9,
            "train_f1": 0.92,
            "train_images": 20,
            "min_score": 0.45,
            "from_imagenet": False,
            **changes,
        }
    )


def options(overrides=(), **changes):
    """What is advised, by its options; by its title where it has none."""
    found = advise(figures(**changes), plain_config(*OURS, *SIZES, *overrides))
    return [advice.options or advice.title for advice in found]


def test_a_good_training_needs_nothing():
    assert options() == []
    assert advise(Figures(), plain_config(*OURS)) == [], "nothing is known"


def falling(end, spread=0.0):
    """Losses of 75 rows, the last 15 of mean ``end``, those before of mean 1, with a deviation."""
    around = [spread * (-1) ** i for i in range(15)]
    return [*np.linspace(3.0, 1.0, 45), *(1 + a for a in around), *(end + a for a in around)]


def test_a_loss_that_still_falls_asks_for_more_iterations():
    assert options(losses=falling(0.95)) == ["SOLVER.MAX_ITER 3000"]
    assert options(losses=falling(0.99)) == [], "one per cent"
    assert options(losses=falling(1.05)) == []
    # The two means differ by 0.05, and one such difference by 0.37 of the spread.
    assert options(losses=falling(0.95, spread=0.06)) == ["SOLVER.MAX_ITER 3000"]
    assert options(losses=falling(0.95, spread=0.09)) == [], "within the noise"
    assert options(losses=[1.0, 0.9, 0.8, 0.7, 0.6] * 2) == [], "too few to tell"
    (advice,) = advise(figures(losses=falling(0.9)), plain_config(*OURS))
    assert "1 on average in the fourth fifth of the training, 0.9 in the last, 10 % less" in (
        advice.reason
    )


def test_weights_of_imagenet_are_named_where_there_are_none():
    def reason(architecture=OURS, **changes):
        (advice,) = advise(figures(losses=falling(0.9), **changes), plain_config(*architecture))
        return advice.reason

    assert "efficientnet" in reason()
    assert "efficientnet" not in reason(from_imagenet=True)
    assert "efficientnet" not in reason(("MODEL.META_ARCHITECTURE", "GeneralizedRCNN"))


def test_a_training_that_has_only_begun_hears_of_nothing_else_about_its_objects():
    fates = {"found": 2, "merged": 150, "missed": 48}
    assert options(iterations=299, fates=fates, losses=falling(0.5)) == ["SOLVER.MAX_ITER 1500"]
    assert options(iterations=300) == []
    assert options(("MODEL.WEIGHTS", "mine.pth"), iterations=100) == [], "a model is trained on"


def test_merged_objects():
    many, few = {"found": 190, "merged": 10}, {"found": 191, "merged": 9}
    bridged = ("MODEL.DML.GROUPING.CONNECT_GAP", 16)
    pasted = ("INPUT.AUG.COPY_PASTE", 0.5)
    assert options(bridged, fates=many) == ["MODEL.DML.GROUPING.CONNECT_GAP 0"]
    assert options(fates=many) == ["INPUT.AUG.COPY_PASTE 0.5"]
    assert options(pasted, fates=many) == ["Train longer"]
    assert options(fates=few) == []
    assert options(fates={"found": 18, "merged": 2})[0] == "Put more images aside to score on"


def test_objects_in_pieces():
    many = {"found": 190, "split": 10}
    assert options(fates=many) == ["MODEL.DML.GROUPING.CONNECT_GAP 16"]
    assert options(("MODEL.DML.GROUPING.CONNECT_GAP", 8), fates=many) == []


def test_small_objects_that_are_missed():
    missed = ((15, 50), (10, 150))
    assert options(missed_by_size=missed) == ['MODEL.DML.TEST_SCALES "[1.25]"']
    assert options(("MODEL.DML.TEST_SCALES", [1.25]), missed_by_size=missed) == []
    one_size = ("INPUT.AUG.SCALE_RANGE", [1.0, 1.0])
    assert options(one_size, missed_by_size=missed) == ['INPUT.AUG.SCALE_RANGE "[0.6, 1.7]"']
    assert options(missed_by_size=((15, 50), (30, 150))) == [], "large ones are missed, too"
    assert options(missed_by_size=((9, 50), (0, 150))) == [], "fewer than a fifth"
    other = ("MODEL.META_ARCHITECTURE", "GeneralizedRCNN")
    assert options(other, missed_by_size=missed) == ["INPUT.SCALE_TEST 1.25"]


def test_poor_masks_of_coarse_cells():
    poor = {"found": 170, "poor mask": 30}
    coarse = ("MODEL.DML.DECODER.STRIDE", 4)
    assert options(coarse, fates=poor) == [
        "MODEL.DML.DECODER.STRIDE 2 MODEL.DML.DECODER.SEED_STRIDE 4"
    ]
    assert options(fates=poor) == []
    assert options(coarse, fates={"found": 171, "poor mask": 29}) == []


def test_a_model_that_knows_its_own_images_better():
    (advice,) = advise(figures(f1=0.75), plain_config(*OURS, *SIZES))
    assert advice.title == "Label more images"
    assert advice.options == "INPUT.AUG.RIGHT_ANGLES True INPUT.AUG.COLOR_JITTER 0.25"
    assert "F1 is 92 on 20 images of the training set, and 75 on those" in advice.reason
    varied = ("INPUT.AUG.RIGHT_ANGLES", True, "INPUT.AUG.COLOR_JITTER", 0.1)
    assert options(varied, f1=0.75) == ["Label more images"]
    assert options(f1=0.78) == []
    assert options(f1=0.5, train_images=4) == []
    assert options(f1=0.5, train_f1=None) == []


def test_limits_waiting_scores_and_few_objects():
    assert options(most_objects=101) == ["TEST.DETECTIONS_PER_IMAGE 200"]
    assert options(("TEST.DETECTIONS_PER_IMAGE", 400), most_objects=400) == []
    assert options(("DATALOADER.NUM_WORKERS", 2), waiting=0.3) == ["DATALOADER.NUM_WORKERS 4"]
    assert options(waiting=0.29) == [] and options(waiting=None) == []
    assert options(min_score=0.1) == ["Train longer, on more images"]
    assert options(min_score=0.05, fates={"missed": 200}) == [], "nothing is found at any score"
    assert options(fates={"found": 49}) == ["Put more images aside to score on"]
    assert options(fates={"found": 50}) == []


# Made-up figures of each rule, and the measured ones that it names.
MEASURED = [
    ({"iterations": 100}, (), ("40.6", "43.6")),
    ({"losses": falling(0.9), "from_imagenet": True}, (), ("1,728", "57.3", "5,557", "62.0")),
    (
        {"fates": {"merged": 99}},
        ("MODEL.DML.GROUPING.CONNECT_GAP", 16),
        ("30.8", "25.1", "9.4", "20.8"),
    ),
    ({"fates": {"merged": 99}}, (), ("524", "36", "11")),
    ({"fates": {"split": 99}}, (), ("20.8", "9.4")),
    ({"missed_by_size": ((9, 9), (0, 9))}, (), ("8 to 12 AP",)),
    ({"missed_by_size": ((9, 9), (0, 9))}, SIZES, ("1.3", "3.6", "1.56")),
    ({"fates": {"poor mask": 99}}, ("MODEL.DML.DECODER.STRIDE", 4), ("39.3", "30.5")),
]


@pytest.mark.parametrize(("changes", "overrides", "named"), MEASURED)
def test_what_a_rule_promises_stands_where_it_says(changes, overrides, named):
    cfg = plain_config(*OURS, *overrides)
    (advice,) = advise(figures(**changes), cfg)
    page = (ROOT / advice.source).read_text(encoding="utf-8")
    for figure in named:
        assert figure in advice.reason and figure in page
    cfg.merge_from_list(shlex.split(advice.options))  # keys and values that there are


def test_what_imagenet_is_worth_stands_where_it_is_said():
    page = (ROOT / "benchmarks/notebook/backbones.md").read_text(encoding="utf-8")
    assert "Pretraining is worth 6 AP" in page and "190 iterations" in page
    assert (ROOT / "configs/DSB2018/dml_efficientnet_lite0.yaml").is_file()

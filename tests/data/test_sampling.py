from collections import Counter
from itertools import islice

import pytest

from dml_instance.data import build_train_sampler
from toy_scenes import data_config

CROPS = ("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [100, 200])
KEY = "DATALOADER.REPEAT_BY_AREA"


def records(*sizes):
    return [{"height": height, "width": width} for height, width in sizes]


@pytest.mark.parametrize(("power", "share"), [(1.0, 9), (0.5, 3)])
def test_an_image_of_nine_crops_is_drawn_by_its_area(power, share):
    sampler = build_train_sampler(
        data_config(*CROPS, KEY, power), records((100, 200), (300, 600), (50, 50))
    )
    drawn = Counter(islice(sampler, 50 * (share + 2)))
    assert drawn[0] == drawn[2] == 50
    assert drawn[1] == 50 * share


def test_without_the_key_detectron2_chooses():
    assert build_train_sampler(data_config(), records((10, 10))) is None


@pytest.mark.parametrize("overrides", [(KEY, 1.0), (*CROPS, KEY, -1.0)])
def test_what_cannot_be_counted_is_an_error(overrides):
    with pytest.raises(ValueError, match="REPEAT_BY_AREA"):
        build_train_sampler(data_config(*overrides), records((10, 10)))

"""How the network is asked at inference."""

import pytest

from dml_instance.modeling.test_time import InferenceRules
from toy_models import config


def test_every_key_arrives():
    options = {
        "MODEL.DML.TEST_SCALES": [1.0, 1.5],
        "MODEL.DML.TEST_AUGMENTATIONS": 4,
        "MODEL.DML.TILES.SIZE": 512,
        "MODEL.DML.TILES.OVERLAP": 64,
    }
    cfg = config(*(part for pair in options.items() for part in pair))
    assert InferenceRules.from_config(cfg) == InferenceRules((1.0, 1.5), 4, 512, 64)


def test_without_scales_of_its_own_inference_sees_those_of_training():
    cfg = config("MODEL.DML.PYRAMID_SCALES", [0.5, 2.0])
    assert InferenceRules.from_config(cfg).scales == (0.5, 2.0)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TEST_SCALES", [-1.0], r"TEST_SCALES.*\[-1\.0\]"),
        ("PYRAMID_SCALES", [0.0], r"PYRAMID_SCALES.*\[0\.0\]"),
        ("PYRAMID_SCALES", [], r"PYRAMID_SCALES.*\[\]"),
        ("TEST_AUGMENTATIONS", 3, r"TEST_AUGMENTATIONS is one of \[1, 2, 4, 8\], got 3"),
        ("TILES.SIZE", -1, r"MODEL\.DML\.TILES.*-1"),
        ("TILES.SIZE", 256, r"MODEL\.DML\.TILES.*256 and 256"),
        ("TILES.OVERLAP", -1, r"MODEL\.DML\.TILES.*-1"),
    ],
)
def test_what_cannot_be_names_its_key(key, value, message):
    with pytest.raises(ValueError, match=message):
        InferenceRules.from_config(config(f"MODEL.DML.{key}", value))


def test_no_tiles_need_no_overlap():
    assert InferenceRules.from_config(config("MODEL.DML.TILES.SIZE", 0)).tile_size == 0

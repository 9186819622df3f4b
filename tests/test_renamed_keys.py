"""Keys of earlier versions are taken in their old spelling, with a warning, through Detectron2's
own ways of merging."""

import logging
from pathlib import Path

import pytest
import yaml
from detectron2.config import CfgNode, get_cfg

from dml_instance import add_dml_config

OLD_CONFIG = Path(__file__).parent / "old_config.yaml"

# What stands in the file under another name now, and its value there.
RENAMED = {
    "AUGMENTATION.COLOR_JITTER": ("INPUT.AUG.COLOR_JITTER", 0.25),
    "AUGMENTATION.INVERT_PROBABILITY": ("INPUT.AUG.INVERT_PROBABILITY", 0.15),
    "AUGMENTATION.REPEAT_BY_AREA": ("DATALOADER.REPEAT_BY_AREA", 0.5),
    "AUGMENTATION.RIGHT_ANGLES": ("INPUT.AUG.RIGHT_ANGLES", True),
    "AUGMENTATION.ROTATION": ("INPUT.AUG.ROTATION", 10.0),
    "AUGMENTATION.SCALE_RANGE": ("INPUT.AUG.SCALE_RANGE", [0.6, 1.7]),
    "EMBEDDING_HEAD.COORDINATES": ("MODEL.DML.EMBEDDING_HEAD.INPUT_COORDINATES", True),
    "EMBEDDING_HEAD.PLACE_UNIT": ("MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT", 8.0),
    "GROUPING.CLASS": ("MODEL.DML.GROUPING.CLASS_BY", "seed"),
    # A square of 5 cells of 4 pixels reaches 2 cells to each side.
    "GROUPING.PEAK_SIZE": ("MODEL.DML.GROUPING.PEAK_RADIUS", 8),
    "PAIRS.BACKGROUND_PIXELS": ("MODEL.DML.PAIR_LOSS.BACKGROUND_PIXELS", 32),
    "PAIRS.LOSS_WEIGHT": ("MODEL.DML.PAIR_LOSS.WEIGHT", 1.0),
    "PAIRS.MAX_INSTANCES": ("MODEL.DML.PAIR_LOSS.MAX_INSTANCES", 20),
    "PAIRS.NORMALIZATION": ("MODEL.DML.PAIR_LOSS.NORMALIZATION", "joint"),
    "PAIRS.PIXELS_PER_INSTANCE": ("MODEL.DML.PAIR_LOSS.PIXELS_PER_INSTANCE", 12),
    "PAIRS.WEIGHTS": ("MODEL.DML.PAIR_LOSS.GROUP_SIZE", "area"),
    "SEED.FOREGROUND_FRACTION": ("MODEL.DML.SEED_LOSS.FOREGROUND_FRACTION", 0.75),
    "SEED.LAMBDA": ("MODEL.DML.SEED_LOSS.WEIGHT", 0.2),
    "SEED.PIXELS": ("MODEL.DML.SEED_LOSS.PIXELS", 64),
    "SEED.RAMP_END": ("MODEL.DML.SEED_LOSS.RAMP_END", 0.5),
    "SEED.RAMP_START": ("MODEL.DML.SEED_LOSS.RAMP_START", 0.1),
    "SEED.TARGET": ("MODEL.DML.SEED_LOSS.TARGET", "class"),
    "SEED.TARGET_IOU": ("MODEL.DML.SEED_LOSS.TARGET_IOU", 0.6),
    "SOLVER.BACKBONE_LR_FACTOR": ("SOLVER.BACKBONE_MULTIPLIER", 0.25),
    "SOLVER.CPU_BFLOAT16": ("SOLVER.AMP.CPU_BFLOAT16", "off"),
    "SOLVER.OPTIMIZER": ("SOLVER.OPTIMIZER", "AdamW"),
    "TEST_VIEWS": ("MODEL.DML.TEST_AUGMENTATIONS", 4),
}

# Sections that moved as a whole are warned of once, keys of them that have another name besides.
WARNED = [
    "AUGMENTATION.REPEAT_BY_AREA is now DATALOADER.REPEAT_BY_AREA",
    "AUGMENTATION is now INPUT.AUG",
    "EMBEDDING_HEAD.COORDINATES is now MODEL.DML.EMBEDDING_HEAD.INPUT_COORDINATES",
    "EMBEDDING_HEAD.PLACE_UNIT is now MODEL.DML.EMBEDDING_HEAD.COORDINATE_UNIT",
    "GROUPING.CLASS is now MODEL.DML.GROUPING.CLASS_BY",
    "GROUPING.PEAK_SIZE is now MODEL.DML.GROUPING.PEAK_RADIUS",
    "PAIRS is now MODEL.DML.PAIR_LOSS",
    "PAIR_LOSS.LOSS_WEIGHT is now MODEL.DML.PAIR_LOSS.WEIGHT",
    "PAIR_LOSS.WEIGHTS is now MODEL.DML.PAIR_LOSS.GROUP_SIZE",
    "SEED is now MODEL.DML.SEED_LOSS",
    "SEED_LOSS.LAMBDA is now MODEL.DML.SEED_LOSS.WEIGHT",
    "SOLVER.BACKBONE_LR_FACTOR is now SOLVER.BACKBONE_MULTIPLIER",
    "SOLVER.CPU_BFLOAT16 is now SOLVER.AMP.CPU_BFLOAT16",
    "SOLVER.OPTIMIZER is now SOLVER.OPTIMIZER",
    "TEST_VIEWS is now MODEL.DML.TEST_AUGMENTATIONS",
]


def new_config():
    cfg = get_cfg()
    add_dml_config(cfg)
    return cfg


def leaves(node, path=""):
    """Every key below a node, by its whole name."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def value_of(cfg, key):
    for name in key.split("."):
        cfg = cfg[name]
    return cfg


OLD = dict(leaves(yaml.safe_load(OLD_CONFIG.read_text())["MODEL"]["DML"]))


def test_the_file_has_every_renamed_key_and_only_other_values_than_the_defaults():
    assert set(RENAMED) <= set(OLD)
    defaults = new_config()
    for new, value in expected().items():
        assert value_of(defaults, new) != value, new


def expected():
    """The keys of the file by their names of today."""
    kept = {f"MODEL.DML.{key}": value for key, value in OLD.items() if key not in RENAMED}
    return kept | dict(RENAMED.values())


def assert_is_as_expected(cfg):
    """Every key has its value, and nothing else is away from its default."""
    defaults = dict(leaves(new_config()))
    found = dict(leaves(cfg))
    assert found.keys() == defaults.keys()
    changed = {key: value for key, value in found.items() if value != defaults[key]}
    changed.pop("MODEL.META_ARCHITECTURE")
    assert changed == expected()


def test_a_file_is_taken_with_a_warning_for_each(caplog):
    cfg = new_config()
    with caplog.at_level(logging.WARNING):
        cfg.merge_from_file(str(OLD_CONFIG))
    assert_is_as_expected(cfg)
    tail = "; the old name is taken, please change it"
    assert sorted(record.getMessage() for record in caplog.records) == sorted(
        f"MODEL.DML.{text}{tail}" for text in WARNED
    )
    assert {record.name for record in caplog.records} == {"dml_instance.renamed_keys"}


def test_overrides_are_taken_with_a_warning_for_each(caplog):
    cfg = new_config()
    overrides = [part for key, value in OLD.items() for part in (f"MODEL.DML.{key}", str(value))]
    with caplog.at_level(logging.WARNING):
        cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "DMLInstance", *overrides])
    assert_is_as_expected(cfg)
    warned = [record.getMessage().split(";")[0] for record in caplog.records]
    assert sorted(warned) == sorted(
        f"MODEL.DML.{old} is now {new}" for old, (new, _) in RENAMED.items()
    )


@pytest.mark.parametrize("first", ["MODEL.DML.DECODER.STRIDE", "MODEL.DML.GROUPING.PEAK_SIZE"])
def test_the_stride_that_stands_beside_a_peak_size_counts(first):
    options = {"MODEL.DML.GROUPING.PEAK_SIZE": 5, "MODEL.DML.DECODER.STRIDE": 8}
    cfg = new_config()
    keys = sorted(options, key=lambda key: key != first)
    cfg.merge_from_list([part for key in keys for part in (key, options[key])])
    assert cfg.MODEL.DML.GROUPING.PEAK_RADIUS == 16


@pytest.mark.parametrize(
    ("size", "stride", "radius"), [(3, 2, 2), (5, 2, 4), (7, 4, 12), (1, 2, 2)]
)
def test_a_peak_size_in_cells_is_a_radius_in_pixels(size, stride, radius, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"MODEL": {"DML": {"GROUPING": {"PEAK_SIZE": size}}}}))
    cfg = new_config()
    cfg.MODEL.DML.DECODER.STRIDE = stride
    cfg.merge_from_file(str(file))
    assert radius == cfg.MODEL.DML.GROUPING.PEAK_RADIUS


def test_what_is_written_is_in_the_new_spelling(caplog, tmp_path):
    cfg = new_config()
    cfg.merge_from_file(str(OLD_CONFIG))
    file = tmp_path / "config.yaml"
    file.write_text(cfg.dump())
    caplog.clear()
    again = new_config()
    again.merge_from_file(str(file))
    assert caplog.records == []
    for key, value in expected().items():
        assert value_of(again, key) == value, key


def test_copies_of_a_config_take_old_keys_too():
    for copied in (new_config().clone(), CfgNode.clone(new_config())):
        copied.merge_from_list(["MODEL.DML.TEST_VIEWS", 2])
        assert copied.MODEL.DML.TEST_AUGMENTATIONS == 2


def test_of_an_old_and_a_new_spelling_the_new_one_counts(tmp_path):
    file = tmp_path / "config.yaml"
    sections = {"PAIRS": {"LOSS_WEIGHT": 3.0, "MAX_INSTANCES": 7}, "PAIR_LOSS": {"WEIGHT": 2.0}}
    file.write_text(yaml.safe_dump({"MODEL": {"DML": {**sections, "TEST_VIEWS": 2}}}))
    cfg = new_config()
    cfg.merge_from_file(str(file))
    assert (cfg.MODEL.DML.PAIR_LOSS.WEIGHT, cfg.MODEL.DML.PAIR_LOSS.MAX_INSTANCES) == (2.0, 7)


def test_an_old_base_of_a_new_file_is_taken(tmp_path):
    leaf = tmp_path / "leaf.yaml"
    leaf.write_text(f"_BASE_: {OLD_CONFIG}\nMODEL: {{DML: {{SEED_LOSS: {{PIXELS: 5}}}}}}\n")
    cfg = new_config()
    cfg.merge_from_file(str(leaf))
    assert (cfg.MODEL.DML.SEED_LOSS.PIXELS, cfg.MODEL.DML.SEED_LOSS.WEIGHT) == (5, 0.2)


@pytest.mark.parametrize(
    "key",
    [
        "MODEL.DML.PAIRS.LOSS_WEIGTH",
        "MODEL.DML.SEED.LAMDA",
        "MODEL.DML.TEST_VIEW",
        "MODEL.DML.AUGMENTATION.ROTATE",
        "MODEL.DML.AUGMENTATIONS.ROTATION",
        "MODEL.DML.SOLVER.OPTIMISER",
        "MODEL.DML.PAIRSS.WEIGHTS",
        "MODEL.DML.NUM_CLASES",
    ],
)
def test_misspelt_keys_are_refused(key, tmp_path):
    with pytest.raises(AssertionError, match="Non-existent key"):
        new_config().merge_from_list([key, 1])
    nested = 1
    for name in reversed(key.split(".")):
        nested = {name: nested}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(nested))
    with pytest.raises(KeyError, match="Non-existent config key"):
        new_config().merge_from_file(str(file))


def test_an_override_without_a_value_is_refused():
    with pytest.raises(AssertionError):
        new_config().merge_from_list(["MODEL.DML.TEST_VIEWS", 2, "MODEL.DML.CONTEXT"])


def test_values_of_another_type_are_refused():
    with pytest.raises(ValueError, match="Type mismatch"):
        new_config().merge_from_list(["MODEL.DML.PAIRS.LOSS_WEIGHT", "heavy"])


@pytest.mark.parametrize(
    ("architecture", "scales", "expected"),
    [
        ("GeneralizedRCNN", "[1.25]", 1.25),
        ("GeneralizedRCNN", "[1.0, 2.0]", 1.0),
        ("DMLInstance", "[1.25]", 1.0),
    ],
)
def test_the_scale_of_other_architectures_has_a_key_of_its_own(
    architecture, scales, expected, tmp_path
):
    file = tmp_path / "config.yaml"
    file.write_text(
        f"MODEL: {{META_ARCHITECTURE: {architecture}, DML: {{TEST_SCALES: {scales}}}}}\n"
    )
    cfg = new_config()
    cfg.merge_from_file(str(file))
    assert expected == cfg.INPUT.SCALE_TEST

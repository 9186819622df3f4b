"""Configs: what is no config, which data sets count, and the machine that one is loaded on."""

import logging
import zlib

import pytest
import torch

from dml_instance.engine import NO_DATA, TEST_DATA, load_config
from dml_instance.engine.config import _warn_of_the_cpu
from toy_scenes import square_and_disc, write_coco

YAML = "configs/Shapes/dml_slim_unet.yaml"


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """One that has no GPU and has warned of nothing."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _warn_of_the_cpu.cache_clear()


def test_a_gpu_that_is_not_there_is_warned_of_once(caplog):
    with caplog.at_level(logging.WARNING):
        assert [load_config(YAML).MODEL.DEVICE for _ in range(2)] == ["cpu", "cpu"]
    (message,) = caplog.messages
    assert "torch finds no GPU: the CPU is used" in message


def test_a_cpu_that_was_asked_for_is_no_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert load_config(YAML, ["MODEL.DEVICE", "cpu"]).MODEL.DEVICE == "cpu"
    assert not caplog.messages


@pytest.mark.parametrize("is_base", [False, True])
def test_a_yaml_runs_no_code(is_base, tmp_path):
    file, base, trace = (tmp_path / name for name in ("a.yaml", "base.yaml", "trace"))
    code = f'OUTPUT_DIR: !!python/object/apply:os.mkdir ["{trace}"]\n'
    (base if is_base else file).write_text(code)
    if is_base:
        file.write_text("_BASE_: base.yaml\n")
    with pytest.raises(ValueError, match=f"^{file} is no config .*python/object/apply:os.mkdir"):
        load_config(str(file))
    assert not trace.exists()


CURE = ": give the config.yaml of a training, or a yaml of configs/"


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + zlib.compress(bytes(99)),
        b"\xff\xd8\xff\xe0" + bytes(range(256)),
        *(b"a: [1,\n b: {", b"only a text", b"- 1\n- 2\n", b"", b"7"),
        *(b"MODEL: 3\n", b"_BASE_: 7\n", b'{"images": [}', b"VERSION: 9\n"),
    ],
    ids=lambda content: repr(content[:9]),
)
def test_a_file_that_is_no_config_is_named_in_one_line(tmp_path, content):
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{file} is no config ") as caught:
        load_config(str(file))
    (message,) = str(caught.value).splitlines()
    assert message.endswith(CURE)


def test_a_key_of_a_yaml_that_does_not_exist_is_named_with_the_likely_one(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("VERSION: 2\nSOLVER:\n  MAX_ITERS: 3\n")
    with pytest.raises(ValueError, match=f"^{file}: .*SOLVER.MAX_ITERS; is SOLVER.MAX_ITER meant"):
        load_config(str(file))


def test_a_value_of_another_type_is_named_with_the_file(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("VERSION: 2\nSOLVER:\n  MAX_ITER: many\n")
    with pytest.raises(ValueError, match=f"^{file}: Type mismatch .*SOLVER.MAX_ITER$"):
        load_config(str(file))


def test_a_folder_and_a_file_that_is_not_there_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} is no file"):
        load_config(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="gone.yaml does not exist"):
        load_config(str(tmp_path / "gone.yaml"))


@pytest.fixture
def scored_set(registered, tmp_path):
    """A registered set with categories 3 and 4."""
    scenes = [square_and_disc()]
    registered("scored_set", *write_coco(tmp_path, "toy", scenes, first_category=3))
    return ["DATASETS.TEST", ("scored_set",)]


FITTED = ["INPUT.FIT_TO_OBJECTS", False]


def test_what_is_not_needed_is_not_looked_at(scored_set):
    """Neither a training set that is not known nor one of other classes."""
    for train in ("nowhere", "shapes_train"):
        options = [*scored_set, *FITTED, "DATASETS.TRAIN", (train,)]
        cfg = load_config(YAML, options, needs=TEST_DATA)
        assert cfg.MODEL.DML.NUM_CLASSES == cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2
        assert cfg.DATASETS.CATEGORY_IDS == [3, 4]
        with pytest.raises((KeyError, ValueError), match=train):
            load_config(YAML, options)
        cfg = load_config(YAML, [*options, "MODEL.DML.NUM_CLASSES", 5], needs=NO_DATA)
        assert cfg.MODEL.DML.NUM_CLASSES == 5


def test_scoring_leaves_the_ids_of_the_training_data(scored_set):
    names = ["DATASETS.CLASS_NAMES", ["square", "disc"], "DATASETS.CATEGORY_IDS", [7, 8]]
    options = [*scored_set, *FITTED, *names]
    assert load_config(YAML, options, needs=TEST_DATA).DATASETS.CATEGORY_IDS == [7, 8]
    train = ["DATASETS.TRAIN", ("scored_set",)]
    assert load_config(YAML, [*options, *train]).DATASETS.CATEGORY_IDS == [3, 4]


def test_lengths_that_follow_from_data_that_is_not_known_are_explained(scored_set):
    options = [*scored_set, "DATASETS.TRAIN", ("nowhere",), "INPUT.FIT_TO_OBJECTS", True]
    with pytest.raises(KeyError, match="'nowhere', which is not registered: give the config.yaml"):
        load_config(YAML, options, needs=TEST_DATA)

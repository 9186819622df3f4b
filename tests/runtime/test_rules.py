"""rules.json: what is written is read, and what cannot be used is refused with its name."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dml_instance.grouping import GroupingRules, GroupingSettings
from dml_instance.runtime import (
    ClassRules,
    ImageRules,
    ModelRules,
    NetworkRules,
    load,
    read_rules,
    write_rules,
)
from dml_instance.runtime.rules import sha256_of

RULES = ModelRules(
    ImageRules("BGR", 800, 1333, 1.0, 1.25, "dataset", (1.5, 2.0, 3.0), (1.0, 2.0, 57.375)),
    NetworkRules("", 18, 2, 32, 2048, 256),
    GroupingSettings(
        GroupingRules(alpha=0.1, class_by="seed"),
        *((0.25, 0.5), 32.0, None, 0.45, np.array([True, False])),
    ),
    ClassRules(("cat", "dog"), (3, 7)),
    {"torch": "2"},
)


@pytest.fixture
def folder(tmp_path):
    """With a network that is none, which rules do not look at."""
    (tmp_path / "network.onnx").write_bytes(b"no network")
    sha256 = sha256_of(str(tmp_path / "network.onnx"))
    write_rules(str(tmp_path), replace(RULES, network=replace(RULES.network, sha256=sha256)))
    return tmp_path


def test_rules_are_read_as_they_were_written(folder):
    found = read_rules(str(folder))
    assert (found.image, found.classes, found.made_by) == (
        RULES.image,
        RULES.classes,
        {"torch": "2"},
    )
    assert replace(found.network, sha256="") == RULES.network
    for name, expected in vars(RULES.grouping).items():
        assert np.array_equal(getattr(found.grouping, name), expected), name
    assert found.grouping.in_pieces.dtype == bool
    everywhere = replace(found, grouping=replace(found.grouping, in_pieces=None, max_instances=7))
    write_rules(str(folder), everywhere)
    found = read_rules(str(folder)).grouping
    assert found.in_pieces is None and found.max_instances == 7


def set_to(*path_and_value):
    *path, name, value = path_and_value

    def change(content):
        for part in path:
            content = content[part]
        content[name] = value

    return change


def without(*path):
    *sections, name = path

    def change(content):
        for part in sections:
            content = content[part]
        del content[name]

    return change


CHANGES = {
    "is of format 2, and this version of dml_instance reads 1": set_to("format_version", 2),
    "no 'format_version' is in it": without("format_version"),
    "no 'network' is in it": without("network"),
    "image has .*: scale$": without("image", "scale"),
    "grouping.rules has .*: alpha$": without("grouping", "rules", "alpha"),
    "network has .*: batch$": set_to("network", "batch", 2),
    "GROUPING.ALPHA is at least 0, got -1": set_to("grouping", "rules", "alpha", -1),
    "strictly between 0 and 1, got 2": set_to("grouping", "taus", [0.5, 2]),
    r"channel_order is one of \('RGB', 'BGR'\), got 'L'": set_to("image", "channel_order", "L"),
    "normalization is one of": set_to("image", "normalization", "none"),
    "short_side is at least 0, got -1": set_to("image", "short_side", -1),
    "long_side is at least 1, got 0": set_to("image", "long_side", 0),
    "scale is positive, got 0": set_to("image", "scale", 0),
    "magnification is positive, got -2": set_to("image", "magnification", -2),
    r"pixel_mean is three numbers, got \(1,\)": set_to("image", "pixel_mean", [1]),
    r"pixel_std is positive, got \(1, 0, 1\)": set_to("image", "pixel_std", [1, 0, 1]),
    "stride is at least 1, got 0": set_to("network", "stride", 0),
    "size_divisibility is a multiple of stride 2, got 33": set_to(
        *("network", "size_divisibility", 33)
    ),
    "tile_size is at least 0, got -1": set_to("network", "tile_size", -1),
    "tile_overlap is at least 0 and less than 2048, got 2048": set_to(
        *("network", "tile_overlap", 2048)
    ),
    r"category_ids is of 2 classes, got \(1,\)": set_to("classes", "category_ids", [1]),
    "in_pieces is of 2 classes, got 1": set_to("grouping", "in_pieces", [True]),
    "not supported between": set_to("image", "scale", "large"),
}


@pytest.mark.parametrize("told", CHANGES)
def test_rules_that_cannot_be_used_are_refused_with_file_name_and_cure(folder, told):
    path = folder / "rules.json"
    content = json.loads(path.read_text())
    CHANGES[told](content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        read_rules(str(folder))
    message, cure = str(caught.value).rsplit("; ", 1)
    assert re.search(told, message) and cure == "export the model again" and "\n" not in message


def test_a_file_that_is_no_json_is_named(folder):
    (folder / "rules.json").write_text("{")
    with pytest.raises(ValueError, match=r"rules\.json: Expecting .*; export the model again"):
        read_rules(str(folder))


@pytest.mark.parametrize("name", ["network.onnx", "rules.json"])
def test_a_file_that_is_missing_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing.*dml export writes"):
        load(folder)


def test_another_network_than_that_of_the_rules_is_refused(folder):
    (folder / "network.onnx").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"network\.onnx is not the network .*take both files"):
        load(folder)


def test_a_network_that_is_none_is_named(folder):
    with pytest.raises(ValueError, match=r"network\.onnx cannot be loaded by onnxruntime .*export"):
        load(Path(folder))

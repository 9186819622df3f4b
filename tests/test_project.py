"""What holds for the project as a whole: its configs, keys, tools, packaging and lines."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from setuptools import Distribution

import dml_instance
from dml_instance import add_dml_config, modeling
from dml_instance.engine import load_config
from dml_instance.evaluation import InstanceMetricRules
from dml_instance.modeling.backbone import slim_resnet
from dml_instance.modeling.test_time.rules import InferenceRules
from tool_runner import load_script
from toy_scenes import data_config

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
LEAVES = [path for path in CONFIGS if not path.name.startswith("Base")]
LAZY = sorted((ROOT / "configs" / "lazy").glob("*.py"))
TOOLS = sorted((ROOT / "tools").glob("[!_]*.py"))
PACKAGE = ROOT / "dml_instance"
configuration = load_script(ROOT / "docs" / "generate_configuration.py")


def name_of(path):
    return f"{path.parent.name}-{path.stem}"


def built(path):
    """The model of a yaml, of weights without memory: their shapes and names are what counts."""
    cfg = load_config(str(path), ["MODEL.DEVICE", "meta", "MODEL.DML.BACKBONE.PRETRAINED", "False"])
    if cfg.MODEL.BACKBONE.NAME.startswith("build_efficientnet_lite"):
        pytest.importorskip("efficientnet_lite_pytorch")
    with torch.device("meta"):
        return build_model(cfg)


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_every_yaml_builds_its_model(path):
    model = built(path)
    assert type(model).__name__ in ("DMLInstance", "GeneralizedRCNN")
    assert any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("path", LAZY, ids=name_of)
def test_every_lazy_config_builds_all_its_parts_in_few_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
    cfg = LazyConfig.load(str(path))
    with torch.device("meta"):
        cfg.optimizer.params.model = instantiate(cfg.model)
        assert instantiate(cfg.optimizer).param_groups
    multiplier = instantiate(cfg.lr_multiplier)
    assert multiplier(0.5) > multiplier(1.0) >= 0
    assert {"train", "test"} <= set(cfg.dataloader)


def test_the_lazy_config_of_shapes_is_the_model_of_its_yaml():
    with torch.device("meta"):
        lazy = instantiate(LazyConfig.load(str(ROOT / "configs" / "lazy" / "shapes.py")).model)
    model = built(ROOT / "configs" / "Shapes" / "dml_slim_unet.yaml")
    shapes, expected = (
        {name: tuple(values.shape) for name, values in m.state_dict().items()}
        for m in (lazy, model)
    )
    assert shapes == expected
    assert vars(lazy.criterion) == vars(model.criterion)
    for name in ("rules", "taus", "context", "max_instances", "min_score"):
        assert getattr(lazy.grouping, name) == getattr(model.grouping, name)
    for name in ("pyramid_scales", "inference_rules"):
        assert getattr(lazy, name) == getattr(model, name)
    assert lazy.pixel_norm.of_each_image == model.pixel_norm.of_each_image


def flatten(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_a_yaml_states_only_what_differs_from_its_base(path):
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    stated.pop("VERSION", None)  # Detectron2 guesses, with a warning, where it is missing
    base = get_cfg()
    add_dml_config(base)
    if "_BASE_" in stated:
        base.merge_from_file(str(path.parent / stated.pop("_BASE_")))
    known = dict(flatten(base))
    repeated = [
        key
        for key, value in flatten(stated)
        if known[key]
        == (ast.literal_eval(value) if isinstance(value, str) and value.startswith("(") else value)
    ]
    assert not repeated


def attributes(path, *, of_rules):
    """What the code of a file reads as ``x.name``, as (x's own last name, name).

    A section whose keys are taken by a variable, ``cfg.SECTION[key]``, is read for all that the
    file has in capitals.

    Args:
        path: of the file.
        of_rules: whether it defines rules; their checks of ranges are no reading.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if of_rules else ():
        if isinstance(node, ast.ClassDef):
            node.body = [n for n in node.body if getattr(n, "name", "") != "__post_init__"]
    words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    capitals = [word for word in words if isinstance(word, str) and word.isupper()]
    for node in ast.walk(tree):
        owner = getattr(node, "value", None)
        owner = getattr(owner, "attr", getattr(owner, "id", ""))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield owner, node.attr
        elif isinstance(node, ast.Subscript) and owner.isupper():
            yield from ((owner, word) for word in capitals)


def read_keys():
    """All that code reads as attributes: of configs, and of rules, in whose form keys travel."""
    # These name keys and their values, but nothing follows from them.
    silent = ("config.py", "honoured_keys.py", "renamed_keys.py")
    of_configs, of_fields = set(), set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent != PACKAGE or path.name not in silent:
            of_configs |= set(attributes(path, of_rules=False))
        if any(path.is_relative_to(PACKAGE / part) for part in ("modeling", "grouping")):
            of_rules = path.name == "rules.py"
            owners = {"rules", "pair_loss", "mask_loss", "seed_loss", *(["self"] * of_rules)}
            read = attributes(path, of_rules=of_rules)
            of_fields |= {name for owner, name in read if owner in owners}
    return of_configs, of_fields


def fields_of_rules():
    """Keys that are fields of a dataclass of rules."""
    for path in PACKAGE.rglob("rules.py"):
        yield from configuration.field_comments(path.read_text(encoding="utf-8"))


OF_CONFIGS, OF_FIELDS = read_keys()
FIELDS = dict(fields_of_rules())


@pytest.mark.parametrize("key", configuration.added_keys())
def test_every_key_is_read_somewhere(key):
    *_, section, name = key.split(".")
    owners = {owner for owner, read in OF_CONFIGS if read == name}
    if key in FIELDS:
        assert name.lower() in OF_FIELDS
    elif name == "NAME":
        assert section in owners
    else:
        # By its section, or by a variable that holds it.
        assert any(owner == section or owner.islower() for owner in owners)


def test_the_page_of_keys_has_a_comment_for_each_and_is_current():
    assert configuration.PAGE.read_text(encoding="utf-8") == configuration.page()


# Classes, with what their constructors are called with beside cfg.
SHAPE = ShapeSpec(channels=8, stride=2)
PARTS = {
    modeling.TopDownDecoder: {"input_shape": {"res2": SHAPE}, "stride": 2},
    modeling.EmbeddingHead: {"input_shape": SHAPE},
    modeling.SeedHead: {"input_shape": SHAPE, "stride": 2, "num_taus": 3, "num_classes": 1},
    modeling.DMLCriterion: {},
    modeling.InstanceGrouping: {"num_classes": 1},
}
# Of a part that is built without a yaml these are off, whatever a yaml that says nothing gets.
OFF = {"coordinate_unit": 0.0, "distance_scale": False, "offsets": (), "max_instances": None}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_defaults_of_constructors_are_those_of_the_config(part):
    of_config = part.from_config(data_config(), **PARTS[part])
    for name, parameter in inspect.signature(part.__init__).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            assert parameter.default == OFF.get(name, plain(of_config[name])), name


def test_defaults_of_the_backbone_of_inference_and_of_metrics_are_those_of_the_config():
    cfg = data_config()
    blocks = inspect.signature(slim_resnet).parameters["blocks"].default
    assert blocks == plain(cfg.MODEL.DML.BACKBONE.BLOCKS)
    assert InferenceRules.from_config(cfg) == InferenceRules()
    assert InstanceMetricRules.from_config(cfg) == InstanceMetricRules()


def plain(value):
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("path", [*TOOLS, Path(configuration.__file__)], ids=name_of)
def test_every_tool_has_help(path, capsys):
    with pytest.raises(SystemExit) as ended:
        load_script(path).argument_parser().parse_args(["--help"])
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out


def text_files():
    """All that people write: not raw results, and not what is built or downloaded."""
    folders = ("benchmarks", "configs", "dml_instance", "docs", "tests", "third_party", "tools")
    for pattern in ("*.md", "*.py", "*.toml", "*.txt", "*.yaml", "Makefile"):
        yield from ROOT.glob(pattern)
        for folder in folders:
            for path in (ROOT / folder).rglob(pattern):
                if not path.is_relative_to(ROOT / "benchmarks" / "results"):
                    yield path


def test_lines_fit_into_100_columns():
    """But for rows of tables, which cannot be broken."""
    long = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if len(line) > 100 and not (path.suffix == ".md" and line.startswith("|")):
                long.append(f"{path.relative_to(ROOT)}:{number}")
    assert not long


def test_every_file_of_the_package_is_installed_and_nothing_else(monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = Distribution()
    distribution.parse_config_files()
    installed = set()
    for package in distribution.packages:
        folder = ROOT / package.replace(".", "/")
        for pattern in ("*.py", *distribution.package_data.get(package, [])):
            installed |= {path for path in folder.glob(pattern) if path.is_file()}
    # The link that an installation makes is of configs/ of the repository.
    configs = PACKAGE / "model_zoo" / "configs"
    installed = {path for path in installed if not path.is_relative_to(configs)}
    there = {
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and configs not in path.parents
    }
    assert installed == there
    assert distribution.get_version() == dml_instance.__version__


def test_importing_sets_no_variables_and_needs_nothing_that_only_unix_has():
    code = """
import os, sys, detectron2.engine, detectron2.evaluation, dml_instance
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY
assert "DMLInstance" in META_ARCH_REGISTRY and "shapes_train" in DatasetCatalog.list()
sys.modules |= dict.fromkeys(("resource", "fcntl", "grp", "pwd"))
before = dict(os.environ)
import dml_instance.engine, dml_instance.engine.pictures
assert dict(os.environ) == before
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)

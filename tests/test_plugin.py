"""The package is registered with Detectron2 when one of its names is asked for, or at once where
Detectron2 is imported already.

Tried on a copy of the files that see to it, with a Detectron2 that is nothing but a list of names.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dml_instance

PACKAGE = Path(dml_instance.__file__).parent

FILES = {
    "detectron2/__init__.py": "registered = []",
    "detectron2/layers.py": "move_device_like = None",
    "dml_instance/modeling.py": "import detectron2",
    "dml_instance/data.py": "from detectron2 import registered\nregistered.append('data')",
    "dml_instance/model_zoo.py": "import detectron2",
    "dml_instance/config.py": "from . import modeling\nadd_dml_config = 'config'.upper",
    "dml_instance/segmentation.py": "Segmentation = 'segmentation'",
    "dml_instance/segmenter.py": "Segmenter = 'segmenter'\nload = 'load'",
    "dml_instance/free.py": "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("__init__.py", "plugin.py", "version.py"):
        shutil.copy(PACKAGE / name, folder / "dml_instance")
    return folder


def run(folder, code):
    """What a new process prints, and the last line of its complaints."""
    # Without what is installed, a real Detectron2 among it.
    command = [sys.executable, "-S", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    return result.stdout.split(), (result.stderr.splitlines() or [""])[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import detectron2, dml_instance",
        "import dml_instance, detectron2; dml_instance.add_dml_config",
        "from dml_instance import add_dml_config; assert add_dml_config() == 'CONFIG'",
        "import dml_instance; dml_instance.data",
        "from dml_instance import modeling",
        "import dml_instance.free; from dml_instance import load",
        "import dml_instance.plugin",
        "import dml_instance.data",
    ],
)
def test_it_is_registered_once_where_it_is_used(folder, code):
    assert run(folder, f"{code}; import detectron2; print(*detectron2.registered)") == (
        ["data"],
        "",
    )


def test_nothing_but_itself_is_imported_before_it_is_needed(folder):
    code = "import dml_instance, dml_instance.free, sys; print(*sorted(n for n in sys.modules if "
    code += "n.startswith(('dml_instance', 'detectron2')))); print(dml_instance.__version__)"
    names = ["dml_instance", "dml_instance.free", "dml_instance.version"]
    assert run(folder, code) == ([*names, dml_instance.__version__], "")


def test_all_names_are_listed_and_there(folder):
    names = sorted(dml_instance.__all__)
    assert names == [
        *("Segmentation", "Segmenter", "__version__", "add_dml_config"),
        *("data", "load", "model_zoo", "modeling"),
    ]
    code = "import dml_instance as d; listed = dir(d); print(*(n for n in d.__all__ if n in listed "
    assert run(folder, f"{code}and getattr(d, n)))") == (names, "")


def test_an_attribute_that_is_not_there_is_named(folder):
    expected = "AttributeError: module 'dml_instance' has no attribute 'segment'"
    assert run(folder, "import dml_instance; dml_instance.segment")[1].startswith(expected)
    assert "cannot import name 'segment'" in run(folder, "from dml_instance import segment")[1]


def test_without_detectron2_its_absence_is_told_where_it_is_needed(folder):
    without = "import sys; sys.modules['detectron2'] = None; "
    assert run(folder, f"{without}import dml_instance.free; print('free')") == (["free"], "")
    for code in ("from dml_instance import add_dml_config", "import dml_instance.plugin"):
        assert "pip install ./third_party/d2wheel" in run(folder, without + code)[1]


def test_of_one_that_is_too_old_that_is_told(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "detectron2" / "layers.py").write_text("")
    for code in ("from dml_instance import load", "import detectron2, dml_instance"):
        assert "older than dml_instance can use" in run(tmp_path, code)[1]

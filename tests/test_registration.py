"""The package is registered with Detectron2 as soon as both are imported, and not before.

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
    "dml_instance/modeling/__init__.py": "from .parts import NAME",
    # In the middle of a part Detectron2 is imported.
    "dml_instance/modeling/parts.py": "import detectron2\nNAME = 'model'",
    "dml_instance/data.py": "from .modeling.parts import NAME\nfrom detectron2 import registered\n"
    "registered.append('data')",
    "dml_instance/model_zoo.py": "import detectron2",
    "dml_instance/config.py": "from .modeling.parts import NAME\nadd_dml_config = NAME.upper",
    "dml_instance/free.py": "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("__init__.py", "registration.py", "plugin.py", "version.py"):
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
        "import dml_instance, detectron2",
        "import detectron2, dml_instance",
        "import dml_instance, dml_instance.free, detectron2",
        "from dml_instance import add_dml_config; assert add_dml_config() == 'MODEL'",
        "import dml_instance; dml_instance.data",
        "from dml_instance import modeling",
        "import dml_instance.data",
        "import dml_instance.modeling.parts",
        "import dml_instance.free; from dml_instance.config import add_dml_config",
        "import dml_instance.plugin",
        "import dml_instance, threading; thread = threading.Thread(target=lambda: __import__("
        "'detectron2')); thread.start(); thread.join()",
    ],
)
def test_it_is_registered_once_in_whatever_order_both_are_imported(folder, code):
    code = f"import sys; before = len(sys.meta_path); {code}; import detectron2 as d"
    code += (
        "; print(*d.registered, len(sys.meta_path) - before, 'exec_module' in vars(d.__loader__))"
    )
    assert run(folder, code) == (["data", "0", "False"], "")


def test_nothing_but_itself_is_imported_before_it_is_needed(folder):
    code = "import dml_instance, sys; print(*sorted(n for n in sys.modules if n.startswith(("
    code += "'dml_instance', 'detectron2')))); print(dml_instance.__version__)"
    names = ["dml_instance", "dml_instance.registration", "dml_instance.version"]
    assert run(folder, code) == ([*names, dml_instance.__version__], "")


def test_an_attribute_that_is_not_there_is_named(folder):
    expected = "AttributeError: module 'dml_instance' has no attribute 'segment'"
    assert run(folder, "import dml_instance; dml_instance.segment") == ([], expected)
    assert "cannot import name 'segment'" in run(folder, "from dml_instance import segment")[1]


WITHOUT = "import sys; sys.modules['detectron2'] = None; "


def test_without_detectron2_its_absence_is_told_where_it_is_needed(folder):
    assert run(folder, f"{WITHOUT}import dml_instance.free; print('free')") == (["free"], "")
    _, complaint = run(folder, f"{WITHOUT}from dml_instance import add_dml_config")
    assert "pip install ./third_party/d2wheel" in complaint
    absent = "import dml_instance, os; os.rename('detectron2', 'elsewhere'); import detectron2"
    assert run(folder, absent)[1] == "ModuleNotFoundError: No module named 'detectron2'"
    (folder / "elsewhere").rename(folder / "detectron2")


def test_one_that_is_too_old_fails_where_it_is_needed_and_nowhere_else(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "detectron2" / "layers.py").write_text("")
    _, complaint = run(tmp_path, "from dml_instance import add_dml_config")
    assert "older than dml_instance can use" in complaint
    code = "import dml_instance, warnings; warnings.simplefilter('error'); import detectron2"
    assert "RuntimeWarning: not registered with Detectron2" in run(tmp_path, code)[1]
    quiet = code.replace("error", "ignore")
    assert run(tmp_path, f"{quiet}; print(detectron2.registered)") == (["[]"], "")

"""The repackaged Detectron2, from a source wheel that is drawn by hand."""

import base64
import hashlib
import importlib.util
import zipfile
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "third_party" / "d2wheel" / "d2wheel.py"


@pytest.fixture
def d2wheel(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("d2wheel", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files = {
        "detectron2/__init__.py": "",
        "detectron2/_C.cpython-310-x86_64-linux-gnu.so": "compiled",
        "tools/__init__.py": "",
        "tools/train_net.py": "def build_evaluator(): pass\n",
        f"{module.SOURCE_INFO}RECORD": "of the source",
    }
    for name, old, _ in module.EDITS:
        source = name.replace(module.INFO, module.SOURCE_INFO)
        source = source.replace("detectron2/tools/", "tools/")
        files[source] = files.get(source, "") + f"before\n{old}\n"
    source = tmp_path / "source.whl"
    with zipfile.ZipFile(source, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    monkeypatch.setattr(module, "_download", lambda folder: source)
    return module


def test_the_tools_move_into_the_package_and_what_is_compiled_stays_out(d2wheel, tmp_path):
    name = d2wheel.build_wheel(str(tmp_path))
    assert name == f"detectron2-{d2wheel.VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as archive:
        content = {entry: archive.read(entry).decode() for entry in archive.namelist()}
    assert {entry.split("/")[0] for entry in content} == {"detectron2", d2wheel.INFO.rstrip("/")}
    assert "detectron2/tools/train_net.py" in content
    assert not any(entry.endswith(".so") for entry in content)
    assert "from .train_net import" in content["detectron2/tools/lightning_train_net.py"]
    assert f"Version: {d2wheel.VERSION}" in content[f"{d2wheel.INFO}METADATA"]
    recorded = dict(line.split(",", 1) for line in content[f"{d2wheel.INFO}RECORD"].splitlines())
    assert set(recorded) == set(content)
    digest = hashlib.sha256(content["detectron2/tools/train_net.py"].encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert recorded["detectron2/tools/train_net.py"].startswith(f"sha256={expected},")


def test_a_source_that_changed_is_an_error(d2wheel, tmp_path, monkeypatch):
    edits = [*d2wheel.EDITS, ("detectron2/__init__.py", "not there", "")]
    monkeypatch.setattr(d2wheel, "EDITS", edits)
    with pytest.raises(RuntimeError, match=r"__init__\.py: expected 'not there' exactly once"):
        d2wheel.build_wheel(str(tmp_path))

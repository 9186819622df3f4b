"""Build backend that turns a published Detectron2 wheel into one every Python >= 3.10 can install.

Official Detectron2 is not on PyPI and builds only with a compiler and torch already there.
``sal-detectron2`` on PyPI repackages upstream main of August 2024, tagged for one Python version
because of a single compiled file. The rest is pure Python. This backend downloads that wheel by
hash and hands pip a ``py3-none-any`` wheel named ``detectron2``:

- without the compiled file;
- with Detectron2's command line tools, which that wheel installs as a top-level package ``tools``,
  as ``detectron2.tools``: ``python -m detectron2.tools.lazyconfig_train_net``;
- with its dependencies corrected, and a few lines mended (see ``EDITS``).

README.md beside this file says what the result lacks, and how to use the official build instead.
"""

import base64
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

SOURCE = (
    "sal-detectron2==0.7.2 "
    "--hash=sha256:491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561\n"
)
SOURCE_INFO = "sal_detectron2-0.7.2.dist-info/"
# Raise the last number with every change of the result: pip leaves a version that it has alone.
VERSION = "0.7.2+sal.py3.1"
INFO = f"detectron2-{VERSION}.dist-info/"
REQUIRES = ["torch", "torchvision", "numpy", "fvcore>=0.1.5,<0.1.6", "iopath>=0.1.7,<0.1.10"]

# (file, text that must occur exactly once, its replacement)
EDITS = [
    (INFO + "METADATA", "Name: sal-detectron2", "Name: detectron2"),
    (INFO + "METADATA", "Version: 0.7.2", f"Version: {VERSION}"),
    (
        INFO + "METADATA",
        "Requires-Dist: numpy<2",
        "\n".join(f"Requires-Dist: {name}" for name in REQUIRES),
    ),
    # pkg_resources left setuptools with version 82
    ("detectron2/model_zoo/model_zoo.py", "import pkg_resources\n", ""),
    (
        "detectron2/model_zoo/model_zoo.py",
        "pkg_resources.resource_filename(\n"
        '        "detectron2.model_zoo", os.path.join("configs", config_path)\n'
        "    )",
        'os.path.join(os.path.dirname(__file__), "configs", config_path)',
    ),
    # numpy 2 takes no copy=False where a copy is needed
    ("detectron2/evaluation/sem_seg_evaluation.py", "copy=copy, dtype=dtype", "dtype=dtype"),
    # of a script beside it, once both are modules of a package
    ("detectron2/tools/lightning_train_net.py", "from train_net import", "from .train_net import"),
]


def _download(folder):
    """Fetch the source wheel, checked by hash, into ``folder`` and return its path."""
    requirement = folder / "source.txt"
    requirement.write_text(SOURCE)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    # The wheel is tagged cp310; asking for that tag lets any interpreter fetch it.
    subprocess.check_call(
        [
            *pip,
            "--only-binary=:all:",
            "--python-version",
            "3.10",
            "--dest",
            str(folder),
            "-r",
            str(requirement),
        ]
    )
    return next(folder.glob("*.whl"))


def _new_name(name):
    """The name in the new wheel of a file of the source wheel."""
    if name.startswith("tools/"):
        return f"detectron2/{name}"
    return name.replace(SOURCE_INFO, INFO)


def _pure_python_files(wheel):
    """Read a wheel into ``{new name: bytes}``, without compiled files and its RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            _new_name(name): archive.read(name)
            for name in archive.namelist()
            if not name.endswith((".so", "/RECORD", "/"))
        }


def _apply_edits(files):
    """Apply EDITS in place; RuntimeError where a text does not occur exactly once."""
    for name, old, new in EDITS:
        text = files[name].decode()
        if text.count(old) != 1:
            raise RuntimeError(
                f"{name}: expected {old!r} exactly once, found it {text.count(old)} times"
            )
        files[name] = text.replace(old, new).encode()


def _record(files):
    """The RECORD text of a wheel that holds ``files``."""

    def digest(data):
        return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

    return (
        "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
        + f"{INFO}RECORD,,\n"
    )


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 517 hook: write the wheel into ``wheel_directory`` and return its file name."""
    with tempfile.TemporaryDirectory() as folder:
        files = _pure_python_files(_download(pathlib.Path(folder)))
    _apply_edits(files)
    files[INFO + "WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: d2wheel\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[INFO + "top_level.txt"] = b"detectron2\n"
    files[INFO + "RECORD"] = _record(files).encode()
    name = f"detectron2-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return name

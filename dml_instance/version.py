"""The version, where both setup.py and the package can read it."""

__version__ = "0.1.0"

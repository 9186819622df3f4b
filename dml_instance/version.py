"""The version, where both pyproject.toml and the package can read it."""

__version__ = "0.1.0"

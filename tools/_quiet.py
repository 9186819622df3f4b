"""What a tool imports first: see ``dml_instance.commands.process``."""

from dml_instance.commands import process  # noqa: F401

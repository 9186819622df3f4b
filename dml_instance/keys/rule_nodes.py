"""Between config nodes and the frozen dataclasses of rules that travel through the code."""

from dataclasses import fields
from typing import TypeVar

from detectron2.config import CfgNode as CN

_Rules = TypeVar("_Rules")


def node_of(rules: object) -> CN:
    """A config node with the values of a dataclass: a key for each field, in upper case."""
    return CN({field.name.upper(): getattr(rules, field.name) for field in fields(rules)})


def rules_of(kind: type[_Rules], node: CN) -> _Rules:
    """The dataclass ``kind`` with the values of a node of ``node_of``; it checks them itself."""
    return kind(**{field.name: node[field.name.upper()] for field in fields(kind)})

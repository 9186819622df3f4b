#!/usr/bin/env python
"""Write docs/configuration.md: every config key of this project, its default, and what it means.

    python docs/generate_configuration.py            # write the page
    python docs/generate_configuration.py --check    # exit with 1 if the page is not current

The keys and their defaults are what ``add_dml_config`` adds to a config of Detectron2. What they
mean is the comment above them in the source: above the assignment in ``dml_instance/config.py``, or
above the field of a dataclass in a file ``rules.py``, where ``GroupingRules.max_seeds`` is the key
``MODEL.DML.GROUPING.MAX_SEEDS``.
"""

import argparse
import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config

from dml_instance import add_dml_config

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dml_instance"
PAGE = ROOT / "docs" / "configuration.md"
WIDTH = 100

# What the names stand for that config.py assigns to.
_NODES = {"cfg": "", "dml": "MODEL.DML."}

_HEAD = """\
# Configuration

<!-- Written by docs/generate_configuration.py from the comments in the source: change those. -->

Every key that this project adds to
[Detectron2's](https://detectron2.readthedocs.io/en/latest/modules/config.html), with its default.
Set keys in a yaml that names its `_BASE_`, or behind a command as `KEY VALUE` pairs, after all
options. A yaml states only what differs from its base. Old spellings of keys are taken with a
warning; an unknown key is an error.

"Paper" is Fathi et al., [arXiv:1703.10277](https://arxiv.org/abs/1703.10277), and
[method.md](method.md) lists every departure from it. "Measured" points to
[accuracy.md](accuracy.md) or the [notebook of experiments](../benchmarks/notebook/README.md).
Lengths in pixels are pixels of the network's input image, whatever the stride. What to change
first: [tuning.md](tuning.md#what-to-change-first).
"""


def flattened(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every key of a config with its value, as ``MODEL.DML.TAUS``."""
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def added_keys() -> dict[str, object]:
    """The keys that this project adds to Detectron2's, with their defaults, in their order."""
    stock = get_cfg()
    add_deeplab_config(stock)
    known = dict(flattened(stock))
    cfg = get_cfg()
    add_dml_config(cfg)
    return {key: value for key, value in flattened(cfg) if key not in known}


def comment_above(lines: list[str], line: int) -> str:
    """The comment that ends right above a line (counted from 1), as one text; "" without one."""
    block = []
    for text in map(str.strip, reversed(lines[: line - 1])):
        # A heading inside the source, "# --- network" or a rule of dashes, belongs to no key.
        if not text.startswith("#") or re.match(r"#\s*-{3}", text):
            break
        block.append(text.lstrip("# "))
    return " ".join(reversed(block))


def dotted(node: ast.expr) -> str | None:
    """``dml.GROUPING.NAME`` to ``MODEL.DML.GROUPING.NAME``; None for what is no key."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not parts or not isinstance(node, ast.Name) or node.id not in _NODES:
        return None
    return _NODES[node.id] + ".".join(reversed(parts))


def assigned_comments(source: str) -> Iterator[tuple[str, str]]:
    """(key, comment) of every key that config.py assigns, also as ``CN({"NAME": ...})``."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if key := dotted(target):
                comment = comment_above(lines, node.lineno)
                yield key, comment
                inside = [
                    n for d in ast.walk(node.value) if isinstance(d, ast.Dict) for n in d.keys
                ]
                yield from ((f"{key}.{ast.literal_eval(name)}", comment) for name in inside)


def field_comments(source: str) -> Iterator[tuple[str, str]]:
    """(key, comment) of every field of the dataclasses ``*Rules`` of a file rules.py."""
    lines = source.splitlines()
    for rules in ast.walk(ast.parse(source)):
        if isinstance(rules, ast.ClassDef) and rules.name.endswith("Rules"):
            section = re.sub(r"(?<!^)(?=[A-Z])", "_", rules.name.removesuffix("Rules")).upper()
            for field in rules.body:
                if isinstance(field, ast.AnnAssign):
                    name = f"MODEL.DML.{section}.{field.target.id.upper()}"
                    yield name, comment_above(lines, field.lineno)


def comments() -> dict[str, str]:
    """Key to the comment above it, of the whole package."""
    found = dict(assigned_comments((PACKAGE / "config.py").read_text(encoding="utf-8")))
    for path in sorted(PACKAGE.rglob("rules.py")):
        found |= field_comments(path.read_text(encoding="utf-8"))
    return found


def shown(value: object) -> str:
    """A default as a yaml has it."""
    return f'"{value}"' if isinstance(value, str) else str(value)


def page() -> str:
    """The whole page; raises ValueError naming the keys that no comment explains."""
    keys, meaning = added_keys(), comments()
    silent = [key for key in keys if not meaning.get(key)]
    if silent:
        raise ValueError(f"no comment stands above {', '.join(silent)}")
    sections: dict[str, list[str]] = {}
    for key, value in keys.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"- `{name}`: `{shown(value)}`. {meaning[key]}")
    parts = [_HEAD]
    for section, items in sections.items():
        parts.append(f"\n## {section}\n\n" + "".join(map(wrapped, items)))
    return "".join(parts)


def wrapped(item: str) -> str:
    """An item of a list in lines of at most WIDTH columns."""
    lines = textwrap.wrap(
        item, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) + "\n"


def main(args: argparse.Namespace) -> int:
    """Write or check the page; returns the exit status."""
    try:
        text = page()
    except ValueError as error:
        sys.exit(f"error: {error}")
    if not args.check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not current; run python docs/generate_configuration.py")
    return 1


def argument_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only compare; 1 if it differs")
    return parser


if __name__ == "__main__":
    sys.exit(main(argument_parser().parse_args()))

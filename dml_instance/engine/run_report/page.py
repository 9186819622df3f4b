"""The page: one HTML file that needs nothing else."""

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff;
       max-width: 1180px; margin: 2em auto; padding: 0 1.2em; }
h1 { font-size: 1.5em; margin-bottom: 0; } h2 { font-size: 1.15em; margin: 2em 0 .4em; }
p, li { max-width: 62em; } .note { color: #666; }
table { border-collapse: collapse; margin: .6em 0; }
th, td { text-align: left; padding: .15em 1.1em .15em 0; border-bottom: 1px solid #e4e4e4;
         vertical-align: top; }
img { max-width: 100%; display: block; margin: .3em 0 1em; }
code, pre { font: 13px/1.45 ui-monospace, monospace; background: #f5f5f3; }
code { padding: .05em .3em; } pre { padding: .7em; overflow-x: auto; white-space: pre-wrap; }
.advice { border-left: 3px solid #2458a8; padding: 0 0 0 .9em; margin: .9em 0; }
.advice h3 { font-size: 1em; margin: 0; } .advice p { margin: .2em 0; }
"""


@dataclass
class Page:
    """Sections in the order in which they are added.

    Attributes:
        title: of the page.
        subtitle: a line under it.
    """

    title: str
    subtitle: str
    _parts: list[str] = field(default_factory=list)

    def section(self, title: str, *parts: str) -> None:
        """Add a heading and what stands under it, as HTML; nothing where there is none."""
        shown = [part for part in parts if part]
        if shown:
            self._parts += [f"<h2>{text(title)}</h2>", *shown]

    def html(self) -> str:
        """The whole file."""
        return "\n".join(
            [
                "<!DOCTYPE html>",
                '<html lang="en">',
                f'<head><meta charset="utf-8"><title>{text(self.title)}</title>',
                f"<style>{_STYLE}</style></head>",
                f"<body><h1>{text(self.title)}</h1>",
                f'<p class="note">{text(self.subtitle)}</p>',
                *self._parts,
                "</body></html>",
                "",
            ]
        )


def text(words: object) -> str:
    """Words as HTML shows them."""
    return html.escape(str(words))


def paragraph(words: str, kind: str = "") -> str:
    """Words of its own; kind "note" is grey."""
    of_kind = f' class="{kind}"' if kind else ""
    return f"<p{of_kind}>{text(words)}</p>"


def rows(pairs: Iterable[tuple[str, object]]) -> str:
    """Two columns: what it is, and its value."""
    cells = "".join(f"<tr><th>{text(name)}</th><td>{text(v)}</td></tr>" for name, v in pairs)
    return f"<table>{cells}</table>"


def advice_block(title: str, options: str, reason: str, source: str) -> str:
    """Something to try."""
    code = f"<p><code>{text(options)}</code></p>" if options else ""
    measured = f' <span class="note">[{text(source)}]</span>' if source else ""
    return f'<div class="advice"><h3>{text(title)}</h3>{code}<p>{text(reason)}{measured}</p></div>'


def image(content: bytes, kind: str, words: str) -> str:
    """A picture inside the page.

    Args:
        content: of its file.
        kind: its media type, "image/jpeg" or "image/svg+xml".
        words: for those who cannot see it.
    """
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{text(words)}" src="data:{kind};base64,{data}">'


def folded(title: str, content: str) -> str:
    """Long text that is opened on demand."""
    return f"<details><summary>{text(title)}</summary><pre>{text(content)}</pre></details>"


def bullets(lines: Sequence[str]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>" if lines else ""

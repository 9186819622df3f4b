"""What the pages of documentation hold: blocks of code, commands, links, names in the text."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^ *```(\S*) *\n(.*?)^ *``` *$", re.MULTILINE | re.DOTALL)
# Commands indented by four columns behind an empty line; lists are indented by less here, and
# formulas are no commands.
_INDENTED = re.compile(r"(?<=\n\n)(?= {4}(?:python|make|pip|git) )(?: {4}.*\n)+")
_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced or indented block of a page.

    Attributes:
        page: path of the page from the repository's root.
        line: of its first line of text, counted from 1.
        language: of the fence; "" where it has none.
        text: between the fences.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.line}"


def pages(*patterns):
    """Paths from the root of the markdown pages that patterns name, in the order of names."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(str(path.relative_to(ROOT)) for path in found)


@cache
def text_of(page):
    """The text of a page, by its path from the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """The fenced blocks of a page, and its indented commands, which count as bash."""
    text = text_of(page)
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        found.append(Block(page, line, match[1], match[2]))
    blanked = _FENCE.sub(lambda match: re.sub(r"[^\n]", "-", match[0]), text)
    for match in _INDENTED.finditer(blanked):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, "bash", match[0]))
    return found


def commands(text):
    """The commands of a shell text as lists of words, without comments; ``&&`` parts two."""
    found = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            found.append(words[: words.index("&&")])
            words = words[words.index("&&") + 1 :]
        found.append(words)
    return [words for words in found if words]


def prose(page):
    """A page without its blocks of code."""
    return _INDENTED.sub("", _FENCE.sub("", text_of(page)))


def spans(page):
    """What stands as code in the text of a page, each on one line."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose(page))]


def links(page):
    """The targets of all links and images of a page that lead into the repository.

    Raises:
        ValueError: for a link [text][name] whose name is nowhere given.
    """
    text = _SPAN.sub("code", prose(page))
    given = dict(re.findall(r"^\[([^\]]+)\]: *(\S+)$", text, flags=re.MULTILINE))
    for name in re.findall(r"\]\[([^\]]+)\]", text):
        if name not in given:
            raise ValueError(f"{page} gives no address for [{name}]")
    targets = [*re.findall(r"\]\(([^)\s]+)\)", text), *given.values()]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    found = []
    for heading in re.findall(r"^#+ +(.+?) *$", prose(page), flags=re.MULTILINE):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = sum(slug == other for other, _ in found)
        found.append((slug, f"{slug}-{count}" if count else slug))
    return {anchor for _, anchor in found}

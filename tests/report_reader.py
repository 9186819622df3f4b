"""A report.html taken apart by Python's own parser."""

from html.parser import HTMLParser

_VOID = {"meta", "img", "br"}


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sections = {"": _section()}
        self.current = self.sections[""]
        self.open, self.heading = [], None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "h2":
            self.heading = ""
        elif tag == "table":
            self.current["tables"].append([])
        elif tag == "tr":
            self.current["tables"][-1].append([])
        elif tag in ("td", "th"):
            self.current["tables"][-1][-1].append("")
        for name in ("src", "href"):
            if name in attrs:
                self.current["links"].append(attrs[name])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "tags are closed in their order"
        if tag in ("td", "th"):
            row = self.current["tables"][-1][-1]
            row[-1] = row[-1].strip()
        if tag == "h2":
            assert self.heading not in self.sections
            self.current = self.sections[self.heading] = _section()
            self.heading = None

    def handle_data(self, data):
        if self.heading is not None:
            self.heading += data
        elif {"td", "th"} & set(self.open):
            self.current["tables"][-1][-1][-1] += data
        elif "style" not in self.open:
            self.current["text"] += data


def _section():
    return {"text": "", "tables": [], "links": []}


def read_report(path):
    """{heading: {"text", "tables": rows of cells, "links": sources of pictures}}; what stands
    before the first heading is that of ""."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader.sections

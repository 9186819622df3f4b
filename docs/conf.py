"""Sphinx: the site of these pages, ``make site``.

The sources are the repository itself, so that a link leads to the same page on a code host and on
the site. What a code host cannot show is added here: the navigation, and the docstrings.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "dml_instance"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/*/*.md",
    "docs/*.ipynb",
    "benchmarks/*.md",
    "benchmarks/*/*.md",
    "third_party/*/*.md",
]
exclude_patterns = [".*", "build", "datasets", "output", "site"]

# As GitHub makes anchors, of all headings that it has.
myst_heading_anchors = 6
# A notebook is shown with the outputs that are stored in it; a test runs it.
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {
    "members": True,
    "special-members": "__call__",
}
python_maximum_signature_line_length = 80

toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "dml_instance"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["assets"]
html_css_files = ["site.css"]
# Of the front page, which is a page like others.
html_extra_path = ["assets/index.html"]

# The pages below a page, under captions, by their own titles or shorter ones. A page that is in
# none of these lists is an error; a name of which there is no page is passed over.
NAVIGATION = {
    "README": {
        "": ["中文 </README.zh-CN>"],
        "Start": [
            "/docs/install",
            "/docs/getting_started",
            "/docs/quick_start",
            "/docs/own_data",
            "Correct by clicks </docs/app>",
            "/docs/python",
            "From Detectron2 </docs/detectron2>",
        ],
        "Guides": [
            "/docs/watching",
            "/docs/tuning",
            "/docs/annotations",
            "/docs/image_files",
            "COCO files </docs/coco_files>",
            "/docs/results",
            "/docs/large_images",
            "/docs/many_machines",
            "/docs/photographs",
            "/docs/metrics",
            "/docs/gpu_and_machines",
            "/docs/reliability",
            "/docs/export",
        ],
        "Reference": [
            "/docs/configuration",
            "/docs/api",
            "/docs/models/nuclei",
            "/docs/models/photographs",
            "/docs/models/shapes",
        ],
        "Background": [
            "The method </docs/method>",
            "/docs/accuracy",
            "/docs/performance",
            "The paper's experiment </docs/reproduce>",
            "/benchmarks/README",
            "/benchmarks/notebook/README",
            "/benchmarks/results/README",
        ],
        "Project": [
            "/CONTRIBUTING",
            "/CHANGELOG",
            "/SECURITY",
            "Detectron2 from PyPI </third_party/d2wheel/README>",
        ],
    },
    "benchmarks/notebook/README": {
        "": [
            "/benchmarks/notebook/comparisons",
            "/benchmarks/notebook/training",
            "/benchmarks/notebook/backbones",
            "/benchmarks/notebook/photographs",
            "/benchmarks/notebook/inference",
            "/benchmarks/notebook/left_out",
            "/benchmarks/notebook/performance",
            "/benchmarks/notebook/what_makes_it_fast",
        ]
    },
}


def navigation(captions: dict[str, list[str]]) -> str:
    """Lists of pages for the sidebar."""
    lists = []
    for caption, pages in captions.items():
        options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
        there = [page for page in pages if list(ROOT.glob(f"{path_of(page)}.*"))]
        lists.append("\n".join(["\n\n```{toctree}", *options, *there, "```"]))
    return "".join(lists)


def path_of(entry: str) -> str:
    """Of an entry, with a title or without, the path of its page without ending."""
    return entry.partition("<")[2].rstrip(">").lstrip("/") or entry.lstrip("/")


def add_what_a_code_host_cannot_show(app: Sphinx, page: str, source: list[str]) -> None:
    """A comment ``<!-- docstring of NAME -->`` becomes that docstring, and pages get their place.

    NAME is that of a function or class, with its module.
    """
    source[0] = re.sub(r"^<!-- docstring of (\S+) -->$", docstring, source[0], flags=re.MULTILINE)
    source[0] += navigation(NAVIGATION.get(page, {}))


def docstring(comment: re.Match) -> str:
    """What Sphinx replaces by the docstring of a name."""
    kind = "class" if comment[1].rpartition(".")[2][0].isupper() else "function"
    return f"```{{eval-rst}}\n.. auto{kind}:: {comment[1]}\n```"


def setup(app: Sphinx) -> None:
    """Sphinx calls it."""
    app.connect("source-read", add_what_a_code_host_cannot_show)

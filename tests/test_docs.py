"""What the pages say works: their blocks of code, links, and names of files and keys.

Blocks are taken from the pages as they are, and run on tiny data as ``page_rules.RULES`` says; a
command that several pages have is run once, and what no rule covers fails. The pages of
``benchmarks/`` tell of days past: their commands are only parsed.
"""

import os
import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

import page_commands
from benchmarks.timing import inference
from dml_instance.commands import compare
from dml_instance.comparison.budget import train_within_budget
from dml_instance.data import register_given
from dml_instance.engine import ProgressLine, Tally, load_config, results_table
from dml_instance.files import read_json, write_json
from dml_instance.modeling import GROUPING_REGISTRY
from doc_inputs import CLASSES, IMAGE, MASKS, draw_inputs
from doc_pages import ROOT, anchors, blocks, commands, links, pages, spans
from page_rules import CPU, Reader, only_files
from toy_scenes import (
    assert_is_instance_result,
    data_config,
    model_input,
    square_and_disc,
    write_coco,
)

CURRENT = pages("README.md", "CONTRIBUTING.md", "docs/**/*.md")
OF_THEIR_DAY = pages("benchmarks/**/*.md")
ALL = pages("*.md", "docs/**/*.md", "benchmarks/**/*.md", "third_party/**/*.md")


def train_here(args):
    """``compare.train_all`` without processes of its own, which would import torch."""
    for name, *_ in args.run:
        cfg = compare.run_config(args, name)
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        train_within_budget(cfg, args.minutes, args.score_at)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Stands where the pages want a reader to stand, beside images of her own."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("configs", "tools"):
        (folder / name).symlink_to(ROOT / name)
    draw_inputs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FVCORE_CACHE", str(folder / "cache"))
        patch.setattr(compare, "train_all", train_here)
        patch.setattr(inference, "in_fresh_process", lambda function, *args: function(*args))
        with page_commands.built_in_data_sets_below("datasets", patch):
            reader = Reader()
            reader.type(["python", "tools/prepare_shapes.py"])
            reader.first("tools/prepare_nuclei.py", "docs/getting_started.md")
            reader.first("dml prepare", "README.md")
            (folder / "datasets" / "toys").symlink_to("cell")
            yield reader


BLOCKS = [block for page in CURRENT for block in blocks(page)]
OLD_BLOCKS = [block for page in OF_THEIR_DAY for block in blocks(page)]


def of_language(language, of=BLOCKS):
    return pytest.mark.parametrize("block", [b for b in of if b.language == language], ids=str)


def test_every_block_is_of_a_kind_that_is_tested():
    assert {block.language for block in BLOCKS} == {"", "bash", "python", "yaml"}
    assert {block.language for block in OLD_BLOCKS} == {"bash"}


@of_language("bash")
def test_commands_run(reader, block):
    for words in commands(block.text):
        reader.type(words)


@pytest.fixture
def execute(reader):
    """Runs the text of a block of Python, whose registered classes are forgotten in the end."""
    known = dict(GROUPING_REGISTRY)

    def execute(text, names=None):
        if "output/cell/" in text:
            reader.first("dml train", "README.md")
        if '"nuclei_model"' in text:
            reader.first("dml export", "docs/export.md")
        names = {"bgr_image": IMAGE} if names is None else names
        exec(compile(text.replace("minutes=3", "minutes=0.005"), "a page", "exec"), names)
        return names

    yield execute
    GROUPING_REGISTRY._obj_map.clear()
    GROUPING_REGISTRY._obj_map.update(known)


@of_language("python")
def test_python_runs(execute, block):
    """A block goes on from those above it on its page, if it imports nothing."""
    above = [b for b in blocks(block.page) if b.language == "python" and b.line <= block.line]
    start = max(i for i, b in enumerate(above) if "import " in b.text)
    names = {"bgr_image": IMAGE}
    for one in above[start:]:
        execute(one.text, names)
    if "instances" in names:
        assert_is_instance_result({"instances": names["instances"]}, *IMAGE.shape[:2], 1)


@of_language("yaml")
def test_a_yaml_builds_a_model_with_the_parts_that_its_page_registers(execute, tmp_path, block):
    for other in blocks(block.page):
        if other.language == "python":
            execute(other.text)
    base = ROOT / "configs" / "Shapes" / "dml_slim_unet.yaml"
    (tmp_path / "part.yaml").write_text(f'_BASE_: "{base}"\n{block.text}')
    model = build_model(load_config(str(tmp_path / "part.yaml"), CPU)).eval()
    named = re.findall(r'NAME: "(\w+)"', block.text)
    assert named and set(named) <= {type(module).__name__ for module in model.modules()}
    (result,) = model([model_input(IMAGE, MASKS, CLASSES)])
    assert_is_instance_result(result, *IMAGE.shape[:2], 6)


def of_demo(reader, lines):
    """Figures are those of the shipped model, which a demo trained."""
    shipped = read_json(str(ROOT / "dml_instance" / "model_zoo" / "models.json"))["shapes"]
    printed = [row.split("|")[1:-2] for row in results_table(shipped).splitlines()]
    assert [line.split("|")[1:-2] for line in lines] == printed


def files_of_demo(reader, lines):
    source = (ROOT / "tools" / "demo.py").read_text()
    assert all(f'("{line[:10].strip()}", ' in source and line[9] == " " for line in lines)


def of_progress(reader, lines):
    """A training with these figures says so."""
    shown = " ".join(line.strip() for line in lines)
    number = r"([\d.]+)"
    done, of, left, total, pairs, masks, seeds, rate, images = re.fullmatch(
        rf"iteration {number} of {number} · {number} min left · loss {number} \(pairs {number}, "
        rf"masks {number}, seeds {number}\) · learning rate {number} · {number} images/s",
        shown,
    ).groups()
    assert float(total) == pytest.approx(float(pairs) + float(masks) + float(seeds), abs=0.01)
    batch = 4
    with EventStorage(int(done) - 1) as storage:
        values = {"total_loss": total, "loss_seed": seeds, "loss_pair": pairs, "loss_mask": masks}
        values |= {"lr": rate, "time": batch / float(images)}
        for name, value in values.items():
            storage.put_scalar(name, float(value))
        line = ProgressLine(batch, int(of))._line(storage, int(done), values["time"])
    assert line == shown and int(left) >= 2


def of_label_images(reader, lines):
    assert lines == reader.first("dml prepare", "README.md").splitlines()


def last_lines(reader, lines):
    tally = Tally(0.45, 8, 412, weak=35, best_of_none={"a.png": 0.1, "b.png": 0.43})
    assert lines == [*tally.remarks, "412 objects in 8 images: found"]


def of_faults(reader, lines):
    """What a file with these faults is refused with; "..." stands for the rest of a line, or for
    lines."""
    path, images = write_coco(Path("cells"), "train", [square_and_disc()] * 8)
    coco = read_json(path)
    coco["images"][1] |= {"height": 96, "width": 64}
    # Masks of the second image are not looked at.
    of_others = [a for a in coco["annotations"] if a["image_id"] != 2]
    for annotation in of_others[:13]:
        annotation["segmentation"] = [[10.0, 12.0, 30.0, 20.0]]
    write_json(path, coco)
    with pytest.raises(ValueError, match="faults") as caught:
        register_given([f"cells={path}:{images}"])
    printed = f"error: {caught.value}".splitlines()
    assert (printed[0], printed[-1]) == (lines[0], lines[-1])
    starts = [line.removesuffix("...") for line in lines[1:-1]]
    assert all(any(line.startswith(start) for line in printed) for start in starts)


def layout(reader, lines):
    """The data flow is one of modules and what they pass on; below it lie folders and files,
    indented by two columns a level."""
    end = lines.index("") if "" in lines else len(lines)
    modules = {path.stem for path in (ROOT / "dml_instance").rglob("*")}
    passed_on = {
        "batched_inputs",
        "images",
        "maps",
        "embedding",
        "seediness",
        "losses",
        "Instances",
    }
    words = set(re.findall(r"\w+", " ".join(lines[:end])))
    assert words <= modules | passed_on | {"training", "inference"}
    parents = []
    for line in lines[end + 1 :]:
        indent, name = re.match(r"( *)(\S+)", line).groups()
        parents = [*parents[: len(indent) // 2], name]
        assert (ROOT / "".join(parents)).exists(), line


# What a block without a language begins with, and what holds for it.
SHOWN = {
    "batched_inputs -> ": layout,
    "| data set": of_demo,
    "data set ": files_of_demo,
    "iteration ": of_progress,
    "label images: 8": of_label_images,
    "35 objects": last_lines,
    "error: cells/train.json": of_faults,
}


@of_language("")
def test_what_a_page_shows_is_so(reader, block):
    (check,) = [check for start, check in SHOWN.items() if block.text.startswith(start)]
    check(reader, block.text.splitlines())


# They import what this one lacks.
OF_OTHER_ENVIRONMENTS = ("benchmarks.peers.stardist_coco", "benchmarks.peers.yolo_speed")


def parse_of_its_day(words, monkeypatch):
    """A command is understood, and so are the keys behind it, in old spellings too."""
    if words[0].startswith(".venv-stardist"):
        absent = ("tensorflow", "csbdeep", "csbdeep.utils", "stardist", "stardist.models")
        for name in (*absent, "benchmarks.peers.stardist_coco"):
            monkeypatch.setitem(sys.modules, name, MagicMock())
        # Imported on these, and forgotten with them.
        del sys.modules["benchmarks.peers.stardist_coco"]
        words = [os.path.basename(words[0]), *words[1:]]
    if words[0] == "pip" or words[:3] == ["python", "-m", "venv"]:
        only_files(words)
        return
    _, args = page_commands.parsed(words)
    overrides = getattr(args, "opts", [])
    configs = [[args.config_file]] if hasattr(args, "config_file") else []
    for _, *run in getattr(args, "run", None) or []:
        # Of benchmarks.speed weights stand behind the config.
        configs.append([run[0], *run[1 + (len(run) - 1) % 2 :]])
    for config, *options in configs:
        cfg = data_config()
        cfg.merge_from_file(str(ROOT / config))
        cfg.merge_from_list([*overrides, *options])


@of_language("bash", OLD_BLOCKS)
def test_commands_of_their_day_are_understood(monkeypatch, block):
    for words in commands(block.text):
        parse_of_its_day(words, monkeypatch)


@pytest.mark.parametrize("page", OF_THEIR_DAY)
def test_commands_in_the_text_are_understood(monkeypatch, page):
    """Where a program alone is named it is there; "..." stands for what is left out."""
    for span in spans(page):
        words = commands(span)[0] if span.startswith("python ") else []
        if len(words) > 4 and "..." not in words:
            parse_of_its_day(
                [re.sub(r"\bNAME\b", "dml_R_50_voc_aug", w) for w in words], monkeypatch
            )
        elif words and not words[2].startswith(OF_OTHER_ENVIRONMENTS):
            page_commands.program_of(words)


@pytest.mark.parametrize("page", ALL)
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        other = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        assert (ROOT / other).exists(), target
        assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("page", [*CURRENT, "benchmarks/README.md"])
def test_named_files_are_there(page):
    folders = r"(configs|tools|benchmarks|docs|tests|dml_instance|third_party)/[\w./*-]*"
    named = [span for span in spans(page) if re.fullmatch(folders, span)]
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


@pytest.mark.parametrize("page", OF_THEIR_DAY)
def test_named_figures_are_there(page):
    """Names of raw results are relative to their folder; those without one are any run's."""
    named = [span for span in spans(page) if re.fullmatch(r"[\w./*-]+\.json", span)]
    named = [name for name in named if name not in ("report.json", "results.json")]
    results = ROOT / "benchmarks" / "results"
    assert [name for name in named if not list(results.glob(name))] == []


@pytest.mark.parametrize("page", CURRENT)
def test_named_keys_exist(page):
    """Keys with a dot, whole or without what stands before, and with or without a value."""
    known = f"\n{data_config().dump()}"
    keys = set()
    parents = []
    for line in known.splitlines():
        if match := re.match(r"( *)([A-Z0-9_]+):", line):
            parents = [*parents[: len(match[1]) // 2], match[2]]
            keys |= {".".join(parents[start:]) for start in range(len(parents))}
    named = (re.match(r"([A-Z][A-Z_]*(?:\.[A-Z0-9_]+)+)\.?(?: |$)", span) for span in spans(page))
    assert [match[1] for match in named if match and match[1] not in keys] == []

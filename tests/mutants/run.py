"""Mutation check: small mistakes are made in the code, one at a time, and the tests have to notice.

    python tests/mutants/run.py --sample 250 --seed 0

The mistakes are those of cosmic-ray's operators and of mutant_operators.py; mutants.toml says in
which files, and which tests are run. Every mutant is a process forked from one that has imported
torch and Detectron2 already, in a copy of the package, with numba's functions run as Python.

The results stay in a session file, a data base of cosmic-ray's: an interrupted run goes on where it
stopped, and ``cr-html SESSION`` shows all of them. Mutants that are known to change no result are
listed in equivalent.toml with the reason, and counted apart; so are those that cannot be imported.
"""

import argparse
import contextlib
import importlib
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cosmic_ray.plugins
import toml
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult
from mutant_operators import Provider

ROOT = Path(__file__).parents[2]
CONFIG = toml.loads(Path(__file__).with_name("mutants.toml").read_text())
EQUIVALENT = toml.loads(Path(__file__).with_name("equivalent.toml").read_text())["mutant"]
# What spaces a mutated line has depends on the operator.
_SPACES = re.compile(r"\s+")

cosmic_ray.plugins.OPERATOR_PROVIDERS["ours"] = Provider()


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=250, help="mutants at most; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", default="", help="mutate only files whose path contains this")
    parser.add_argument(
        "--session", type=Path, default=ROOT / "output" / "mutants.sqlite", help="file of results"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the session file instead of a new sample"
    )
    return parser


def start_session(session: WorkDB, sample: int, seed: int, only: str) -> None:
    """Put a random sample of all mutants into the session; the others count as skipped."""
    paths = [path for entry in CONFIG["tests"] for path in sorted(_sources(ROOT / entry))]
    relative = [path.relative_to(ROOT) for path in paths]
    init([path for path in relative if only in str(path)], session, {})
    wanted = [
        item for item in session.work_items if _spec(item).operator_name in CONFIG["operators"]
    ]
    wanted.sort(key=lambda item: _place(_spec(item)))
    if sample and sample < len(wanted):
        wanted = random.Random(seed).sample(wanted, sample)
    wanted_ids = {item.job_id for item in wanted}
    others = [item.job_id for item in session.work_items if item.job_id not in wanted_ids]
    session.set_multiple_results(others, WorkResult(WorkerOutcome.SKIPPED))


def _sources(path: Path) -> list[Path]:
    """The file, or those of a folder but for lists of names to import."""
    if path.is_file():
        return [path]
    return [source for source in path.rglob("*.py") if source.name != "__init__.py"]


def _spec(item: WorkItem) -> MutationSpec:
    (spec,) = item.mutations
    return spec


def _place(spec: MutationSpec) -> tuple:
    return str(spec.module_path), spec.start_pos, spec.operator_name, spec.occurrence


def run_session(session: WorkDB, folder: Path) -> None:
    """Run the tests on every pending mutant, in a copy of the package in ``folder``."""
    for part in ("dml_instance", "tests"):
        ignored = shutil.ignore_patterns("*.pth", "__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    _prepare_process(folder)
    for entry, tests in CONFIG["tests"].items():
        pending = [i for i in session.pending_work_items if _is_under(_spec(i).module_path, entry)]
        sys.dont_write_bytecode = False
        if pending and _run_tests(tests, folder / "log")[0] != 0:
            sys.exit(f"{tests} fail without a mutant:\n{(folder / 'log').read_text()}")
        # The run without a mutant has left compiled files, which spare the others half their time.
        sys.dont_write_bytecode = True
        for done, item in enumerate(sorted(pending, key=lambda item: _place(_spec(item))), 1):
            result = _try_mutant(_spec(item), tests, folder)
            session.set_result(item.job_id, result)
            print(f"{entry} {done}/{len(pending)} {result.test_outcome.value}", flush=True)


def _is_under(path: Path, entry: str) -> bool:
    return path == Path(entry) or Path(entry) in path.parents


def _prepare_process(folder: Path) -> None:
    """What all mutants share: modules, settings and the folder."""
    os.environ.update(NUMBA_DISABLE_JIT="1", OMP_NUM_THREADS="1", PYTHONPATH=str(folder))
    os.chdir(folder)
    sys.path[:] = [str(folder)] + [path for path in sys.path if Path(path).resolve() != ROOT]
    for name in CONFIG["preload"]:
        importlib.import_module(name)
    hypothesis = importlib.import_module("hypothesis")
    # The same examples for every mutant, none kept for the next one, and none made smaller.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=phases
    )
    hypothesis.settings.load_profile("mutants")


def _try_mutant(spec: MutationSpec, tests: list[str], folder: Path) -> WorkResult:
    path = folder / spec.module_path
    code = path.read_text()
    operator = cosmic_ray.plugins.get_operator(spec.operator_name)()
    path.write_text(mutate_code(code, operator, spec.occurrence))
    try:
        status, seconds = _run_tests(tests, folder / "log")
    finally:
        mutated = path.read_text()
        path.write_text(code)
    # pytest: 0, all passed; 1, some failed; others: it could not even import what it tests.
    time_is_up = (-signal.SIGXCPU, -signal.SIGKILL)
    known = {0: TestOutcome.SURVIVED, **dict.fromkeys((1, *time_is_up), TestOutcome.KILLED)}
    outcome = known.get(status, TestOutcome.INCOMPETENT)
    output = f"{seconds:.1f} s\n{(folder / 'log').read_text()[-3000:]}"
    diff = "\n".join(_changed_lines(code, mutated))
    return WorkResult(WorkerOutcome.NORMAL, output, outcome, diff)


def _run_tests(tests: list[str], log: Path) -> tuple[int, float]:
    """pytest's exit status, or that of a process whose time was up, and the seconds it took."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become_pytest(tests, log)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - started


def _become_pytest(tests: list[str], log: Path) -> None:
    """Run pytest in this process and end it."""
    status = 3
    resource.setrlimit(resource.RLIMIT_CPU, (CONFIG["cpu_seconds"], CONFIG["cpu_seconds"]))
    with contextlib.suppress(BaseException), log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        pytest = importlib.import_module("pytest")
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests])
    os._exit(status)


def _changed_lines(before: str, after: str) -> list[str]:
    """The lines that a mutation changed, as they were and as they are, without those around."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    lines = [f"-{old[0].strip()}", *(line.strip() for line in old[1:])]
    return [*lines, f"+{new[0].strip()}", *(line.strip() for line in new[1:])]


def report(session: WorkDB) -> str:
    """The share of mutants that were killed, and those that were not."""
    known = {
        (f"dml_instance/{entry['file']}", _SPACES.sub("", f"-{entry['was']}+{now}"))
        for entry in EQUIVALENT
        for now in entry["now"]
    }
    counts, survivors = Counter(), []
    for item, result in session.completed_work_items:
        if result.worker_outcome == WorkerOutcome.SKIPPED:
            continue
        spec = _spec(item)
        name, outcome = str(spec.module_path), result.test_outcome.value
        if outcome == "survived" and (name, _SPACES.sub("", result.diff)) in known:
            outcome = "equivalent"
        elif outcome == "survived":
            survivors.append((name, spec.start_pos[0], result.diff))
        counts[name, outcome] += 1
    lines = [f"{name}:{line}\n{diff}\n" for name, line, diff in sorted(survivors)]
    lines += [
        f"equivalent.toml: {entry['file']} no longer has the line {entry['was']!r}"
        for entry in EQUIVALENT
        if not _is_in_file(entry["was"], ROOT / "dml_instance" / entry["file"])
    ]
    for name in [*sorted({name for name, _ in counts}), ""]:
        total = Counter()
        for (path, outcome), count in counts.items():
            total[outcome] += count * (name in ("", path))
        tested = total["killed"] + total["survived"]
        lines.append(
            f"{name or 'all':48} killed {total['killed']:4} of {tested:4} "
            f"({total['killed'] / max(tested, 1):4.0%}); equivalent {total['equivalent']}, "
            f"not importable {total['incompetent']}"
        )
    return "\n".join(lines)


def _is_in_file(text: str, path: Path) -> bool:
    return path.exists() and _SPACES.sub("", text) in _SPACES.sub("", path.read_text())


def main() -> None:
    arguments = argument_parser().parse_args()
    arguments.session.parent.mkdir(parents=True, exist_ok=True)
    with use_db(str(arguments.session.absolute())) as session:
        if not arguments.resume:
            os.chdir(ROOT)
            start_session(session, arguments.sample, arguments.seed, arguments.only)
        with tempfile.TemporaryDirectory() as folder:
            run_session(session, Path(folder))
            os.chdir(ROOT)
        print(report(session))


if __name__ == "__main__":
    main()

"""Images shared out over two worker processes of a Dask cluster on this machine, of which one is
killed, against this process alone."""

import csv
import os
import signal
import sys
import threading
import time

import distributed
import pytest
import tifffile
from PIL import Image

from dml_instance import cli
from dml_instance.engine import Workers, workers
from dml_instance.engine.workers import FinderPlan, find_by_plan
from dml_instance.images import PLAIN
from toy_scenes import crowd_of_cells

OPTIONS = ("MODEL.DML.TILES.OVERLAP", "32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten images, one of which is segmented in regions, and one that is none."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(10):
        image = crowd_of_cells(96, 128, 32, seed=number)
        Image.fromarray(image).save(folder / f"{number}.png")
    pytest.importorskip("zarr", "3", reason="zarr 3, which reads regions, wants Python 3.11")
    large = crowd_of_cells(288, 320, 32)
    tifffile.imwrite(folder / "large.tif", large, photometric="rgb", tile=(64, 64))
    (folder / "none.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def cluster(monkeypatch):
    """Two processes of one thread, which begin again where they are killed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


def segment(folder, output, *options):
    """The exit status."""
    command = ["segment", "--model", "nuclei", "--input", str(folder), "--output", str(output)]
    return cli.main([*command, "--max-pixels", str(128 * 128), *options, *OPTIONS])


def contents(output):
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }


def said(capsys):
    """What is printed, without lines of the log, which tell the time."""
    return [line for line in capsys.readouterr().out.splitlines() if " dml_instance." not in line]


def test_two_workers_of_which_one_is_killed_write_what_one_process_writes(
    folder, tmp_path, cluster, capsys
):
    assert segment(folder, tmp_path / "alone") == 1
    alone = said(capsys)
    killed = []

    def kill_one():
        """Once the first results are there."""
        while not list(tmp_path.glob("shared/labels/*")):
            time.sleep(0.05)
        with distributed.Client(cluster) as client:
            killed.extend(client.run(os.getpid).values())
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    assert segment(folder, tmp_path / "shared", "--scheduler", cluster.scheduler_address) == 1
    killer.join()
    assert len(killed) == 2
    assert "none.png" in alone[-2] and said(capsys)[:-1] == alone[:-1]
    expected, found = contents(tmp_path / "alone"), contents(tmp_path / "shared")
    assert found.keys() == expected.keys() and len(found) == 13
    assert found == expected
    with open(tmp_path / "shared" / "objects.csv", encoding="utf-8") as file:
        images = {row["image"] for row in csv.DictReader(file)}
    assert images == {*(f"{number}.png" for number in range(10)), "large.tif"}


def test_a_file_that_ends_every_worker_is_named_and_the_others_are_done(
    folder, tmp_path, cluster, monkeypatch, capsys
):
    """Dask tries a job on so many workers and gives up; it blames those that waited beside it."""
    with distributed.Client(cluster) as client:
        client.run_on_scheduler(_give_up_after_two)
    monkeypatch.setattr(workers, "find_by_plan", _end_at_3)
    assert segment(folder, tmp_path / "found", "--scheduler", cluster.scheduler_address) == 1
    printed = capsys.readouterr().out
    assert "3.png: every worker that took it died" in printed
    names = {path.stem for path in (tmp_path / "found" / "labels").iterdir()}
    assert names == {*"012456789", "large"}


def _give_up_after_two(dask_scheduler):
    dask_scheduler.allowed_failures = 1


def _end_at_3(plan, job):
    if job.file.endswith("3.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    return find_by_plan(plan, job)


def test_where_nobody_answers_a_line_says_so(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_PATIENCE", 1)
    with pytest.raises(SystemExit, match=r"no scheduler with a worker at tcp://127\.0\.0\.1:9 "):
        segment(folder, tmp_path / "found", "--scheduler", "tcp://127.0.0.1:9")
    assert not (tmp_path / "found").exists()


def test_without_the_library_the_cure_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match="pip install distributed"):
        Workers("tcp://127.0.0.1:9")


def test_a_worker_of_another_version_says_so():
    plan = FinderPlan("", "dml://nuclei", PLAIN, 0.5, version="0.0")
    with pytest.raises(RuntimeError, match=r"not 0\.0: install the same"):
        find_by_plan(plan, None)

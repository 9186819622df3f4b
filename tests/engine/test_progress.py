"""Lines on how far a training is, taken apart again."""

import itertools
import logging
import re
from types import SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage

from dml_instance.engine import ProgressLine, progress
from dml_instance.report import duration

LOSSES = {"loss_seed": 0.25, "loss_pair": 0.125, "loss_mask": 0.5}


@pytest.fixture
def said(monkeypatch, caplog):
    """Takes steps of so many seconds; returns the lines, and the seconds at which they came."""
    monkeypatch.setattr(logging.getLogger("dml_instance"), "propagate", True)
    caplog.set_level(logging.INFO, "dml_instance")
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(progress.torch.cuda, "is_available", lambda: False)

    def steps(
        count, seconds, *, images=6, max_iter=None, losses=LOSSES, rate=0.0008, first=0, left=None
    ):
        caplog.clear()
        clock.now = 0.0
        writer, at = ProgressLine(images, max_iter, left), []
        with EventStorage(first) as storage:
            for iteration in range(first, first + count):
                clock.now += seconds
                storage.put_scalar("total_loss", sum(losses.values()))
                for name, value in losses.items():
                    storage.put_scalar(name, value)
                storage.put_scalar("lr", rate, smoothing_hint=False)
                if iteration >= first + 2:  # as Detectron2's IterationTimer
                    storage.put_scalar("time", seconds)
                before = len(caplog.records)
                writer.write()
                at += [clock.now] * (len(caplog.records) - before)
                storage.step()
            clock.now += 1000  # of scoring, say
            storage.iter = first + count
            writer.write()
        return [record.getMessage() for record in caplog.records], at

    return steps


def test_a_line_says_what_was_put(said):
    lines, _ = said(40, 0.5, max_iter=1500)
    last = re.fullmatch(
        r"iteration (\d+) of 1500 · (.+) left · loss (\S+) \((.*)\) · learning rate (\S+) · "
        r"(\S+) images/s",
        lines[-1],
    )
    done, left, total, parts, rate, images = last.groups()
    assert left == duration(0.5 * (1500 - int(done)))
    assert float(total) == sum(LOSSES.values())
    assert parts == "pairs 0.125, masks 0.5, seeds 0.25"
    assert (rate, float(images)) == ("0.0008", 6 / 0.5)


def test_where_the_clock_ends_a_training_the_time_left_is_its(said):
    lines, _ = said(40, 0.5, left=lambda: 90.0)
    assert lines and all(re.match(rf"iteration \d+ · {duration(90.0)} left · ", s) for s in lines)


def test_the_first_line_comes_with_the_first_time_and_an_estimate(said):
    lines, at = said(4, 2.0, max_iter=103)
    assert lines[0].startswith("the 100 iterations that are left take about 3 min, until ")
    assert lines[1].startswith("iteration 3 of 103 · 3 min left · ")
    assert at == [6.0, 6.0] and len(lines) == 2


def test_lines_come_by_the_clock_and_more_rarely_later(said):
    """Every 5 seconds in the first five minutes, every 20 after twenty; not by iterations."""
    for seconds in (0.25, 1.0):
        _, at = said(int(3000 / seconds), seconds)
        between = [b - a for a, b in itertools.pairwise(at)]
        early = [d for t, d in zip(at, between, strict=False) if t < 280]
        late = [d for t, d in zip(at, between, strict=False) if t > 1300]
        assert set(early) == {5.0} and set(late) == {20.0}
        assert len(at) < 250
    _, at = said(8, 30.0)
    assert len(at) == 6, "slow steps have a line each, once they are timed"


def test_figures_are_means_of_the_last_twenty_steps():
    values = [float(i) for i in range(50)]
    with EventStorage() as storage:
        for value in values:
            storage.put_scalar("total_loss", value)
            storage.step()
        assert progress._losses(storage) == f"loss {sum(values[-20:]) / 20:.3g}"


def test_the_last_iteration_has_a_line_and_nothing_follows_it(said):
    lines, at = said(13, 1.0, max_iter=13)
    assert [line.split(" · ")[0] for line in lines[1:]] == [
        *("iteration 3 of 13", "iteration 8 of 13", "iteration 13 of 13")
    ]
    assert "left" not in lines[-1] and at[-1] == 13.0
    lines, _ = said(1, 1.0, max_iter=1)
    assert [line.split(" · ")[0] for line in lines] == ["iteration 1 of 1"]


def test_a_resumed_training_counts_what_is_left(said):
    lines, _ = said(4, 2.0, max_iter=203, first=100)
    assert lines[0].startswith("the 100 iterations that are left take about 3 min")
    assert lines[1].startswith("iteration 103 of 203 · 3 min left")


def test_without_a_number_of_iterations_nothing_is_said_of_the_time_left(said):
    lines, _ = said(20, 1.0)
    assert lines and all(" of " not in line and " left" not in line for line in lines)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (
            dict.fromkeys(
                ("loss_rpn_cls", "loss_cls", "loss_rpn_loc", "loss_mask", "loss_box_reg"), 1.0
            ),
            "loss 5 (masks 1, classes 1, boxes 1, proposals 1, boxes of proposals 1)",
        ),
        ({"loss_keypoint": 2.0, "my_loss": 1.0}, "loss 3 (keypoint 2, my 1)"),
        ({"loss": 2.0}, "loss 2 (loss 2)"),
    ],
)
def test_other_models_have_their_own_losses(said, losses, expected):
    lines, _ = said(3, 1.0, losses=losses)
    assert expected in lines[-1]


@pytest.mark.parametrize(
    ("rate", "words"), [(0.0008, "0.0008"), (0.00001234, "0.000012"), (0.1, "0.1"), (0.0, "0")]
)
def test_rates_have_no_exponents(said, rate, words):
    lines, _ = said(3, 1.0, rate=rate)
    assert f"learning rate {words} · " in lines[-1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *(
            (0.4, "0 s"),
            (89.4, "89 s"),
            (90, "2 min"),
            (89 * 60, "89 min"),
            (89.6 * 60, "1 h 30 min"),
        ),
        *((7800, "2 h 10 min"), (47 * 3600 + 3599, "2 d 0 h"), (76 * 3600, "3 d 4 h")),
    ],
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words

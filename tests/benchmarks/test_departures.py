"""The way from the paper's form ends at this project's, and every step of it does something."""

from benchmarks.departures import DEPARTURES, OURS, PAPER, forms
from dml_instance.engine import load_config


def config_of(file, options=()):
    cfg = load_config(file, [*options, "OUTPUT_DIR", "anywhere"])
    return cfg.dump()


def test_the_last_form_is_the_config_for_photographs():
    *_, last = forms().values()
    assert config_of(PAPER, last) == config_of(OURS)


def test_every_departure_changes_the_one_before():
    configs = [config_of(PAPER, options) for options in forms().values()]
    assert len(set(configs)) == len(configs) == len(DEPARTURES) + 1
    assert configs[0] == config_of(PAPER)

"""Mutated COCO files are refused by name or read with all they hold; fuzz_coco.py tries more."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.coco_files import mutated, outcome, plain_mapper, write_valid


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FVCORE_CACHE", str(folder / "cache"))
        yield folder, *write_valid(folder), plain_mapper()


def test_the_file_that_is_mutated_is_read(written):
    _, valid, images, mapper = written
    assert outcome(valid, images, mapper) == "read"


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutated_file_is_refused_by_name_or_read(written, seed):
    folder, valid, images, mapper = written
    path = folder / "mutated.json"
    path.write_bytes(mutated(valid.read_text(), seed))
    assert outcome(path, images, mapper) in ("read", "refused")

"""Mutated images are read, or refused in one line with their name; fuzz_images.py tries more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.images import OUTCOMES, mutated, valid_files


@pytest.fixture(scope="module", params=OUTCOMES)
def written(request, tmp_path_factory):
    files = valid_files(request.param)
    return files, OUTCOMES[request.param], tmp_path_factory.mktemp("fuzz")


def test_the_files_that_are_mutated_are_read(written):
    files, outcome, folder = written
    for name, content in files.items():
        (folder / name).write_bytes(content)
        assert outcome(folder / name, 0) == "read"


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_mutated_file_is_refused_by_name_or_read(written, seed):
    files, outcome, folder = written
    name, content = mutated(files, seed)
    path = folder / name
    path.write_bytes(content)
    assert outcome(path, seed) in ("read", "refused")
    path.unlink()

"""Mutated exports are read, or refused in one line with their name; fuzz_exports.py tries more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toy_exports as toy
from fuzz.exports import WRITERS, mutated, outcome


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_mutated_export_is_read_or_refused_by_name(tmp_path_factory, form, seed):
    folder = tmp_path_factory.mktemp(form)
    file = WRITERS[form](folder, toy.PLAIN)
    assert outcome(form, folder, file) == "read"
    file.write_bytes(mutated(file.read_bytes(), seed))
    assert outcome(form, folder, file) in ("read", "refused")

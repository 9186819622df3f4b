"""Compiled functions."""

import pytest

from dml_instance import compiled


@pytest.mark.parametrize("has_folder", [True, False])
def test_functions_are_compiled_for_threads_and_anew_without_a_folder_for_machine_code(
    has_folder, monkeypatch
):
    def njit(cache=False, **options):
        if cache and not has_folder:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: (function, cache, options)

    monkeypatch.setattr(compiled, "njit", njit)
    expected = (len, has_folder, {"fastmath": True, "nogil": True})
    assert compiled.compiled(len, fastmath=True) == expected

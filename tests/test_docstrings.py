"""The examples in docstrings do what they say."""

import doctest
import inspect
import re
import tempfile

import pytest

from dml_instance import segmentation, segmenter

# Those of a module go on from one another, in the order of its text.
WITH_EXAMPLES = {
    segmenter: {
        "load",
        "Segmenter",
        *(f"Segmenter.{m}" for m in ("__call__", "fine_tune", "save")),
    },
    segmentation: {
        "Segmentation",
        *(f"Segmentation.{name}" for name in ("labels", "masks", "scores", "classes", "boxes")),
        *(f"Segmentation.{name}" for name in ("table", "save", "plot")),
    },
}


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=lambda module: module.__name__)
def test_every_public_name_has_an_example_that_is_so(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = inspect.getsource(module)
    found = [test for test in doctest.DocTestFinder().find(module, globs={}) if test.examples]
    runner, names = doctest.DocTestRunner(), {}

    def place(test):
        name = test.name.rpartition(".")[2]
        return re.search(rf"(?:def|class) {name}\b", text).start()

    for test in sorted(found, key=place):
        test.globs = names
        runner.run(test, clear_globs=False)
    assert runner.failures == 0
    assert {test.name.removeprefix(f"{module.__name__}.") for test in found} == WITH_EXAMPLES[
        module
    ]

import math

import numpy as np
import pytest
import torch

from dml_instance.grouping.metric import distance_threshold, similarity
from dml_instance.modeling import similarity as of_tensors


@pytest.mark.filterwarnings("error")
def test_similarity_is_the_formula_for_any_distance():
    distances = np.array([0.0, 1e-4, 0.5, 3.0, 50.0, 87.0, 100.0, 3e38, np.inf], dtype=np.float32)
    got = similarity(distances)
    expected = [2 / (1 + math.exp(d)) if d < 700 else 0.0 for d in distances.tolist()]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-37)


def test_arrays_and_tensors_have_one_similarity():
    distances = torch.linspace(0, 80, 10_000)
    expected = of_tensors.similarity(distances)
    torch.testing.assert_close(torch.from_numpy(similarity(distances.numpy())), expected)


def test_similarity_at_the_threshold_is_tau():
    for tau in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert similarity(np.float32(distance_threshold(tau))) == pytest.approx(tau, rel=1e-5)

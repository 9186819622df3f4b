from collections import Counter

import pytest

from benchmarks.leave_out_labels import left


@pytest.mark.parametrize(("share", "expected"), [(0.3, [3, 1, 1]), (1.0, [10, 2, 1])])
def test_of_every_image_a_share_stays_and_at_least_one(share, expected):
    annotations = [{"id": i, "image_id": (i >= 10) + (i >= 12)} for i in range(13)]
    kept = left(annotations, share, seed=0)
    assert [Counter(a["image_id"] for a in kept)[image] for image in (0, 1, 2)] == expected
    assert kept == [a for a in annotations if a in kept]
    assert kept == left(annotations, share, seed=0)
    if share < 1:
        assert any(kept != left(annotations, share, seed) for seed in range(1, 5))

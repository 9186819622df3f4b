"""All instances of an image against the definition on the whole grid, seed by seed."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hand_made import (
    HandSeed,
    grouping_of,
    logits_of,
    maps_of,
    needs_machine_code,
    threshold_of,
)


def slow_instances(embedding, factor, seeds, max_overlap, size):
    """The definition on the whole grid, seed by seed: for each that stays its class, its mask, and
    the pixels in doubt."""
    owned = np.zeros(embedding.shape[-2:], dtype=bool)
    result = []
    for row, column, _, pred_class, tau_index in sorted(seeds, key=lambda seed: -seed.score):
        if owned[row, column] and max_overlap < 1:
            continue
        threshold = threshold_of(tau_index)
        distance = factor[row, column] * (
            embedding - embedding[:, row, column][:, None, None]
        ).square().sum(0)
        near = (distance <= threshold).numpy()
        labels, _ = ndimage.label(near, structure=np.ones((3, 3)))
        part = labels == labels[row, column]
        if owned[part].mean() > max_overlap:
            continue
        owned |= part
        far = torch.from_numpy(near & ~part)
        clipped = distance.clamp(max=3 * threshold).masked_fill(far, 3 * threshold)[None, None]
        up = torch.nn.functional.interpolate(
            clipped, size=size, mode="bilinear", align_corners=False
        )[0, 0]
        result.append((pred_class, up <= threshold, (up - threshold).abs() < 1e-4))
    return result


def drawn_embedding(kind, detail, shape, generator):
    """(3, h, w): smooth hills, or what is hardest to grow in."""
    if kind == "smooth":
        coarse = torch.randn(1, 3, 2 + detail, 5 + detail, generator=generator) * 2
        return torch.nn.functional.interpolate(coarse, size=shape, mode="bicubic")[0]
    if kind == "flat":  # one object, as large as the image
        return torch.zeros(3, *shape)
    if kind == "noise":  # pieces that meet at corners, without end
        return (
            torch.randint(0, 2, (1, *shape), generator=generator).float().expand(3, -1, -1) * detail
        )
    # A snake of one cell's width through the whole image, and what lies between its windings.
    snake = torch.zeros(3, *shape)
    snake[:, ::4] = detail
    snake[:, 2::8, -1] = snake[:, 1::8, -1] = snake[:, 3::8, -1] = detail
    snake[:, 6::8, 0] = snake[:, 5::8, 0] = snake[:, 7::8, 0] = detail
    return snake


def assert_equals_the_slow_definition(shape, count, seed, size, max_overlap, detail, kind):
    generator = torch.Generator().manual_seed(seed)
    embedding = drawn_embedding(kind, detail, shape, generator)
    factor = torch.rand(*shape, generator=generator) + 0.5
    cells = torch.randperm(shape[0] * shape[1], generator=generator)[:count].tolist()
    scores = (0.1 + 0.8 * torch.randperm(count, generator=generator) / count).tolist()
    taus = torch.randint(0, 3, (count,), generator=generator).tolist()
    seeds = [
        HandSeed(cell // shape[1], cell % shape[1], score, index, tau_index)
        for index, (cell, score, tau_index) in enumerate(zip(cells, scores, taus, strict=True))
    ]
    logits = logits_of(seeds, shape, count)
    maps = maps_of(embedding, logits, distance_scale=factor)
    grouping = grouping_of(num_classes=count, max_overlap=max_overlap, mask_resolution="output")
    result = grouping([maps], size)
    slow = slow_instances(embedding, factor, seeds, max_overlap, size)
    expected = {pred_class: (mask, doubt) for pred_class, mask, doubt in slow}
    # a mask of less than a pixel may or may not be there
    sure = {index for index, (mask, doubt) in expected.items() if (mask & ~doubt).any()}
    assert sure <= set(result.pred_classes.tolist()) <= set(expected)
    for index, mask in zip(result.pred_classes.tolist(), result.pred_masks, strict=True):
        mask_slow, doubt = expected[index]
        assert torch.equal(mask & ~doubt, mask_slow & ~doubt)


KINDS = st.sampled_from(["smooth", "flat", "noise", "snake"])
OVERLAPS = st.sampled_from([0.2, 0.5, 0.9, 1.0])


@needs_machine_code
@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 100_000),
    st.sampled_from([(80, 180), (73, 149), (40, 90), (25, 47)]),
    *(OVERLAPS, st.integers(1, 12), KINDS),
)
def test_instances_equal_the_slow_definition(seed, size, max_overlap, detail, kind):
    """Objects of all sizes, at the edge of the image too."""
    assert_equals_the_slow_definition((40, 90), 30, seed, size, max_overlap, detail, kind)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 100_000),
    st.sampled_from([(14, 23), (9, 17), (7, 11)]),
    *(OVERLAPS, st.integers(1, 4), KINDS),
)
def test_instances_of_few_cells_equal_the_slow_definition(seed, size, max_overlap, detail, kind):
    assert_equals_the_slow_definition((9, 17), 6, seed, size, max_overlap, detail, kind)

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from dml_instance.modeling.grouping.pieces import PieceCounter
from hand_made import HandSeed, flat_embedding, grouping_of, maps_of, picture


def bars(count, gap):
    """(count, 8, 12) masks of a bar of 8 pixels and, beyond a gap, 2 more."""
    masks = torch.zeros(count, 8, 12, dtype=torch.bool)
    masks[:, 3, :8] = True
    masks[:, 3, 8 + gap : 10 + gap] = True
    return masks


def counted(num_classes=2, min_share=0.1, **classes):
    counter = PieceCounter(num_classes, min_share)
    counter.count([(m, torch.full((len(m),), int(name[1:]))) for name, m in classes.items()])
    return counter


def test_the_mean_share_outside_the_largest_piece_decides():
    assert counted(c0=bars(40, 1), c1=bars(40, 0)).in_pieces().tolist() == [True, False]
    assert counted(min_share=0.21, c0=bars(40, 1)).in_pieces()[0].item() is False
    mixed = torch.cat([bars(20, 1), bars(20, 0)])
    assert counted(c0=mixed).sum_apart[0].item() == pytest.approx(20 * 0.2)


@given(hnp.arrays(bool, (6, 7)).filter(np.any))
def test_the_share_apart_is_that_of_labelling(mask):
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    counter = counted(c1=torch.from_numpy(mask)[None])
    assert counter.num_objects.tolist() == [0, 1]
    assert counter.sum_apart[1].item() == pytest.approx(1 - areas.max() / areas.sum(), abs=1e-6)


def test_of_a_class_hardly_seen_nothing_is_known():
    few = PieceCounter.FEW
    assert counted(c0=bars(few - 1, 0), c1=bars(few, 0)).in_pieces().tolist() == [True, False]


def test_enough_objects_are_enough_and_empty_masks_are_none():
    counter = counted(c0=bars(PieceCounter.ENOUGH, 0))
    counter.count([(bars(3, 1), torch.tensor([0, 1, 1]))])
    empty, none = (torch.zeros(count, 8, 12, dtype=torch.bool) for count in (2, 0))
    counter.count([(empty, torch.tensor([1, 1])), (none, torch.zeros(0, dtype=torch.int64))])
    assert counter.num_objects.tolist() == [PieceCounter.ENOUGH, 2]
    assert counter.sum_apart.tolist() == pytest.approx([0, 0.4])


@pytest.mark.parametrize("gap", [1, 2])
def test_in_a_class_that_does_not_lie_in_pieces_not_even_one_cell_is_bridged(gap):
    grouping = grouping_of(connect_gap=gap, min_share_apart=0.1, num_classes=2)
    grouping.observe([(bars(40, 0), torch.zeros(40, dtype=torch.int64))])
    ids = picture("111.1 ..... 22.22")
    seeds = [HandSeed(0, 0, 0.9, pred_class=0), HandSeed(2, 0, 0.8, pred_class=1)]
    result = grouping([maps_of(flat_embedding(ids), seeds)], (3, 5))
    assert result.pred_masks.sum(dim=(1, 2)).tolist() == [3, 4]

"""What the losses compare with: sampled pixels, the cells each is judged on, what a grown mask is
worth.

Nothing here carries a gradient. All but ``seed_targets`` follows from the ground truth alone, and
is for the CPU: shapes depend on values.

Shapes: G ground-truth instances, h x w grid cells, S and V sampled cells, P cells of a window, T
thresholds, D embedding channels. A cell is addressed by its flat index in [0, h * w). Ids are those
of ``instance_id_map``: a cell of -1 is ignored, it is neither drawn nor judged.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..similarity import distance_threshold


def sample_cells_per_group(
    ids: Tensor, *, per_instance: int, max_instances: int, background: int
) -> tuple[Tensor, Tensor]:
    """The set S of the pair loss: equally many random cells of each instance, and background cells.

    Args:
        ids: (h, w) int64 from ``instance_id_map``.
        per_instance: cells of each instance; an instance with fewer gives all.
        max_instances: instances at most, drawn at random.
        background: background cells, drawn likewise.

    Returns:
        cell (S,) int64 flat indices, and group (S,) int64: 0 for background, i + 1 for instance i.
    """
    flat = ids.flatten()
    shuffled = torch.randperm(len(flat), device=flat.device)
    shuffled = shuffled[flat[shuffled] >= 0]
    group = flat[shuffled]
    # Within each group the shuffled cells are numbered 0, 1, 2 ...; a group keeps the first few
    # numbers.
    order = group.argsort(stable=True)
    cell, group = shuffled[order], group[order]
    size = torch.bincount(group, minlength=1)
    start = size.cumsum(0) - size
    number = torch.arange(len(cell), device=flat.device) - start[group]
    quota = torch.full_like(size, per_instance)
    quota[1:][torch.randperm(len(size) - 1, device=flat.device)[max_instances:]] = 0
    quota[0] = background
    kept = number < quota[group]
    return cell[kept], group[kept]


def sample_seed_cells(ids: Tensor, *, objects: int, background: int) -> tuple[Tensor, Tensor]:
    """The set V of the seed loss: cells from objects, each instance as often as any other, and from
    background.

    Args:
        ids: (h, w) int64 from ``instance_id_map``.
        objects, background: how many of either kind; drawn with replacement.

    Returns:
        (objects,) and (background,) int64 flat indices; (0,) of a kind that the grid has no cell
        of.
    """
    flat = ids.flatten()
    owner = flat.clamp(min=0)
    share = 1 / torch.bincount(owner)[owner].float()

    def draw(is_kind: Tensor, count: int) -> Tensor:
        if count == 0 or not is_kind.any():
            return flat.new_zeros(0)
        return torch.multinomial(share * is_kind, count, replacement=True)

    return draw(flat > 0, objects), draw(flat == 0, background)


def object_bounds(ids: Tensor, count: int, context: float) -> Tensor:
    """For every instance the part of the grid that is judged together with it: its bounding box
    grown by ``context``.

    Args:
        ids: (h, w) int64 from ``instance_id_map``.
        count: G.
        context: cells beyond the box on each side; negative: the whole grid.

    Returns:
        (G + 1, 4) int64, first row, first column, last row and last column, inside the grid; row 0,
        of background, is the whole grid, and so is that of an instance without a cell.
    """
    owner = ids.flatten().clamp(min=0)
    whole = torch.tensor([0, 0, ids.shape[0] - 1, ids.shape[1] - 1], device=ids.device).repeat(
        count + 1, 1
    )
    if context < 0 or count == 0:
        return whole
    first, last = whole[:, 2:].clone(), whole[:, :2].clone()
    for axis, place in enumerate(
        _rows_and_columns(torch.arange(len(owner), device=ids.device), ids.shape[1])
    ):
        first[:, axis].scatter_reduce_(0, owner, place, "amin")
        last[:, axis].scatter_reduce_(0, owner, place, "amax")
    grown = torch.cat(
        [(first - int(context)).clamp(min=0), torch.minimum(last + int(context), whole[:, 2:])],
        dim=1,
    )
    is_bound = (first <= last).all(dim=1) & (torch.arange(count + 1, device=ids.device) > 0)
    return torch.where(is_bound[:, None], grown, whole)


def _rows_and_columns(cell: Tensor, width: int) -> tuple[Tensor, Tensor]:
    return cell // width, cell % width


def window_cells(bounds: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Windows of one size, as small as can be, that hold parts of the grid.

    What is judged with an object is a small part of the grid as a rule, and all that is computed
    cell by cell for every seed pixel is the cheaper for it.

    Args:
        bounds: (V, 4) from ``object_bounds``.
        shape: (h, w).

    Returns:
        (V, P) int64 flat indices of the cells of each window, and (V, P) bool, which of them lie
        within its bounds; P >= 1, also for V = 0.
    """
    first, last = bounds[:, None, :2], bounds[:, None, 2:]
    places = []
    extent = F.pad(last - first + 1, (0, 0, 0, 0, 0, 1), value=1)
    for axis, count in enumerate(extent.amax(dim=(0, 1)).tolist()):
        start = first[..., axis].clamp(max=shape[axis] - count)
        places.append(start + torch.arange(count, device=bounds.device))
    rows, columns = places
    is_row, is_column = (
        (place >= first[..., axis]) & (place <= last[..., axis])
        for axis, place in enumerate((rows, columns))
    )
    cells = (rows * shape[1])[:, :, None] + columns[:, None]
    return cells.flatten(1), (is_row[:, :, None] & is_column[:, None]).flatten(1)


def compared_pairs(cell: Tensor, group: Tensor, bounds: Tensor, width: int) -> Tensor:
    """Which pairs of the pair loss take part: those where one pixel lies within the bounds of the
    other's object.

    Background bounds nothing, so a pair of two background cells always takes part, and a background
    cell meets an object's cell only inside that object's bounds.

    Args:
        cell, group: (S,) from ``sample_cells_per_group``.
        bounds: (G + 1, 4) from ``object_bounds``.
        width: w.

    Returns:
        (S, S) bool, symmetric.
    """
    rows, columns = _rows_and_columns(cell, width)
    top, left, bottom, right = bounds[group][:, :, None].unbind(1)
    seen = (rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)
    either, both = seen | seen.T, seen & seen.T
    with_background = (group == 0)[:, None] | (group == 0)[None]
    return torch.where(with_background, both, either)


def chosen_pairs(group: Tensor, is_compared: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The pairs of one group, and those of two groups.

    Args:
        group: (S,) int64.
        is_compared: (S, S) bool, the pairs that take part; None: all.

    Returns:
        (n,) and (m,) int64: of pixels p and q the pair is p * S + q; rising.
    """
    same = group[:, None] == group[None]
    if is_compared is None:
        is_compared = torch.ones_like(same)
    alike, apart = same & is_compared, ~same & is_compared
    return tuple(kind.flatten().nonzero()[:, 0] for kind in (alike, apart))


@torch.no_grad()
def seed_targets(
    squared_distance: Tensor,
    group: Tensor,
    ids: Tensor,
    is_judged: Tensor,
    taus: Sequence[float],
    *,
    count: int | None,
) -> tuple[Tensor, Tensor]:
    """What the mask grown from each pixel is worth at each threshold: its best IoU with a
    ground-truth instance.

    Args:
        squared_distance: (V, P), of some cells, or all of them, to each seed pixel.
        group: (V,) int64, 0 for background, i + 1 where the pixel lies in instance i.
        ids: (V, P) int64, the same of every cell; with a ``count`` (P,), the same cells for all
            pixels.
        is_judged: (V, P) bool, the cells that count for each pixel; (1, P): the same for all.
        taus: T thresholds.
        count: G: compare with every instance (paper). None: only with the pixel's own, since its
            bounds cut the others; a background pixel's mask is then worth 0.

    Returns:
        iou (V, T) float32 in [0, 1], and instance (V, T) int64 in [0, G): which one; 0 where the
        IoU is 0.
    """
    # A cell that is not judged is never near enough: one pass here instead of one for each
    # threshold.
    distance = squared_distance.masked_fill(~is_judged, torch.inf)
    grown = [distance <= distance_threshold(tau) for tau in taus]
    if count is not None:
        member = (ids[:, None] == torch.arange(1, count + 1, device=ids.device)).float()
        area = is_judged.float() @ member
        best = [_best_instance(mask.float(), member, area) for mask in grown]
        return torch.stack([iou for iou, _ in best], 1), torch.stack(
            [instance for _, instance in best], 1
        )
    own = (ids == group[:, None]) & is_judged & (group > 0)[:, None]
    own_area = own.sum(1)
    iou = []
    for mask in grown:
        intersection = (mask & own).sum(1)
        iou.append(intersection / (mask.sum(1) + own_area - intersection).clamp(min=1))
    return torch.stack(iou, 1), (group - 1).clamp(min=0)[:, None].expand(-1, len(grown))


def _best_instance(grown: Tensor, member: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """For each mask (V, P) the largest IoU (V,) with an instance, and which (V,); 0 and 0 without
    instances.

    ``member`` (P, G) says which cells are an instance's, ``area`` (V, G) how many of them are
    judged.
    """
    if member.shape[1] == 0:
        return grown.new_zeros(len(grown)), torch.zeros(
            len(grown), dtype=torch.int64, device=grown.device
        )
    intersection = grown @ member
    union = grown.sum(1, keepdim=True) + area - intersection
    return (intersection / union.clamp(min=1)).max(dim=1)

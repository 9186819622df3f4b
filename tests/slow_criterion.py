"""The criterion by loops over pixels and cells, in double precision, from the formulas.

Nothing here is shared with the package. A cell is (row, column); ids are 0 for background, i + 1
for object i, and -1 for what is ignored.
"""

import math
from itertools import product

import numpy as np

# Of the package: added to distances between two objects, which keeps the logarithm finite.
MARGIN = 0.01


class SlowGrid:
    """Whose each cell is, and how much of it; ``masks`` (G, H, W) and ``ignored`` (H, W) bool."""

    def __init__(self, masks, ignored, image_size, stride):
        masks, ignored = (resized(m, image_size) for m in (masks, ignored[None]))
        self.shape = tuple(-(-side // stride) for side in image_size)
        self.cells = list(product(*(range(side) for side in self.shape)))
        # What is ignored, and what lies beyond the image.
        inside = covered(np.ones((1, *image_size), dtype=bool), self.shape, stride)[0]
        lost = covered(ignored, self.shape, stride)[0] + 1 - inside
        self.coverage = np.zeros((len(masks), *self.shape))
        for g, part in enumerate(covered(masks, self.shape, stride)):
            for cell in self.cells:
                # Of a cell that is ignored as a whole, an object has all that is left if any.
                left = max(1 - lost[cell], 1e-6)
                self.coverage[(g, *cell)] = min(part[cell] / left, 1.0)
        self.ids = self._ids(lost)

    def _ids(self, lost):
        ids = np.zeros(self.shape, dtype=int)
        area = self.coverage.sum((1, 2))
        for cell in self.cells:
            part = self.coverage[(slice(None), *cell)]
            if part.sum() >= 0.5:
                # The largest part wins, and of equal ones the smaller object.
                ids[cell] = 1 + max(range(len(part)), key=lambda g: (part[g], -area[g]))
        # An object that wins no cell gets the one that it covers most.
        for g in [g for g in range(len(area)) if not (ids == g + 1).any() and area[g] > 0]:
            ids[max(self.cells, key=lambda cell: self.coverage[(g, *cell)])] = g + 1
        for cell in self.cells:
            if ids[cell] == 0 and lost[cell] > 0.5:
                ids[cell] = -1
        return ids

    def near(self, cell, group, context):
        """Whether a cell is judged together with an object: within its box and the context."""
        if context < 0 or group == 0:
            return True
        rows, columns = (self.ids == group).nonzero()
        return (
            rows.min() - context <= cell[0] <= rows.max() + context
            and columns.min() - context <= cell[1] <= columns.max() + context
        )


def resized(masks, image_size):
    """(G, H, W) at another size: each pixel is that of the image at its centre."""
    rows, columns = (
        [math.floor((i + 0.5) * before / after) for i in range(after)]
        for before, after in zip(masks.shape[1:], image_size, strict=True)
    )
    return masks[:, rows][:, :, columns]


def covered(masks, shape, stride):
    """The share of each cell that lies in each mask; beyond the image nothing does."""
    parts = np.zeros((len(masks), *shape))
    for g, row, column in zip(*masks.nonzero(), strict=True):
        parts[g, row // stride, column // stride] += 1 / stride**2
    return parts


def distance(maps, p, q):
    """Squared distance from cell p to cell q, with the factor of p."""
    e = maps["embedding"]
    return maps["distance_scale"][p] * ((e[(slice(None), *p)] - e[(slice(None), *q)]) ** 2).sum()


def sigma(d):
    return 2 / (1 + math.exp(min(d, 700)))


def pair_distances(maps, grid, cells, context):
    """Squared distances of pairs of one object, and of an object and anything else; from every
    fourth cell."""
    distances = {"within": [], "apart": []}
    for (i, p), (j, q) in product(list(enumerate(cells))[::4], enumerate(cells)):
        a, b = grid.ids[p], grid.ids[q]
        is_near = [grid.near(q, a, context), grid.near(p, b, context)]
        if i == j or not (all(is_near) if 0 in (a, b) else any(is_near)):
            continue
        if a != b:
            distances["apart"].append(distance(maps, p, q))
        elif a > 0:
            distances["within"].append(distance(maps, p, q))
    return distances


def pair_loss(maps, grid, cells, rules, context):
    """L_e over all ordered pairs of ``cells``."""
    group = [grid.ids[cell] for cell in cells]
    size = {
        g: (group.count(g) if rules.group_size == "count" else (grid.ids == g).sum())
        for g in set(group)
    }
    total = {key: [0.0, 0.0] for key in ("all", True, False)}
    for (i, p), (j, q) in product(enumerate(cells), repeat=2):
        is_near = [grid.near(q, group[i], context), grid.near(p, group[j], context)]
        if not (all(is_near) if 0 in (group[i], group[j]) else any(is_near)):
            continue
        same, d = bool(group[i] == group[j]), distance(maps, p, q)
        cost = -math.log(sigma(d)) if same else -math.log(1 - sigma(d + MARGIN))
        weight = 1 / (size[group[i]] * size[group[j]])
        for key in ("all", same):
            if key == "all" or i != j:
                total[key][0] += weight * cost
                total[key][1] += weight
    mean = {key: cost / weight if weight else 0.0 for key, (cost, weight) in total.items()}
    if rules.normalization == "joint":
        return mean["all"] / max(len(cells), 1)
    return (mean[True] + mean[False]) / 2


def mask_loss(maps, grid, seeds, context):
    """Soft Dice of what is alike to each seed on an object, and its object."""
    costs = []
    for seed in seeds:
        group = grid.ids[seed]
        if group <= 0:
            continue
        shared = alike = owned = 0.0
        for cell in grid.cells:
            if grid.ids[cell] >= 0 and grid.near(cell, group, context):
                similarity = sigma(distance(maps, seed, cell))
                part = grid.coverage[(group - 1, *cell)]
                shared, alike, owned = (
                    shared + min(similarity, part),
                    alike + similarity,
                    owned + part,
                )
        costs.append(1 - (2 * shared + 1) / (alike + owned + 1))
    return sum(costs) / max(len(costs), 1)


def best_object(maps, grid, seed, tau, context):
    """The largest IoU of the mask grown from a seed with an object that it may be, and which."""
    group = grid.ids[seed]
    judged = [c for c in grid.cells if grid.ids[c] >= 0 and grid.near(c, group, context)]
    grown = {c for c in judged if sigma(distance(maps, seed, c)) >= tau}
    own_only = [group] if group > 0 else []
    allowed = range(1, len(grid.coverage) + 1) if context < 0 else own_only
    best = (0.0, 0)
    for g in allowed:
        own = {c for c in judged if grid.ids[c] == g}
        iou = len(grown & own) / max(len(grown | own), 1)
        if iou > best[0]:
            best = (iou, g - 1)
    return best


def softmax(logits):
    parts = np.exp(logits - logits.max())
    return parts / parts.sum()


def seed_loss(maps, grid, seeds, classes, rules, taus, context):
    """L_cls in both forms; returns it, and the mean best IoU of seeds on objects."""
    logits = maps["class_logits"]
    cost, best_of_objects = 0.0, []
    for seed in seeds:
        best = [best_object(maps, grid, seed, tau, context) for tau in taus]
        if grid.ids[seed] > 0:
            best_of_objects.append(max(iou for iou, _ in best))
        for t, (iou, which) in enumerate(best):
            p = softmax(logits[(t, slice(None), *seed)])
            is_object = p[1:].sum()
            without_label = 1 - (1 if grid.ids[seed] > 0 else rules.labelled_share) * is_object
            if rules.target == "class":
                is_right = iou >= rules.target_iou
                cost -= math.log(p[1 + classes[which]] if is_right else without_label)
            else:
                cost -= iou * math.log(is_object) + (1 - iou) * math.log(without_label)
    cost /= max(len(seeds), 1)
    if rules.target == "iou":
        cost += class_loss(logits, grid, classes)
    return cost, sum(best_of_objects) / max(len(best_of_objects), 1)


def predicted_iou(maps, grid, seeds):
    """Mean over seeds on objects of the most likely object of all thresholds."""
    best = [
        max(1 - softmax(of_tau[(slice(None), *seed)])[0] for of_tau in maps["class_logits"])
        for seed in seeds
        if grid.ids[seed] > 0
    ]
    return sum(best) / max(len(best), 1)


def class_loss(logits, grid, classes):
    """The class given an object: the mean over objects of the mean over their cells."""
    of_objects = []
    for g, which in enumerate(classes, start=1):
        own = [cell for cell in grid.cells if grid.ids[cell] == g]
        costs = [
            -math.log(softmax(logits[(t, slice(1, None), *cell)])[which])
            for t in range(len(logits))
            for cell in own
        ]
        if own:
            of_objects.append(sum(costs) / len(own))
    return sum(of_objects) / max(len(of_objects), 1)

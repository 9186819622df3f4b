"""The loops over cells and pixels of the grouping, compiled by numba.

All are in this one file, as ``compiled`` wants functions that call each other to be. ``growing.py``
and ``rendering.py`` say what the functions are for, and are what other code calls.

Shapes: D embedding channels, h x w grid cells, n seeds or masks, H x W output pixels.
"""

from functools import partial

import numpy as np

from ..compiled import compiled

# Before interpolation distances are clipped at so many thresholds. Another object can be any
# distance away; unclipped, the cut between two cells would move the nearer to this one the more
# distinct the other is, and masks would shrink.
_CLIP = 3.0

# The distance of a candidate that there is no seed to compare with, and the least one of which the
# logarithm is taken.
_FAR = 1e4
_TINY = float(np.finfo(np.float32).tiny)


# Free to add the channels in any order, that is, many at once.
@partial(compiled, fastmath={"reassoc"})
def _squared_distance(embedding, centre, row, column):
    """From a centre, an embedding (D,) and its distance scale, to a cell: float32, not finite where
    an embedding is not."""
    place, distance_scale = centre
    total = np.float32(0)
    for channel in range(embedding.shape[2]):
        difference = embedding[row, column, channel] - place[channel]
        total += difference * difference
    return total * distance_scale


@compiled
def choose(maps, log_score, level, coordinates, count, alpha, by_dissimilarity, context):
    """See ``seeds.select_seeds``.

    ``maps`` are the embedding and distance scale of the candidates, as a grid (P, 1).

    Returns:
        The ``count`` candidates that are chosen, in their order, int64.
    """
    chosen = np.empty(count, np.int64)
    is_left = np.ones(len(log_score), np.bool_)
    # "Far from all" has to be a number: with an infinite one every such candidate would tie,
    # whatever its score.
    log_diversity = np.full(len(log_score), 0.0 if by_dissimilarity else np.log(_FAR))
    embedding, distance_scale = maps
    for step in range(count):
        best, value = -1, -np.inf
        for index in range(len(log_score)):
            balanced = log_score[index] + alpha * log_diversity[index]
            if is_left[index] and balanced > value:
                best, value = index, balanced
        chosen[step], is_left[best] = best, False
        for index in range(len(log_score)):
            rows = abs(coordinates[index, 0] - coordinates[best, 0])
            columns = abs(coordinates[index, 1] - coordinates[best, 1])
            apart = max(rows, columns)
            if is_left[index] and level[index] == level[best] and (context < 0 or apart <= context):
                centre = embedding[best, 0], distance_scale[best, 0]
                squared = _squared_distance(embedding, centre, index, 0)
                diversity = np.tanh(squared / 2) if by_dissimilarity else np.sqrt(squared)
                log_diversity[index] = min(log_diversity[index], np.log(max(diversity, _TINY)))
    return chosen


@compiled
def _is_bridged(is_bridge, row, column, other_row, other_column):
    """Whether a gap may be bridged over all cells between two, on the straight line from one to the
    other."""
    steps = max(abs(other_row - row), abs(other_column - column))
    for step in range(1, steps):
        at_row = int(np.rint(row + (other_row - row) * step / steps))
        at_column = int(np.rint(column + (other_column - column) * step / steps))
        if not is_bridge[at_row, at_column]:
            return False
    return True


@compiled
def _next_new(stamp, beyond, mark, column, last):
    """The first column in [column, last) of a row that the mask of ``mark`` has not seen, else
    ``last``.

    ``stamp`` and ``beyond`` are the row's; ``beyond`` says for every column that was seen a later
    one up to which all were. It is brought up to date on the way, so that no run is walked twice.
    """
    first = column
    while column < last and abs(stamp[column]) == mark:
        column = beyond[column]
    while first < column and abs(stamp[first]) == mark:
        following = beyond[first]
        beyond[first] = column
        first = following
    return min(column, last)


@compiled
def _grow(maps, centre, origin, threshold, gap, seen, mark, found, start):
    """Write a mask's cells and their distances from its centre, ``found``, from ``start`` on.

    ``maps`` are embedding and is_bridge of the grid. ``seen`` are two of (h, w): ``stamp`` becomes
    -mark in the cells of the mask and mark in those that were found too far; ``beyond`` is what
    ``_next_new`` keeps.

    Returns:
        The end of the cells.
    """
    embedding, is_bridge = maps
    cells, distances = found
    stamp, beyond = seen
    height, width = stamp.shape
    # A seed that is not finite is not similar to itself.
    from_centre = _squared_distance(embedding, centre, origin[0], origin[1])
    cells[start], distances[start], stamp[origin] = origin, from_centre, -mark
    beyond[origin] = origin[1] + 1
    end = start + int(from_centre <= threshold)
    # The mask is its own queue: what lies near enough to its first cells is appended behind its
    # last. A cell first looks at what it touches; over gaps it looks when nothing else is left, and
    # then few cells have to be bridged.
    touching = apart = start
    while touching < end or (gap > 0 and apart < end):
        is_close = touching < end
        head = touching if is_close else apart
        touching, apart = touching + int(is_close), apart + int(not is_close)
        reach = 1 if is_close else gap + 1
        if gap < 0:
            reach = max(height, width)
        at_row, at_column = np.int64(cells[head, 0]), np.int64(cells[head, 1])
        last = min(at_column + reach + 1, width)
        for row in range(max(at_row - reach, 0), min(at_row + reach + 1, height)):
            column = max(at_column - reach, 0)
            while True:
                # Almost all that a mask reaches over a gap it has seen before.
                column = _next_new(stamp[row], beyond[row], mark, column, last)
                if column == last:
                    break
                distance = _squared_distance(embedding, centre, row, column)
                if not distance <= threshold:  # so is what is not finite
                    stamp[row, column], beyond[row, column] = mark, column + 1
                # Another cell of the mask may reach what is not bridged from here.
                elif gap <= 0 or _is_bridged(is_bridge, at_row, at_column, row, column):
                    stamp[row, column], beyond[row, column] = -mark, column + 1
                    cells[end], distances[end] = (row, column), distance
                    end += 1
                column += 1
        if gap < 0:  # the first look saw the whole grid
            break
    return end


@compiled
def _bounds(cells):
    """First row and column of cells (c, 2), and the first beyond the last."""
    top, left = np.int64(cells[0, 0]), np.int64(cells[0, 1])
    bottom, right = np.int64(0), np.int64(0)
    for row, column in cells:
        top, left = min(top, row), min(left, column)
        bottom, right = max(bottom, row + 1), max(right, column + 1)
    return top, left, bottom, right


@compiled
def _with_room(cells, distances, used, more):
    """Arrays with room for ``more`` entries behind the ``used`` ones: these, or longer copies."""
    if used + more <= len(cells):
        return cells, distances
    size = max(used + more, 2 * len(cells))
    longer_cells, longer_distances = np.empty((size, 2), np.int32), np.empty(size, np.float32)
    longer_cells[:used], longer_distances[:used] = cells[:used], distances[:used]
    return longer_cells, longer_distances


@compiled
def _hold_elsewhere(holders, stamp, mark, bounds, counted):
    """Hold the cells whose first corner a mask of another grid, ``stamp`` == -mark, covers;
    ``counted`` holders at most count."""
    rows, columns = holders.shape
    height, width = stamp.shape
    for row in range(bounds[0] * rows // height, -(-bounds[2] * rows // height)):
        for column in range(bounds[1] * columns // width, -(-bounds[3] * columns // width)):
            if stamp[row * height // rows, column * width // columns] == -mark:
                holders[row, column] = min(holders[row, column] + 1, counted)


@compiled
def grow(grids, holders, stamps, beyond, seeds, max_overlap, most_holders, across_scales):
    """See ``growing.grow_masks``; ``holders`` int8, ``stamps`` and ``beyond`` int32 are zeros of
    the shapes of the grids.

    A seed that ``most_holders`` masks hold is left out; 0: none is. ``across_scales`` says whether
    a mask holds cells on the grids of other scales.

    Returns:
        The seeds that stay (n,), their bounds (n, 4), where their cells start (n + 1,), the cells,
        their distances.
    """
    num_seeds, counted = len(seeds.position), max(most_holders, 1)
    kept, bounds = np.empty(num_seeds, np.int64), np.empty((num_seeds, 4), np.int64)
    starts = np.zeros(num_seeds + 1, np.int64)
    cells, distances = np.empty((0, 2), np.int32), np.empty(0, np.float32)
    count = 0
    for index in range(num_seeds):
        level, seed = seeds.level[index], (seeds.position[index, 0], seeds.position[index, 1])
        mine, stamp = holders[level], stamps[level]
        if 0 < most_holders <= mine[seed]:
            continue
        start = starts[count]
        cells, distances = _with_room(cells, distances, start, stamp.size)
        mark = index + 1
        maps = grids.embeddings[level], grids.is_bridge[level]
        centre = seeds.centre[index], seeds.distance_scale[index]
        threshold, gap, seen = seeds.threshold[index], seeds.gap[index], (stamp, beyond[level])
        origin = seeds.origin[index, 0], seeds.origin[index, 1]
        end = _grow(maps, centre, origin, threshold, gap, seen, mark, (cells, distances), start)
        part = cells[start:end]
        num_held = 0
        for row, column in part:
            num_held += min(mine[row, column], 1)
        if len(part) == 0 or num_held > max_overlap * len(part):
            continue
        for row, column in part:
            mine[row, column] = min(mine[row, column] + 1, counted)
        of_mask = _bounds(part)
        for other in range(len(holders)):
            if across_scales and other != level:
                _hold_elsewhere(holders[other], stamp, mark, of_mask, counted)
        kept[count], starts[count + 1] = index, end
        bounds[count] = of_mask
        count += 1
    end = starts[count]
    found = cells[:end].copy(), distances[:end].copy()
    return kept[:count], bounds[:count], starts[: count + 1], found[0], found[1]


@compiled
def shift(grids, masks):
    """See ``growing.shifted_seeds``.

    Returns:
        Of each mask the centre (n, D) and the index of the threshold (n,) that its cells agree on,
        and which of them is nearest to that centre (n, 2).
    """
    count, dim = len(masks.seed), grids.embeddings[0].shape[2]
    num_taus = grids.object_probability[0].shape[0]
    centres, tau_index = np.empty((count, dim), np.float32), np.empty(count, np.int64)
    origins = np.empty((count, 2), np.int64)
    for index in range(count):
        embedding = grids.embeddings[masks.level[index]]
        probability = grids.object_probability[masks.level[index]]
        total, votes = np.zeros(dim, np.float64), np.zeros(num_taus, np.float64)
        weights = 0.0
        for place in range(masks.start[index], masks.start[index + 1]):
            row, column = masks.cells[place]
            weight = 2 / (1 + np.exp(masks.squared_distance[place]))
            weights += weight
            for channel in range(dim):
                total[channel] += weight * embedding[row, column, channel]
            for tau in range(num_taus):
                votes[tau] += weight * probability[tau, row, column]
        centres[index], tau_index[index] = total / weights, votes.argmax()
        centre, nearest = (centres[index], masks.distance_scale[index]), np.float32(np.inf)
        for row, column in masks.cells[masks.start[index] : masks.start[index + 1]]:
            distance = _squared_distance(embedding, centre, row, column)
            if distance < nearest:
                nearest = distance
                origins[index, 0], origins[index, 1] = row, column
    return centres, tau_index, origins


@compiled
def _pixels_of(cells, size, limit, interpolate):
    """The pixels in a range of cells, and what lies under each, along one axis.

    Args:
        cells: (first, last) of a window, half open; size: pixels a cell; limit: of the image.

    Returns:
        The first pixel whose centre lies in the cells, and for it and each that follows: the lower
        of two cells of the window, and the weight of the next one in the linear interpolation
        between their centres.
    """
    first, last = (
        min(int(np.rint(cells[0] * size)), limit),
        min(int(np.rint(cells[1] * size)), limit),
    )
    lower, weight = np.empty(last - first, np.int64), np.zeros(last - first, np.float32)
    for index in range(last - first):
        # In cells from the window's edge; cell i spans [i, i + 1), and beyond the outermost centres
        # nothing changes.
        place = (first + index + 0.5) / size - cells[0]
        if interpolate:
            place -= 0.5
        place = min(max(place, 0.0), cells[1] - cells[0] - 1.0)
        lower[index] = int(place)
        if interpolate:
            weight[index] = place - lower[index]
    return first, lower, weight


@compiled
def _clipped_distances(embedding, centre, threshold, window, cells, distances):
    """Distances in a window, (first, last) rows and columns, clipped; what is near but not of the
    mask is far."""
    (top, bottom), (left, right) = window
    cut = np.float32(_CLIP) * np.float32(threshold)
    near = np.empty((bottom - top, right - left), np.float32)
    for row in range(top, bottom):
        for column in range(left, right):
            distance = _squared_distance(embedding, centre, row, column)
            near[row - top, column - left] = distance if threshold < distance < cut else cut
    for index in range(len(cells)):
        near[cells[index, 0] - top, cells[index, 1] - left] = distances[index]
    return near


@compiled
def _draw_one(canvas, near, threshold, rows, columns):
    """Set the pixels of a window, ``canvas``, at which the interpolated distance is at most the
    threshold; ``rows`` and ``columns`` are from ``_pixels_of``.

    Returns:
        First row and column that are set, and the first beyond the last; not beyond the first where
        none is.
    """
    (_, lower_row, row_weight), (_, lower_column, column_weight) = rows, columns
    height, width = near.shape
    top, left, bottom, right = canvas.shape[0], canvas.shape[1], 0, 0
    across, one = np.empty(width, np.float32), np.float32(1)
    for row in range(len(lower_row)):
        above, below = near[lower_row[row]], near[min(lower_row[row] + 1, height - 1)]
        for j in range(width):
            across[j] = above[j] * (one - row_weight[row]) + below[j] * row_weight[row]
        for column in range(len(lower_column)):
            j, weight = lower_column[column], column_weight[column]
            before, after = across[j], across[min(j + 1, width - 1)]
            if before * (one - weight) + after * weight <= threshold:
                canvas[row, column] = True
                top, left = min(top, row), min(left, column)
                bottom, right = max(bottom, row + 1), max(right, column + 1)
    return top, left, bottom, right


@compiled
def _appended(pixels, used, window):
    """``pixels`` (P,), of which so many are used, with a window behind them; maybe a longer copy.

    Twice as long where it has to be: what is not yet used takes no memory.
    """
    end = used + window.size
    if end > len(pixels):
        longer = np.empty(max(end, 2 * len(pixels)), np.bool_)
        longer[:used] = pixels[:used]
        pixels = longer
    pixels[used:end] = window.copy().ravel()
    return pixels


@compiled
def draw(limit, order, grids, masks, cell_sizes, output_size, interpolate):
    """See ``rendering.draw_masks``; ``cell_sizes`` is (levels, 2).

    Returns:
        The masks that were drawn (N,), of ``order``; their boxes (N, 4): left, top, right, bottom,
        half open; where the pixels of each box start (N + 1,); and these pixels, row by row.
    """
    limit = min(limit, len(order))
    drawn, boxes = np.empty(limit, np.int64), np.empty((limit, 4), np.int64)
    starts, pixels = np.zeros(limit + 1, np.int64), np.empty(0, np.bool_)
    count = 0
    for index in order:
        if count == limit:
            break
        level, threshold = masks.level[index], masks.threshold[index]
        embedding, centre = (
            grids.embeddings[level],
            (masks.centre[index], masks.distance_scale[index]),
        )
        height, width = embedding.shape[:2]
        top, left, bottom, right = masks.bounds[index]
        # One cell more on each side, for the cut between two cells.
        window = (
            (max(top - 1, 0), min(bottom + 1, height)),
            (max(left - 1, 0), min(right + 1, width)),
        )
        mine = slice(masks.start[index], masks.start[index + 1])
        cells, distances = masks.cells[mine], masks.squared_distance[mine]
        near = _clipped_distances(embedding, centre, threshold, window, cells, distances)
        rows = _pixels_of(window[0], cell_sizes[level, 0], output_size[0], interpolate)
        columns = _pixels_of(window[1], cell_sizes[level, 1], output_size[1], interpolate)
        canvas = np.zeros((len(rows[1]), len(columns[1])), np.bool_)
        top, left, bottom, right = _draw_one(canvas, near, threshold, rows, columns)
        if bottom > top:
            used = starts[count]
            pixels = _appended(pixels, used, canvas[top:bottom, left:right])
            drawn[count], starts[count + 1] = index, used + (bottom - top) * (right - left)
            boxes[count, 0], boxes[count, 1] = columns[0] + left, rows[0] + top
            boxes[count, 2], boxes[count, 3] = columns[0] + right, rows[0] + bottom
            count += 1
    return drawn[:count], boxes[:count], starts[: count + 1], pixels[: starts[count]].copy()

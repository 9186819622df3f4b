import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.grouping import GroupingRules, Seeds
from dml_instance.grouping.seeds import Candidates, select_seeds


def candidates_of(embedding, score, place=None, level=None, distance_scale=None):
    """Candidates whose position tells which they are: candidate i lies at (i, 2 i)."""
    count = len(score)
    index = torch.arange(count)
    position = torch.stack([index, 2 * index], 1)
    columns = {
        "embedding": embedding,
        "distance_scale": torch.ones(count) if distance_scale is None else distance_scale,
        "coordinates": position.float() if place is None else place,
        "position": position,
        "seediness": score,
        "tau_index": index % 3,
        "pred_class": index % 5,
        "level": torch.zeros(count, dtype=torch.int64) if level is None else level,
    }
    return Candidates(**{name: column.numpy() for name, column in columns.items()})


def chosen(candidates, limit, context=-1, **rules):
    """Which candidates become seeds, in the order of choice."""
    seeds = select_seeds(
        candidates, GroupingRules(max_seeds=limit, **rules), limit=limit, context=context
    )
    return seeds.position[:, 0].tolist()


def slow_seed_order(candidates, limit, context, alpha, diversity):
    """The greedy rule, word by word: the first by S alone, then by log S + alpha log D."""
    embedding, place = (
        torch.from_numpy(values).double()
        for values in (candidates.embedding, candidates.coordinates)
    )
    score, factor = candidates.seediness.tolist(), candidates.distance_scale.tolist()

    def distance(p, q):
        """From seed q to candidate p; None where the two are not compared."""
        apart = (place[p] - place[q]).abs().max().item()
        if candidates.level[p] != candidates.level[q] or (context >= 0 and apart > context):
            return None
        return factor[q] * (embedding[p] - embedding[q]).square().sum().item()

    order = []
    while len(order) < min(limit, len(score)):
        best, best_value = None, -math.inf
        for p in range(len(score)):
            if p in order:
                continue
            squared = [d for d in (distance(p, q) for q in order) if d is not None]
            if diversity == "dissimilarity":
                apart = 1 - 2 / (1 + math.exp(min(squared))) if squared else 1
            else:
                apart = min(math.sqrt(min(squared)), 1e4) if squared else 1e4
            value = math.log(score[p]) + alpha * math.log(apart)
            if value > best_value:
                best, best_value = p, value
        order.append(best)
    return order


@settings(max_examples=50, deadline=None)
@given(
    *(st.integers(0, 10_000), st.integers(1, 15), st.sampled_from([0.1, 0.3, 0.6])),
    *(st.sampled_from(["distance", "dissimilarity"]), st.sampled_from([-1, 20, 45])),
    st.sampled_from([1, 2]),
)
def test_seed_order_equals_the_slow_rule(seed, count, alpha, diversity, context, levels):
    generator = torch.Generator().manual_seed(seed)
    candidates = candidates_of(
        torch.randn(count, 3, generator=generator),
        torch.rand(count, generator=generator) * 0.98 + 0.01,
        place=torch.rand(count, 2, generator=generator) * 100,
        level=torch.randint(0, levels, (count,), generator=generator),
        distance_scale=torch.rand(count, generator=generator) + 0.5,
    )
    limit = min(8, count - 1)  # with as many seeds as candidates there is no choice
    rules = {"alpha": alpha, "diversity": diversity}
    order = chosen(candidates, limit, context, **rules)
    assert order == slow_seed_order(candidates, limit, context, **rules)


@pytest.mark.parametrize("alpha", [0, 0.3])
def test_a_seed_keeps_what_its_candidate_knows(alpha):
    score = torch.tensor([0.2, 0.9, 0.5, 0.4])
    level = torch.tensor([0, 1, 1, 0])
    candidates = candidates_of(torch.eye(4) * 9, score, level=level)
    seeds = select_seeds(candidates, GroupingRules(max_seeds=3, alpha=alpha), limit=3, context=-1)
    assert seeds.position.tolist() == [[1, 2], [2, 4], [3, 6]]
    assert seeds.tau_index.tolist() == [1, 2, 0]
    assert seeds.pred_class.tolist() == [1, 2, 3]
    assert seeds.level.tolist() == [1, 1, 0]
    assert seeds.score == pytest.approx([0.9, 0.5, 0.4])


def test_alpha_zero_orders_by_score():
    score = torch.tensor([0.2, 0.9, 0.5])
    assert chosen(candidates_of(torch.zeros(3, 2), score), 2, alpha=0) == [1, 2]


def test_where_all_candidates_become_seeds_they_come_by_score_whatever_alpha():
    """The second coincides with the first, and would come last."""
    embedding, score = torch.tensor([[0.0], [0.0], [5.0]]), torch.tensor([0.9, 0.8, 0.7])
    candidates = candidates_of(embedding, score)
    assert chosen(candidates, 2, alpha=0.6) == [0, 2]
    assert chosen(candidates, 3, alpha=0.6) == [0, 1, 2]
    assert chosen(candidates, 4, alpha=0.6) == [0, 1, 2]
    of_peaks = select_seeds(candidates, GroupingRules(alpha=0.6), limit=2, context=-1)
    assert of_peaks.position[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize("alpha", [0, 0.3])
def test_of_equal_candidates_the_first_is_chosen(alpha):
    embedding = torch.tensor([[9.0], [0.0], [0.0], [-9.0], [18.0]])
    score = torch.tensor([0.5, 0.9, 0.9, 0.5, 0.5])
    expected = [1, 2, 0] if alpha == 0 else [1, 0, 3]
    assert chosen(candidates_of(embedding, score), 3, alpha=alpha) == expected


def test_many_equal_candidates_keep_their_order():
    """More than are sorted in a way that keeps it anyhow."""
    count = 1000
    candidates = candidates_of(torch.zeros(count, 1), torch.full((count,), 0.5))
    assert chosen(candidates, 700, alpha=0) == list(range(700))
    assert chosen(candidates, count, alpha=0.3) == list(range(count))


@pytest.mark.parametrize(("alpha", "second"), [(0.1, 1), (0.6, 2)])
def test_alpha_weighs_diversity_against_score(alpha, second):
    """D is about 0.1 and 0.9: 0.9 against 0.6 times 9^alpha, which is 0.75 and 2.2."""
    squared = torch.tensor([0.0, 2 * math.atanh(0.1), 2 * math.atanh(0.9)])
    candidates = candidates_of(squared.sqrt()[:, None], torch.tensor([0.95, 0.9, 0.6]))
    assert chosen(candidates, 2, alpha=alpha) == [0, second]


@pytest.mark.parametrize(("diversity", "second"), [("dissimilarity", 1), ("distance", 2)])
def test_dissimilarity_ends_at_one_and_distance_does_not(diversity, second):
    candidates = candidates_of(torch.tensor([[0.0], [8], [800]]), torch.tensor([0.9, 0.8, 0.7]))
    assert chosen(candidates, 2, alpha=0.6, diversity=diversity) == [0, second]


@pytest.mark.parametrize("diversity", ["dissimilarity", "distance"])
def test_of_two_that_no_seed_is_compared_with_the_better_one_comes_first(diversity):
    """And a candidate that is further than "far" does not get before them."""
    embedding = torch.tensor([[0.0], [0.0], [0.0], [1e5]])
    score = torch.tensor([0.9, 0.5, 0.6, 0.55])
    place = torch.tensor([[0.0, 0], [0, 99], [99, 0], [0, 0]])
    candidates = candidates_of(embedding, score, place)
    assert chosen(candidates, 3, context=50, alpha=0.6, diversity=diversity) == [0, 2, 3]


@pytest.mark.parametrize(("distance", "second"), [(10_000.5, 2), (9_999.5, 1)])
def test_nothing_is_further_than_what_no_seed_is_compared_with(distance, second):
    """Which counts as 10,000 away. The one at a distance is better by a hair."""
    embedding = torch.tensor([[0.0], [0.0], [distance], [0.0]])
    score, place = torch.tensor([0.9, 0.5, 0.500001, 0.1]), torch.tensor([[0.0, 0]] * 4)
    place[1] = 99.0
    candidates = candidates_of(embedding, score, place)
    rules = {"alpha": 0.6, "diversity": "distance"}
    assert chosen(candidates, 2, context=50, **rules) == [0, second]


@pytest.mark.parametrize("diversity", ["dissimilarity", "distance"])
def test_look_alikes_out_of_context_or_on_another_scale_do_not_suppress(diversity):
    embedding = torch.tensor([[0.0], [0.0], [3.0]])
    score = torch.tensor([0.9, 0.8, 0.3])
    near = torch.tensor([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]])
    far = torch.tensor([[0.0, 0.0], [50.0, 5.0], [9.0, 0.0]])

    def second(place, level=None):
        candidates = candidates_of(embedding, score, place, level)
        return chosen(candidates, 2, context=20, alpha=0.6, diversity=diversity)[1]

    assert second(near) == 2
    assert second(far) == 1
    assert second(near, torch.tensor([0, 1, 0])) == 1


@pytest.mark.parametrize(
    ("offset", "context", "is_compared"),
    [
        ([20.0, 0.0], 20, True),
        ([20.5, 0.0], 20, False),
        ([0.0, -20.0], 20, True),
        ([0.0, -20.5], 20, False),
        ([-15.0, 15.0], 20, True),
        ([0.0, 0.0], 0, True),
        ([0.5, 0.0], 0, False),
        ([900.0, 900.0], -1, True),
    ],
)
def test_context_is_a_square_whose_border_belongs_to_it(offset, context, is_compared):
    embedding, score = torch.tensor([[0.0], [0.0], [3.0]]), torch.tensor([0.9, 0.8, 0.3])
    place = torch.tensor([[100.0, 200.0]] * 3)
    place[1] += torch.tensor(offset)
    order = chosen(candidates_of(embedding, score, place), 2, context, alpha=0.6)
    assert order == [0, 2 if is_compared else 1]


def test_distances_are_scaled_by_the_seed_and_not_by_the_candidate():
    """Scaled by the seed the second lies at 0.01 and the third at 0.04; by themselves at 100, 0."""
    embedding, score = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0.9, 0.5, 0.5])
    factor = torch.tensor([0.01, 100.0, 1e-6])
    candidates = candidates_of(embedding, score, distance_scale=factor)
    assert chosen(candidates, 2, alpha=0.6) == [0, 2]


def test_candidates_that_coincide_or_are_of_no_score_come_last_and_do_come():
    embedding, score = torch.tensor([[0.0], [0.0], [4.0], [8.0]]), torch.tensor([0.9, 0.9, 0.1, 0])
    candidates = candidates_of(embedding, score)
    assert chosen(candidates, 3, alpha=0.3) == [0, 2, 1]
    assert chosen(candidates, 3, alpha=0) == [0, 1, 2]


@pytest.mark.parametrize("alpha", [0, 0.3])
def test_no_candidates_give_no_seeds(alpha):
    empty = candidates_of(torch.zeros(0, 2), torch.zeros(0))
    assert chosen(empty, 5, alpha=alpha) == []


def seeds_of(count=3, **changes):
    index = np.arange(count)
    fields = {
        "position": np.zeros((count, 2), dtype=np.int64),
        "tau_index": index,
        "pred_class": index,
        "score": np.zeros(count, dtype=np.float32),
        "level": index,
    }
    return Seeds(**{**fields, **changes})


@pytest.mark.parametrize("count", [0, 3])
def test_seeds_know_how_many_they_are(count):
    assert len(seeds_of(count)) == count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": np.zeros(2)}, "one entry a seed.*'score': 2"),
        ({"position": np.zeros(3)}, r"position must be \(N, 2\)"),
        ({"position": np.zeros((3, 3))}, r"position must be \(N, 2\)"),
    ],
)
def test_seeds_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        seeds_of(**changes)

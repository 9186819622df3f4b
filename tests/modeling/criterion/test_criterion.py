"""The criterion as a whole, against loops over pixels in double precision."""

from itertools import chain, product

import numpy as np
import pytest
import torch

import slow_criterion as slow
from dml_instance.modeling.criterion import (
    CriterionRules,
    DMLCriterion,
    MaskLossRules,
    PairLossRules,
    SeedLossRules,
    plan,
)
from dml_instance.modeling.criterion import criterion as module
from dml_instance.modeling.ground_truth import GroundTruth
from dml_instance.modeling.structures import ImageMaps
from dml_instance.object_masks import ObjectMasks

STRIDE, TAUS, CLASSES = 2, (0.25, 0.5, 0.75), 3

# Two pixels a cell. Object 1 covers half of some of its cells, object 2 touches it, object 3 is
# far away and partly ignored, object 4 is too small for a cell of its own.
DRAWING = [
    "......................",
    ".111..................",
    ".11112222.............",
    ".11112222.............",
    ".111.2222.............",
    ".111..................",
    ".................333..",
    ".................3333.",
    ".......4.........3333.",
    ".................xxxx.",
    ".................xxxx.",
    "xxxxx.................",
    "xxxxx.................",
]


def scene(drawing=DRAWING, classes=(0, 2, 1, 2)):
    """What is drawn: digits are objects, x is ignored."""
    rows = np.array([list(row) for row in drawing])
    masks = rows == np.arange(1, len(classes) + 1).astype(str)[:, None, None]
    of_classes = torch.tensor(classes, dtype=torch.int64)
    return GroundTruth(
        ObjectMasks.of(torch.from_numpy(masks)), of_classes, torch.from_numpy(rows == "x")
    )


def random_maps(truth, seed, scale=1.0, stride=STRIDE, dtype=torch.float32):
    """Maps that know a little of the objects, so that grown masks are neither empty nor all."""
    generator = torch.Generator().manual_seed(seed)
    size = tuple(round(side * scale) for side in truth.ignored.shape)
    grid = tuple(-(-side // stride) for side in size)
    whose = slow.SlowGrid(truth.masks.tensor.numpy(), truth.ignored.numpy(), size, stride).ids
    embedding = 0.4 * torch.randn(2, *grid, generator=generator)
    embedding[0] += torch.from_numpy(whose).float()
    distance_scale = torch.rand(grid, generator=generator) + 0.5
    logits = torch.randn(len(TAUS), CLASSES + 1, *grid, generator=generator)
    return ImageMaps(
        embedding.to(dtype), distance_scale, logits.to(dtype), stride, scale, image_size=size
    )


@pytest.fixture
def drawn(monkeypatch):
    """The cells that the criterion draws, one entry a map: of pairs, and of seeds."""
    cells = {"pairs": [], "seeds": []}

    def record(name, function, take):
        def recorded(ids, **options):
            result = function(ids, **options)
            flat = torch.cat(list(take(result))).tolist()
            cells[name].append([divmod(cell, ids.shape[1]) for cell in flat])
            return result

        monkeypatch.setattr(plan, function.__name__, recorded)

    record("pairs", plan.sample_cells_per_group, lambda result: [result[0]])
    record("seeds", plan.sample_seed_cells, lambda result: result)
    return cells


def expected_losses(criterion, pyramids, truths, drawn, iteration):
    """By loops, from the cells that were drawn; the means over all maps."""
    rules, terms = criterion.rules, []
    distances = {"within": [], "apart": []}
    each = chain.from_iterable(
        product(pyramid, [truth]) for pyramid, truth in zip(pyramids, truths, strict=True)
    )
    for (maps, truth), pairs, seeds in zip(each, drawn["pairs"], drawn["seeds"], strict=True):
        masks, ignored = truth.masks.tensor.numpy(), truth.ignored.numpy()
        grid = slow.SlowGrid(masks, ignored, maps.image_size, maps.stride)
        context = criterion.context // maps.stride  # whole cells; stays negative
        values = {
            name: getattr(maps, name).double().numpy()
            for name in ("embedding", "distance_scale", "class_logits")
        }
        classes = truth.classes.tolist()
        seed, iou = slow.seed_loss(
            values, grid, seeds, classes, rules.seed_loss, criterion.taus, context
        )
        terms.append(
            {
                "pair": slow.pair_loss(values, grid, pairs, rules.pair_loss, context),
                "mask": slow.mask_loss(values, grid, seeds, context),
                "seed": seed,
                "iou": iou,
                "predicted": slow.predicted_iou(values, grid, seeds),
            }
        )
        for name, more in slow.pair_distances(values, grid, pairs, context).items():
            distances[name] += more
    mean = {name: sum(term[name] for term in terms) / len(terms) for name in terms[0]}
    ramp = (iteration + 1) / criterion.max_iter
    losses = {
        "loss_pair": rules.pair_loss.weight * mean["pair"],
        "loss_mask": rules.mask_loss.weight * mean["mask"],
        "loss_seed": rules.seed_loss.weight * ramp * mean["seed"],
    }
    return losses, {
        "seed_lambda": rules.seed_loss.weight * ramp,
        "target_iou": mean["iou"],
        "predicted_iou": mean["predicted"],
        **{f"distance_{name}": np.mean(d) if d else np.nan for name, d in distances.items()},
    }


def criterion_of(context, **choices):
    """All rules away from their defaults; lambda goes from 0 to 1.7 over 10 iterations."""
    fields = {
        "pair_loss": {
            "weight": 0.3,
            "pixels_per_instance": 4,
            "background_pixels": 9,
            "max_instances": 3,
        },
        "mask_loss": {"weight": 0.8},
        "seed_loss": {"weight": 1.7, "pixels": 12, "foreground_fraction": 0.7, "ramp_end": 1.0},
    }
    for name, value in choices.items():
        section = "pair_loss" if name in ("group_size", "normalization") else "seed_loss"
        fields[section][name] = value
    rules = CriterionRules(
        PairLossRules(**fields["pair_loss"]),
        MaskLossRules(**fields["mask_loss"]),
        SeedLossRules(**fields["seed_loss"]),
    )
    return DMLCriterion(rules, taus=TAUS, context=context, max_iter=10)


def check(criterion, pyramids, truths, drawn, iteration=6):
    torch.manual_seed(5)
    losses, statistics = criterion(pyramids, truths, iteration)
    expected, of_expected = expected_losses(criterion, pyramids, truths, drawn, iteration)
    assert set(losses) == set(expected)
    for name, value in losses.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected[name], rel=2e-4, abs=1e-6), name
    assert {name: float(value) for name, value in statistics.items()} == pytest.approx(
        of_expected, rel=2e-4, nan_ok=True
    )
    return losses


@pytest.mark.parametrize("context", [-1, 0, 3, 4, 8, 100])
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"labelled_share": 0.3},
        {"group_size": "area", "normalization": "joint"},
        {"target": "class", "target_iou": 0.4, "group_size": "area"},
        {"target": "class", "target_iou": 0.2, "normalization": "joint"},
        {"target": "class", "target_iou": 0.4, "labelled_share": 0.2},
    ],
    ids=str,
)
def test_losses_equal_the_loops(context, choices, drawn):
    truth = scene()
    losses = check(criterion_of(context, **choices), [[random_maps(truth, 0)]], [truth], drawn)
    assert min(value.item() for value in losses.values()) > 1e-3


@pytest.mark.parametrize("context", [-1, 4])
def test_losses_are_means_over_images_and_scales(context, drawn):
    truths = [
        scene(),
        scene(DRAWING[:9], (1, 0, 2, 2)),
        scene([".......", "..x....", "......."], ()),
    ]
    scales = [1.0, 0.5]
    pyramids = [
        [random_maps(truth, i, scale) for i, scale in enumerate(scales)] for truth in truths
    ]
    check(criterion_of(context), pyramids, truths, drawn)
    assert [len(seeds) for seeds in drawn["seeds"]] == [12, 12, 12, 12, 4, 4]


@pytest.mark.parametrize("target", ["class", "iou"])
@pytest.mark.parametrize("context", [-1, 4])
@pytest.mark.parametrize(
    ("drawing", "classes"),
    [(["....", "...."], ()), (["xxxx", "xxxx"], ()), (["1111", "1111"], (1,)), (["11xx"], (1,))],
)
def test_images_of_one_kind_only(context, target, drawing, classes, drawn):
    truth = scene(drawing, classes)
    check(criterion_of(context, target=target), [[random_maps(truth, 0)]], [truth], drawn)


def test_half_precision_gives_what_its_numbers_say(drawn):
    truth = scene()
    maps = random_maps(truth, 0, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        check(criterion_of(-1), [[maps]], [truth], drawn)


def test_gradients_reach_all_maps_and_none_the_targets():
    truth, maps = scene(), random_maps(scene(), 0)
    for values in (maps.embedding, maps.distance_scale, maps.class_logits):
        values.requires_grad_()
    losses, statistics = criterion_of(4)([[maps]], [truth], 5)
    assert not any(v.requires_grad for n, v in statistics.items() if n != "seed_lambda")
    losses["loss_seed"].backward(retain_graph=True)
    assert maps.embedding.grad is None and maps.distance_scale.grad is None
    assert maps.class_logits.grad.any()
    for name in ("loss_pair", "loss_mask"):
        maps.embedding.grad = maps.distance_scale.grad = None
        losses[name].backward(retain_graph=True)
        assert maps.embedding.grad.any() and maps.distance_scale.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_areas_beyond_the_range_of_half_precision_are_counted_right(dtype, drawn):
    """300 x 300 cells are more than float16 can count (65,504) and bfloat16 can tell apart."""
    ignored = torch.zeros(300, 300, dtype=torch.bool)
    masks = ignored[None].clone()
    masks[:, 1:] = True  # 89,700 cells
    truth = GroundTruth(ObjectMasks.of(masks), torch.tensor([1]), ignored)
    embedding = torch.zeros(2, 300, 300)
    embedding[:, :1] = 20.0
    embedding[:, 1:3] = 20.0  # two rows of the object look like background: IoU 297 / 299
    logits = torch.zeros(1, 3, 300, 300)
    logits[:, 2] = 2.0
    maps = ImageMaps(
        embedding.to(dtype),
        torch.ones(300, 300),
        logits.to(dtype),
        stride=1,
        scale=1.0,
        image_size=(300, 300),
    )
    seed_loss = SeedLossRules(pixels=48, foreground_fraction=1.0, ramp_end=0.0)
    criterion = DMLCriterion(
        CriterionRules(seed_loss=seed_loss), taus=(0.5,), context=-1, max_iter=1
    )
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype):
        losses, statistics = criterion([[maps]], [truth], 0)
    assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())
    found = np.array([297 / 299 if row >= 3 else 2 / 300 for row, _ in drawn["seeds"][0]])
    assert statistics["target_iou"].item() == pytest.approx(found.mean(), rel=1e-5)
    p = slow.softmax(np.array([0.0, 0.0, 2.0]))
    expected = -found * np.log(p[1:].sum()) - (1 - found) * np.log(p[0])
    of_class = -np.log(p[2] / p[1:].sum())
    assert losses["loss_seed"].item() == pytest.approx(expected.mean() + of_class, rel=1e-4)


def test_seed_targets_count_areas_in_full_of_half_precision():
    cells = 300 * 300
    group, ids = torch.tensor([1]), torch.ones(cells, dtype=torch.int64)
    ids[:10] = 0
    judged = torch.ones(1, cells, dtype=torch.bool)
    distance = torch.zeros(1, cells, dtype=torch.float16)
    for any_instance in (True, False):
        iou, _ = module.seed_targets(
            distance, group, ids, judged, (0.5,), count=1 if any_instance else None
        )
        assert iou.item() == pytest.approx((cells - 10) / cells, abs=1e-7)


def test_every_image_needs_its_truth():
    truth, maps = scene(), random_maps(scene(), 0)
    with pytest.raises(ValueError, match="zip"):
        criterion_of(4)([[maps], [maps]], [truth], 0)

"""Why there is an object, or none: every seed in its turn, and the rule by which it was dropped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .grouping import FoundInstances, GroupingSettings, Grown, drawn_of, grown_of
from .limits import ReachedLimits
from .maps import GridMaps, cell_size
from .ownership import masks_taken
from .scoring import small_mask_factor
from .seeds import find_all_candidates

# Peaks under the least seediness of which an account is given, best first.
_WEAK_PEAKS = 200

# What may drop a seed, in the order in which they are asked, by the config key of each.
RULES = {
    "MODEL.DML.GROUPING.MIN_SEEDINESS": "its seediness is too low for a seed",
    "MODEL.DML.GROUPING.MAX_SEEDS": "there were better seeds, as many as are grown",
    "MODEL.DML.GROUPING.SEEDS_PER_MASK": "as many better masks hold it as grow in one place",
    "MODEL.DML.GROUPING.MAX_OVERLAP": "too much of it belongs to a better one",
    "MODEL.DML.SCORE_THRESH_TEST": "its score is too low",
    "TEST.DETECTIONS_PER_IMAGE": "there were better objects, as many as are returned",
    "no pixel": "its mask covers the centre of no pixel",
    "TEST.MIN_SCORE": "its score is under the least score that is shown",
    "": "it is an object",
}


@dataclass(frozen=True)
class SeedAccount:
    """What became of one seed, or of a peak of seediness that was none.

    Attributes:
        row, column: of its centre, in pixels of the image.
        pred_class: in [0, K).
        tau: the threshold of its mask; of a seed whose mask was dropped, that it was to grow with.
        seediness: in [0, 1].
        rule: a key of ``RULES``; empty: it became an object.
        instance: index of the object that it became, by descending score; None: of none.
        score: of its mask; None where none was kept to be scored.
        size_factor: by which that score was lowered because the mask is small, in (0, 1]; None as
            of the score.
        taken_by: index, in the account, of the seed whose mask holds most of what others own of
            this one's, or was the first that held it; None where none does. It may have been
            dropped itself in a later growth.
        share_taken: of its mask that better masks own, in [0, 1]; 1 where they own the very seed;
            None where no mask was dropped, but a seed that did not grow anew.
    """

    row: float
    column: float
    pred_class: int
    tau: float
    seediness: float
    rule: str = ""
    instance: int | None = None
    score: float | None = None
    size_factor: float | None = None
    taken_by: int | None = None
    share_taken: float | None = None


def shown(account: SeedAccount, min_score: float) -> SeedAccount:
    """An account where objects under a least score are not shown: they are dropped by that rule."""
    if account.instance is None or account.score >= min_score:
        return account
    return replace(account, rule="TEST.MIN_SCORE", instance=None)


def explain(
    pyramid: Sequence[GridMaps], output_size: tuple[int, int], settings: GroupingSettings
) -> tuple[FoundInstances, list[SeedAccount]]:
    """The instances of an image, and why there are these.

    Args:
        pyramid, output_size, settings: as for ``group``.

    Returns:
        What ``group`` returns; and an account of every seed in the order in which they first grow,
        then of candidates that were left out because others were better, then of up to 200 peaks
        whose seediness is too low, the best first.
    """
    taken: dict[int, tuple[int | None, float | None]] = {}
    grown = grown_of(
        *(pyramid, settings, ReachedLimits()), look=lambda growth: taken.update(masks_taken(growth))
    )
    found, drawn = drawn_of(grown, pyramid, output_size, settings)
    cell_sizes = [cell_size(maps.stride, maps.image_size, output_size) for maps in pyramid]
    fates = _fates(settings, grown, drawn.tolist(), found, taken)
    seeds = grown.seeds
    of_seeds = (seeds.position, seeds.level, seeds.pred_class, seeds.tau_index, seeds.score)
    accounts = [
        replace(account, **fate)
        for account, fate in zip(_plain(of_seeds, settings, cell_sizes), fates, strict=True)
    ]
    return found, accounts + _never_grown(settings, pyramid, of_seeds, cell_sizes)


def _plain(
    columns: Sequence[np.ndarray],
    settings: GroupingSettings,
    cell_sizes: Sequence[tuple[float, float]],
    rule: str = "",
) -> list[SeedAccount]:
    """Accounts of position, level, class, threshold and seediness, with a rule for all of them."""
    return [
        SeedAccount(
            *((cell + 0.5) * size for cell, size in zip(position, cell_sizes[level], strict=True)),
            pred_class,
            settings.taus[tau_index],
            seediness,
            rule,
        )
        for position, level, pred_class, tau_index, seediness in zip(
            *(values.tolist() for values in columns), strict=True
        )
    ]


def _fates(
    settings: GroupingSettings,
    grown: Grown,
    drawn: list[int],
    found: FoundInstances,
    taken: dict[int, tuple[int | None, float | None]],
) -> list[dict]:
    """What became of each seed that was grown, in that order: fields of ``SeedAccount``; ``taken``
    is of ``masks_taken``, of all growths."""
    masks = grown.masks
    fates: list[dict] = [{} for _ in range(len(grown.seeds))]
    for seed, (owner, share) in taken.items():
        key = "SEEDS_PER_MASK" if share is None else "MAX_OVERLAP"
        rule = f"MODEL.DML.GROUPING.{key}"
        fates[seed] = {"rule": rule, "taken_by": owner, "share_taken": share}
    factors = small_mask_factor(masks, settings.rules.small_mask_cells)
    worst = min(found.scores.tolist(), default=0.0)
    is_full = len(drawn) == settings.max_instances
    instance_of = {mask: instance for instance, mask in enumerate(drawn)}
    for mask, seed in enumerate(masks.seed.tolist()):
        score = float(grown.scores[mask].astype(np.float32))
        fate = {"score": score, "size_factor": float(factors[mask])}
        fate["pred_class"] = int(grown.classes[mask])
        fate["tau"] = settings.taus[masks.tau_index[mask]]
        if mask in instance_of:
            fate["instance"] = instance_of[mask]
        elif score < settings.min_score:
            fate["rule"] = "MODEL.DML.SCORE_THRESH_TEST"
        elif is_full and score <= worst:
            fate["rule"] = "TEST.DETECTIONS_PER_IMAGE"
        else:
            fate["rule"] = "no pixel"
        fates[seed] = fate
    return fates


def _never_grown(
    settings: GroupingSettings,
    pyramid: Sequence[GridMaps],
    of_seeds: Sequence[np.ndarray],
    cell_sizes: Sequence[tuple[float, float]],
) -> list[SeedAccount]:
    """Of candidates that did not become seeds, and of peaks that are no candidates."""
    everything = find_all_candidates(pyramid, replace(settings.rules, min_seediness=0.0))
    names = ("position", "level", "pred_class", "tau_index", "seediness")
    columns = [getattr(everything, name) for name in names]
    seeds = {
        (level, *cell) for cell, level in zip(*(c.tolist() for c in of_seeds[:2]), strict=True)
    }
    places = zip(*(c.tolist() for c in columns[:2]), strict=True)
    is_seed = np.array([(level, *cell) in seeds for cell, level in places], dtype=bool)
    seediness = columns[-1]
    order = np.argsort(-seediness, kind="stable")
    is_weak = seediness < settings.rules.min_seediness
    left_out = order[~(is_weak | is_seed)[order]]
    weak = order[(is_weak & (seediness > 0))[order]][:_WEAK_PEAKS]
    return [
        account
        for name, chosen in (("MAX_SEEDS", left_out), ("MIN_SEEDINESS", weak))
        for account in _plain(
            [values[chosen] for values in columns],
            settings,
            cell_sizes,
            f"MODEL.DML.GROUPING.{name}",
        )
    ]

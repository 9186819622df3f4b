"""Predictions of all pyramid scales to the instances of each image."""

from collections.abc import Sequence

from detectron2.config import configurable
from detectron2.structures import Instances
from torch import Tensor

from ..structures import PixelPredictions, Seeds
from .grouping import Candidates, class_probability, find_candidates, select_seeds
from .postprocessing import assemble_instances


class InstanceGrouping:
    """Seediness to diverse seeds to masks to scored ``Instances``, by the rules of ``MODEL.DML.GROUPING``."""

    @configurable
    def __init__(
        self,
        *,
        taus: Sequence[float],
        candidates: str,
        peak_size: int,
        min_seediness: float,
        max_seeds: int,
        alpha: float,
        diversity: str,
        context: float,
        connect_gap: float,
        bridge_probability: float,
        max_overlap: float,
        mask_resolution: str,
        score: str,
        small_mask_cells: float,
        class_of: str,
        max_instances: int,
    ):
        """
        Args:
            max_instances: ``TEST.DETECTIONS_PER_IMAGE``.
            others: the keys of ``MODEL.DML`` that ``from_config`` reads; config.py explains them.

        Raises:
            ValueError: for a choice that does not exist, naming its key.
        """
        for key, value, choices in (
            ("CANDIDATES", candidates, ("all", "peaks")),
            ("DIVERSITY", diversity, ("distance", "dissimilarity")),
            ("MASK_RESOLUTION", mask_resolution, ("output", "grid")),
            ("SCORE", score, ("seediness", "seediness_similarity")),
            ("CLASS", class_of, ("seed", "vote")),
        ):
            if value not in choices:
                raise ValueError(f"MODEL.DML.GROUPING.{key} is one of {choices}, got {value!r}")
        if peak_size < 1 or peak_size % 2 == 0:
            raise ValueError(
                f"MODEL.DML.GROUPING.PEAK_SIZE is a positive odd number, got {peak_size}"
            )
        if small_mask_cells < 0:
            raise ValueError(
                f"MODEL.DML.GROUPING.SMALL_MASK_CELLS is at least 0, got {small_mask_cells}"
            )
        self.taus = tuple(taus)
        self.peaks_only = candidates == "peaks"
        self.peak_size = peak_size
        self.min_seediness = min_seediness
        self.max_seeds = max_seeds
        self.alpha = alpha
        self.dissimilarity = diversity == "dissimilarity"
        self.context = context
        self.connect_gap = connect_gap
        self.bridge_probability = bridge_probability
        self.max_overlap = max_overlap
        self.interpolate = mask_resolution == "output"
        self.score_similarity = score == "seediness_similarity"
        self.small_mask_cells = small_mask_cells
        self.vote = class_of == "vote"
        self.max_instances = max_instances

    @classmethod
    def from_config(cls, cfg):
        grouping = cfg.MODEL.DML.GROUPING
        return {
            "taus": cfg.MODEL.DML.TAUS,
            "candidates": grouping.CANDIDATES,
            "peak_size": grouping.PEAK_SIZE,
            "min_seediness": grouping.MIN_SEEDINESS,
            "max_seeds": grouping.MAX_SEEDS,
            "alpha": grouping.ALPHA,
            "diversity": grouping.DIVERSITY,
            "context": cfg.MODEL.DML.CONTEXT,
            "connect_gap": grouping.CONNECT_GAP,
            "bridge_probability": grouping.BRIDGE_PROBABILITY,
            "max_overlap": grouping.MAX_OVERLAP,
            "mask_resolution": grouping.MASK_RESOLUTION,
            "score": grouping.SCORE,
            "small_mask_cells": grouping.SMALL_MASK_CELLS,
            "class_of": grouping.CLASS,
            "max_instances": cfg.TEST.DETECTIONS_PER_IMAGE,
        }

    def seeds(
        self,
        predictions: Sequence[PixelPredictions],
        image_sizes: Sequence[tuple[int, int]],
        index: int,
    ) -> Seeds:
        """The seeds of image ``index`` of the batch, in the order of choice; see ``select_seeds``.

        Args:
            predictions: one a pyramid scale.
            image_sizes: (height, width) of this image at every scale, before padding.
        """
        return self._seeds(predictions, self._of_image(predictions, image_sizes, index))

    def __call__(
        self,
        predictions: Sequence[PixelPredictions],
        image_sizes: Sequence[tuple[int, int]],
        index: int,
        output_size: tuple[int, int],
        in_pieces: Tensor | None = None,
    ) -> Instances:
        """The instances of image ``index`` of the batch; see ``assemble_instances``.

        Args:
            predictions: one a pyramid scale.
            image_sizes: (height, width) of this image at every scale, before padding.
            output_size: (height, width) wanted.
            in_pieces: (K,) bool, the classes in whose objects gaps are bridged; None: all.
        """
        of_image = self._of_image(predictions, image_sizes, index)
        return assemble_instances(
            *zip(*of_image, strict=True),
            [
                tuple(
                    p.stride * wanted / side for wanted, side in zip(output_size, size, strict=True)
                )
                for p, size in zip(predictions, image_sizes, strict=True)
            ],
            self._seeds(predictions, of_image),
            taus=self.taus,
            output_size=output_size,
            gaps=[
                -1 if self.connect_gap < 0 else round(self.connect_gap * p.scale / p.stride)
                for p in predictions
            ],
            in_pieces=in_pieces,
            bridge_probability=self.bridge_probability,
            max_overlap=self.max_overlap,
            interpolate=self.interpolate,
            score_similarity=self.score_similarity,
            small_mask_cells=self.small_mask_cells,
            vote=self.vote,
            max_instances=self.max_instances,
        )

    @staticmethod
    def _of_image(
        predictions: Sequence[PixelPredictions], image_sizes: Sequence[tuple[int, int]], index: int
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Embedding, distance_scale and class probability of one image at every scale."""
        parts = [p.of_image(index, size) for p, size in zip(predictions, image_sizes, strict=True)]
        return [(embedding, scale, class_probability(logits)) for embedding, scale, logits in parts]

    def _seeds(
        self, predictions: Sequence[PixelPredictions], of_image: list[tuple[Tensor, Tensor, Tensor]]
    ) -> Seeds:
        candidates = Candidates.cat(
            [
                find_candidates(
                    *maps,
                    level=level,
                    cell_size=prediction.stride / prediction.scale,
                    peaks_only=self.peaks_only,
                    peak_size=self.peak_size,
                    min_seediness=self.min_seediness,
                )
                for level, (prediction, maps) in enumerate(zip(predictions, of_image, strict=True))
            ]
        )
        return select_seeds(
            candidates,
            max_seeds=self.max_seeds,
            # Diversity decides who is chosen; where all are, there is nothing to decide.
            alpha=self.alpha if len(candidates) > self.max_seeds else 0.0,
            dissimilarity=self.dissimilarity,
            context=self.context,
        )

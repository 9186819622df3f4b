"""What a model predicts, gathered as run-length masks: the half that evaluators of masks share."""

import itertools

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..rle import encoded


class MaskPredictions(DatasetEvaluator):
    """Keeps the predicted instances of all images, in COCO's results form.

    Who derives from it adds ``evaluate``.
    """

    def __init__(self, distributed: bool = True):
        """
        Args:
            distributed: gather the predictions of all processes.
        """
        self._distributed = distributed
        self._predictions = []

    def reset(self):
        self._predictions = []

    def process(self, inputs, outputs):
        """Detectron2's inputs with ``image_id``, and outputs with ``instances``, (N, H, W) bool
        ``pred_masks`` in them.

        Raises:
            ValueError: for instances without masks.
        """
        for x, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to(torch.device("cpu"))
            if not instances.has("pred_masks"):
                raise ValueError(
                    f"the model gives no masks for image {x['image_id']!r}, and masks are scored"
                )
            # Detectron2's own conversion, that of COCOEvaluator, wants boxes as well, which not
            # every model has.
            for pixels, index, score in zip(
                instances.pred_masks,
                instances.pred_classes.tolist(),
                instances.scores.tolist(),
                strict=True,
            ):
                self._predictions.append(
                    {
                        "image_id": x["image_id"],
                        "category_id": index,
                        "segmentation": encoded(pixels.numpy()),
                        "score": score,
                    }
                )

    def gathered(self) -> list[dict] | None:
        """The predictions of all processes; None on all of them but the first."""
        if not self._distributed:
            return self._predictions
        comm.synchronize()
        predictions = list(itertools.chain(*comm.gather(self._predictions, dst=0)))
        return predictions if comm.is_main_process() else None

"""A small model that was never trained, as a folder, and beside it as it is."""

from typing import NamedTuple

import pytest
import torch
from detectron2.config import CfgNode

from dml_instance.export import Exported, export_model
from dml_instance.modeling import DMLInstance, fuse_conv_norms
from toy_models import config, model_of


class Pair(NamedTuple):
    folder: str
    written: Exported
    model: DMLInstance
    cfg: CfgNode


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """With whatever makes inference less simple: coordinates and two decoders in the network, a
    scale, tiles, and gaps that are bridged in one of two classes."""
    if torch.__version__ < "2.9":
        pytest.skip("onnxruntime cannot run what this torch exports")
    options = (
        *("MODEL.DML.SEED_HEAD.RADII", [4], "MODEL.DML.SEED_HEAD.DIRECTIONS", 4),
        *("MODEL.DML.SEED_HEAD.DILATIONS", [1], "MODEL.RESNETS.OUT_FEATURES", ["stem", "res2"]),
        *("MODEL.DML.EMBEDDING_HEAD.INPUT_COORDINATES", True, "MODEL.DML.TEST_SCALES", [1.25]),
        *("MODEL.DML.TILES.SIZE", 96, "MODEL.DML.TILES.OVERLAP", 32),
        *("MODEL.DML.GROUPING.CONNECT_GAP", 8, "MODEL.DML.GROUPING.MIN_SEEDINESS", 0.0),
        *("INPUT.FORMAT", "BGR", "INPUT.MIN_SIZE_TEST", 0, "TEST.DETECTIONS_PER_IMAGE", 1000),
        *("DATASETS.CLASS_NAMES", ["square", "disc"], "DATASETS.CATEGORY_IDS", [3, 4]),
    )
    model = model_of(*options)
    with torch.no_grad():
        # Untrained heads say nearly the same everywhere.
        for head in (model.network.embedding_head, model.network.seed_head):
            head.layers[-1].weight.mul_(20)
    model.grouping.pieces.num_objects.fill_(40)
    model.grouping.pieces.sum_apart.copy_(torch.tensor([0.0, 20.0]))
    model, cfg = fuse_conv_norms(model.eval()), config(*options)
    folder = str(tmp_path_factory.mktemp("exported") / "of" / "a_model")
    return Pair(folder, export_model(model, cfg, folder, min_score=0.1), model, cfg)

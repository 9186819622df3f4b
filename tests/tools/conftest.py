"""A tiny data set and a model trained on it for six iterations, for all tools."""

import numpy as np
import pytest

from tool_runner import train
from toy_scenes import square_and_disc, write_coco


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    scenes = [square_and_disc(64, 96), square_and_disc(70, 90), square_and_disc(64, 80)]
    blank = (np.full((48, 48, 3), 90, np.uint8), np.zeros((0, 48, 48), bool), np.zeros(0, int))
    return write_coco(folder, "toy", [*scenes, blank], as_polygons=True, first_category=3)


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    return output, train(data, output, 6)

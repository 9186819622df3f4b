import numpy as np

from dml_instance.runtime import Mask, Result


def result_of(masks, size=(6, 8)):
    count = len(masks)
    scores = np.linspace(0.9, 0.5, count).astype(np.float32)
    return Result(size, masks, scores, np.zeros(count, np.int64), ["cell"] * count)


def test_labels_number_the_objects_and_the_better_one_has_the_pixel():
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    masks = [Mask(1, 2, ring), Mask(0, 0, np.ones((3, 8), bool)), Mask(5, 7, np.ones((1, 1), bool))]
    expected = np.zeros((6, 8), np.int32)
    for label, mask in reversed(list(enumerate(masks, start=1))):
        for row, column in np.argwhere(mask.pixels):
            expected[mask.row + row, mask.column + column] = label
    result = result_of(masks)
    np.testing.assert_array_equal(result.labels, expected)
    assert result.labels.dtype == np.int32 and len(result) == 3
    assert expected[2, 3] == 2, "the hole belongs to the one below"


def test_a_window_cuts_the_pixels_of_a_mask_out_of_the_image():
    mask = Mask(2, 3, np.ones((2, 4), bool))
    image = np.arange(48).reshape(6, 8)
    assert image[mask.window].tolist() == [[19, 20, 21, 22], [27, 28, 29, 30]]


def test_nothing_is_all_background():
    labels = result_of([]).labels
    assert labels.shape == (6, 8) and not labels.any()

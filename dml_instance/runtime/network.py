"""The graph of an exported model, by onnxruntime.

Shapes: D embedding channels, T thresholds, K classes, H x W pixels of the network's input, h x w
grid cells.
"""

import os

import numpy as np

from ..errors import in_one_line
from ..tiling import tiles_of
from .rules import IMAGE, NETWORK_FILE, ORIGIN, OUTPUTS, NetworkRules

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "exported models are run by onnxruntime, which is not installed: pip install onnxruntime",
        name=error.name,
    ) from error


class Network:
    """From the input of the network to its maps; threads may call it at once."""

    def __init__(self, folder: str, rules: NetworkRules, threads: int | None = None):
        """
        Args:
            folder: of the exported model.
            rules: of its graph.
            threads: of a call, >= 1; None: as many as the machine has cores.

        Raises:
            ValueError: for a graph that cannot be loaded, or of other inputs and outputs.
        """
        path = os.path.join(folder, NETWORK_FILE)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # Memory is planned ahead for each size of images, and kept: more than it saves.
        options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime has errors of its own, and no class for all of them.
            raise ValueError(
                f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__}: "
                f"{in_one_line(error)}; update onnxruntime, or export the model again"
            ) from error
        self._inputs = {node.name for node in self._session.get_inputs()}
        names = {node.name for node in self._session.get_outputs()}
        if not ({IMAGE} <= self._inputs <= {IMAGE, ORIGIN} and set(OUTPUTS) <= names):
            raise ValueError(
                f"{path} takes {sorted(self._inputs)} and gives {sorted(names)}, but should take "
                f"{IMAGE} and {ORIGIN} and give {', '.join(OUTPUTS)}; export the model again"
            )
        self._rules = rules

    def maps(self, image: np.ndarray) -> list[np.ndarray]:
        """The maps of an image, a large one in tiles.

        Args:
            image: (1, 3, H, W) float32, see ``preparing.network_input``.

        Returns:
            Embedding (D, h, w), distance_scale (h, w) and class_probability (T, K, h, w), float32;
            h = H / stride, w = W / stride.
        """
        rules = self._rules
        tiles = tiles_of(
            image.shape[2:],
            size=rules.tile_size or max(image.shape[2:]),
            overlap=rules.tile_overlap,
            unit=rules.size_divisibility,
        )
        if len(tiles) == 1:
            return self.run(image, (0, 0))
        grid = [side // rules.stride for side in image.shape[2:]]
        whole: list[np.ndarray] = []
        for tile in tiles:
            parts = self.run(np.ascontiguousarray(image[(..., *tile.pixels)]), tile.origin)
            whole = whole or [np.empty((*part.shape[:-2], *grid), part.dtype) for part in parts]
            for maps, part in zip(whole, parts, strict=True):
                maps[(..., *tile.in_whole(rules.stride))] = part[(..., *tile.in_part(rules.stride))]
        return whole

    def run(self, image: np.ndarray, origin: tuple[int, int]) -> list[np.ndarray]:
        """The maps of an image, or of a tile of one; see ``maps``.

        Args:
            image: (1, 3, H, W) float32.
            origin: (row, column), in pixels, at which its first pixel lies in the whole.
        """
        given = {IMAGE: image, ORIGIN: np.array(origin, np.int64)}
        # A network that asks for no coordinates has no use for the origin.
        given = {name: values for name, values in given.items() if name in self._inputs}
        return self._session.run(OUTPUTS, given)

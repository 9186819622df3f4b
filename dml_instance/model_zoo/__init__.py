"""Trained models that come with the package, by name.

``dml://NAME`` stands for their weights wherever Detectron2 loads some, as in MODEL.WEIGHTS.
``models.json`` beside the checkpoints says of each what made it (config, command, seed, minutes)
and what it reaches.
"""

import hashlib
import os
from pathlib import Path

import torch
from detectron2.utils.file_io import PathHandler, PathManager

from ..files import read_json, replacing, write_json
from ..stored_config import config_of, weights_in, with_config

PREFIX = "dml://"
FOLDER = Path(__file__).parent
CATALOG = "models.json"
# Linked in or copied when the package is built; a checkout that was never installed has them above.
CONFIGS = next(
    (place for place in (FOLDER / "configs", FOLDER.parents[1] / "configs") if place.is_dir()),
    FOLDER / "configs",
)

# Of a checkpoint; a clone of the repository downloads all of them.
LARGEST_MEGABYTES = 10


def shipped_models(folder: Path = FOLDER) -> dict[str, dict]:
    """What ``models.json`` says of every model, by name."""
    return read_json(str(folder / CATALOG))


def config_file(name: str) -> str:
    """A yaml: a file, or one of the package's by its path in configs/, maybe with "configs/" before
    it.

    Raises:
        FileNotFoundError: if there is none, naming those that there are.
    """
    if os.path.isfile(name):
        return name
    ours = CONFIGS / name.removeprefix("configs/")
    if not ours.is_file():
        names = sorted(str(p.relative_to(CONFIGS)) for p in CONFIGS.rglob("[!B]*.yaml"))
        raise FileNotFoundError(
            f"{name} is no file, and no config of the package; there are {', '.join(names)}"
        )
    return str(ours)


def checkpoint_path(name: str, folder: Path = FOLDER) -> str:
    """The checkpoint of a shipped model, after its SHA-256 has been compared with ``models.json``.

    Raises:
        FileNotFoundError: if there is no model of this name, naming those that there are.
        ValueError: if the file is not the one that was shipped.
    """
    models = shipped_models(folder)
    if name not in models:
        raise FileNotFoundError(f"no shipped model {name!r}; there are {sorted(models)}")
    path = folder / models[name]["file"]
    if not path.is_file() or _sha256(path) != models[name]["sha256"]:
        raise ValueError(
            f"{path} is missing or not the file that was shipped; get it again: git checkout -- "
            f"{path}"
        )
    return str(path)


def ship(weights: str, name: str, facts: dict, folder: Path = FOLDER) -> dict:
    """Add a training checkpoint to the shipped models: weights in float16, and the config.

    Args:
        weights: checkpoint of a training of this project.
        name: new, or that of a model to replace.
        facts: what ``models.json`` shall say beside the file, its size and its checksum.

    Returns:
        The new entry of ``models.json``.

    Raises:
        ValueError: if there is no config, a weight does not fit into float16, or the file would be
            larger than LARGEST_MEGABYTES.
    """
    cfg = config_of(weights)
    if cfg is None:
        raise ValueError(f"{weights} holds no config; give the checkpoint of a training")
    # Where it was trained says nothing to others.
    cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS = f"output/{name}", f"{PREFIX}{name}"
    state = weights_in(weights)
    half = {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    }
    too_large = [key for key, value in half.items() if not value.isfinite().all()]
    if too_large:
        raise ValueError(f"{weights}: {too_large} do not fit into float16")
    path = folder / f"{name}.pth"
    with replacing(str(path)) as part:
        # Into a stream: under a name torch would write that into the file, and so into its sum.
        with open(part, "wb") as file:
            torch.save(with_config({"model": half}, cfg), file)
        size = os.path.getsize(part)
        if size > LARGEST_MEGABYTES * 1e6:
            raise ValueError(
                f"{weights} takes {size / 1e6:.1f} MB in float16; at most {LARGEST_MEGABYTES} MB "
                "are shipped"
            )
    entry = {"file": path.name, "sha256": _sha256(path), "bytes": size, **facts}
    models = {**shipped_models(folder), name: entry}
    write_json(str(folder / CATALOG), dict(sorted(models.items())))
    return entry


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _ShippedModelHandler(PathHandler):
    """Makes ``dml://NAME`` a path that Detectron2 can read."""

    def _get_supported_prefixes(self):
        return [PREFIX]

    @staticmethod
    def _name(path):
        return path.removeprefix(PREFIX).strip("/")

    def _get_local_path(self, path, force=False, **kwargs):
        return checkpoint_path(self._name(path))

    def _isfile(self, path, **kwargs):
        return self._name(path) in shipped_models()

    def _exists(self, path, **kwargs):
        return self._isfile(path)

    def _open(self, path, mode="r", buffering=-1, **kwargs):
        return PathManager.open(self._get_local_path(path), mode, buffering=buffering)


PathManager.register_handler(_ShippedModelHandler())

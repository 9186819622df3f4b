"""The names of weights in checkpoints, which stay those of the first version.

A module that has another place by now is saved, and loaded, under its old name. Whatever else a
model holds keeps its own.
"""

from typing import Any

from torch import nn

# Parts of the model: their names in checkpoints, and where they are.
_NAMES = {
    "backbone.": "network.backbone.",
    "decoder.": "network.decoder.",
    "seed_decoder.": "network.seed_decoder.",
    "embedding_head.": "network.embedding_head.",
    "seed_head.": "network.seed_head.",
    "class_context.": "network.class_context.",
    "pieces.": "grouping.pieces.",
}


def keep_checkpoint_names(model: nn.Module) -> None:
    """Make ``state_dict`` and ``load_state_dict`` of a model speak the names of checkpoints."""
    model._register_state_dict_hook(_to_checkpoint_names)
    model._register_load_state_dict_pre_hook(_from_checkpoint_names)


def place_of(name: str) -> str | None:
    """Where in a model the part is that checkpoints call ``name``; None: they call none so."""
    place = _NAMES.get(f"{name}.")
    return None if place is None else place.removesuffix(".")


def _renamed(state: dict, prefix: str, names: dict[str, str]) -> None:
    """Give the entries of a state dict other names, in place and in their order."""
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        for old, new in names.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
                break
        state[prefix + name] = state.pop(key)


def _to_checkpoint_names(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    """Hook of ``state_dict``: the names that checkpoints have."""
    _renamed(state, prefix, {ours: saved for saved, ours in _NAMES.items()})


def _from_checkpoint_names(state: dict, prefix: str, *_: Any) -> None:
    """Hook of ``load_state_dict``: the names of the modules again."""
    _renamed(state, prefix, _NAMES)

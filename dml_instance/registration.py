"""When this package is registered with Detectron2: as soon as both are imported.

Importing Detectron2 for it would bring torch, seconds and hundreds of MB, to processes that only
run an exported model. And nobody can look into a registry of Detectron2 before Detectron2 is
imported: until then nothing is missing. So the import system is watched until it is.
"""

import importlib
import importlib.abc
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

_PACKAGE = __package__
_PLUGIN = f"{_PACKAGE}.plugin"
_DETECTRON2 = "detectron2"


def register_with_detectron2() -> None:
    """At once where Detectron2 is imported; otherwise when it has been."""
    if sys.modules.get(_DETECTRON2) is not None:
        importlib.import_module(_PLUGIN)
    else:
        sys.meta_path.insert(0, _Watch())


class _Watch(importlib.abc.MetaPathFinder):
    """Finds nothing that others do not find, and notices when Detectron2, or a part of this package
    that may have imported it, has been executed."""

    def find_spec(self, name, path=None, target=None) -> ModuleSpec | None:
        if name != _DETECTRON2 and not name.startswith(f"{_PACKAGE}."):
            return None
        found = (f.find_spec(name, path, target) for f in sys.meta_path if f is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            _call_after(spec.loader, self._register)
        return spec

    def _register(self, executed: ModuleType) -> None:
        """Once Detectron2 is there, and no part of this package is in the middle of its import:
        that would be found half done."""
        ours = [name for name in sys.modules if name.startswith(f"{_PACKAGE}.")]
        half_done = set(ours) - {executed.__name__} - set(filter(_is_bound, ours))
        if half_done or sys.modules.get(_DETECTRON2) is None or self not in sys.meta_path:
            return
        sys.meta_path.remove(self)
        try:
            importlib.import_module(_PLUGIN)
        except ImportError as error:
            # Who imports Detectron2 may want it for something else.
            warnings.warn(f"not registered with Detectron2: {error}", RuntimeWarning, stacklevel=2)


def _is_bound(name: str) -> bool:
    """Whether the import of a part has come to its end, at which Python binds it to its parent."""
    parent, _, part = name.rpartition(".")
    return parent not in sys.modules or part in vars(sys.modules[parent])


def _call_after(loader: importlib.abc.Loader, act: Callable[[ModuleType], None]) -> None:
    """Have ``act`` called with the module once the loader has executed it."""

    def execute(module: ModuleType) -> None:
        del loader.exec_module  # that of its class is back
        loader.exec_module(module)
        act(module)

    loader.exec_module = execute

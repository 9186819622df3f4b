"""Parsed annotations, kept for as long as the files that they come from stay what they are."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence

from iopath.common.file_io import get_cache_dir

from ..files import write_text

# Part of every key: raise it when what is parsed changes.
_FORMAT = 1


def cached(title: str, parse: Callable[[], list], folder: str, files: Sequence[str]) -> list:
    """What ``parse`` returns, from the cache where nothing changed.

    The cache is in iopath's folder, which FVCORE_CACHE moves, one file for a title and a folder.
    It holds a digest of the names, sizes and times of all files: where one changed, came or went,
    it is written anew.

    Args:
        title: what is parsed, for the file's name.
        parse: without arguments, to a list that JSON can hold.
        folder: that ``files`` are relative to.
        files: everything that ``parse`` reads.

    Returns:
        A list of its own: the caller may change it.
    """
    digest = hashlib.sha256(repr((_FORMAT, os.path.abspath(folder))).encode())
    name = f"{title.replace(' ', '_')}_{digest.hexdigest()[:8]}.json"
    for file in files:
        state = os.stat(os.path.join(folder, file))
        digest.update(repr((file, state.st_size, state.st_mtime_ns)).encode())
    path = os.path.join(get_cache_dir(), "dml_instance", name)
    try:
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        if kept["digest"] == digest.hexdigest():
            return kept["records"]
    except (OSError, ValueError, KeyError, TypeError):
        # No cache, or one that cannot be read: parse.
        pass
    records = parse()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_text(path, json.dumps({"digest": digest.hexdigest(), "records": records}))
    return records

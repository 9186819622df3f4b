"""Files that are whole or not there: written under a temporary name and moved into place."""

import contextlib
import glob
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator

# What a temporary name has before its ending.
_PART = ".part"


@contextlib.contextmanager
def replacing(path: str, *, durable: bool = False) -> Iterator[str]:
    """A temporary name beside a file, moved into its place at the end of the ``with`` block.

    It has the ending of the file, by which some writers choose their format. After an error nothing
    is moved, and what was written is removed; a process that is killed leaves it, see
    ``remove_unfinished``.

    Args:
        path: of the file.
        durable: wait until the disk has it, so that it is whole after a power failure, too.
    """
    stem, ending = os.path.splitext(path)
    # Of each process its own: several may write the same cache at once.
    temporary = f"{stem}.{os.getpid()}{_PART}{ending}"
    try:
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            _flush(os.path.dirname(path) or ".")
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def remove_unfinished(folder: str, ending: str) -> None:
    """Remove what processes that were killed have left of ``replacing``.

    Args:
        folder: that nobody else writes to.
        ending: of the files, ".pth" for instance.
    """
    for path in glob.glob(os.path.join(glob.escape(folder), f"*{_PART}{ending}")):
        os.remove(path)


def _flush(path: str) -> None:
    """Have the disk take a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing_folder(path: str, *, overwrite: bool = False) -> Iterator[str]:
    """An empty folder, moved to ``path`` at the end of the ``with`` block.

    Folders above ``path`` are made. After an error nothing is moved, and what was written is
    removed.

    Args:
        path: of the folder to write.
        overwrite: what lies at ``path`` is replaced, and stays if that fails.

    Raises:
        OSError: without ``overwrite``, if something lies at ``path`` at the end of the block that
            is no empty folder.
    """
    path = os.path.abspath(path)
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    # A name of its own, so that no folder of somebody else and no second run is in the way; and no
    # longer than systems take.
    scratch = tempfile.mkdtemp(prefix=f".{name[:40]}-", dir=parent)
    new, old = os.path.join(scratch, "new"), os.path.join(scratch, "old")
    try:
        os.mkdir(new)
        yield new
        if overwrite and os.path.lexists(path):
            os.rename(path, old)
        try:
            os.rename(new, path)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, path)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class GrowingFile:
    """A text file that is complete after each addition, UTF-8 with the same ends of lines anywhere.

    What is added goes before the end of the text, which may change each time. It is handed to the
    system at once: a process that dies loses nothing. Where an addition fails, as on a full disk,
    the file is as it was before.
    """

    def __init__(self, path: str, head: str):
        """
        Args:
            path: of the file, which is replaced.
            head: that it begins with.
        """
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self._length, self._end = 0, b""
        self.add(head)

    def add(self, text: str, end: str = "") -> None:
        """Add text, followed by a new end; raises OSError where that fails."""
        data, new_end = text.encode(), end.encode()
        try:
            self._write(data + new_end)
        except OSError:
            self._write(self._end)
            raise
        self._length, self._end = self._length + len(data), new_end

    def _write(self, data: bytes) -> None:
        self._file.seek(self._length)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._file.truncate()

    def close(self) -> None:
        """Nothing more is added."""
        self._file.close()


def write_text(path: str, text: str, *, durable: bool = False) -> None:
    """Write a file by ``replacing``, in UTF-8 and with the same ends of lines everywhere."""
    with (
        replacing(path, durable=durable) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.write(text)


def write_json(path: str, content: dict) -> None:
    """Write a JSON file by ``write_text``; NaN becomes null."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    write_text(path, json.dumps(plain(content), indent=2) + "\n")


def read_json(path: str) -> dict:
    """A JSON file's content; an empty dict where there is no such file."""
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)

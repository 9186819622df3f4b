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


def make_folder(path: str) -> None:
    """Make a folder for results, and those above it; FileExistsError, with the cure, where a
    file is in its place."""
    try:
        os.makedirs(path, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise FileExistsError(
            f"{path} is no folder, or lies below a file: give a folder with --output"
        ) from error


@contextlib.contextmanager
def naming(path: str, temporary: str | None = None) -> Iterator[None]:
    """Errors of the system inside the block say the name of a file, which those of writing lack.

    Args:
        path: of the file or folder that they are about.
        temporary: name that it has meanwhile, in whose place ``path`` is said.
    """
    try:
        yield
    except OSError as error:
        # One without a number is not the system's, and has words of its own.
        if error.errno is not None:
            # Of a copy it is the second name that is written.
            name = error.filename2 or error.filename or path
            if temporary is not None and isinstance(name, str) and name.startswith(temporary):
                name = path + name[len(temporary) :]
            error.filename = name
        raise


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
    temporary = _temporary(path)
    try:
        with naming(path, temporary):
            yield temporary
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
            if durable:
                _flush(os.path.dirname(path) or ".")
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def _temporary(path: str) -> str:
    stem, ending = os.path.splitext(path)
    # Of each process its own: several may write the same cache at once.
    return f"{stem}.{os.getpid()}{_PART}{ending}"


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
        with naming(path, new):
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
    the file is as it was before. An earlier file stays until the first addition is whole.
    """

    def __init__(self, path: str, head: str):
        """
        Args:
            path: of the file, which is replaced.
            head: that it begins with.
        """
        self._path = path
        # None: it has its own name.
        self._temporary: str | None = _temporary(path)
        with self._naming():
            self._file = open(self._temporary, "wb", buffering=0)  # noqa: SIM115
        self._length, self._end, self._head = 0, b"", head.encode()

    def add(self, text: str, end: str = "") -> None:
        """Add text, followed by a new end; raises OSError where that fails."""
        with self.adding(text, end):
            pass

    @contextlib.contextmanager
    def adding(self, text: str, end: str = "") -> Iterator[None]:
        """``add`` before the block; after an error inside it the file is as it was."""
        data, new_end = self._head + text.encode(), end.encode()
        with self._naming():
            try:
                self._write(data + new_end)
                yield
                if self._temporary is not None:
                    os.replace(self._temporary, self._path)
            except BaseException:
                self._write(self._end)
                raise
        self._temporary, self._head = None, b""
        self._length, self._end = self._length + len(data), new_end

    def _naming(self) -> contextlib.AbstractContextManager[None]:
        return naming(self._path, self._temporary)

    def _write(self, data: bytes) -> None:
        self._file.seek(self._length)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._file.truncate()

    def close(self) -> None:
        """Nothing more is added."""
        self._file.close()
        if self._temporary is not None:
            os.remove(self._temporary)
            self._temporary = None


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

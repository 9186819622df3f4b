"""A log of actions that survives the sudden end of the program: one JSON object a line.

A line counts once its end has been written. What a killed process left of a last line is cut off
when the log is opened again.
"""

import contextlib
import json
import os

try:
    import fcntl
except ImportError:  # Windows, where nothing keeps a second program out
    fcntl = None


class LogError(ValueError):
    """A log that cannot be used; the message names the file and the cure."""


class ActionLog:
    """Appends actions, each of them on the disk when ``append`` returns."""

    def __init__(self, path: str):
        """
        Args:
            path: of the file, which is made where there is none.

        Raises:
            LogError: for a file that another program holds, or a line that is no JSON object.
            OSError: for a file that cannot be opened.
        """
        self.path = path
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115
        try:
            self._lock()
            self.actions = self._read()
        except BaseException:
            self._file.close()
            raise
        _sync_folder(os.path.dirname(os.path.abspath(path)))

    def append(self, action: dict) -> None:
        """Write one action and wait until the disk has it.

        Raises:
            OSError: where that fails; the log is then as it was before.
        """
        end = self._file.seek(0, os.SEEK_END)
        rest = memoryview((json.dumps(action, separators=(",", ":")) + "\n").encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise

    def close(self) -> None:
        """Nothing more is appended; another program may open the log."""
        self._file.close()

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LogError(
                f"{self.path} is held by another program: close the other page of this project, or "
                "give another --project"
            ) from error

    def _read(self) -> list[dict]:
        """The actions so far; an unfinished last line is cut off."""
        self._file.seek(0)
        content = self._file.readall()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        actions = []
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                action = json.loads(line)
            except ValueError:
                action = None
            if not isinstance(action, dict):
                raise LogError(
                    f"{self.path}, line {number}, is no action: mend that line, or give another "
                    "--project and import what was exported"
                )
            actions.append(action)
        return actions


def write_durably(path: str, data: bytes) -> None:
    """Write a file under a temporary name, wait for the disk, and move it into place."""
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
    _sync_folder(os.path.dirname(os.path.abspath(path)))


def _sync_folder(folder: str) -> None:
    """Wait until the disk knows the names in a folder, where the system can say so."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

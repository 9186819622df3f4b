"""The server's end of a training that runs in a process of its own; see ``training``."""

import os
import subprocess
from collections.abc import Sequence

from ..files import read_json

LESSON, PROGRESS = "lesson.json", "progress.json"
LOG, WEIGHTS = "output.txt", "model_final.pth"
DATA = "data"


class LearningJob:
    """A training that was started; it ends with this process."""

    def __init__(self, folder: str, command: Sequence[str], minutes: float):
        """
        Args:
            folder: of the training, with its config and data.
            command: that trains.
            minutes: that it shall take.

        Raises:
            OSError: where the process cannot be started.
        """
        self.folder, self.minutes = folder, minutes
        self._was_stopped = False
        with open(os.path.join(folder, LOG), "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def is_done(self) -> bool:
        """Whether there is a model."""
        return self._process.poll() == 0 and os.path.isfile(os.path.join(self.folder, WEIGHTS))

    def stop(self) -> None:
        """End the training; nothing is learnt."""
        self._was_stopped = self.is_running
        if self._was_stopped:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def told(self) -> dict:
        """How far it is, for the page: ``state`` is "running", "done", "stopped" or "failed";
        ``share`` of the minutes in [0, 1]; ``curve``, pairs of minutes and loss; ``error``."""
        progress = read_json(os.path.join(self.folder, PROGRESS))
        state = "running" if self.is_running else "done" if self.is_done else "failed"
        if self._was_stopped:
            state = "stopped"
        error = ""
        if state == "failed":
            # The last line says what went wrong.
            with open(os.path.join(self.folder, LOG), encoding="utf-8", errors="replace") as file:
                lines = [line.strip() for line in file if line.strip()]
            error = lines[-1] if lines else f"it ended with status {self._process.returncode}"
        return {
            "state": state,
            "minutes": self.minutes,
            "share": 1.0 if state == "done" else progress.get("share", 0.0),
            "iterations": progress.get("iterations", 0),
            "curve": progress.get("curve", []),
            "error": error,
        }

"""Files that are whole or not there: written under a temporary name and moved into place."""

import json
import math
import os


def write_text(path: str, text: str) -> None:
    """Write a file under a temporary name and move it into place."""
    # Of each process its own: several may write the same cache at once.
    temporary = f"{path}.{os.getpid()}.part"
    with open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.replace(temporary, path)


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

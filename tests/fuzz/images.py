"""Image files as no program should write them, and what must become of each.

A mutated file is refused by ``FileError``, in one line with its name, or it is read. Then all
ways into it agree on its size. Neither prints a word or takes much memory, whatever its header
claims.
"""

import contextlib
import functools
import os
import random
import re
import resource
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import toy_images as toy
from dml_instance.data import build_test_mapper
from dml_instance.errors import FileError
from dml_instance.images import (
    IMAGE_ENDINGS,
    ReadingRules,
    image_size,
    read_image,
    read_labels,
)
from toy_scenes import data_config

_MAX_PIXELS = 10**6
# What is read of files of 20 x 30 pixels, and of what their mutants become.
_RULES = (
    *(ReadingRules(max_pixels=_MAX_PIXELS),) * 4,
    ReadingRules(page=0, max_pixels=_MAX_PIXELS),
    ReadingRules(page=2, max_pixels=_MAX_PIXELS),
    ReadingRules(channels=(1, 0), max_pixels=_MAX_PIXELS),
)
# Bytes beyond what the process has. A million pixels of three doubles, and of what is made of them,
# take a third.
_MEMORY = 2**28

# Numbers that a header may claim.
_CLAIMS = (0, 1, 2, 3, 8, 16, 19, 29, 31, 255, 256, 32767, 65535, 100_000, 2**31 - 1, 2**32 - 1)
_LENGTHS = (1, 1, 2, 4, 12, 40, 200)
_ENDINGS = (*IMAGE_ENDINGS, ".gif", ".txt", "")


def valid_files(form: str) -> dict[str, bytes]:
    """Name and content of a file of each kind that is of a form of ``OUTCOMES``."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (write, _) in toy.KINDS.items():
            path = Path(folder) / name
            write(path)
            if OUTCOMES[form](path, 0) == "read":
                files[name] = path.read_bytes()
    return files


def mutated(files: dict[str, bytes], seed: int) -> tuple[str, bytes]:
    """Name and content of one of the files with one to four faults."""
    rng = random.Random(seed)
    name, content = rng.choice(list(files.items()))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_MUTATIONS)(rng, content) or b"\0"
    if rng.random() < 0.5:
        content = _with_checksums(content)
    if rng.random() < 0.1:
        name = Path(name).stem + rng.choice(_ENDINGS)
    return name, content


def _place(rng: random.Random, content: bytes) -> int:
    """Anywhere, and half the time in the header."""
    return rng.randrange(min(len(content), rng.choice((64, 400, len(content), len(content)))))


def _flip(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def _overwrite(rng: random.Random, content: bytes) -> bytes:
    place, length = _place(rng, content), rng.choice(_LENGTHS)
    return content[:place] + rng.randbytes(length) + content[place + length :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def _leave_out(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return content[:place] + content[place + rng.choice(_LENGTHS) :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    place, start, length = _place(rng, content), _place(rng, content), rng.choice(_LENGTHS)
    other = rng.choice((bytes(length), rng.randbytes(length), content[start : start + length]))
    return content[:place] + other + content[place:]


def _swap(rng: random.Random, content: bytes) -> bytes:
    first, middle, last = sorted(_place(rng, content) for _ in range(3))
    return content[:first] + content[middle:last] + content[first:middle] + content[last:]


def _claim(rng: random.Random, content: bytes) -> bytes:
    """Another number in a place of the header that is likely to hold one."""
    form = rng.choice(("<H", ">H", "<I", ">I"))
    length = struct.calcsize(form)
    claimed = struct.pack(form, rng.choice(_CLAIMS) % 256**length)
    place = _place(rng, content)
    return content[:place] + claimed + content[place + length :]


def _resize(rng: random.Random, content: bytes) -> bytes:
    """Another number in place of a height or width that was drawn."""
    form = rng.choice(("<H", ">H", "<I", ">I"))
    sides = b"|".join(re.escape(struct.pack(form, side)) for side in (20, 30, 32, 48, 16))
    places = [found.start() for found in re.finditer(sides, content)]
    if not places:
        return _claim(rng, content)
    place, length = rng.choice(places), struct.calcsize(form)
    claimed = struct.pack(form, rng.choice(_CLAIMS) % 256**length)
    return content[:place] + claimed + content[place + length :]


_MUTATIONS = (_flip, _overwrite, _cut, _leave_out, _insert, _swap, _claim, _claim, _resize, _resize)


def _with_checksums(content: bytes) -> bytes:
    """A PNG whose checksums fit what became of its chunks, so that these are looked at."""
    start = 8
    while content.startswith(b"\x89PNG") and start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        if end + 4 > len(content):
            break
        checksum = struct.pack(">I", zlib.crc32(content[start + 4 : end]))
        content = content[:end] + checksum + content[end + 4 :]
        start = end + 4
    return content


def _outcome_of_image(path: Path, seed: int) -> str:
    rules = _rules(seed)
    mapper = _mapper(rules)
    with _in_silence(), _little_memory():
        size = _read(path, lambda file: image_size(file, rules))
        image = _read(path, lambda file: read_image(file, rules))
        mapped = _read(path, lambda file: mapper({"file_name": file}))
    assert (image is None) == (mapped is None)
    if image is None:
        return "refused"
    assert image.dtype == np.uint8 and image.shape == (*size, 3)
    assert (mapped["image"].numpy() == image[..., ::-1].transpose(2, 0, 1)).all()
    return "read"


@functools.cache
def _mapper(rules: ReadingRules) -> Callable[[dict], dict]:
    """That of predictions, which does not resize."""
    return build_test_mapper(data_config("INPUT.MIN_SIZE_TEST", 0), rules)


def _outcome_of_labels(path: Path, seed: int) -> str:
    rules = _rules(seed)
    with _in_silence(), _little_memory():
        size = _read(path, lambda file: image_size(file, replace(rules, channels=(0,))))
        labels = _read(path, lambda file: read_labels(file, rules))
    if labels is None:
        return "refused"
    assert labels.dtype in (np.int32, np.int64) and labels.shape == size
    return "read"


def _rules(seed: int) -> ReadingRules:
    return _RULES[seed % len(_RULES)]


# What becomes of a file and its seed, "read" or "refused", where it is taken for an image or for a
# label image. They raise AssertionError where ways to read it disagree, something is printed, or a
# refusal is not one line with its name; any other exception is one that a user would see.
OUTCOMES: dict[str, Callable[[Path, int], str]] = {
    "images": _outcome_of_image,
    "label images": _outcome_of_labels,
}


def _read(path: Path, read):
    """What is read, or None for a file that is refused as it should be."""
    try:
        return read(str(path))
    except FileError as error:
        message = str(error)
    assert "\n" not in message and str(path) in message and len(message) < 600, message
    return None


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Raise AssertionError for what Python or a library printed to the standard error."""
    with tempfile.TemporaryFile() as printed, warnings.catch_warnings():
        warnings.simplefilter("always")
        kept = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        printed.seek(0)
        text = printed.read().decode(errors="replace")
        assert not text, text


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """Have the system refuse more memory than small images take."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)

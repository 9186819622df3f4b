"""Streams of LZW whose codes are drawn, against what a decoder of byte strings makes of them."""

import random

import imagecodecs
import numpy as np
import pytest

from dml_instance.images.lzw import is_sound

CLEAR, END = 256, 257


def packed(codes, is_old):
    """The bytes of codes, each as wide as the table wants it when it is written."""
    bits, entries = [], None
    for code in codes:
        width = 9 if entries is None else max(9, (entries + (not is_old)).bit_length())
        written = f"{code:0{min(width, 12)}b}"
        bits += reversed(written) if is_old else written
        # The code behind a clearing one makes no entry.
        entries = None if code == CLEAR else 258 if entries is None else entries + 1
    bits = "".join(bits)
    parts = (bits[start : start + 8] for start in range(0, len(bits), 8))
    return bytes(int(part[::-1] if is_old else part.ljust(8, "0"), 2) for part in parts)


def drawn(rng, count):
    """Codes that are bytes, entries, or the next entry; now and then one that clears."""
    codes, entries = [CLEAR, rng.randrange(256)], 258
    while len(codes) < count:
        if entries == 4095 or rng.random() < 0.001:
            codes += [CLEAR] * rng.choice((1, 1, 2)) + [rng.randrange(256)]
            entries = 258
        else:
            codes.append(rng.choice((rng.randrange(256), rng.randrange(258, entries + 1))))
            entries += 1
    return codes


def decoded(codes, size):
    """The bytes, ``size`` at most; None where a code behind a clearing one is none of a byte."""
    found, table, previous = b"", [], None
    for code in codes:
        if len(found) >= size or code == END:
            break
        if code == CLEAR:
            table, previous = [bytes([byte]) for byte in range(256)] + [b"", b""], None
            continue
        if previous is None:
            if code > END:
                return None
        else:
            table.append(previous + (table[code] if code < len(table) else previous)[:1])
        previous = table[code]
        found += previous
    return found[:size]


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("count", [20, 1000, 6000])
def test_each_code_behind_a_clearing_one_has_to_be_a_byte(is_old, count):
    outcomes = []
    for seed in range(12):
        rng = random.Random(seed)
        codes = drawn(rng, count)
        whole = decoded(codes, 10**9)
        assert imagecodecs.lzw_decode(packed([*codes, END], is_old), out=len(whole) + 9) == whole
        assert is_sound(packed(codes, is_old), 10**9)
        place = rng.randrange(count // 2, count)
        broken = [*codes[:place], CLEAR, rng.randrange(258, 512), *codes[place:]]
        if rng.random() < 0.2:
            broken.insert(rng.randrange(1, place), END)
        for size in (10**9, len(whole) // 2, len(decoded(codes[:place], 10**9))):
            outcomes.append(decoded(broken, size) is not None)
            assert is_sound(packed(broken, is_old), size) == outcomes[-1]
    assert set(outcomes) == {False, True}


@pytest.mark.parametrize("is_old", [False, True])
def test_the_last_code_counts_where_all_its_bits_are_there(is_old):
    for code, is_byte in ((0, True), (255, True), (END, True), (END + 1, False), (511, False)):
        data = packed([CLEAR] * 7 + [code], is_old)
        assert len(data) == 9
        assert is_sound(data, 1) == is_byte
        assert is_sound(data[:-1], 1)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\0\1", b"\x80\0", bytes(9), b"\0\1" * 9_000])
def test_what_the_decoder_refuses_by_itself_is_left_to_it(data):
    assert is_sound(data, 10**9)


def test_random_bytes_end():
    rng = np.random.default_rng(0)
    for start in (b"\x80", b"\0\1"):
        outcomes = {is_sound(start + rng.bytes(20_000), 10**6) for _ in range(50)}
        assert outcomes == {False, True}

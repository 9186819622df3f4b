"""LZW data of TIFF on which imagecodecs may end the program.

A code that clears the table has to be followed by a byte. imagecodecs 2026.3.6 takes any code
there, and looks it up in memory that nothing was written into. All else it checks. To be deleted
with a version that refuses such codes.
"""

import numpy as np

from ..compiled import compiled

_CLEAR, _END, _FIRST_ENTRY = 256, 257, 258
# Entries of imagecodecs' table, which has room for old files that do not clear it in time.
_ENTRIES = 5120


@compiled
def is_sound(data: bytes, size: int) -> bool:
    """Whether each code that follows a clearing one is a byte, up to where decoding ends.

    It takes less than half the time of decoding. Of data that are broken in another way, which the
    decoder notices, what lies before that counts.

    Args:
        data: of a strip or tile. Codes are of 9 bits and become wider as the table fills; the first
            bit is the highest, or, in old files, the lowest.
        size: bytes at which the decoder stops, however many codes are left.
    """
    bits = 8 * len(data)
    is_old = len(data) > 1 and data[0] == 0 and data[1] & 1 == 1
    lengths = np.ones(_ENTRIES, np.int64)
    place, width, entries, previous = 0, 9, _FIRST_ENTRY, -1
    while size > 0 and place + width <= bits:
        byte, offset = place >> 3, place & 7
        third = data[byte + 2] if place + 24 <= bits else 0
        if is_old:
            code = (data[byte] | data[byte + 1] << 8 | third << 16) >> offset
        else:
            code = (data[byte] << 16 | data[byte + 1] << 8 | third) >> (24 - width - offset)
        code &= (1 << width) - 1
        place += width
        if code == _END:
            return True
        if code == _CLEAR:
            width, entries, previous = 9, _FIRST_ENTRY, -1
            continue
        if previous < 0:
            if code > _END:
                return False
        elif code > entries or entries == _ENTRIES:
            return True
        else:
            lengths[entries] = lengths[previous] + 1
            entries += 1
            # Files that are not old widen the codes one entry earlier than they have to.
            if entries + (not is_old) in (512, 1024, 2048):
                width += 1
        size -= lengths[code]
        previous = code
    return True

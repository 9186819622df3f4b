"""Huge pages for tensors on the CPU."""

import os


def use_huge_pages() -> None:
    """Ask torch to put large CPU tensors into huge pages, for the whole process.

    The system hands out memory in pages of 4 KiB and clears each when it is first touched. That is
    a third of the network's time on a large image, whose every layer is new memory; pages of 2 MiB
    take most of it away.

    Torch reads the variable behind it, ``THP_MEM_ALLOC_ENABLE``, at its first allocation:
    call this before any tensor is made. A value that the user has set stays. Linux only; elsewhere
    torch does not look at the variable.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

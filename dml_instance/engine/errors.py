"""Errors that a user can mend, as one line."""

import errno

import cv2
import torch


def message_of(error: Exception) -> str:
    """What an exception says, without its type and without Python's marks.

    ``str`` puts the message of a KeyError into quotation marks, and the first argument of an
    error of the operating system is a number.

    Args:
        error: any exception.

    Returns:
        Of an error of the operating system its file and reason, ``a.yaml: No such file or
        directory``; otherwise the message that it was raised with; without one its type's name.
    """
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if len(error.args) == 1:
        return str(error.args[0])
    return str(error) or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that memory does not suffice."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    if getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if isinstance(error, cv2.error) and error.code == cv2.Error.STS_NO_MEM:
        return True
    # That of torch's allocator on the CPU has no type of its own.
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)

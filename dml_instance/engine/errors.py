"""Errors that a user can mend, as one line."""


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

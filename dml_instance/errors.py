"""The one error for what is wrong with a user's file, and what errors of others say."""


class FileError(ValueError):
    """A file that cannot be used as it is; the message names it and says what to do."""


# Of what libraries say so many characters are told.
_MOST = 200


def in_one_line(error: Exception) -> str:
    """What an error of a library says, maybe over pages, as one line of at most 200 characters."""
    return " ".join(str(error).split())[:_MOST]

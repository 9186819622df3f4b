"""The one error for what is wrong with a user's file."""


class FileError(ValueError):
    """A file that cannot be used as it is; the message names it and says what to do."""

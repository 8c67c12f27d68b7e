"""Errors that end a command, and the sentence shown to the user.

Everything a user can get wrong (a bad file, a misspelt key, a foreign checkpoint) is raised as `UserError` with one
clear sentence that names what is wrong and what to do. The command line prints that sentence and exits with 2; the
page shows it as a message. Disk errors also become a sentence. Any other exception is a bug and keeps its traceback.
"""

import signal
import sqlite3


class UserError(ValueError):
    """A mistake in the user's input; `str(error)` is one sentence for the user."""


class Stopped(SystemExit):
    """A signal asked the command to end, so a following command (`train && evaluate`) must not start.

    Args:
        number: of the signal; the exit code is 128 plus this number, as in a shell.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


def sentence_of(error: BaseException) -> str | None:
    """One sentence for the user; None if the error is a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename is not None else reason
    if isinstance(error, sqlite3.Error):
        return f"the journal of the run cannot be written ({error}); check whether the disk is full"
    return None

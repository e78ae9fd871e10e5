"""Errors that the caller can fix: each message is one line with what is wrong, where, and what to do.

The command line prints the message of a `PixelwordError` and exits with 2; anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations


class PixelwordError(ValueError):
    """Base of every error that a user can fix. The message is one line."""

    def __init__(self, message: str) -> None:
        # names of files may hold bytes that are not text, which no terminal and no log takes
        printable = str(message).encode("utf-8", "backslashreplace").decode()
        super().__init__(" ".join(printable.split()))


class MediaError(PixelwordError):
    """An image or a video that cannot be used."""


class CheckpointError(PixelwordError):
    """A checkpoint, configuration or tokenizer that cannot be used."""


class InputError(PixelwordError):
    """Anything else the caller passed: messages, options, lengths."""


class ContextError(InputError):
    """More than a model's context holds."""


class RecipeError(PixelwordError):
    """A training recipe that does not say something that can be run."""


class VersionError(PixelwordError):
    """An installed package that gives wrong answers with this release of Pixelword."""


class AssetError(PixelwordError):
    """An asset pack of the curriculum is missing, damaged or cannot be made."""


def reason(error: BaseException) -> str:
    """What went wrong, for a message that names the place itself: an OSError's own text would name it again."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class DomainWarning(UserWarning):
    """An input of a kind that the model was never trained on."""

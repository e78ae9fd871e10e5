"""Models of the Hugging Face Hub by their ids, `org/name[@revision]`: downloaded once into the user's own cache.

Only weights in safetensors and files of data are fetched, never code and never a pickle. What `HF_HOME`, `HF_TOKEN`,
`HF_HUB_OFFLINE` and `HF_ENDPOINT` mean elsewhere, they mean here. `huggingface_hub` is imported on first use.
"""

from __future__ import annotations

import errno
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pixelword.errors import CheckpointError, InputError, reason

#: Configuration, tokenizer, templates, generation settings, licence: a few megabytes.
SMALL = ("*.json", "*.jinja", "merges.txt", "vocab.txt", "*.model", "LICENSE*")
WEIGHTS = ("*.safetensors",)
#: Copies in other formats, which some repositories keep in folders of their own.
_BELOW = ("*/*.safetensors", "*/*.json", "*/*.txt", "*/*.model", "*/LICENSE*")
_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w.][\w./-]*))?")
_SNAPSHOT = re.compile(r"models--(?P<org>.+?)--(?P<name>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
#: A disk that takes no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROGRESS_AFTER = 1.0  # seconds


@dataclass(frozen=True)
class HubId:
    """A model of the Hub. revision: a branch, a tag or a commit; the default branch where it is None."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def parse(text: str) -> HubId | None:
    """The id that this is by its form, `org/name` or `org/name@revision`; None where it is none."""
    found = _ID.fullmatch(text)
    return None if found is None else HubId(found["repo"], found["revision"])


def origin(folder: Path) -> HubId | None:
    """The model and commit that a folder of the Hub's cache holds; None for any other folder."""
    found = _SNAPSHOT.fullmatch(folder.parent.parent.name)
    if found is None or folder.parent.name != "snapshots" or not _COMMIT.fullmatch(folder.name):
        return None
    return HubId(f"{found['org']}/{found['name']}", folder.name)


def snapshot(wanted: HubId, *, weights: bool = True, check: Callable[[Path], None] = lambda folder: None) -> Path:
    """The folder of a model in the user's cache, downloaded where it is not there yet; stderr shows what it costs.

    The commit that the revision stands for is looked up once in a process, and printed on stderr.

    Args:
        wanted: the model.
        weights: fetch the weights too; without, configuration and tokenizer alone.
        check: raises where the small files, which come first, show that the weights would be of no use.

    Raises:
        CheckpointError: not reachable, not found, gated, no room on the disk, a download that was cut, no safetensors.
        InputError: an id that no model can have.
    """
    folder = _fetched(wanted, SMALL)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{wanted.repo} on the Hub has no config.json: it is not a checkpoint of transformers")
    check(folder)
    if not weights:
        _announce(folder)
        return folder
    pinned = origin(folder) or wanted
    folder = _fetched(HubId(pinned.repo, pinned.revision), SMALL + WEIGHTS)
    if not any(folder.glob("*.safetensors")):
        code = " and code of its own" if "auto_map" in (folder / "config.json").read_text(encoding="utf-8") else ""
        raise CheckpointError(
            f"{wanted.repo} on the Hub has no weights in safetensors (pickles{code}, if anything, which are never "
            "read or run): use a revision that has them"
        )
    _announce(folder)
    return folder


def cached(repo: str) -> str | None:
    """The commit of a model whose weights are whole in the user's cache, else None. Nothing is fetched."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(repo, allow_patterns=[*SMALL, *WEIGHTS], ignore_patterns=[*_BELOW], local_files_only=True)
        )
    except FileNotFoundError:  # LocalEntryNotFoundError: nothing, or a part
        return None
    return folder.name if any(folder.glob("*.safetensors")) else None


def cache_folder() -> Path:
    """Where the Hub's client keeps what it downloads."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


@cache
def _fetched(wanted: HubId, patterns: tuple[str, ...]) -> Path:
    """Cached, so that a process reads a single commit though the branch moves on."""
    from huggingface_hub import constants, snapshot_download

    with _in_one_line(wanted), _quiet():
        folder = snapshot_download(
            wanted.repo,
            revision=wanted.revision,
            allow_patterns=list(patterns),
            ignore_patterns=list(_BELOW),
            tqdm_class=_bar(),
            local_files_only=constants.HF_HUB_OFFLINE,  # or an old client asks for a list of the files all the same
        )
    return Path(folder)


@cache
def _announce(folder: Path) -> None:
    """Says once which commit is read."""
    if (found := origin(folder)) is not None:
        print(f"{found.repo} at revision {found.revision}", file=sys.stderr)


def _bar() -> Any:
    """The Hub's progress bar on stderr, which a download of a moment does not show."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def __init__(self, *values: Any, **options: Any) -> None:
            super().__init__(*values, **{"delay": _PROGRESS_AFTER, "leave": False, **options})

        def display(self, *values: Any, **options: Any) -> Any:
            if self._time() >= self.start_t + self.delay:
                return super().display(*values, **options)
            return None

    return Bar


@contextmanager
def _quiet() -> Iterator[None]:
    """The client speaks of each try and of a disk that may be too small; the outcome is reported in one line."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.set_verbosity(before)


@contextmanager
def _in_one_line(wanted: HubId) -> Iterator[None]:
    """The client's errors, of many types and lines, as one line each."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise InputError(f"{wanted.repo!r} cannot be a model of the Hub: {error}") from error
    except Exception as error:  # the client's transport raises types of its own, which depend on its version
        raise CheckpointError(_problem(wanted, error)) from error


def _problem(wanted: HubId, error: Exception) -> str:
    """What went wrong in a download, and what to do."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return (
            f"{wanted.repo} is gated: accept its terms at {constants.ENDPOINT}/{wanted.repo}, then set HF_TOKEN or run "
            "`hf auth login`"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{wanted.repo} on the Hub has no revision {wanted.revision!r}: see its page, or leave it out"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"no folder {wanted} here, and no model {wanted.repo!r} on the Hub ({constants.ENDPOINT}), or it "
            "is private: see the spelling, or set HF_TOKEN"
        )
    place = cache_folder()
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"{wanted.repo}: {place} takes no more ({reason(error)}): free some space, or set HF_HOME"
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{wanted.repo}: cannot write {error.filename} ({reason(error)}): set HF_HOME to a folder of your own"
    if isinstance(error, errors.LocalEntryNotFoundError):
        part = "not whole" if (place / f"models--{wanted.repo.replace('/', '--')}" / "snapshots").is_dir() else "not"
        if constants.HF_HUB_OFFLINE:
            return f"{wanted} is {part} in the cache ({place}), and HF_HUB_OFFLINE is set: unset it once to download it"
        return (
            f"no folder {wanted} here, its model is {part} in the cache ({place}), and {constants.ENDPOINT} "
            "cannot be reached: see the connection, or set HF_ENDPOINT to a mirror"
        )
    what = str(error) or type(error).__name__
    return f"{wanted}: the download was cut ({what}): run the same again, and it goes on where it stopped"

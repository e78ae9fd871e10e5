"""Perplexity on held-out text, compared with the language model that the model grew from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixelword.checkpoints.grow import ungrown
from pixelword.checkpoints.names import DELTA, is_delta, read_json
from pixelword.checkpoints.registry import BASES, Base
from pixelword.errors import CheckpointError
from pixelword.evaluation.perplexity import encode_texts, perplexity, read_texts

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.model.config import NeoOVConfig
    from pixelword.synthetic.assets import Assets

#: The pack whose held-out texts are read, and how many tokens of them; a recipe's gate reads the same ones.
TEXT, TOKENS, FULL = "words", 8192, 65536


@dataclass(frozen=True)
class Language:
    """Perplexity on the first `tokens` tokens of the held-out part of the pack `text`.

    base: name of the language model that the model grew from, "" where nothing says so; base_perplexity: its own, None
    where it cannot be had, for the reason in `note`.
    """

    perplexity: float
    tokens: int
    text: str
    base: str = ""
    base_perplexity: float | None = None
    note: str = ""

    @property
    def excess(self) -> float | None:
        """Relative increase over the base: 0.05 is 5 %."""
        return None if self.base_perplexity is None else self.perplexity / self.base_perplexity - 1


def measured(session: Session, folder: Path, assets: Assets, tokens: int = TOKENS) -> Language:
    """Measure the perplexity of a session's model, stored in `folder`. Raises AssetError if the texts are missing."""
    documents = encode_texts(session.processor, read_texts(TEXT, assets), tokens)
    own, read = perplexity(session.model, documents), sum(map(len, documents))
    base = grown_from(folder, session.model.config)
    if base is None:
        return Language(own, read, TEXT)
    try:
        language = ungrown(base, session.model.dtype).to(session.model.device)
    except CheckpointError as error:
        return Language(own, read, TEXT, base.package, note=str(error))
    return Language(own, read, TEXT, base.package, perplexity(language, documents))


def grown_from(folder: Path, config: NeoOVConfig) -> Base | None:
    """Return the packaged language model recorded in a checkpoint as its base."""
    name = getattr(config, "grown_from", None)
    if name is None and is_delta(folder):
        name = read_json(folder / DELTA)["base"]["package"]
    return BASES.get(str(name))

"""`look_inside`: asks a question and explains the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelword.errors import ContextError, InputError
from pixelword.explain.faithfulness import by_method, check
from pixelword.explain.figure import save_png
from pixelword.explain.maps import make_maps
from pixelword.explain.occlusion import occlude
from pixelword.explain.overlay import Painted, painted
from pixelword.explain.page import save_html
from pixelword.explain.trace import read
from pixelword.explain.types import Evidence
from pixelword.generation.limits import answer_room, end_tokens
from pixelword.generation.messages import conversation, user_message
from pixelword.generation.sampling import Sampling

if TYPE_CHECKING:
    from pixelword.generation.session import Session
    from pixelword.processing.types import Encoded


class Explanation(Evidence):
    """An explained answer, with renderers."""

    def save(self, path: str | Path, *, model: str = "") -> int:
        """Write a self-contained HTML page; return its size in bytes. Raises InputError on failure."""
        return save_html(self, path, model)

    def save_png(self, path: str | Path, *, method: str = "mean", model: str = "") -> tuple[Path, ...]:
        """Write a PNG of the images and each token's map over them; return the files written.

        path: a .png file in a folder that exists; or such a folder, which gets `sheet.png` and, without a letter,
            the images of each word.
        method: "last", "mean", "rollout", "gradient" or "occlusion".

        Raises InputError: unknown method, no image, "occlusion" without hidden cells, or an unwritable path.
        """
        return save_png(self, path, method, model)

    def pictures(self, method: str = "mean") -> tuple[Painted, ...]:
        """What `save_png` shows, as PIL images: the images as they are, the whole answer's map (where it has several
        words), and each word's. Raises InputError as `save_png`."""
        return painted(self, method)[1]


def look_inside(
    session: Session,
    question: str,
    *,
    images: Any = (),
    videos: Any = (),
    system: str | None = None,
    answer: str | None = None,
    max_words: int = 24,
    occlusions: int = 144,
) -> Explanation:
    """Ask a question and explain the answer.

    Args:
        session: As `pixelword.load` gives it; float32 weights give the cleanest gradients.
        question, images, videos, system: As in `Session.ask`.
        answer: Explain this answer instead of the model's own.
        max_words: Number of answer tokens to explain, from the first.
        occlusions: Maximum number of image regions to hide, one at a time; 0 disables the check.

    Raises:
        InputError: as `Session.ask`, or an empty answer.
        MediaError: an image or a video cannot be read.
    """
    messages = conversation(user_message(question, images, videos), system=system)
    return explain_messages(session, messages, answer=answer, max_words=max_words, occlusions=occlusions)


def explain_messages(
    session: Session,
    messages: Sequence[Mapping[str, Any]],
    *,
    answer: str | None = None,
    max_words: int = 24,
    occlusions: int = 144,
) -> Explanation:
    """Like `look_inside`, for a conversation in chat form that ends with a question."""
    prompt = session.processor.encode(messages, add_generation_prompt=True, media=session.media)
    return explain_prompt(
        session, prompt, _question(messages), answer=answer, max_words=max_words, occlusions=occlusions
    )


def explain_prompt(
    session: Session,
    prompt: Encoded,
    question: str,
    *,
    answer: str | None = None,
    max_words: int = 24,
    occlusions: int = 144,
) -> Explanation:
    """Like `look_inside`, for an encoded prompt."""
    if max_words < 1 or occlusions < 0:
        raise InputError("max_words must be at least 1 and occlusions at least 0")
    tokens = _said(session, prompt, max_words) if answer is None else session.processor.encoder.answer(answer)
    reading = read(session.model, session.processor, prompt, tokens, max_words=max_words)
    maps = make_maps(reading)
    if not occlusions or not reading.pictures:
        return Explanation(question, reading, maps, None, None)
    hider, occlusion = occlude(reading, occlusions)
    visual = reading.visual.cpu()
    return Explanation(question, reading, maps, occlusion, check(hider, occlusion, by_method(maps, visual)))


def _said(session: Session, prompt: Encoded, most: int) -> list[int]:
    """Return the greedy answer's tokens, without the end token."""
    room = answer_room(prompt, session.context)
    if room < 1:
        raise ContextError(f"the question's {len(prompt)} tokens fill the model's context of {session.context}")
    (request,) = session.generate([prompt], [Sampling(min(most, room))])
    ends = end_tokens(session.model, session.processor)
    return [token for token in request.token_ids if token not in ends]


def _question(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the last turn."""
    content = messages[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")

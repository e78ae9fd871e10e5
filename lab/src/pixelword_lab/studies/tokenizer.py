"""nano's tokenizer: a token for every word of the questions and closed answers, a token a byte for all else.

What is read off an image is therefore spelled, a token a character, and one glyph is always the same token: pairs of
letters merged by frequency would make reading much harder to learn (lab/docs/log.md). At most 1,024 tokens.

Make it again with ``python -m pixelword_lab.studies.tokenizer OUT``: the same tasks give the same files every time. A
model that is trained keeps the tokenizer it was trained with, whatever becomes of the tasks.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelword import synthetic as nano
from pixelword.synthetic import reading
from pixelword.synthetic.scenes import CELLS, COLOURS, SHAPES
from pixelword.synthetic.text import topics

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 1024
END_OF_TEXT, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (
    END_OF_TEXT, START_OF_TURN, END_OF_TURN, "<IMG_CONTEXT>", "<img>", "</img>",
    "<ref>", "</ref>", "<box>", "</box>", "<think>", "</think>",
)  # fmt: skip
# A role or an answer ends with its newline inside the word ("assistant\n" is one token), every digit stands alone,
# and a video's times ("[00:01.00]:", " [00:00-00:04]") are one piece.
PIECES = r" ?\[[0-9]+:[0-9.:\-]+\]:?| ?\p{L}+\n?| ?\p{N}| ?[^\s\p{L}\p{N}]+\n?|\s+"
_SAMPLES = 1500  # conversations drawn of each kind; enough that every wording comes up
_OFTEN = 10  # a word that comes up less often is spelled
_SCAFFOLD = ("user\n", "assistant\n", "system\n", "\n")
_VIDEO = (
    "The time range of this video is [00:00-00:04], and the following is a series of 4 frames sampled at 1.0 FPS.\n"
    "[00:00.00]:\n[00:01.00]:\n[00:02.00]:\n[00:03.00]:\n"
)


def corpus() -> Iterator[str]:
    """Everything nano reads and says, about as often as it does."""
    rng = np.random.default_rng(0)
    for kind in nano.KINDS:
        for _ in range(_SAMPLES):
            if kind not in nano.READING:  # what those say is spelled, and needs the packs
                for message in nano.draw(kind, rng, level=1.0, turns=4).messages:
                    content = message["content"]
                    text = content if isinstance(content, str) else content[-1]["text"]
                    # two letters or digits to read are spelled
                    if not (kind == "letters" and len(text) == 2 and text.isupper()):
                        yield text
            yield from _SCAFFOLD
    for wording in reading.WORDINGS:
        yield from (wording.format(nth=nth, it="") for nth in (*reading.ORDINALS, "last") for _ in range(_SAMPLES // 5))
    words = (*COLOURS, *SHAPES, *CELLS, "the first", "the second", "yes", "no", "up", "down")
    for text in (_VIDEO, *words, *(f" {word}" for word in words)):
        yield from [text] * _SAMPLES
    for topic in topics():
        for wording in (*topic.wordings, *topic.held_out):
            yield from (wording.replace("{}", key) for key, _ in topic.facts for _ in range(3))


def build_tokenizer(vocabulary: int = VOCABULARY) -> Tokenizer:
    """The words of ``corpus()`` and all bytes; decoding gives back any text byte for byte."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    counts = Counter(piece for text in corpus() for piece, _ in split.pre_tokenize_str(text))
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [piece for piece, count in counts.items() if len(piece) > 1 and count >= _OFTEN]
    words.sort(key=lambda piece: (-counts[piece], piece))
    known = [*SPECIALS, *bytes_, *words[: vocabulary - len(SPECIALS) - len(bytes_)]]
    # a piece that is a token is taken whole; without merges, every other one falls apart into its bytes
    model = models.BPE(vocab={token: number for number, token in enumerate(known)}, merges=[], ignore_merges=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    return tokenizer


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers knows it: turns end with ``<|im_end|>``, padding is ``<|endoftext|>``."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[token for token in SPECIALS if token not in (END_OF_TEXT, END_OF_TURN)],
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def main(arguments: list[str]) -> int:
    """Write tokenizer.json and tokenizer_config.json into the folder named."""
    if len(arguments) != 1:
        print("usage: python -m pixelword_lab.studies.tokenizer OUT", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = wrap(build_tokenizer())
    tokenizer.save_pretrained(folder)
    print(f"{folder}: {len(tokenizer)} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

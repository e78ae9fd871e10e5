"""nano's tokenizer: a byte-level BPE of at most 1,024 tokens, made from what the tasks say.

Make it again with ``python -m pixelword.tasks.nano.tokenizer OUT``: the same tasks give the same files every time. A
model that is trained keeps the tokenizer it was trained with, whatever becomes of the tasks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pixelword.tasks import nano
from pixelword.tasks.nano.scenes import CELLS, COLOURS, SHAPES
from pixelword.tasks.nano.text import topics

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
            for message in nano.draw(kind, rng, level=1.0, turns=4).messages:
                content = message["content"]
                text = content if isinstance(content, str) else content[-1]["text"]
                # two letters or digits to read are no word: as a token of their own they could not be spelled
                if not (kind == "letters" and len(text) == 2 and text.isupper()):
                    yield text
            yield from _SCAFFOLD
    words = (*COLOURS, *SHAPES, *CELLS, "the first", "the second", "yes", "no", "up", "down")
    for text in (_VIDEO, *words, *(f" {word}" for word in words)):
        yield from [text] * _SAMPLES
    for topic in topics():
        for wording in (*topic.wordings, *topic.held_out):
            yield from (wording.replace("{}", key) for key, _ in topic.facts for _ in range(3))


def build_tokenizer(vocabulary: int = VOCABULARY) -> Tokenizer:
    """Train the BPE on ``corpus()``; decoding gives back any text byte for byte."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
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
        print("usage: python -m pixelword.tasks.nano.tokenizer OUT", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = wrap(build_tokenizer())
    tokenizer.save_pretrained(folder)
    print(f"{folder}: {len(tokenizer)} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

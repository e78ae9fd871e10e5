"""nano's tokenizer: every text comes back, turns are short, the same corpus makes the same tokens."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pixelword import synthetic as nano
from pixelword.synthetic.questions import ASKERS
from pixelword.synthetic.scenes import COLOURS, SHAPES
from pixelword_lab.studies import tokenizer as made

pytestmark = pytest.mark.usefixtures("default_assets")


@pytest.fixture(scope="module")
def packaged() -> Tokenizer:
    return Tokenizer.from_file(str(files("pixelword").joinpath("weights/nano/tokenizer.json")))


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
def test_any_text_comes_back(text: str) -> None:
    tokenizer = Tokenizer.from_file(str(files("pixelword").joinpath("weights/nano/tokenizer.json")))
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_size_and_special_tokens(packaged: Tokenizer) -> None:
    assert packaged.get_vocab_size() <= made.VOCABULARY
    assert [packaged.token_to_id(token) for token in made.SPECIALS] == list(range(len(made.SPECIALS)))
    ids = packaged.encode("<|im_start|>user\nHi<|im_end|>\n").ids
    assert ids[0] == made.SPECIALS.index("<|im_start|>") and packaged.decode(ids[1:2]) == "user\n"


def test_words_of_the_questions_are_single_tokens(packaged: Tokenizer) -> None:
    rng = np.random.default_rng(0)
    words = {f" {word}" for word in (*COLOURS, *SHAPES, *(f"{s}s" for s in SHAPES if s != "cross"))} | {
        "user\n",
        "assistant\n",
    }
    for kind in (*ASKERS, "digits", "pair", "motion"):
        for _ in range(60):
            content = nano.draw(kind, rng).messages[-2]["content"]
            words |= set(re.findall(r"(?<=\w) \w+", content[-1]["text"]))
    long = {word for word in words if len(packaged.encode(word).ids) > 1}
    assert len(long) <= 0.02 * len(words), long


def test_digits_stand_alone(packaged: Tokenizer) -> None:
    assert packaged.encode("4096").tokens == ["4", "0", "9", "6"]


# of the kinds that the packaged tokenizer was made from
@pytest.mark.parametrize("kind", [kind for kind in nano.KINDS[:12] if kind != "describe"])
def test_a_turn_costs_few_tokens(kind: str, packaged: Tokenizer) -> None:
    rng, costs = np.random.default_rng(0), []
    for _ in range(100):
        for message in nano.draw(kind, rng).messages:
            text = message["content"] if isinstance(message["content"], str) else message["content"][-1]["text"]
            costs.append(len(packaged.encode(f"<|im_start|>{message['role']}\n{text}<|im_end|>\n").ids))
    assert 2 * np.mean(costs) < 21


def test_the_same_corpus_makes_the_same_tokenizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(made, "_SAMPLES", 15)  # a hundredth of the corpus: enough to be equal or not
    first, second = list(islice(made.corpus(), 500)), list(islice(made.corpus(), 500))
    assert first == second
    assert made.main([str(tmp_path)]) == 0
    written = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert written.get_vocab() == made.build_tokenizer().get_vocab()


def test_transformers_reads_it() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(files("pixelword").joinpath("weights/nano")))
    assert (tokenizer.eos_token, tokenizer.pad_token) == (made.END_OF_TURN, made.END_OF_TEXT)
    text = "What colour is it?  Grüße,\n日本"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert made.main([]) == 2
    assert "usage" in capsys.readouterr().err

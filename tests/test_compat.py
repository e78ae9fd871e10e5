"""Releases of transformers: both names of the cache, nothing swallowed, and a self-check of those not yet tested."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement
from transformers import DynamicCache
from transformers.generation import GenerationMixin

from pixelword import compat
from pixelword.checkpoints.load import load_pretrained
from pixelword.errors import VersionError
from pixelword.model import NeoOVForConditionalGeneration

IDS = torch.tensor([[5, 40, 33, 20, 11]])


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> NeoOVForConditionalGeneration:
    return load_pretrained(tiny_model_dir)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the installed transformers were newer than the tested ones."""
    monkeypatch.setattr(compat, "NEWEST_TESTED", {"transformers": (5, 0)})


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
@torch.no_grad()
def test_forward_takes_and_gives_the_cache_under_both_names(model: NeoOVForConditionalGeneration, name: str) -> None:
    cache = DynamicCache()
    first = model(IDS[:, :3], **{name: cache})
    assert first.cache is first.past_key_values is first["cache"] is first["past_key_values"] is cache
    assert "cache" in first and "past_key_values" in first and first.get("past_key_values") is cache
    second = model(IDS[:, 3:], **{name: cache}).logits
    assert torch.allclose(second, model(IDS, use_cache=False).logits[:, 3:], atol=1e-5)


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
@torch.no_grad()
def test_generate_goes_on_from_a_cache_under_both_names(model: NeoOVForConditionalGeneration, name: str) -> None:
    cache = DynamicCache()
    model(IDS[:, :4], cache=cache)
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    assert torch.equal(model.generate(IDS, **{name: cache}, **options), model.generate(IDS, **options))
    made = model.generate(IDS, return_dict_in_generate=True, **options)
    assert made.past_key_values.get_seq_length() == IDS.shape[1] + 3


@torch.no_grad()
def test_both_names_at_once_are_an_error(model: NeoOVForConditionalGeneration) -> None:
    both: dict[str, Any] = {"cache": DynamicCache(), "past_key_values": DynamicCache()}
    for call in (model, super(NeoOVForConditionalGeneration, model).forward, model.generate):
        with pytest.raises(ValueError, match="two names"):
            call(IDS, **both)


@pytest.mark.parametrize("value", [DynamicCache(), torch.ones(1), 3], ids=["cache", "tensor", "number"])
def test_an_unknown_keyword_is_an_error(model: NeoOVForConditionalGeneration, value: object) -> None:
    for call in (model, super(NeoOVForConditionalGeneration, model).forward):
        with pytest.raises(TypeError, match="memory"):
            call(IDS, memory=value)
    with pytest.raises(TypeError, match="cu_seq_lens_q"):
        model(IDS, cu_seq_lens_q=torch.ones(1))


def test_what_every_model_takes_is_no_error(model: NeoOVForConditionalGeneration) -> None:
    assert model(IDS, output_attentions=False, memory=None).logits.shape[1] == IDS.shape[1]


def _renamed(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    """A release whose `generate` hands the cache over under another name, or forgets it."""
    original = GenerationMixin.prepare_inputs_for_generation

    def prepare(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        inputs = original(self, *args, **kwargs)
        cache = inputs.pop(compat.CACHE_KEYWORD, None)
        return inputs if name is None else {**inputs, name: cache}

    monkeypatch.setattr(GenerationMixin, "prepare_inputs_for_generation", prepare)


@pytest.mark.parametrize(
    ("name", "reason"), [("memory", "does not take 'memory'"), (None, "off by")], ids=["renamed", "lost"]
)
def test_a_newer_release_that_breaks_the_cache_is_refused(
    monkeypatch: pytest.MonkeyPatch, newer: None, tiny_model_dir: Path, name: str | None, reason: str
) -> None:
    _renamed(monkeypatch, name)
    with pytest.raises(VersionError, match=reason) as error:
        load_pretrained(tiny_model_dir)
    assert 'pip install "transformers==5.0.*"' in str(error.value)


def test_a_newer_release_that_breaks_nothing_loads(newer: None, tiny_model_dir: Path) -> None:
    assert load_pretrained(tiny_model_dir).dtype == torch.float32


def test_a_tested_release_is_not_checked(monkeypatch: pytest.MonkeyPatch, tiny_model_dir: Path) -> None:
    monkeypatch.setattr(compat, "NEWEST_TESTED", {"transformers": (99, 0)})
    _renamed(monkeypatch, None)
    load_pretrained(tiny_model_dir)


def test_the_newest_tested_releases_are_the_upper_bounds_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    bounds = {item.name: item.specifier for item in map(Requirement, project["dependencies"])}
    for name, (major, minor) in compat.NEWEST_TESTED.items():
        assert bounds[name].contains(f"{major}.{minor}.0") and not bounds[name].contains(f"{major}.{minor + 1}.0")

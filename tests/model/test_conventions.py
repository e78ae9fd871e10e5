"""What transformers' users expect of any of its models, beside `generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoModelForMultimodalLM, DynamicCache
from transformers.utils import ModelOutput

from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration, NeoOVModel

Prompt = Callable[..., dict[str, Tensor]]
GREEDY: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}


@pytest.fixture
def pictured(prompt: Prompt) -> dict[str, Tensor]:
    return prompt(3, (2, 3), 2, (1, 2), 2, seed=1)


@pytest.fixture
def rows(prompt: Prompt, batch: Prompt) -> dict[str, Tensor]:
    """Two rows of unlike images, padded."""
    return batch([prompt(3, (2, 3), 2, (3, 3), 2, seed=1), prompt(4, (1, 2), 5, seed=2)])


# Images and caches


@pytest.mark.parametrize("call", ["forward", "generate"])
def test_visual_tokens_without_images_are_an_error(model: Any, pictured: dict[str, Tensor], call: str) -> None:
    run = model if call == "forward" else model.generate
    with pytest.raises(ValueError, match="hold 8 visual tokens but no images: pass pixel_values"):
        run(input_ids=pictured["input_ids"])
    del pictured["image_grid_hw"]
    with pytest.raises(ValueError, match="image_grid_hw"):
        run(**pictured)


def test_images_without_their_tokens_are_an_error(model: Any, pictured: dict[str, Tensor]) -> None:
    pictured["input_ids"] = torch.ones_like(pictured["input_ids"])
    with pytest.raises(ValueError, match="hold 0 visual tokens"):
        model.generate(**pictured, **GREEDY, max_new_tokens=2)


@pytest.mark.parametrize("given", ["nothing", "the grid", "all"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_second_turn_goes_on_from_the_cache(
    model: Any, pictured: dict[str, Tensor], rows: dict[str, Tensor], given: str, number: int
) -> None:
    """The whole ids again, with the cache of the first call; images may be left out."""
    inputs = pictured if number == 1 else rows
    expected = model.generate(**inputs, **GREEDY, max_new_tokens=8, output_logits=True, return_dict_in_generate=True)
    first = model.generate(**inputs, **GREEDY, max_new_tokens=4, return_dict_in_generate=True)
    more = {"nothing": (), "the grid": ("image_grid_hw",), "all": ("image_grid_hw", "pixel_values")}[given]
    mask = torch.nn.functional.pad(inputs["attention_mask"], (0, 4), value=1)
    again = model.generate(
        input_ids=first.sequences,
        attention_mask=mask,
        past_key_values=first.past_key_values,
        **{name: inputs[name] for name in more},
        **GREEDY,
        max_new_tokens=4,
        output_logits=True,
        return_dict_in_generate=True,
    )
    assert torch.equal(again.sequences, expected.sequences)
    torch.testing.assert_close(torch.stack(again.logits), torch.stack(expected.logits[4:]), rtol=1e-4, atol=1e-4)


def test_a_new_image_joins_a_cache_of_several_rows(model: Any, prompt: Prompt, batch: Prompt) -> None:
    prompts = [prompt(3, (2, 3), 2, (1, 2), 2, seed=1), prompt(1, (2, 3), 4, (1, 2), 2, seed=2)]
    together = batch(prompts)
    expected = model.generate(**together, **GREEDY, max_new_tokens=4)
    cut = 13
    cache = DynamicCache(config=model.config)
    first = {name: together[name][:, :cut] for name in ("input_ids", "attention_mask")}
    grid = together["image_grid_hw"]
    patches = together["pixel_values"].split(grid.prod(-1).tolist())
    with torch.no_grad():
        model(**first, image_grid_hw=grid[::2], pixel_values=torch.cat(patches[::2]), past_key_values=cache)
    assert torch.equal(model.generate(**together, **GREEDY, max_new_tokens=4, past_key_values=cache), expected)


@pytest.mark.parametrize("kind", ["its own", "DynamicCache"])
@pytest.mark.parametrize("change", ["reorder", "crop", "repeat", "select"])
def test_positions_follow_what_is_done_to_a_cache(
    model: Any, rows: dict[str, Tensor], prompt: Prompt, kind: str, change: str
) -> None:
    cache = DynamicCache(config=model.config) if kind == "DynamicCache" else None
    inputs = rows if change != "crop" else prompt(3, (2, 3), 2, seed=1)
    mask, order = inputs["attention_mask"], torch.tensor([1, 0])
    with torch.no_grad():
        held = model(**inputs, past_key_values=cache, use_cache=True).past_key_values
        ids = inputs["input_ids"]
        new = torch.tensor([[5], [9]])[: len(ids)]
        if change == "crop":  # back over the image
            held.crop(2 - ids.shape[1])
            inputs, ids, mask = {}, ids[:, :2], mask[:, :2]
            expected = model(input_ids=torch.cat((ids, new), 1)).logits[:, -1:]
        else:
            which = {"reorder": order, "select": order[:1], "repeat": torch.tensor([0, 0, 1, 1])}[change]
            if change == "reorder":
                held.reorder_cache(order)
            elif change == "select":
                held.batch_select_indices(which)
            else:
                held.batch_repeat_interleave(2)
            mask, new = mask[which], new[which]
            longer = torch.cat((rows["input_ids"], torch.tensor([[5], [9]])), 1)
            full = {
                **rows,
                "input_ids": longer,
                "attention_mask": torch.nn.functional.pad(rows["attention_mask"], (0, 1), value=1),
            }
            expected = model(**full, use_cache=False).logits[which, -1:]
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        found = model(input_ids=new, attention_mask=mask, past_key_values=held).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_embeddings_that_hold_their_images(fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    """Also where text bypasses the pre-buffer: the grid says that there are images."""
    model = fresh_model(text_bypasses_pre_buffer=True)
    expected = model.generate(**pictured, **GREEDY, max_new_tokens=4)[:, -4:]
    with torch.no_grad():
        # transformers has no public name for embeddings that hold their images
        embeds = model._embed(pictured["input_ids"], None, pictured["pixel_values"], pictured["image_grid_hw"], None)
    found = model.generate(
        inputs_embeds=embeds,
        attention_mask=pictured["attention_mask"],
        image_grid_hw=pictured["image_grid_hw"],
        mm_token_type_ids=(pictured["input_ids"] == 61).long(),
        **GREEDY,
        max_new_tokens=4,
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_prefill_in_chunks(model: Any, rows: dict[str, Tensor], chunk: int) -> None:
    expected = model.generate(**rows, **GREEDY, max_new_tokens=4)
    assert torch.equal(model.generate(**rows, **GREEDY, max_new_tokens=4, prefill_chunk_size=chunk), expected)


def test_a_mask_of_four_dimensions_is_refused(model: Any, prompt: Prompt) -> None:
    with pytest.raises(ValueError, match=r"attention_mask has shape \(1, 1, 5, 5\)"):
        model(input_ids=prompt(5)["input_ids"], attention_mask=torch.ones(1, 1, 5, 5))


@pytest.mark.parametrize("side", ["left", "right"])
def test_both_sides_of_padding_give_equal_logits(model: Any, prompt: Prompt, batch: Prompt, side: str) -> None:
    prompts = [prompt(3, (2, 3), 2, seed=1), prompt(5, seed=2), prompt((1, 2), 1, seed=3)]
    with torch.no_grad():
        together = model(**batch(prompts, side)).logits
        for row, item in enumerate(prompts):
            length = item["input_ids"].shape[1]
            part = together[row, -length:] if side == "left" else together[row, :length]
            torch.testing.assert_close(part, model(**item).logits[0], rtol=1e-4, atol=1e-4)


# What is refused


def test_continuous_batching_is_refused(model: Any, prompt: Prompt) -> None:
    with pytest.raises(NotImplementedError, match="has no paged attention"):
        model.generate_batch([prompt(5)["input_ids"][0].tolist()])
    with pytest.raises(NotImplementedError, match="no paged attention"):
        model.init_continuous_batching()


@pytest.mark.parametrize("kernel", ["paged|eager", "flash_attention_2", "paged|sdpa"])
def test_unknown_kernels_are_refused_at_loading(model: Any, kernel: str, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is not supported: use one of eager, sdpa, flex_attention"):
        NeoOVForConditionalGeneration.from_pretrained(tmp_path, attn_implementation=kernel)


# What is returned


def test_attentions(model: Any, rows: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match='output_attentions needs attn_implementation="eager"'):
        model(**rows, output_attentions=True)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(**rows, output_attentions=True)
    batch, length = rows["input_ids"].shape
    assert len(output.attentions) == 3
    for weights in output.attentions:
        assert weights.shape == (batch, 4, length, length)
        torch.testing.assert_close(weights.sum(-1), torch.ones(batch, 4, length))
    visual = (rows["input_ids"][0] == 61).nonzero().squeeze(1)
    assert (output.attentions[0][0, :, visual[0], visual[:6]] > 0).all()  # an image sees itself whole
    assert (output.attentions[0][0, :, visual[0], visual[6:]] == 0).all()  # and nothing behind it
    found = model.generate(
        **rows, **GREEDY, max_new_tokens=3, output_attentions=True, return_dict_in_generate=True
    ).attentions
    assert [item[0].shape[-2:] for item in found] == [(length, length), (1, length + 1), (1, length + 2)]
    torch.testing.assert_close(found[0][2], output.attentions[2])


def test_logits_while_training(fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    network = fresh_model().train()
    output = network(**pictured, labels=pictured["input_ids"])
    assert output.logits.shape == (1, pictured["input_ids"].shape[1], 64)
    assert network(**pictured, labels=pictured["input_ids"], skip_logits=True).logits is None


def test_shifted_labels(model: Any, pictured: dict[str, Tensor]) -> None:
    labels = pictured["input_ids"]
    shifted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=-100)
    with torch.no_grad():
        assert torch.equal(model(**pictured, shift_labels=shifted).loss, model(**pictured, labels=labels).loss)
        part = model(**pictured, shift_labels=shifted, num_items_in_batch=4).loss
        assert torch.equal(part, model(**pictured, labels=labels, num_items_in_batch=4).loss)
        both = model(**pictured, labels=torch.zeros_like(labels), shift_labels=shifted).loss  # as transformers' Trainer
        assert torch.equal(both, model(**pictured, labels=labels).loss)


def test_image_features_are_an_output(model: Any, pictured: dict[str, Tensor]) -> None:
    pixels, grid = pictured["pixel_values"], pictured["image_grid_hw"]
    output = model.get_image_features(pixels, grid)
    assert isinstance(output, ModelOutput)
    assert [len(item) for item in output.pooler_output] == [6, 2]
    assert torch.equal(torch.cat(output.pooler_output), output.last_hidden_state)
    assert isinstance(model.get_video_features(pixel_values=pixels, image_grid_hw=grid, return_dict=False), tuple)


def test_the_base_model_is_the_network_without_its_head(fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    network = fresh_model()
    names = list(network.state_dict())
    base = network.base_model
    assert isinstance(base, NeoOVModel) and not isinstance(base, NeoOVForConditionalGeneration)
    with torch.no_grad():
        hidden = base(**pictured).last_hidden_state
        assert torch.equal(network.get_output_embeddings()(hidden), network(**pictured).logits)
    assert list(network.state_dict()) == names
    network.train()
    assert network.base_model.training
    assert {id(parameter) for parameter in base.parameters()} == {id(parameter) for parameter in network.parameters()}


@pytest.mark.parametrize("cls", [NeoOVModel, NeoOVForConditionalGeneration])
def test_the_configuration_says_what_is_returned(cls: Any, fresh_model: Any, pictured: dict[str, Tensor]) -> None:
    network = cls(fresh_model().config)
    assert isinstance(network(**pictured, return_dict=False), tuple)
    network.config.return_dict = False
    assert isinstance(network(**pictured), tuple)
    network.config.return_dict = True
    network.set_attn_implementation("eager")
    network.config.output_hidden_states = network.config.output_attentions = True
    output = network(**pictured)
    assert len(output.hidden_states) == 4 and len(output.attentions) == 3


@pytest.mark.parametrize(
    ("wanted", "expected"), [([0, -1], {0, 3}), ((2,), {2}), (0, {0}), (-2, {2}), ([7, -9], set()), ([], set())]
)
def test_indices_select_hidden_states(
    fresh_model: Any, pictured: dict[str, Tensor], wanted: Any, expected: set[int]
) -> None:
    network = fresh_model()
    whole = network(**pictured, output_hidden_states=True).hidden_states
    found = network(**pictured, output_hidden_states=wanted).hidden_states
    assert len(found) == 4 and {index for index, state in enumerate(found) if state is not None} == expected
    assert all(torch.equal(found[index], whole[index]) for index in expected)


def test_rope_parameters_are_read_and_kept(fresh_model: Any, tmp_path: Path) -> None:
    text = {**fresh_model().config.llm_config.to_dict()}
    del text["rope_theta"]
    parameters = {"rope_type": "default", "rope_theta": 5e5}
    config = NeoOVConfig(llm_config={**text, "rope_parameters": parameters})
    assert config.llm_config.rope_theta == 5e5 and config.text_config.rope_parameters == parameters
    config.save_pretrained(tmp_path)
    again = NeoOVConfig.from_pretrained(tmp_path)
    assert again.llm_config.rope_parameters == parameters and again.to_dict() == config.to_dict()
    again.llm_config.rope_parameters = {"rope_type": "default", "rope_theta": 1e4}
    assert again.llm_config.rope_theta == 1e4 == again.llm_config.rope_scaling["rope_theta"]
    with pytest.raises(ValueError, match="unscaled Native-RoPE"):
        again.llm_config.rope_parameters = {"rope_type": "yarn", "factor": 4.0}
    with pytest.raises(ValueError, match="keep one"):
        NeoOVConfig(llm_config={**text, "rope_theta": 1e4, "rope_parameters": parameters})


def test_other_names_of_the_configuration(fresh_model: Any, tmp_path: Path) -> None:
    config = fresh_model().config
    again = NeoOVConfig(vision_config={"hidden_size": 16}, text_config=config.llm_config.to_dict())
    assert again.llm_config.num_hidden_layers == 3 and again.image_token_id == again.img_context_token_id
    assert set(again.to_dict()) == set(config.to_dict())
    with pytest.raises(ValueError, match="two names of one argument"):
        NeoOVConfig(llm_config={}, text_config={})
    fresh_model().save_pretrained(tmp_path)
    text = {**config.llm_config.to_dict(), "use_cache": False}
    loaded = NeoOVForConditionalGeneration.from_pretrained(tmp_path, text_config=text)
    assert loaded.config.llm_config.use_cache is False


def test_auto_classes_know_the_model(fresh_model: Any, tmp_path: Path) -> None:
    fresh_model().save_pretrained(tmp_path)
    for auto in (AutoModelForMultimodalLM, AutoModelForImageTextToText):
        assert type(auto.from_pretrained(tmp_path)) is NeoOVForConditionalGeneration


def test_the_grid_under_qwens_name(model: Any, pictured: dict[str, Tensor]) -> None:
    expected = model.generate(**pictured, **GREEDY, max_new_tokens=3)
    grid = pictured.pop("image_grid_hw")
    thw = torch.nn.functional.pad(grid, (1, 0), value=1)
    with torch.no_grad():
        logits = model(**pictured, image_grid_hw=grid).logits
        assert torch.equal(model(**pictured, image_grid_thw=thw).logits, logits)
        assert model.base_model(**pictured, image_grid_thw=thw).last_hidden_state.shape[1] == logits.shape[1]
    assert torch.equal(model.generate(**pictured, image_grid_thw=thw, **GREEDY, max_new_tokens=3), expected)
    with pytest.raises(ValueError, match="describe the same images"):
        model(**pictured, image_grid_hw=grid, image_grid_thw=thw)

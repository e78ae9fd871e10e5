"""A native model grown from a language model answers text as that did, and is new only where it must be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)

from pixelword.checkpoints.grow import CHAT, GROUNDING, grow
from pixelword.checkpoints.load import load_pretrained
from pixelword.errors import CheckpointError, InputError

ROWS = 300
SHAPE = {
    "vocab_size": ROWS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5e4},
}
FAMILIES = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
SMALL: dict[str, Any] = {"vision_hidden_size": 16}


def language_model(family: str = "qwen3", **settings: Any) -> Any:
    config, cls = FAMILIES[family]
    torch.manual_seed(0)
    model = cls(config(**{**SHAPE, **settings})).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            torch.nn.init.normal_(parameter, 0, 0.2)
    return model


def tokenizer(*added: str) -> PreTrainedTokenizerFast:
    """256 bytes, and these special tokens after them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={character: index for index, character in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(added))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=added[0], chat_template="{{ messages }}")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("extra", "start"), [(0, "released"), (2, "identity")])
@torch.no_grad()
def test_text_logits_are_the_language_models_own(family: str, tied: bool, extra: int, start: Any) -> None:
    language = language_model(family, tie_word_embeddings=tied)
    native, _ = grow(language, extra_num_layers=extra, start=start, **SMALL)
    ids = torch.randint(0, ROWS, (2, 12))
    torch.testing.assert_close(native(ids).logits[..., :ROWS], language(ids).logits, rtol=1e-5, atol=1e-5)
    assert native.config.llm_config.rope_theta == 5e4
    assert native.config.llm_config.qk_norm is (family == "qwen3")
    assert native.config.tie_word_embeddings is tied
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    masked = (item(ids, attention_mask=mask).logits[0, 5:, :ROWS] for item in (native, language))
    torch.testing.assert_close(*masked, rtol=1e-5, atol=1e-5)


def test_what_is_new() -> None:
    language = language_model()
    native, _ = grow(language, extra_num_layers=2, **SMALL)
    layers = native.language_model.model.layers
    assert len(layers) == 4
    for i, old in enumerate(language.model.layers):
        new = layers[i + 2].self_attn
        heads = old.self_attn.q_proj.weight.view(4, 16, 32)
        half = torch.cat((heads[:, 0:4], heads[:, 8:12]), 1)
        assert torch.equal(new.q_proj_hw.weight.view(4, 16, 32), torch.cat((half, half), 1))
        assert not new.k_proj_hw.weight.any()
        for norm in (new.q_norm_h, new.q_norm_w, new.k_norm_h, new.k_norm_w):
            assert norm.weight.eq(1).all()
        assert torch.equal(new.q_norm.weight, old.self_attn.q_norm.weight)
    for layer in layers[:2]:
        for name, parameter in layer.named_parameters():
            if parameter.ndim == 1:
                assert parameter.eq(1).all(), name
            else:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name
    embeddings = native.vision_model.embeddings
    assert embeddings.patch_embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert embeddings.dense_embedding.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not embeddings.patch_embedding.bias.any() and not embeddings.dense_embedding.bias.any()


def test_an_identity_start_can_learn() -> None:
    native, _ = grow(language_model(), extra_num_layers=1, start="identity", **SMALL)
    first = native.language_model.model.layers[0]
    assert not first.self_attn.o_proj.weight.any() and not first.mlp.down_proj.weight.any()
    assert first.self_attn.v_proj.weight.any()
    ids = torch.arange(8)[None]
    native(ids, labels=ids).loss.backward()
    assert first.self_attn.o_proj.weight.grad.any()


def test_the_same_seed_is_the_same_model_and_nothing_is_shared() -> None:
    language = language_model()
    before = {name: tensor.clone() for name, tensor in language.state_dict().items()}
    state = torch.get_rng_state()
    item, again, other = (grow(language, extra_num_layers=1, seed=seed, **SMALL)[0] for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    weights = [model.language_model.model.layers[0].mlp.up_proj.weight for model in (item, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    with torch.no_grad():
        for parameter in item.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in language.state_dict().items())


def test_a_folder_grows_and_comes_back(tmp_path: Path) -> None:
    language_model().bfloat16().save_pretrained(tmp_path / "language")
    tokenizer("<|endoftext|>", *CHAT).save_pretrained(tmp_path / "language")
    native, vocabulary = grow(tmp_path / "language", extra_num_layers=1, min_pixels=1024, max_pixels=4096, **SMALL)
    assert native.dtype == torch.bfloat16
    assert (native.config.vision_config.min_pixels, native.config.vision_config.max_pixels) == (1024, 4096)
    assert vocabulary is not None
    native.save_pretrained(tmp_path / "grown")
    back = load_pretrained(tmp_path / "grown")
    assert all(torch.equal(tensor, back.state_dict()[name]) for name, tensor in native.state_dict().items())
    assert grow(tmp_path / "language", extra_num_layers=0, dtype="float32", **SMALL)[0].dtype == torch.float32


def test_control_tokens_take_spare_rows() -> None:
    """As in Qwen3, whose tokenizer ends at 151669 and whose embedding does not."""
    language = language_model()
    native, vocabulary = grow(language, tokenizer=tokenizer("<|endoftext|>", *CHAT), extra_num_layers=0, **SMALL)
    assert vocabulary is not None
    assert vocabulary.convert_tokens_to_ids(list(GROUNDING)) == list(range(259, 259 + len(GROUNDING)))
    config = native.config
    assert (config.img_context_token_id, config.img_start_token_id, config.img_end_token_id) == (259, 260, 261)
    assert torch.equal(native.get_input_embeddings().weight, language.get_input_embeddings().weight)
    assert vocabulary("a<img>b").input_ids[1] == 260
    assert 258 in [native.generation_config.eos_token_id, *_several(native.generation_config.eos_token_id)]


def _several(ids: Any) -> list[int]:
    return ids if isinstance(ids, list) else []


def test_control_tokens_without_spare_rows_begin_as_the_mean() -> None:
    language = language_model(vocab_size=258, tie_word_embeddings=False)
    native, vocabulary = grow(language, tokenizer=tokenizer("</s>", "<img>"), extra_num_layers=0, **SMALL)
    assert vocabulary is not None and len(vocabulary) == native.config.llm_config.vocab_size == 258 + 8 + 2
    assert vocabulary.convert_tokens_to_ids("<img>") == 257 == native.config.img_start_token_id
    for old, new in (
        (language.get_input_embeddings(), native.get_input_embeddings()),
        (language.get_output_embeddings(), native.get_output_embeddings()),
    ):
        assert torch.equal(new.weight[:258], old.weight)
        torch.testing.assert_close(new.weight[258:], old.weight.mean(0).expand(10, -1))


def test_spare_tokens_are_renamed(tmp_path: Path) -> None:
    """As with SmolLM2's <repo_name> …: no row is added."""
    spare = [f"<spare_{i}>" for i in range(12)]
    before = tokenizer("<|endoftext|>", *spare)
    language = language_model(vocab_size=len(before))
    native, after = grow(language, tokenizer=before, extra_num_layers=0, spare_tokens=spare, **SMALL)
    assert after is not None and len(after) == len(before) == native.config.llm_config.vocab_size
    assert after.convert_tokens_to_ids([*GROUNDING, *CHAT]) == list(range(257, 257 + 11))
    assert "<spare_11>" in after.get_vocab() and "<spare_0>" not in after.get_vocab()
    assert after.chat_template == before.chat_template and after.eos_token == "<|endoftext|>"
    after.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert again("a<img>b<|im_end|>").input_ids == after("a<img>b<|im_end|>").input_ids
    assert again.decode(again("a<img>b").input_ids, skip_special_tokens=True) == "ab"
    assert "<spare_0>" in before.get_vocab()  # the caller's own is as it was


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}, "scales its rotary positions"),
        ({"hidden_act": "gelu"}, "'gelu'"),
        ({"head_dim": 6}, "head_dim 6"),
    ],
)
def test_what_cannot_be_grown_from(settings: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    language = LlamaForCausalLM(LlamaConfig(**{**SHAPE, **settings}))
    with pytest.raises(CheckpointError, match=complaint):
        grow(language, extra_num_layers=0, **SMALL)
    language.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=complaint):
        grow(tmp_path, extra_num_layers=0, **SMALL)


def test_other_types_are_refused(tmp_path: Path) -> None:
    shape = {key: value for key, value in SHAPE.items() if key != "head_dim"}
    for model in (Qwen2ForCausalLM(Qwen2Config(**shape)), MistralForCausalLM(MistralConfig(**shape))):
        with pytest.raises(CheckpointError, match="grows from one of llama, qwen3"):
            grow(model, extra_num_layers=0)
    with pytest.raises(CheckpointError, match="has no language head"):
        grow(Qwen3Model(Qwen3Config(**SHAPE)), extra_num_layers=0)
    with pytest.raises(CheckpointError, match="no folder"):
        grow(tmp_path / "none", extra_num_layers=0)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "neo_chat"}))
    with pytest.raises(CheckpointError, match="native model already"):
        grow(tmp_path, extra_num_layers=0)


def test_arguments_that_make_no_model() -> None:
    language = language_model()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"extra_num_layers": -1}, "extra_num_layers"),
        ({"start": "random"}, "start is 'random'"),
        ({"vision_hidden_size": 6}, "multiple of 4"),
        ({"spare_tokens": ["<a>"]}, "none was found"),
        ({"spare_tokens": ["<a>"], "tokenizer": tokenizer("</s>")}, "'<a>' is not an unused token"),
    ]
    for arguments, complaint in wrong:
        with pytest.raises(InputError, match=complaint):
            grow(language, **{"extra_num_layers": 0, **arguments})

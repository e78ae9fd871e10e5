"""The bytes of tokens are their own, so that a client can join them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pixelword.generation.request import Token
from pixelword.processing.token_bytes import TokenBytes
from pixelword.serving.responses import Reply

from .test_guard import post

TEXT = "Grüße, 世界! 🦊\n <ref>é</ref>"
FOX = "🦊".encode()


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.fixture(scope="module")
def pieces() -> PreTrainedTokenizerFast:
    """As SentencePiece makes them: words, a byte for each that no word has, and `A` twice."""
    vocabulary = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "\u2581it", "A", "世"]
    backend = Tokenizer(
        models.BPE(
            vocab={word: i for i, word in enumerate(vocabulary)}, merges=[], unk_token="<unk>", byte_fallback=True
        )
    )
    backend.normalizer = normalizers.Replace(" ", "\u2581")
    backend.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def test_joined_bytes_are_the_text(tiny_tokenizer, pieces, session) -> None:
    for tokenizer in (tiny_tokenizer, pieces, session.processor.tokenizer):
        own = TokenBytes(tokenizer)
        assert b"".join(map(own, ids_of(tokenizer, TEXT))) == TEXT.encode()
        assert all(len(own(token)) >= 1 for token in range(len(tokenizer)))
        assert own(len(tokenizer) + 5) == b""


def test_metaspaces_and_control_tokens() -> None:
    backend = Tokenizer(models.Unigram([("\u2581a", -1.0), ("b", -1.0)], unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_special_tokens(["<|im_end|>"])
    own = TokenBytes(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert [own(token) for token in range(3)] == [b" a", b"b", b"<|im_end|>"]


def test_a_chat_tells_parts_of_characters_by_their_bytes(tiny_tokenizer) -> None:
    ids = ids_of(tiny_tokenizer, "🦊")
    told = Reply("1", "tiny", TokenBytes(tiny_tokenizer), chat=True).logprobs_of(
        [Token(token, "", -1.0, ((token, -1.0), (0, -2.0))) for token in ids]
    )
    assert bytes(byte for entry in told["content"] for byte in entry["bytes"]) == FOX
    assert [entry["top_logprobs"][0]["bytes"] for entry in told["content"]] == [[byte] for byte in FOX]


def test_no_two_tokens_fall_onto_one_key(tiny_tokenizer, pieces) -> None:
    ids = ids_of(tiny_tokenizer, "🦊")
    top = tuple((token, -float(place)) for place, token in enumerate(ids))
    told = Reply("1", "tiny", TokenBytes(tiny_tokenizer), chat=False).logprobs_of([Token(ids[0], "", -0.5, top)])
    assert told["top_logprobs"] == [{rf"bytes:\x{byte:02x}": -float(place) for place, byte in enumerate(FOX)}]
    assert told["tokens"] == [r"bytes:\xf0"]
    byte, letter = pieces.convert_tokens_to_ids(["<0x41>", "A"])
    told = Reply("1", "pieces", TokenBytes(pieces), chat=False).logprobs_of(
        [Token(byte, "", -1.0, ((byte, -1.0), (letter, -2.0)))]
    )
    assert told["top_logprobs"] == [{"A": -1.0, f"token_id:{letter}": -2.0}]


def test_what_the_server_tells_joins_to_the_answer(address) -> None:
    """Drawn wildly, with `\ufffd` in it, whole and streamed."""
    hot = [{"role": "user", "content": "what is the opposite of hot?"}]
    body = {
        "messages": hot,
        "logprobs": True,
        "top_logprobs": 5,
        "temperature": 2,
        "ignore_eos": True,
        "max_tokens": 40,
    }
    parts = 0
    for seed in range(12):
        choice = post(address, body | {"seed": seed}).json()["choices"][0]
        entries = [entry for entry in choice["logprobs"]["content"] if entry["token"] != "<|im_end|>"]
        whole = b"".join(bytes(entry["bytes"]) for entry in entries)
        assert len(entries) and all(entry["bytes"] != [239, 191, 189] for entry in entries)
        parts += sum("\ufffd" in entry["token"] for entry in entries)
        if not any(entry["token"].startswith("<") for entry in entries):
            assert whole.decode(errors="replace").startswith(choice["message"]["content"][:4])
    assert parts
    plain = post(address, {"prompt": "what is", "logprobs": 20, "max_tokens": 8, "ignore_eos": True}, "/v1/completions")
    found: httpx.Response = plain
    assert [len(top) for top in found.json()["choices"][0]["logprobs"]["top_logprobs"]] == [20] * 8

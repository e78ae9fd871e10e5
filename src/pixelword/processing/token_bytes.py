"""The bytes of single tokens, which need not be whole characters."""

from __future__ import annotations

import json
from typing import Any


class TokenBytes:
    """Token -> its own bytes, for tokenizers of bytes (GPT-2's alphabet) and of pieces with bytes to fall back on.

    tokenizer: a fast (tokenizers-backed) transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        self._added = {entry["id"]: entry["content"] for entry in state.get("added_tokens") or ()}
        decoder = json.dumps(state.get("decoder"))
        self._is_bytes = '"ByteLevel"' in decoder
        self._is_pieces = '"Metaspace"' in decoder or '"ByteFallback"' in decoder

    def __call__(self, token: int) -> bytes:
        """Return a token's bytes; b"" if it is not in the vocabulary."""
        if token in self._added:
            return self._added[token].encode()
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return b""
        if self._is_bytes and all(letter in _BYTES for letter in piece):
            return bytes(_BYTES[letter] for letter in piece)
        if self._is_pieces:
            if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
                return bytes([int(piece[3:5], 16)])
            return piece.replace("\u2581", " ").encode()
        return self._tokenizer.decode([token]).encode()


def _alphabet() -> dict[str, int]:
    """Return GPT-2's byte alphabet: printable bytes map to themselves, the others to code points after 255."""
    seen = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + place): byte for place, byte in enumerate(unseen)}


_BYTES = _alphabet()

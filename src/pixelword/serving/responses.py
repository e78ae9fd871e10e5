"""Response bodies: OpenAI's formats for answers, streams and errors."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from pixelword.generation.media_usage import media_usage
from pixelword.generation.request import Request, Token
from pixelword.processing.boxes import places
from pixelword.processing.token_bytes import TokenBytes
from pixelword.processing.tools import Piece, ToolCallParser

#: Why an answer ended, in OpenAI's words.
FINISH = {"stop": "stop", "length": "length", "cancelled": "abort"}
#: OpenAI's names of errors, by status.
KINDS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    413: "PayloadTooLargeError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}
_LONGEST = 600  # characters of an error
DONE = b"data: [DONE]\n\n"


def shortened(message: str) -> str:
    """An error's words as text of bounded length: what they quote of a request may be long, or not even text."""
    message = message.encode(errors="replace").decode()
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"


def error(status: int, message: str, *, param: str | None = None) -> dict[str, Any]:
    """The body of an answer that is an error."""
    kind = KINDS.get(status, "InternalServerError" if status >= 500 else "BadRequestError")
    return {"error": {"message": shortened(message), "type": kind, "param": param, "code": status}}


def event(content: dict[str, Any], name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def usage(generations: Sequence[Request]) -> dict[str, Any]:
    """Token usage of a request: its prompt once, plus all answers; what was seen of each image."""
    completion_tokens = sum(generation.usage.completion_tokens for generation in generations)
    prompts = {id(generation.prompt): generation.usage for generation in generations}.values()
    prompt_tokens = sum(prompt.prompt_tokens for prompt in prompts)
    cached = sum(prompt.cached_tokens for prompt in prompts)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached, **media_usage(generations[0].prompt.images)},
    }


def objects_of(request: Request) -> dict[str, Any]:
    """Return the field `objects` of an answer whose text names places, in the sender's pixels; nothing else."""
    found = places(request.text, request.prompt.images)
    return {"objects": [place.as_dict() for place in found]} if found else {}


def _end(request: Request, *, calls: bool = False) -> dict[str, Any]:
    """Return why an answer ended, and the stop string or token that ended it, as in vLLM. calls: it ends with a
    whole call."""
    reason = FINISH[request.reason or "stop"]
    return {"finish_reason": "tool_calls" if calls and reason == "stop" else reason, "stop_reason": request.stop_reason}


def _choice_with_calls(request: Request) -> dict[str, Any]:
    """The message of an answer that may call tools, and why it ended."""
    parser = ToolCallParser()
    content, calls = "", list[dict[str, Any]]()
    for piece in [*parser.add(request.text), *parser.finish()]:
        if piece.call is None:
            content += piece.text
        elif piece.name is not None:
            calls.append(_call(piece))
        else:
            calls[piece.call]["function"]["arguments"] += piece.text
    if not calls:
        return {"message": {"role": "assistant", "content": content, **objects_of(request)}, **_end(request)}
    message = {"role": "assistant", "content": content or None, "tool_calls": calls}
    return {"message": message, **_end(request, calls=not parser.open)}


def _call(piece: Piece) -> dict[str, Any]:
    """A call at its beginning, with an ID of its own."""
    return {"id": f"call_{uuid.uuid4().hex}", "type": "function", "function": {"name": piece.name, "arguments": ""}}


def _delta(piece: Piece) -> dict[str, Any]:
    """The delta of a chat's chunk."""
    if piece.call is None:
        return {"content": piece.text}
    own = {"function": {"arguments": piece.text}} if piece.name is None else _call(piece)
    return {"tool_calls": [{"index": piece.call, **own}]}


def logprob_entries(tokens: Sequence[Token], token_bytes: TokenBytes) -> list[dict[str, Any]]:
    """Log probabilities of those tokens that have them, with the most likely tokens in their places."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        own = token_bytes(token)
        return {"token": own.decode(errors="replace"), "logprob": logprob, "bytes": list(own)}

    return [
        {**entry(token.id, token.logprob), "top_logprobs": [entry(*likely) for likely in token.top]}
        for token in tokens
        if token.logprob is not None
    ]


class Reply:
    """Response bodies of one request.

    Args:
        chat: Of `/v1/chat/completions`, else of `/v1/completions`.
        tools: Whether answers may call tools.
    """

    def __init__(
        self, request_id: str, model: str, token_bytes: TokenBytes, *, chat: bool, tools: bool = False
    ) -> None:
        self.chat, self._bytes, self._tools = chat, token_bytes, tools
        self._parsers: dict[int, ToolCallParser] = {}
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{request_id}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, generations: Sequence[Request], tokens: Sequence[Sequence[Token]]) -> dict[str, Any]:
        """The body of an answer that was not streamed."""
        choices = []
        for index, (item, said) in enumerate(zip(generations, tokens, strict=True)):
            choice: dict[str, Any] = {"index": index, **_end(item)}
            if self.chat and self._tools:
                choice |= _choice_with_calls(item)
            elif self.chat:
                choice["message"] = {"role": "assistant", "content": item.text, **objects_of(item)}
            else:
                choice["text"] = item.text
            choice["logprobs"] = self.logprobs_of(said)
            choices.append(choice)
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self.head, "object": kind, "choices": choices, "usage": usage(generations)}

    def first(self, index: int) -> dict[str, Any]:
        """The chunk with which a chat's streamed answer begins."""
        return self._chunk({"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})

    def pieces(self, index: int, token: Token) -> list[dict[str, Any]]:
        """Chunks with what one more token makes certain."""
        parts: list[dict[str, Any]] = [{"delta": {"content": token.text}} if self.chat else {"text": token.text}]
        if self._tools:
            found = self._parsers.setdefault(index, ToolCallParser()).add(token.text)
            parts = [{"delta": _delta(piece)} for piece in found]
            parts = parts or ([{"delta": {}}] if token.logprob is not None else [])
        scores = [self.logprobs_of([token]), *[None] * len(parts)]
        return [
            self._chunk({"index": index, **part, "logprobs": own, "finish_reason": None})
            for part, own in zip(parts, scores, strict=False)
        ]

    def last(self, index: int, request: Request) -> list[dict[str, Any]]:
        """The chunk that says why an answer ended, with the places that it names; before it, what was held back."""
        if not self._tools:
            part: dict[str, Any] = {"delta": objects_of(request)} if self.chat else {"text": ""}
            return [self._chunk({"index": index, **part, **_end(request)})]
        parser = self._parsers.setdefault(index, ToolCallParser())
        held = [{"index": index, "delta": _delta(piece), "finish_reason": None} for piece in parser.finish()]
        delta = {} if parser.calls else objects_of(request)
        return [
            *map(self._chunk, held),
            self._chunk({"index": index, "delta": delta, **_end(request, calls=parser.calls > 0 and not parser.open)}),
        ]

    def cost(self, generations: Sequence[Request]) -> dict[str, Any]:
        """The chunk that `stream_options.include_usage` asks for."""
        return {**self._chunk(None), "usage": usage(generations)}

    def _chunk(self, choice: dict[str, Any] | None) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        return {**self.head, "object": kind, "choices": [] if choice is None else [choice]}

    def logprobs_of(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        scored = [token for token in tokens if token.logprob is not None]
        if not scored:
            return None
        if not self.chat:
            return {
                "tokens": [self._name(token.id) for token in scored],
                "token_logprobs": [token.logprob for token in scored],
                "top_logprobs": [self._by_name(token.top) for token in scored],
            }
        return {"content": logprob_entries(scored, self._bytes)}

    def _name(self, token: int) -> str:
        """A token's text; for part of a character its bytes, as OpenAI writes them: `bytes:\\xf0\\x9f`."""
        own = self._bytes(token)
        try:
            return own.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in own)

    def _by_name(self, top: Sequence[tuple[int, float]]) -> dict[str, float]:
        """Log probabilities by token; if two tokens have the same text, the second is keyed by its id, as in vLLM."""
        found: dict[str, float] = {}
        for token, value in top:
            name = self._name(token)
            found[f"token_id:{token}" if name in found else name] = value
        return found

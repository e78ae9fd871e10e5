"""A small OpenAI-compatible server around the reference, right or deliberately wrong. For the kit's own tests."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from .conversations import IMAGES, Conversation, Image, Turn, prepared
from .reference import Reference, log_softmax


def conversation_of(messages: list[dict[str, Any]]) -> Conversation:
    """Of the kit's own messages: their images are found by content."""
    files = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in IMAGES.glob("*.png")}

    def part(item: dict[str, Any]) -> str | Image:
        if item["type"] == "text":
            return item["text"]
        data = base64.b64decode(item["image_url"]["url"].partition(",")[2])
        return Image(files[hashlib.sha256(data).hexdigest()])

    turns = []
    for message in messages:
        content = message["content"]
        turns.append(Turn(message["role"], (content,) if isinstance(content, str) else tuple(map(part, content))))
    return Conversation("sent", tuple(turns))


@contextmanager
def serving(folder: Path, mistake: str | None = None) -> Iterator[str]:
    """The address of a server that answers with the reference. Needs `tokenizers`."""
    from tokenizers import Tokenizer

    model, words = Reference(folder, mistake), Tokenizer.from_file(str(folder / "tokenizer.json"))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *values: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send({"data": [{"id": folder.name}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inputs = prepared(conversation_of(body["messages"]), words)
            tokens, logits = model.generate_with_logits(inputs, body["max_tokens"])
            chosen = log_softmax(logits)[np.arange(len(tokens)), tokens]
            content = [
                {"token": words.decode([token]), "logprob": float(value)}
                for token, value in zip(tokens, chosen, strict=True)
            ]
            choice = {"message": {"content": words.decode(tokens)}, "logprobs": {"content": content}}
            self.send({"choices": [choice], "usage": {"prompt_tokens": len(inputs)}})

        def send(self, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

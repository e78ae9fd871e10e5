"""`/v1/responses`: OpenAI's Responses API, over the same path as chat completions, with a bounded store."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from pixelword.errors import InputError
from pixelword.generation.request import Token
from pixelword.processing.token_bytes import TokenBytes
from pixelword.serving.answering import Answers, Streaming, collected, guarded, submit_chat
from pixelword.serving.description import READING, described
from pixelword.serving.format_responses import DeletedResponse, InputTokens, ResponseObject, ResponsesReply
from pixelword.serving.protocol_conversation import ChatMessage
from pixelword.serving.protocol_responses import Conversation, InputTokensRequest, ResponsesRequest
from pixelword.serving.response_store import ResponseStore
from pixelword.serving.state import Server

_EXAMPLE = {"input": "what is the opposite of hot?"}


class _Run:
    """One response from its request to the store."""

    def __init__(self, server: Server, store: ResponseStore, body: ResponsesRequest, token_bytes: TokenBytes) -> None:
        self.stores = store.enabled and body.store is not False
        self.store = store
        self.messages = body.messages(_earlier(store, body))
        self.chat = body.as_chat(self.messages)
        name, tools = server.settings.served_model_name, self.chat.calls_tools
        self.reply = ResponsesReply(body, name, token_bytes, store=self.stores, tools=tools)

    def end(self, answers: Answers, tokens: list[Token]) -> ResponseObject:
        """The response, stored if it is to be and did not fail."""
        generation = answers.generations[0]
        response = self.reply.whole(generation, tokens)
        if self.stores and response.status != "failed":
            messages = [*self.messages, self.reply.items.message()]
            self.store.put(response.id, response.model_dump_json().encode(), messages)
        return response

    async def events(self, answers: Answers) -> AsyncIterator[bytes]:
        """The events of its stream."""
        for event in self.reply.begin():
            yield event
        tokens: list[Token] = []
        async for _, token in answers:
            if token is None or not (token.text or token.logprob is not None):
                continue
            tokens.append(token)
            for index, text in self.reply.items.add(token.text):
                for event in self.reply.piece(index, text, [token]):
                    yield event
        for index, text in self.reply.items.finish():
            for event in self.reply.piece(index, text, []):
                yield event
        for event in self.reply.end(self.end(answers, tokens)):
            yield event


def add_responses(app: FastAPI, server: Server) -> None:
    """The routes."""
    settings = server.settings
    store = ResponseStore(settings.max_stored_responses, settings.max_stored_bytes)
    token_bytes = TokenBytes(server.engine.processor.tokenizer)

    @app.post("/v1/responses", **described(ResponseObject, streams=True, example=_EXAMPLE | {"max_output_tokens": 16}))
    async def create(request: Request, body: ResponsesRequest) -> Response:
        server.check(body.model)
        body.check(settings)
        if body.store and not store.enabled:
            raise InputError("store: this server stores no responses (--response-store-mb 0); leave it out")
        run = _Run(server, store, body, token_bytes)
        run.chat.check(settings)
        answers = await submit_chat(server, run.chat)
        if body.stream:
            return Streaming(answers, guarded(run.events(answers), run.reply.failure))
        (tokens,) = await collected(answers, request)
        run.reply.items.take(answers.generations[0].text)
        return JSONResponse(run.end(answers, tokens).model_dump())

    @app.post("/v1/responses/input_tokens", **described(InputTokens, example=_EXAMPLE))
    async def input_tokens(body: InputTokensRequest) -> Response:
        server.check(body.model)
        chat = body.chat(body.messages(_earlier(store, body)))
        prompt = await server.chat_prompt(chat.messages, chat.prompt_options())
        return JSONResponse(InputTokens(input_tokens=len(prompt)).model_dump())

    @app.get("/v1/responses/{response_id}", **described(ResponseObject, (400, 404, *READING)))
    async def retrieve(response_id: str, stream: bool = False) -> Response:
        if stream:
            raise InputError("stream: a stored response is not streamed again; leave it out")
        return Response(store.get(response_id).body, media_type="application/json")

    @app.delete("/v1/responses/{response_id}", **described(DeletedResponse, (400, 404, *READING)))
    async def delete(response_id: str) -> Response:
        store.delete(response_id)
        return JSONResponse(DeletedResponse(id=response_id).model_dump())


def _earlier(store: ResponseStore, body: Conversation) -> tuple[ChatMessage, ...]:
    """The conversation that a request continues. Raises HTTPException: 404, it is not stored."""
    if body.previous_response_id is None:
        return ()
    return store.get(body.previous_response_id, "previous_response_id").messages

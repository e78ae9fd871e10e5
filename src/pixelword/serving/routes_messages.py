"""`POST /v1/messages` and its token count: Anthropic's Messages API, over the same path as chat completions.

The header `anthropic-version` may have any value: what these routes do has the same form in all versions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from pixelword.serving import format_messages
from pixelword.serving.answering import Answers, Streaming, collected, guarded, submit_chat
from pixelword.serving.description import described_messages
from pixelword.serving.format_messages import MessagesAnswer, MessagesReply, TokenCount
from pixelword.serving.protocol_messages import CountTokensRequest, MessagesRequest
from pixelword.serving.state import Server

_EXAMPLE = {"messages": [{"role": "user", "content": "what is the opposite of hot?"}]}


def add_messages(app: FastAPI, server: Server) -> None:
    """The routes."""
    settings = server.settings

    @app.post("/v1/messages", **described_messages(MessagesAnswer, streams=True, example=_EXAMPLE | {"max_tokens": 16}))
    async def messages(request: Request, body: MessagesRequest) -> Response:
        server.check(body.model)
        chat = body.as_chat(settings)
        chat.check(settings)
        answers = await submit_chat(server, chat)
        generation = answers.generations[0]
        context_is_limit = generation.sampling.max_new_tokens < (chat.max_tokens or 0)
        name, tools = settings.served_model_name, chat.calls_tools
        reply = MessagesReply(request.state.id, name, context_is_limit=context_is_limit, tools=tools)
        if body.stream:
            return Streaming(answers, guarded(_events(answers, reply), format_messages.failure))
        await collected(answers, request)
        reply.items.take(generation.text)
        return JSONResponse(reply.whole(generation))

    @app.post("/v1/messages/count_tokens", **described_messages(TokenCount, example=_EXAMPLE))
    async def count_tokens(request: Request, body: CountTokensRequest) -> Response:
        server.check(body.model)
        chat = body.chat()
        prompt = await server.chat_prompt(chat.messages, chat.prompt_options())
        return JSONResponse(TokenCount(input_tokens=len(prompt)).model_dump())


async def _events(answers: Answers, reply: MessagesReply) -> AsyncIterator[bytes]:
    generation = answers.generations[0]
    for event in reply.begin(generation):
        yield event
    async for _, token in answers:
        if token is not None and token.text:
            for index, text in reply.items.add(token.text):
                for event in reply.piece(index, text):
                    yield event
    for index, text in reply.items.finish():
        for event in reply.piece(index, text):
            yield event
    for event in reply.end(generation):
        yield event

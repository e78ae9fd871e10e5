"""`POST /v1/chat/completions` and `POST /v1/completions`, whole or streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from pixelword.errors import InputError
from pixelword.processing.token_bytes import TokenBytes
from pixelword.processing.types import Encoded
from pixelword.serving import protocol, responses
from pixelword.serving.answering import Answers, Streaming, collected, guarded
from pixelword.serving.description import described
from pixelword.serving.fields import named_field
from pixelword.serving.format_openai import ChatAnswer, CompletionAnswer
from pixelword.serving.state import Server

_CHAT = {"messages": [{"role": "user", "content": "what is the opposite of hot?"}], "max_tokens": 16}
_PLAIN = {"prompt": "what is", "max_tokens": 16}


def add_chat(app: FastAPI, server: Server) -> None:
    """Routes of OpenAI's chat and plain completions."""
    settings, engine = server.settings, server.engine
    token_bytes = TokenBytes(engine.processor.tokenizer)

    async def answer(
        request: Request, body: protocol.Request, prompts: Sequence[Encoded], logprobs: int | None
    ) -> Response:
        await server.compile(body.structure())
        asked = [
            (prompt, body.sampling(settings, engine.room(prompt), logprobs=logprobs, choice=n))
            for prompt in prompts
            for n in range(body.n or 1)
        ]
        answers = Answers(server, asked)
        chat = isinstance(body, protocol.ChatRequest)
        tools = isinstance(body, protocol.ChatRequest) and body.calls_tools
        reply = responses.Reply(request.state.id, settings.served_model_name, token_bytes, chat=chat, tools=tools)
        if not body.stream:
            return JSONResponse(reply.whole(answers.generations, await collected(answers, request)))
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        return Streaming(answers, guarded(_events(answers, reply, with_usage=with_usage), _failure))

    @app.post("/v1/chat/completions", **described(ChatAnswer, streams=True, example=_CHAT))
    async def chat(request: Request, body: protocol.ChatRequest) -> Response:
        server.check(body.model)
        body.check(settings)
        prompt = await server.chat_prompt(body.messages, body.prompt_options())
        return await answer(request, body, [prompt], body.num_logprobs)

    @app.post("/v1/completions", **described(CompletionAnswer, streams=True, example=_PLAIN))
    async def completions(request: Request, body: protocol.CompletionRequest) -> Response:
        server.check(body.model)
        body.check(settings)
        prompts = [server.text_prompt(text) for text in body.prompts]
        if len(prompts) * (body.n or 1) > settings.max_choices:
            raise InputError(f"prompt: a request may have {settings.max_choices} answers in all")
        return await answer(request, body, prompts, body.logprobs)


async def _events(answers: Answers, reply: responses.Reply, *, with_usage: bool) -> AsyncIterator[bytes]:
    if reply.chat:
        for index in range(len(answers.generations)):
            yield responses.event(reply.first(index))
    async for index, token in answers:
        if token is None:
            for chunk in reply.last(index, answers.generations[index]):
                yield responses.event(chunk)
        elif token.text or token.logprob is not None:
            for chunk in reply.pieces(index, token):
                yield responses.event(chunk)
    if with_usage:
        yield responses.event(reply.cost(answers.generations))
    yield responses.DONE


def _failure(status: int, message: str) -> list[bytes]:
    return [responses.event(responses.error(status, message, param=named_field(message)))]

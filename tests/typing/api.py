"""The public API's types: checked by mypy and pyright in `make check`, never run."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import assert_never, assert_type

from reactivex import Observable

import rxlapce
from rxlapce import (
    Answer,
    AnswerBuilder,
    ChatRequest,
    ErrorKind,
    Finish,
    FinishKind,
    FlowControl,
    Message,
    Opaque,
    ProviderError,
    Reasoning,
    Refusal,
    Retry,
    Seam,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)
from rxlapce.bridge import Client, TokenStream, connect
from rxlapce.codec.event import Event
from rxlapce.flow import Stage
from rxlapce.messages import ChatResponse
from rxlapce.operators.decode import sse_decode
from rxlapce.operators.token_map import token_map
from rxlapce.typing import Dialect

request = ChatRequest(model="openai/any", messages=(Message(role="user", content="hi"),), stop=("END",))
assert_type(request.messages, tuple[Message, ...])
assert_type(request.temperature, float | None)
Message(role="robot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a role is one of a few words
ChatRequest("openai/any", ())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - only by keyword


def every_token_is_in_the_union(token: StreamToken) -> str:
    """A match over all tokens needs no default: adding a token to the union is seen here."""
    match token:
        case Text() | Refusal():
            return assert_type(token.text, str)
        case Reasoning():
            assert_type(token.signature, str | None)
        case ToolCall():
            assert_type(token.arguments_delta, str)
        case UsageReport():
            assert_type(token.usage, Usage)
        case Finish():
            assert_type(token.kind, FinishKind)
        case Seam():
            assert_type(token.leg, int)
        case Opaque():
            assert_type(token.raw, str)
        case _:
            assert_never(token)
    return ""


def tokens_are_frozen(token: Text) -> None:
    token.text = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] - frozen


def folding(builder: AnswerBuilder, token: StreamToken) -> None:
    builder.add(token)
    assert_type(builder.answer(), Answer)
    assert_type(builder.answer().usage, Usage | None)


def pipeline(source: Observable[bytes], dialect: Dialect[Event]) -> None:
    assert_type(source.pipe(sse_decode()), Observable[Event])
    assert_type(source.pipe(sse_decode(), token_map(dialect)), Observable[StreamToken])


async def iterating(source: Observable[StreamToken], flow: FlowControl) -> None:
    assert_type(rxlapce.iterate(source, flow=flow), AsyncGenerator[StreamToken, None])
    async for token in rxlapce.iterate(source):
        every_token_is_in_the_union(token)


async def asking() -> None:
    async with await connect(transport="shm") as client:
        assert_type(client, Client)
        assert_type(await client.chat(request), ChatResponse)
        stream = client.chat_stream(request)
        assert_type(stream, TokenStream)
        as_observable: Observable[StreamToken] = stream
        as_stage: Stage[StreamToken] = stream
        as_iterator: AsyncIterator[StreamToken] = aiter(stream)
        del as_observable, as_stage, as_iterator
    await connect(transport="pigeon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def failing(error: ProviderError) -> None:
    assert_type(error.kind, ErrorKind)
    assert_type(error.retry, Retry)
    assert_type(error.retry_after_s, float | None)

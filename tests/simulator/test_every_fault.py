"""Each fault that a crash test plays, by every provider's every API, as our own client meets it."""

from collections.abc import AsyncIterator
from typing import get_args

import aiohttp
import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.http import HttpClient
from rxlapce.simulator import Close, Options, Outcome, Served, Simulator, Step, parse, recite
from rxlapce.simulator.recital import Recited
from rxlapce.testing.askers import Asker, everyone
from rxlapce.testing.asking import Collected, heard
from rxlapce.tokens import Finish, StreamToken, Text


class Stubborn:
    """A simulator whose every model behaves as `options` say, and everyone who asks it."""

    def __init__(self, http: HttpClient) -> None:
        self.options = Options()
        self.simulator = Simulator(seed=3, by_model=lambda _: self.options)
        self._http = http

    def everyone(self, options: str) -> list[Asker]:
        """Who is now treated so."""
        self.options = parse(options)
        return everyone(self._http, self.simulator)


@pytest.fixture
async def stubborn(http: HttpClient) -> AsyncIterator[Stubborn]:
    made = Stubborn(http)
    async with made.simulator:
        yield made


async def error_of(asked: Collected[StreamToken], who: str) -> ProviderError:
    error = await asked.end()
    assert isinstance(error, ProviderError), f"{who}: {error!r}"
    return error


def texts(asked: Collected[StreamToken]) -> int:
    return sum(isinstance(token, Text) for token in asked.items)


async def has_served(simulator: Simulator, count: int) -> None:
    """Wait for so many requests."""
    await simulator.wait_until(lambda: len(simulator.served) >= count)


async def has_streams(simulator: Simulator, count: int) -> None:
    """Wait for so many open streams."""
    await simulator.wait_until(lambda: simulator.open_streams == count)


async def is_left(simulator: Simulator, served: Served) -> None:
    """Wait until the client has gone from one."""
    await simulator.wait_until(lambda: served.outcome is Outcome.CLIENT_GONE)


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "statuses"),
    [
        ("status=429", ErrorKind.RATE_LIMIT, {429}),
        ("status=429,retry_after=3", ErrorKind.RATE_LIMIT, {429}),
        ("fault=rate_limit,retry_after=0.25", ErrorKind.RATE_LIMIT, {429}),
        ("status=500", ErrorKind.OVERLOADED, {500}),
        ("status=503", ErrorKind.OVERLOADED, {503}),
        ("fault=overloaded", ErrorKind.OVERLOADED, {503, 529}),
        ("fault=context_length", ErrorKind.CONTEXT_LENGTH, {400}),
    ],
)
async def test_a_refusal_is_of_its_kind_everywhere(
    stubborn: Stubborn, options: str, kind: ErrorKind, statuses: set[int]
) -> None:
    for asker in stubborn.everyone(options):
        error = await error_of(asker.ask(), str(asker))
        assert (error.kind, error.status in statuses) == (kind, True), f"{asker}: {error!r} {error.status}"
        wait_s = stubborn.options.retry_after
        if wait_s is None:
            assert error.retry_after_s is None or kind is not ErrorKind.RATE_LIMIT, str(asker)
        else:
            assert error.retry_after_s is not None, str(asker)
            assert wait_s <= error.retry_after_s <= max(wait_s, 1), str(asker)
        served = stubborn.simulator.served[-1]
        assert (served.outcome, served.status, served.streaming) == (Outcome.REFUSED, error.status, False), str(asker)


async def test_a_blocked_prompt_is_refused_everywhere_and_by_its_kind_where_the_vendor_has_one(
    stubborn: Stubborn,
) -> None:
    """The others have no such refusal but as bad requests."""
    telling = {"openai", "azure", "openrouter", "anthropic", "xai"}
    for asker in stubborn.everyone("fault=blocked"):
        error = await error_of(asker.ask(), str(asker))
        assert error.status in (400, 403), str(asker)
        assert error.retry is not Retry.SAME, str(asker)
        assert error.kind is ErrorKind.CONTENT_FILTER or asker.provider.name not in telling, str(asker)
        assert stubborn.simulator.served[-1].outcome is Outcome.REFUSED, str(asker)


@pytest.mark.parametrize("fault", ["status=429", "status=503", "fault=reset", "fault=cut,after=1", "fault=malformed"])
async def test_after_its_times_a_fault_is_over_for_each_path_and_model(stubborn: Stubborn, fault: str) -> None:
    asked: set[tuple[str, str]] = set()
    for asker in stubborn.everyone(f"{fault},times=1,tokens=30"):
        first = await asker.ask().end()
        served = stubborn.simulator.served[-1]
        wish = (served.request.path, asker.model)
        # Some providers have a path in common, and so one count.
        assert isinstance(first, ProviderError) == (wish not in asked), str(asker)
        asked.add(wish)
        assert await asker.ask().end() is None, str(asker)
        assert stubborn.simulator.served[-1].tokens == 30, str(asker)


# -- before the first token -----------------------------------------------------------------------------------------


async def test_a_reset_before_the_headers_is_the_networks_error_everywhere(stubborn: Stubborn) -> None:
    for asker in stubborn.everyone("fault=reset"):
        error = await error_of(asker.ask(), str(asker))
        assert (error.kind, error.status) == (ErrorKind.NETWORK, None), str(asker)
        served = stubborn.simulator.served[-1]
        assert (served.outcome, served.status, served.bytes) == (Outcome.CUT, None, 0), str(asker)


@pytest.mark.parametrize(("options", "streaming"), [("fault=hang", False), ("ttft=20", True)])
async def test_silence_lasts_until_the_client_leaves_everywhere(
    stubborn: Stubborn, options: str, streaming: bool
) -> None:
    """A hang has no headers; a slow first token has them at once."""
    simulator = stubborn.simulator
    for number, asker in enumerate(stubborn.everyone(options)):
        asked = asker.ask()
        await has_served(simulator, number + 1)
        served = simulator.served[-1]
        await has_streams(simulator, int(streaming))
        assert (served.outcome, served.tokens) == (None, 0), str(asker)
        asked.dispose()
        await is_left(simulator, served)
        assert (served.status, texts(asked)) == (200 if streaming else None, 0), str(asker)
        assert simulator.open_streams == 0


def test_a_slow_first_token_is_so_many_seconds_of_silence() -> None:
    steps = [step for step in recite("hi", defaults=parse("ttft=20,tokens=3")) if isinstance(step, Step)]
    assert sum(step.delay_s for step in steps) == 20
    assert next(step for step in steps if step.tokens).delay_s == 20


# -- in mid-answer --------------------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("pace", ["", ",tps=2000", ",split=0"])
async def test_a_cut_after_40_of_60_tokens_delivers_40_everywhere(stubborn: Stubborn, pace: str) -> None:
    for asker in stubborn.everyone(f"tokens=60,fault=cut,after=40{pace}"):
        asked = asker.ask()
        error = await error_of(asked, str(asker))
        assert (error.kind, error.phase) == (ErrorKind.TRUNCATED, Phase.FLOW), f"{asker}: {error!r}"
        served = stubborn.simulator.served[-1]
        assert (served.tokens, served.outcome) == (40, Outcome.CUT), str(asker)
        pieces = list(served.replies[0].text_pieces())
        assert (len(pieces), heard(asked.items).text) == (60, "".join(pieces[:40])), str(asker)


async def test_a_cut_is_in_the_middle_of_the_chunked_body(stubborn: Stubborn) -> None:
    """What the socket carries ends without the last chunk, though whole events came."""
    stubborn.everyone("tokens=60,fault=cut,after=40")
    body = {"model": "sim", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    came = b""
    async with (
        aiohttp.ClientSession(stubborn.simulator.base_url) as client,
        client.post("/v1/chat/completions", json=body) as response,
    ):
        assert response.headers["transfer-encoding"] == "chunked"
        with pytest.raises(aiohttp.ClientPayloadError):  # noqa: PT012 - the chunks before the cut are looked at
            async for chunk in response.content.iter_any():
                came += chunk
    assert came.endswith(b"}\n\n")
    assert came.count(b'"delta":{"content":') == 40


async def test_a_stall_delivers_what_it_has_and_keeps_the_connection_everywhere(stubborn: Stubborn) -> None:
    simulator = stubborn.simulator
    for asker in stubborn.everyone("tokens=60,fault=stall,after=40"):
        asked = asker.ask()
        while texts(asked) < 40:
            await asked.until(len(asked.items) + 1)
        served = simulator.served[-1]
        assert (served.tokens, served.outcome, asked.ends) == (40, None, 0), str(asker)
        asked.dispose()
        await is_left(simulator, served)


async def test_a_malformed_event_comes_after_40_tokens_everywhere(stubborn: Stubborn) -> None:
    for asker in stubborn.everyone("tokens=60,fault=malformed,after=40"):
        asked = asker.ask()
        error = await error_of(asked, str(asker))
        assert (error.kind, texts(asked)) == (ErrorKind.PROTOCOL, 40), f"{asker}: {error!r}"
        assert stubborn.simulator.served[-1].outcome in (Outcome.COMPLETED, Outcome.CLIENT_GONE, None), str(asker)


async def test_an_answer_without_its_last_event_has_all_its_text_everywhere(stubborn: Stubborn) -> None:
    """Whether it is whole is the dialect's to say: for some the finish is enough, others demand the last event."""
    for asker in stubborn.everyone("tokens=60,fault=no_done"):
        asked = asker.ask()
        error = await asked.end()
        served = stubborn.simulator.served[-1]
        assert heard(asked.items).text == "".join(served.replies[0].text_pieces()), str(asker)
        if error is None:
            assert isinstance(asked.items[-1], Finish), str(asker)
        else:
            assert isinstance(error, ProviderError), str(asker)
            assert error.kind is ErrorKind.TRUNCATED, f"{asker}: {error!r}"


@pytest.mark.parametrize("dialect", get_args(Recited))
def test_without_the_last_event_the_body_still_ends_as_it_should(dialect: Recited) -> None:
    def bytes_of(options: str) -> bytes:
        steps = list(recite("hi", dialect=dialect, defaults=parse(options)))
        assert steps[-1] is Close.COMPLETED
        return b"".join(step.data for step in steps if isinstance(step, Step))

    whole, short = bytes_of("tokens=60"), bytes_of("tokens=60,fault=no_done")
    assert whole.startswith(short)
    assert len(whole) > len(short)

"""The relay: what goes through it arrives as it was sent, is kept, and can be answered again."""

import aiohttp
import yarl

from rxlapce.simulator import Simulator
from rxlapce.testing.relay import Relay

BODY = b'{"model":"sim:tokens=5","messages":[{"role":"user","content":"hi"}],"stream":true}'


async def test_a_request_goes_on_as_it_was_written_and_is_kept() -> None:
    async with (
        Simulator() as simulator,
        Relay(simulator.base_url).running() as relay,
        aiohttp.ClientSession() as session,
    ):
        url = yarl.URL(f"{relay.base_url}/model/anthropic.claude%3A0%2Fx/converse?a=%20b", encoded=True)
        async with session.post(url, data=BODY, headers={"X-Own": "1"}) as answer:
            assert answer.status == 403  # nobody has signed it
        (passed,) = simulator.requests
    (asked,) = relay.asked
    assert asked.target == passed.target == "/model/anthropic.claude%3A0%2Fx/converse?a=%20b"
    assert (asked.method, asked.body, asked.headers["x-own"]) == ("POST", BODY, "1")
    assert (passed.body, passed.headers["x-own"]) == (BODY, "1")


async def test_an_answer_is_given_again_byte_for_byte_and_not_asked_for() -> None:
    async with (
        Simulator() as simulator,
        Relay(simulator.base_url).running() as relay,
        aiohttp.ClientSession() as session,
    ):

        async def ask() -> tuple[int, str, bytes]:
            async with session.post(f"{relay.base_url}/v1/chat/completions", data=BODY) as answer:
                return answer.status, answer.content_type, await answer.read()

        first = await ask()
        with relay.repeating():
            assert await ask() == first
            assert await ask() == first
        assert first[:2] == (200, "text/event-stream")
        assert len(simulator.requests) == 1
        await ask()
        assert len(simulator.requests) == 2
    assert len(relay.asked) == 4

"""Whatever bytes come, each API's decoder gives tokens and one end, the same for every cut; see `testing.decoding`."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.providers.apis import APIS
from rxlapce.testing.corpus import mutators, recordings, simulated
from rxlapce.testing.decoding import decode, decode_all_cuts, read_answer, read_error, weighed
from rxlapce.testing.mutations import Mutator
from rxlapce.testing.samples import SAMPLES, UNARY, UNKNOWN
from rxlapce.testing.thoroughness import examples

SEEDS = st.integers(0, 2**32 - 1).map(lambda seed: random.Random(seed))  # noqa: S311 - repeatable on purpose
STATUSES = st.sampled_from([299, 400, 401, 402, 403, 404, 413, 429, 499, 500, 503, 529, 599, 999])
#: Without recordings: what a bare checkout fuzzes with.
BARE = {api: Mutator(api, spoken.framing.name, simulated(api)) for api, spoken in APIS.items()}


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(12), deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_end_once(api: str, data: bytes) -> None:
    decode_all_cuts(api, data)


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(12), deadline=None)
@given(chance=SEEDS)
def test_framed_random_json_ends_once(api: str, chance: random.Random) -> None:
    decode_all_cuts(api, BARE[api].invented(chance))


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(12), deadline=None)
@given(chance=SEEDS)
def test_mutated_streams_end_once(api: str, chance: random.Random) -> None:
    decode_all_cuts(api, BARE[api].body(chance))


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(12), deadline=None)
@given(chance=SEEDS)
def test_mutated_recordings_end_once(api: str, chance: random.Random) -> None:
    if not recordings(api):
        pytest.skip(f"no recorded streams of {api}; RXLAPCE_STREAMS names the folder of those that there are")
    decode_all_cuts(api, mutators()[api].body(chance))


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=examples(30), deadline=None)
@given(chance=SEEDS, status=STATUSES, said=st.text(max_size=20))
def test_any_body_is_an_answer_or_an_error(api: str, chance: random.Random, status: int, said: str) -> None:
    events = SAMPLES.get(api, UNKNOWN)
    value = chance.choice([*UNARY.get(api, []), *(value for _, value in events)])
    body = BARE[api].unary(json.loads(json.dumps(value)), chance)
    dialect = APIS[api].dialect()
    read_answer(dialect, body)
    headers: dict[str, str] = dict.fromkeys(("retry-after", "retry-after-ms", "x-request-id", "x-should-retry"), said)
    read_error(dialect, status, headers, body)


@pytest.mark.parametrize("api", APIS)
def test_the_samples_say_something(api: str) -> None:
    """Mutations of what a decoder refuses at once would try nothing."""
    seeds = Mutator(api, APIS[api].framing.name).seeds
    said = sum(len(decode(api, seed).tokens) for seed in seeds)
    assert said >= len(SAMPLES.get(api, UNKNOWN)) // 3


@pytest.mark.parametrize("api", APIS)
def test_the_memory_of_a_stream_is_linear_in_its_bytes(api: str) -> None:
    frames = BARE[api].seeds[0]
    for times in (1, 40):
        data = frames * times
        with weighed(len(data)):
            decode(api, data, range(1000, len(data), 1000))

"""Answers that depend on the conversation alone, and the rest of one whose beginning the conversation has.

With `steady=1` two simulators of one seed say the same, whatever the dialect, the vendor and the model. So one can go
on where the other broke off: the text that came and the rest join to the answer that neither gave whole.

    user: What is a stream?
    assistant: A streamed answer is a lo        <- a beginning of the steady answer to what stands before it
    user: Go on exactly where it stopped.       <- may be there or not

A turn that is no such beginning is an ordinary turn, and the conversation is answered as it is. What the user says does
not matter unless the answer is all there: then only one who asks to go on gets the rest, which is nothing, and any
other has asked something new. A request without turns is continued likewise: its text is the first prompt and what came
of the answer.
"""

import random
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from rxlapce.simulator import answers
from rxlapce.simulator.asked import Asked, Spoken, Voice
from rxlapce.simulator.options import Options
from rxlapce.simulator.reply import Reply, begins_with, compose
from rxlapce.simulator.tokenizer import seeded


class Given(msgspec.Struct, frozen=True):
    """The answer to a request, a reply for each choice; `continued`: it is the rest of one that had begun."""

    replies: tuple[Reply, ...]
    continued: bool = False


def give(asked: Asked, options: Options, chance: random.Random, *, seed: int) -> Given:
    """The answer as the options want it: by the request's own `chance`, or steady.

    Of several choices none is continued: which of them had begun is not said.
    """
    if not options.steady:
        return Given(compose(asked, options, chance))
    whole_too = not _asks_something_new(asked)
    for before, said in _beginnings(asked) if asked.choices == 1 else ():
        if begins_with(before, options, _chance(before, seed), said, whole_too=whole_too):
            return Given(compose(before, options, _chance(before, seed), said=said), continued=True)
    plain = _of(asked, asked.turns) if asked.turns else asked
    return Given(compose(plain, options, _chance(plain, seed)))


def ends_in_the_models_turn(asked: Asked) -> bool:
    """Whether the model is to go on with a turn of its own."""
    return bool(asked.turns) and asked.turns[-1].voice is Voice.MODEL


def _chance(asked: Asked, seed: int) -> random.Random:
    return seeded(seed, "steady", asked.prompt, *asked.tool_results)


_GOING_ON: Final = re.compile(r"\b(?:go(?:ing)? on|continu|carry on|cut off|broke off)", re.IGNORECASE)


def _asks_something_new(asked: Asked) -> bool:
    """Whether the last turn is a user's without a word of going on."""
    if not asked.turns or asked.turns[-1].voice is not Voice.USER:
        return False
    return _GOING_ON.search(asked.turns[-1].text) is None


def _beginnings(asked: Asked) -> Iterator[tuple[Asked, str]]:
    """What may have been asked first, and what then came of its answer."""
    turns = asked.turns
    if not turns:
        for at in answers.where_one_may_begin(asked.prompt):
            prompt = asked.prompt[:at]
            yield msgspec.structs.replace(asked, prompt=prompt), asked.prompt[at:]
        return
    asking = turns[-1].voice is Voice.USER and not turns[-1].results
    end = len(turns) - asking
    if end and turns[end - 1].voice is Voice.MODEL and turns[end - 1].text:
        yield _of(asked, turns[: end - 1]), turns[end - 1].text


def _of(asked: Asked, turns: tuple[Spoken, ...]) -> Asked:
    """The request as if its conversation had only these turns; read alike for all dialects."""
    prompts = (turn.text for turn in reversed(turns) if turn.voice is Voice.USER and turn.text)
    return msgspec.structs.replace(asked, turns=turns, prompt=next(prompts, ""), tool_results=_last_results(turns))


def _last_results(turns: tuple[Spoken, ...]) -> tuple[str, ...]:
    """What the tools said, if nobody has spoken since."""
    results: list[str] = []
    for turn in reversed(turns):
        if not turn.results:
            break
        results[:0] = turn.results
    return tuple(results)

"""What holds of every interleaving: a small model of the pipeline, asserted of a `World` that has run."""

from collections import defaultdict
from itertools import pairwise

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Attempt
from rxlapce.operators.legs import AfterCommit
from rxlapce.routing.settings import Quota
from rxlapce.testing.interleaving import Reader, World
from rxlapce.testing.scripted_http import Fault, Sent
from rxlapce.testing.spoken import CALL, TRUTH
from rxlapce.tokens import VISIBLE, Finish, FinishKind, Seam, SeamWord, UsageReport

#: Virtual time is kept in whole microseconds.
SLACK_S = 1e-5


def holds(condition: object, *what: object) -> None:
    """Raise `AssertionError` that tells `what` unless `condition`."""
    if not condition:
        raise AssertionError(" ".join(map(str, what)))


def check(world: World) -> None:
    """All of it."""
    for reader in world.readers:
        ends_once(reader)
        is_whole_or_says_how_much(reader)
        usage_is_of_what_was_used(reader)
        is_settled_once(reader)
        retries_as_it_may(world, reader)
    keeps_the_quotas(world)
    keeps_the_retry_budget(world)
    holds(not world.left_behind, "left behind:", world.left_behind)
    holds(not world.held(), "held at the end:", world.held())
    holds(sum(totals.attempts for totals in world.traffic.totals.collect().values()) == len(world.http.sent), "totals")


# -- of one reader ----------------------------------------------------------------------------------------------------


def ends_once(reader: Reader) -> None:
    """One end, right after one `Finish` or as an error; none for who left; and nothing after either."""
    raw, ends = reader.raw, reader.ends
    holds(len(ends) == (not reader.left), "ends:", ends)
    if reader.left:
        holds(len(raw) == reader.raw_when_left, "after it left:", raw[reader.raw_when_left :])
    raw_ends = [place for place, said in enumerate(raw) if said is None or isinstance(said, Exception)]
    holds(len(raw_ends) <= 1, "ends of the pipeline:", raw_ends)
    holds(not raw_ends or raw_ends[0] == len(raw) - 1, "after the end:", raw)
    finishes = [place for place, said in enumerate(raw) if isinstance(said, Finish)]
    holds(len(finishes) <= 1, "finishes:", finishes)
    if finishes:
        holds(raw[finishes[0] + 1 :] in ([], [None]), "after the finish:", raw)
    if not reader.left:
        holds(reader.tokens == raw[:-1], "the buffer lost or changed something")
        holds(isinstance(ends[0], ProviderError) or (ends[0] is None and finishes), "end:", ends)
    else:
        holds(reader.tokens == raw[: len(reader.tokens)], "the buffer changed something")


def is_whole_or_says_how_much(reader: Reader) -> None:
    """Nothing is lost, doubled or cut short and called whole; an error tells what there is."""
    answer = reader.builder.answer()
    calls = tuple((call.id, call.name, call.arguments) for call in answer.choices[0].tool_calls)
    finish = reader.finish
    holds(TRUTH.startswith(answer.text), "text:", answer.text)
    if finish is not None and finish.kind is not FinishKind.CONTENT_FILTER:
        holds(answer.text == TRUTH, "called whole:", answer.text)
        holds(calls == ((CALL,) if reader.reading.tools else ()), "calls:", calls)
        holds(finish.kind is (FinishKind.TOOL_CALLS if reader.reading.tools else FinishKind.STOP), finish)
    if finish is not None:
        last = reader.sent[-1]
        holds(finish.model == last.question.model, "answered:", last.model, finish)
    error = reader.ends[0] if reader.ends else None
    if isinstance(error, ProviderError):
        saw = any(isinstance(token, VISIBLE) for token in reader.tokens)
        holds(error.delivered_chars == (len(answer.text) if saw else None), "delivered:", error.delivered_chars)
        holds(error.kind is not error.kind.INTERNAL, "a fault of ours:", repr(error))


def usage_is_of_what_was_used(reader: Reader) -> None:
    """The usage is that of the requests which made the answer, each told by one bit of the input tokens."""
    usage, sent = reader.builder.answer().usage, reader.sent
    used = [one for one in sent if one.spoke]
    if reader.finish is not None or reader.left:  # an answer in one piece speaks and ends at once
        used += sent[-1:]
    for token in reader.tokens:
        if isinstance(token, UsageReport):
            told = [one for one in sent if one.input_tokens & (token.usage.input or 0)]
            holds(all(one in used for one in told), "usage of one who said nothing:", token)
    if reader.finish is None:
        return
    legs = 1
    for token in reader.tokens:
        if isinstance(token, Seam):
            legs = 1 if token.word is SeamWord.RESTART else legs + 1
    counted = 0 if usage is None or usage.input is None else usage.input
    made = [one for one in sent if one.input_tokens & counted]
    holds(counted < 2 ** len(sent), "usage of nobody's request:", counted)
    holds(len(made) <= legs, "usage of", len(made), "requests for", legs, "legs")
    if sent[-1].told_usage:
        holds(sent[-1] in made, "the usage of the one who finished is missing")
    models = [one.model for one in made]
    holds(len(set(models)) == len(models), "two requests to one model in one answer:", models)


def is_settled_once(reader: Reader) -> None:
    """Told once, with the attempts that the providers saw and those refused before, and how it ended."""
    holds(len(reader.settled) == 1, "told", len(reader.settled), "times")
    settled = reader.settled[0]
    attempts = [attempt for attempt in settled.attempts if attempt.phase is not Phase.ADMIT]
    seen = [sent.model for sent in reader.sent]
    told = [_name(attempt) for attempt in attempts]
    waiting = len(told) == len(seen) + 1 and reader.left and _is_cancelled(attempts[-1])
    holds(told == seen or (waiting and told[:-1] == seen), "attempts:", told, "seen:", seen)
    holds([one.number for one in settled.attempts] == list(range(1, len(settled.attempts) + 1)), "numbers")
    for attempt, sent in zip(attempts, reader.sent, strict=False):
        holds(abs(attempt.started_s + attempt.took_s - (sent.ended_s or 0.0)) < 1, "the end of", attempt)
    finished = any(isinstance(said, Finish) for said in reader.raw)
    if reader.left and attempts:  # perhaps at the seam or the usage just before a finish, which had come by then
        finished = finished or attempts[-1].finished
    end = reader.raw[-1] if reader.raw else None
    kind = end.kind if isinstance(end, ProviderError) else None
    holds(settled.finished == finished, "finished:", settled.finished)
    holds(settled.error_kind is kind, "kind:", settled.error_kind, "not", kind)
    others = reader.sent[:-1] if finished else reader.sent
    passed_over = {place for place, sent in enumerate(others) if sent.script.fault is Fault.WITHHELD}
    whole = [place for place, attempt in enumerate(attempts) if attempt.finished and place not in passed_over]
    holds(whole == ([len(attempts) - 1] if finished else []), "finished attempts:", whole)
    if reader.sent and finished:
        holds(f"{settled.provider}/{settled.model}" == seen[-1], "who answered:", settled.provider, settled.model)


def retries_as_it_may(world: World, reader: Reader) -> None:
    """Each model in its turn; again only before a word was said, as often as it may, and when it asked to."""
    sent, settings = reader.sent, world.scenario.settings
    runs: list[list[Sent]] = []
    for one in sent:
        if runs and runs[-1][0].model == one.model and runs[-1][0].question == one.question:
            runs[-1].append(one)
        else:
            runs.append([one])
    models = [run[0].model for run in runs]
    again = [before for before, after in pairwise(runs) if before[0].model == after[0].model]
    holds(all(run[-1].question.prefill and run[-1].script.refuses_prefill for run in again), "asked anew:", models)
    holds(len(set(models)) == len(models) - len(again), "went back:", models)
    for run in runs:
        holds(len(run) <= settings.retry.max_attempts, "attempts:", len(run))
        for before, after in pairwise(run):
            holds(not before.spoke, "retried after a word was said")
            asked_s = None if before.failure is None else before.failure.retry_after_s
            holds(before.ended_s is not None and after.at_s >= before.ended_s, "two at once")
            holds(after.at_s >= (before.ended_s or 0.0) + (asked_s or 0.0) - SLACK_S, "too early by Retry-After")
    last = {_name(attempt): attempt for attempt in reader.settled[0].attempts}
    refused = [name for name, attempt in last.items() if attempt.error_kind is ErrorKind.BAD_REQUEST]
    holds(not refused or reader.left, "a prefill was refused, and the model not asked without one:", refused)
    policy = world.scenario.alias.fallback or settings.fallback
    if policy.after_commit is AfterCommit.FAIL:
        holds(not any(isinstance(token, Seam) for token in reader.raw), "a seam, though the policy is to fail")
        holds(not any(one.spoke for one in sent[:-1]), "asked elsewhere after a word was said")


# -- of all -----------------------------------------------------------------------------------------------------------


def keeps_the_quotas(world: World) -> None:
    """At no time more streams, and in no minute more requests, than a quota has."""
    admission = world.scenario.settings.admission
    by_key: dict[str, list[float]] = defaultdict(list)
    for sent in world.http.sent:
        route, _, _ = world.keys_of(sent)
        by_key[route].append(sent.at_s)
    for reader in world.readers:
        if reader.sent:  # a whole request counts once, when it is let in
            let_in_s = reader.settled[0].attempts[0].started_s
            by_key[f"client {reader.reading.client}"].append(let_in_s)
            if admission.client == Quota():  # else it may have waited since its user's quota let it in
                by_key[f"user {reader.reading.user}"].append(let_in_s)
    for key, times_s in by_key.items():
        who, _, name = key.partition(" ")
        quota = {"user": admission.user, "client": admission.client}.get(who)
        if quota is None:
            quota = admission.of(*name.partition("/")[::2])[1]
        holds(quota.streams is None or world.most_at_once[key] <= quota.streams, key, "streams at once")
        times_s.sort()
        most = quota.requests or len(times_s)
        spans = [later - first for first, later in zip(times_s, times_s[most:], strict=False)]
        holds(all(span_s >= 60 - SLACK_S for span_s in spans), key, "more than", most, "requests in", spans)


def keeps_the_retry_budget(world: World) -> None:
    """Over all, no more retries than the floor and the fraction of the legs; the budget's window has no end here."""
    retries = legs = 0
    for reader in world.readers:
        pairs = [(sent.model, sent.question) for sent in reader.sent]
        repeated = sum(before == after for before, after in pairwise(pairs))
        retries += repeated
        legs += len(reader.settled[0].attempts) - repeated
    budget = world.scenario.settings.budget
    holds(retries <= budget.floor + budget.fraction * legs, retries, "retries of", legs)
    holds(retries <= world.traffic.budget.spent, "retries outside of the budget")


def _name(attempt: Attempt) -> str:
    return f"{attempt.provider}/{attempt.model}"


def _is_cancelled(attempt: Attempt) -> bool:
    return not attempt.finished and attempt.error_kind is None

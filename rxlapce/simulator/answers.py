"""What the simulator says: short, true answers in Markdown about the streams it is there to show.

The prompt picks one by its words. Each begins by taking up the question, so that a reader sees that it arrived.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

_DEMO: Final = """\
What you are reading left a simulated provider a moment ago, one piece at a time, and this is the way it took:

1. **HTTP bytes.** The provider sends server-sent events; a read may end anywhere, even inside a `é` or a 🦀.
2. **Events, then tokens.** A decoder finds the events, and a dialect turns each into a token.
3. **The pipeline.** Limits, retry, metrics and a bounded buffer, each a small operator that you could use alone.
4. **Shared memory.** The daemon writes a frame into a ring that your editor's process maps, and wakes it once.

In code, the middle of it is no longer than this:

```python
answer = provider_bytes.pipe(
    sse_decode(),
    token_map(dialect),
    buffer_with_backpressure(),
)
```

No piece is lost, none comes twice, and the order is the order in which it was said. If the provider breaks off, you \
get *one* clear error instead of half an answer that looks whole.

Try it: press Ctrl-C while I am still talking. The cancellation travels all the way back, and the provider stops too. ✨
"""

_BACKPRESSURE: Final = """\
Think of a kitchen and a waiter. If the kitchen keeps cooking while the waiter is stuck at a table, plates pile up on \
the pass until one falls. **Backpressure** is the waiter saying *"not yet"*, and the kitchen hearing it.

For a token stream that means:

- the editor is slow, so the buffer in front of it fills to its **high-water mark**;
- the buffer closes its credit, and the reader stops reading the provider's socket;
- TCP closes its window, and the provider itself has to wait 🐢;
- at the **low-water mark** the credit opens, and everything flows again.

```python
async for chunk in response:
    bytes_observer.on_next(chunk)  # decoded and handed on at once
    await flow.ready()             # here a slow editor slows the provider
```

Nothing is dropped and nothing grows without bound: between the socket and the screen there is one buffer, and it has \
a size. Plain Rx has no such signal, because an `Observable` pushes whether you are ready or not. So the credit runs \
*beside* the stream, and the operators in between stay simple: they hold nothing back.

A good test is unkind: stop reading for a minute, and see whether the memory of the daemon stays where it was. \
It should.
"""

_STREAMS: Final = """\
A streamed answer is a long HTTP response that is written while it is being thought of. Its usual form is \
*server-sent events*: lines of text, with a blank line after each event.

```text
data: {"choices":[{"delta":{"content":"Hel"}}]}

data: {"choices":[{"delta":{"content":"lo"}}]}

data: [DONE]
```

It looks easy, and that is the trap. A careful decoder knows that

- a read may end **anywhere**: inside a line, a CR LF pair, or the four bytes of 🌊;
- lines end with LF, CR LF, or a lone CR;
- a line that begins with `:` is a comment, a sign of life and not a word of the answer;
- an event counts only when the blank line after it has come.

The last rule matters most. When the connection closes early, the text so far may look complete: a sentence, a full \
stop, nothing missing. Only the provider's *terminal event* says that it is. So an end without one is an error, and \
never a short success.

The test that finds most mistakes is also the simplest: cut the same bytes at **every** position, and demand the same \
tokens each time. Naïve decoders do not survive it. ✅
"""

_FAILURES: Final = """\
A stream can fail at three moments, and each wants its own cure:

| moment | what has been seen | what helps |
|---|---|---|
| before the headers | nothing | retry, freely |
| before the first token | nothing | retry, or another provider |
| in mid-answer | some text | continue, or say so |

The line runs through the **first visible token**. Before it, a second attempt costs time and nobody notices. After \
it, starting again would make the reader read twice, so a retry in silence is no longer honest.

```python
pause_s = max(asked_to_wait_s, backoff_s(attempt)) + jitter_s
```

A few rules keep a bad minute from becoming a bad hour:

- wait at least as long as the provider asks in `Retry-After`, and add jitter *above* it;
- never retry a wrong key, an empty account, or a prompt that is too long ⛔;
- open the circuit after repeated failures, so that a provider in trouble gets some peace;
- when the connection breaks without a terminal event, report it. Half an answer is not a success.

You can watch all of it here. Ask for the model `sim:status=429,retry_after=2,times=2`, or for \
`sim:fault=cut,after=40`, and see what arrives on your side.
"""

_MEMORY: Final = """\
Two processes that share a page of memory can pass a token in less than a microsecond, about the time in which light \
crosses 300 metres. The hard part is not speed but *trust*. 🔐

The ring works like this:

1. the daemon makes a **sealed memfd** and hands its descriptor over the Unix socket;
2. the writer copies frames in, and only then publishes the new position;
3. the reader sees the position move, and takes what is there;
4. if the reader sleeps, it is woken **once**, not once a token.

```text
      read ▼             ▼ write
┌──────────┬─────────────┬──────────┐
│  free    │ frame frame │   free   │
└──────────┴─────────────┴──────────┘
```

Some choices may look fussy until the day they matter:

- the two positions lie on separate cache lines, so that the cores do not quarrel over one;
- there is no name in the file system, so that nothing is left behind after a `kill -9`;
- every position that is read from shared memory is checked: the other side may be broken, or hostile;
- the socket stays open beside it, as the sign that the peer is alive.

Requests travel on the socket, answers in the ring. If shared memory cannot be had, the same frames take the socket, \
and you would hardly notice.
"""

_GENERAL: Final = """\
I am a simulator, so there is no model behind this answer. But I can be precise about *how* it reaches you, and that \
is what I am here for.

Each piece you see is a **token**, often less than a word: `back` and `pressure` come separately, and so does 🎉. \
They arrive as events in one long HTTP response, and every stage on the way has one job:

- *decode*: bytes to events, wherever a read happens to end;
- *map*: events of any provider to one small vocabulary;
- *guard*: limits, timeouts, retries while they are still free;
- *deliver*: in order, exactly once, at the speed at which you read.

```python
async for token in iterate(answer):
    print(token.text, end="", flush=True)
```

Here is what I like about this design: a slow reader is not a problem to be buffered away. It is a fact that travels \
back, step by step, until the provider itself slows down. And when something breaks, you hear it *once*, with a \
reason, rather than finding out later that the last paragraph never came.

Ask me about **backpressure**, **streams**, **errors** or **shared memory** if you want to go deeper. With a real \
provider configured, the same question gets a real answer over the very same path. À bientôt! 👋
"""


class Topic(msgspec.Struct, frozen=True):
    """An answer, and the words in a prompt that ask for it."""

    name: str
    words: re.Pattern[str]
    text: str


def _words(*stems: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(stems)})", re.IGNORECASE)


#: In the order in which they are tried.
TOPICS: Final[Sequence[Topic]] = (
    Topic("backpressure", _words("back-?pressure", "slow", "buffer", "credit", "water.?mark"), _BACKPRESSURE),
    Topic("failures", _words("error", "fail", "retr(?:y|ies)", "fallback", "timeout", "truncat", "circuit"), _FAILURES),
    Topic("memory", _words("shared", "memory", "ring\\b", "shm", "memfd", "transport"), _MEMORY),
    Topic("demo", _words("demo\\b", "rxlapce", "hello", "hi\\b", "what (?:is|are) (?:this|you)", "how does"), _DEMO),
    Topic("streams", _words("stream", "sse\\b", "event", "token", "decod", "utf"), _STREAMS),
)

_OPENINGS: Final = (
    "You ask: *“{words}”* Here is the short answer.",
    "*“{words}”* I was hoping you would say that.",
    "*“{words}”* Let us take it one step at a time.",
)
_LONGEST_QUOTE: Final = 120


def _quote(prompt: str) -> str:
    """Some text on one line, short enough to stand in an answer, without what Markdown would take for its own."""
    line = " ".join(re.sub(r"[*`]", "", prompt).split())
    return line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE].rsplit(" ", 1)[0] + " …"


def choose(prompt: str, chance: random.Random) -> str:
    """The answer to `prompt`: its own words first, then what they ask for."""
    text = next((topic.text for topic in TOPICS if topic.words.search(prompt)), _GENERAL)
    opening = chance.choice(_OPENINGS)
    return f"{opening.format(words=_quote(prompt))}\n\n{text}" if prompt.strip() else text


_SEEN_OF_PROMPT: Final = 64
_SEEN_OF_WORD: Final = 8


def where_one_may_begin(text: str) -> Iterator[int]:
    """The places in `text` from which on it could be the beginning of an answer to what stands before, in order.

    A few places at most unless the text quotes itself, since an opening takes up the first word. Time: linear.
    """
    blank = len(text) - len(text.lstrip())
    unasked = [topic.text for topic in TOPICS] + [_GENERAL]
    yield from (at for at in range(blank + 1) if any(_agree(text, at, beginning) for beginning in unasked))
    openings = [opening.partition("{words}")[0] for opening in _OPENINGS]
    firsts = {opening[0] for opening in openings}
    for at, character in enumerate(text):
        if character in firsts:
            word = next(iter(_quote(text[: min(at, _SEEN_OF_PROMPT)]).split()), "")[:_SEEN_OF_WORD]
            if any(_agree(text, at, opening + word) for opening in openings):
                yield at


def _agree(text: str, at: int, beginning: str) -> bool:
    """Whether the text from `at` on and the beginning are the same, as far as the shorter one goes."""
    left = len(text) - at
    return left > 0 and (text.startswith(beginning, at) or (left < len(beginning) and beginning.startswith(text[at:])))


def after_tools(results: Sequence[str]) -> str:
    """The answer once the tools have been run: it takes up what they returned."""
    found = "\n".join(f"- `{_quote(result) or 'nothing'}`" for result in results)
    return f"Thank you, the tools have answered:\n\n{found}\n\nThat is all I needed. The simulator rests its case. 🧰\n"


_PARAGRAPHS: Final = (
    """\
A stream has no middle for the one who reads it: there is what came, and what may still come. All that a good \
pipeline promises is that the second will join the first without a gap.
""",
    """\
Measure before you tune. The slow part is seldom where the code is clever; it is where a queue, a lock or a wake-up \
was added for each token without a second thought. ⏱️
""",
    """\
Between a fast writer and a slow reader, something has to give: memory, data, or speed. Memory runs out, and data was \
promised; so it is speed that gives, and the writer waits.
""",
    "Errors are part of the answer. *«Fin»* is a word that must be said; silence does not mean it.\n",
)


def chapter(number: int) -> tuple[str, str]:
    """A further part of an answer that must be longer than its text; numbered, so that a gap would show."""
    return f"\n### Part {number}\n\n", _PARAGRAPHS[number % len(_PARAGRAPHS)]


REASONING: Final = (
    "The user wants to know something. Let me first see what is being asked, then which part of the path it touches, "
    "and only then answer. I should be brief, stay with what can be shown, and give one example in code.\n"
)


def musing(number: int) -> tuple[str, str]:
    """A further line of reasoning."""
    return f"Step {number}:", " check that this follows from the step before, and that nothing was left out.\n"


REFUSAL: Final = "I'm sorry, but I can't help with that request."

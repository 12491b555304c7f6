"""A provider that needs no key and misbehaves on request: for the demo, the tests and the benchmarks.

`Simulator` serves the APIs of OpenAI, Anthropic, Google, AWS Bedrock, Azure, xAI, OpenRouter and Ollama over real HTTP
(`routes.py` has all paths). What it does is chosen by the model's name (`sim:fault=cut,after=40`) or the header
`X-Simulate: fault=cut; after=40`; `describe()` lists all.

    request -> asked -> reply: what is said -> wire: in whose bytes -> play: when, and how it breaks -> stage: socket

Everything before the stage is pure: `recite` gives a stream's steps without a server.

To play a provider that fails and another that takes over: `Simulator(by_model=...)` and `outage` change behaviour as
time goes by, and with `steady=1` one simulator goes on with the answer that another broke off (`steady.py`).
"""

from rxlapce.simulator.journal import Outcome, Received, Served
from rxlapce.simulator.options import HEADER, SHOWCASE, BadOption, Ending, Fault, Options, describe, parse
from rxlapce.simulator.play import Close, Step
from rxlapce.simulator.recital import recite
from rxlapce.simulator.server import Simulator

__all__ = [
    "HEADER",
    "SHOWCASE",
    "BadOption",
    "Close",
    "Ending",
    "Fault",
    "Options",
    "Outcome",
    "Received",
    "Served",
    "Simulator",
    "Step",
    "describe",
    "parse",
    "recite",
]

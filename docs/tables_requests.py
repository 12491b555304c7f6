"""The tables of providers.md and requests.md: who there is, and what each can be asked for."""

from collections.abc import Callable, Mapping
from typing import Any

from tables_markdown import table

from rxlapce import errors, requests
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Api, Provider

#: Where the simulator would be: what stands before a provider's own path in the tables.
HOST = "https://host"


def simulated() -> Mapping[str, Provider]:
    """Every provider, as if all were configured."""
    return load_provider_configs_from_env(simulated_environ(HOST))


def providers() -> str:
    """The providers, and what configures them."""
    return table(
        ("provider", "what it speaks", "set"),
        ((f"`{spec.name}`", spec.summary, " or ".join(f"`{name}`" for name in spec.needs)) for spec in SPECS.values()),
    )


def apis() -> str:
    """The APIs of every provider, the first of each the one for a request that names none."""
    rows: list[tuple[str, ...]] = []
    for name, provider in simulated().items():
        for api_name, api in provider.apis.items():
            path = (api.path if api.stream_path is None else api.stream_path).replace("{model}", "MODEL")
            counts = "yes" if api.counter is not None else ""
            rows.append((f"`{name}`", f"`{api_name}`", api.framing.name, f"`{path}`", counts))
    return table(("provider", "`api`", "framing", "path of a stream", "counts tokens"), rows)


def wishes() -> dict[str, requests.ChatRequest]:
    """A request for each member that a dialect may or may not be able to say."""
    ask = (requests.Message(role="user", content="hi"),)
    call = requests.RequestedCall(id="c1", name="f", arguments="{}")
    image = requests.Image(data="iVBORw0KGgo=", media_type="image/png")
    tool = requests.Tool(name="f")

    def marked(life: requests.CacheLife) -> tuple[requests.Message, ...]:
        return (requests.Message(role="user", parts=(requests.Part(text="hi", cache=life),)),)

    def asking(**members: Any) -> requests.ChatRequest:
        return requests.ChatRequest(**{"model": "m", "messages": ask, **members})

    called = (*ask, requests.Message(role="assistant", tool_calls=(call,)))
    return {
        "`system` turns": asking(messages=(requests.Message(role="system", content="be brief"), *ask)),
        "images (data)": asking(messages=(requests.Message(role="user", parts=(requests.Part(image=image),)),)),
        "images (https URL)": asking(
            messages=(requests.Message(role="user", parts=(requests.Part(image=requests.Image(url="https://e/x")),)),)
        ),
        "`tools`": asking(tools=(tool,)),
        "calls and results as history": asking(
            tools=(tool,), messages=(*called, requests.Message(role="tool", content="1", tool_call_id="c1"))
        ),
        "`tool_choice` none": asking(tools=(tool,), tool_choice="none"),
        "`tool_choice` required": asking(tools=(tool,), tool_choice="required"),
        "`tool_choice` by name": asking(tools=(tool,), tool_choice="f"),
        "`parallel_tool_calls`": asking(tools=(tool,), parallel_tool_calls=False),
        "`response_format`, a schema": asking(response_format=requests.ResponseFormat(json_schema={"type": "object"})),
        "`response_format`, any JSON": asking(response_format=requests.ResponseFormat()),
        "`max_tokens`": asking(max_tokens=9),
        "`temperature`": asking(temperature=0.5),
        "`top_p`": asking(top_p=0.5),
        "`top_k`": asking(top_k=9),
        "penalties": asking(presence_penalty=0.5, frequency_penalty=0.5),
        "`stop`": asking(stop=("end",)),
        "`seed`": asking(seed=1),
        "`n` over 1": asking(n=2),
        "`reasoning_effort`": asking(reasoning_effort="low"),
        "`reasoning_tokens`": asking(reasoning_tokens=2048),
        "cache mark, 5m": asking(messages=marked("5m")),
        "cache mark, 1h": asking(messages=marked("1h")),
    }


def sayable() -> str:
    """What each API of each provider can be asked for, found by asking."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, provider in simulated().items():
        for api_name, api in provider.apis.items():
            column = tuple("yes" if says(api, request) else "" for request in wishes().values())
            found.setdefault(column, []).append(f"{name} `{api_name}`")
    rows = zip(wishes(), *found, strict=True)
    return table(("member", *("<br>".join(names) for names in found.values())), rows)


def says(api: Api, request: requests.ChatRequest) -> bool:
    """Whether the API has words for all of the request."""
    try:
        api.dialect.chat_body(request, "anthropic.claude", stream=True)
    except errors.ProviderError:
        return False
    return True


TABLES: Mapping[str, Callable[[], str]] = {"providers": providers, "apis": apis, "sayable": sayable}

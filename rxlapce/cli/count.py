"""`rxlapce count`: the tokens of a prompt by its provider's own count; never billed."""

import os
from pathlib import Path

import click

from rxlapce.cli.chat import piped
from rxlapce.cli.loop import run
from rxlapce.cli.options import config_option
from rxlapce.cli.passphrase import ask_on_terminal
from rxlapce.cli.screen import json_line
from rxlapce.config.env import proxy_for, validate_provider_configs
from rxlapce.config.sources import load_config
from rxlapce.providers.discovery import by_any_key, count_tokens
from rxlapce.providers.provider import Provider
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.router import Router


@click.command()
@config_option
@click.option(
    "-m",
    "--model",
    required=True,
    metavar="PROVIDER/MODEL",
    help="Whose tokens to count; of an alias its first model's.",
)
@click.option("-s", "--system", metavar="TEXT", help="A system prompt.")
@click.option("--api", metavar="API", help="Which of the provider's APIs to ask by, for example responses.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("prompt", nargs=-1)
def count(
    config: Path | None, model: str, system: str | None, api: str | None, as_json: bool, prompt: tuple[str, ...]
) -> None:
    """Count the input tokens of PROMPT, and of what is piped in, as MODEL's provider counts them.

    Anthropic, Gemini, Vertex, Bedrock's Converse and OpenAI's Responses have an endpoint for it, which is never billed;
    the others are an error that says so.
    """
    text = "\n\n".join(part for part in (" ".join(prompt), piped()) if part)
    if not text:
        raise click.UsageError("nothing to count: give a PROMPT, or pipe one in")
    turns = [Message(role="system", content=system)] if system else []
    request = ChatRequest(model=model, messages=(*turns, Message(role="user", content=text)), api=api)
    tokens = run(_count(request, config))
    click.echo(json_line({"model": model, "input_tokens": tokens}) if as_json else str(tokens))


async def _count(request: ChatRequest, config: Path | None) -> int:
    configured = load_config(os.environ, config, ask=ask_on_terminal())
    validate_provider_configs(configured.providers)
    route = Router(configured.providers, aliases=configured.aliases).route(request.model)
    from rxlapce.providers.http import HttpClient  # aiohttp takes a quarter of a second to load

    async with HttpClient(proxy_for=proxy_for) as client:

        async def count(account: Provider) -> int:
            return await count_tokens(client, account, request, route.model)

        return await by_any_key(route.provider, count)

"""`rxlapce bridge`: the editor's side for editors in any language."""

from pathlib import Path
from typing import Final, cast

import click

from rxlapce.bridge import Bridge
from rxlapce.bridge.stdio import WINDOW, serve_lines
from rxlapce.cli.loop import run
from rxlapce.cli.options import first_key, key_option
from rxlapce.messages import TransportName

#: \b keeps click from filling the lines.
EXAMPLE: Final = r"""\b
Example:
  echo '{"method": "providerChatStream", "params": {"id": 1, "request":
    {"model": "openai/gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}}}' |
    tr -d '\n' | rxlapce bridge --finish
"""


@click.command(epilog=EXAMPLE)
@click.option("--autostart/--no-autostart", default=False, help="Start a daemon where none runs.")
@click.option("--wait", "wait_s", metavar="SECONDS", type=click.FloatRange(0, 3600), default=0.0, show_default=True,
              help="How long a request waits for a daemon that is not there.")  # fmt: skip
@click.option("--finish", is_flag=True, help="At the end of the input wait for what is under way.")
@click.option("--transport", type=click.Choice(["shm", "socket"]), default="shm", show_default=True,
              help="The way tokens come.")  # fmt: skip
@click.option("--name", default="rxlapce bridge", show_default=True, help="What the daemon calls this client.")
@click.option("--path", type=click.Path(path_type=Path), help="The daemon's socket.  [default: the user's own]")
@key_option
def bridge(
    autostart: bool,
    wait_s: float,
    finish: bool,
    transport: str,
    name: str,
    path: Path | None,
    key_file: Path | None,
) -> None:
    """Let an editor in any language talk to the daemon by lines of JSON.

    Each line of standard input is a message to the bridge, each line of standard output one from it; docs/bridge.md
    has them all. The connection comes back by itself, and its state is told. Ends with its input; what is under way
    then is cancelled.
    """
    key = first_key(key_file)
    ended_well = run(
        serve_lines(
            lambda on_message, flow: Bridge(
                path,
                on_message=on_message,
                # click.Choice has checked it
                transport=cast("TransportName", transport),
                client=name,
                key=key,
                autostart=autostart,
                wait_s=wait_s,
                window=WINDOW,
                flow=flow,
            ),
            finish=finish,
        )
    )
    if not ended_well:
        raise click.exceptions.Exit(1)

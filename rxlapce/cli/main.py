"""The `rxlapce` command's entry: finds the subcommand, loads it alone, and turns errors into exit codes.

Exit codes: 0 done, 1 it failed (the message says how), 2 a misuse, 130 Ctrl-C.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final, cast

import click

import rxlapce
from rxlapce.errors import ConfigError, RxlapceError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: name -> (module, one line of help). Help is here so that `rxlapce --help` loads no subcommand.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("rxlapce.cli.demo", "Stream an answer through daemon and shared memory, and say what happened."),
    "chat": ("rxlapce.cli.chat", "Ask a model by way of the running daemon; without a prompt in a panel."),
    "bridge": ("rxlapce.cli.bridge", "Let an editor in any language talk to the daemon by lines of JSON."),
    "serve": ("rxlapce.cli.serve", "Run the daemon that editors connect to."),
    "service": ("rxlapce.cli.service", "Run the daemon as a service of this user."),
    "status": ("rxlapce.cli.status", "Show how the running daemon is."),
    "audit": ("rxlapce.cli.audit", "Check the audit log, or add it up."),
    "doctor": ("rxlapce.cli.doctor", "Say what is wrong, and how to mend it."),
    "providers": ("rxlapce.cli.providers", "Show which providers are configured, from where, and whether they answer."),
    "models": ("rxlapce.cli.models", "List the models of the configured providers."),
    "route": ("rxlapce.cli.route", "Say who would be asked for a model, in which order, and why."),
    "count": ("rxlapce.cli.count", "Count a prompt's tokens as its model's provider counts them."),
    "init": ("rxlapce.cli.init", "Write a first configuration, from what is there."),
    "config": ("rxlapce.cli.config", "Show each setting, and where its value comes from."),
    "check": ("rxlapce.cli.check", "Say all that is wrong in configuration files, and where."),
    "graph": ("rxlapce.cli.graph", "Draw the pipelines of a configuration."),
    "schema": ("rxlapce.cli.schema", "Print the configuration's JSON Schema, by which editors complete it."),
    "explain": ("rxlapce.cli.explain", "Say what a stage, a sink or a member of the configuration is."),
    "list": ("rxlapce.cli.list", "List stages, sinks, providers, dialects and transports."),
    "decode": ("rxlapce.cli.decode", "Decode recorded provider streams, offline."),
    "record": ("rxlapce.cli.record", "Record what a provider sends: bytes and their timing, secrets removed."),
    "replay": ("rxlapce.cli.replay", "Serve recordings as a provider, at any speed; or show them."),
    "simulate": ("rxlapce.cli.simulate", "Run a provider that needs no key and misbehaves on request."),
    "crashtest": (
        "rxlapce.cli.crashtest",
        "Let simulated providers fail in every way, and see what becomes of answers.",
    ),
    "key": ("rxlapce.cli.key", "Keep providers' keys in a vault."),
    "keygen": ("rxlapce.cli.keygen", "Make a secret for clients that sign their frames."),
    "completion": ("rxlapce.cli.completion", "Print the shell's completion script."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when it is run, so that start-up pays for one alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's object, its module loaded."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        # Each module of the table has one command under the command's own name; tests/cli walks the table.
        # `list` is Python's word.
        found = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        return cast("click.Command", found)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """The names that begin so, from the table alone: a press of the tab key loads no subcommand."""
        from click.shell_completion import CompletionItem  # only while completing

        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest name where there is no such command."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            import difflib  # only on this path

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rxlapce.__version__, "-V", "--version", prog_name="rxlapce", message="%(prog)s %(version)s")
def cli() -> None:
    """Stream language-model answers to your editor: whole, in order, or as one clear error.

    Without any key or set-up, try:  rxlapce demo
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; ends the process."""
    _open_closed_descriptors()
    try:
        sys.exit(cli.main(arguments, prog_name="rxlapce", standalone_mode=False, color=_color()))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)  # click has ended the line, so that the shell's prompt does not stand behind ^C
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: not an error, but Python would still flush into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except RxlapceError as error:
        from rxlapce.cli.screen import printable  # only on this path

        click.secho("Error: ", fg="red", bold=True, nl=False, err=True, color=_color())
        click.echo(printable(str(error)), err=True)  # a provider may have said it
        if isinstance(error, ConfigError) and len(error.problems) > 1:
            click.echo(f"{len(error.problems)} things are wrong", err=True)
        sys.exit(1)


def _open_closed_descriptors() -> None:
    """Give standard input, output and error that were closed (`<&-`) to nobody.

    The next file or socket would get their numbers: what is written for the user would go into it, and libuv aborts.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _color() -> bool | None:
    """False where the user wants no colours (https://no-color.org) or the terminal has none, else click's choice."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None

"""`rxlapce completion SHELL`."""

from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


#: \b keeps click from filling the lines.
EPILOG: Final = """\b
bash:  eval "$(rxlapce completion bash)"           in ~/.bashrc
zsh:   eval "$(rxlapce completion zsh)"            in ~/.zshrc
fish:  rxlapce completion fish > ~/.config/fish/completions/rxlapce.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print SHELL's completion script."""
    from rxlapce.cli.main import cli  # main loads this module, not the reverse

    chosen = get_completion_class(shell)
    if chosen is None:
        raise click.ClickException(f"click has no completion for {shell}")
    click.echo(chosen(cli, {}, "rxlapce", "_RXLAPCE_COMPLETE").source())

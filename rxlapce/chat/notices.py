"""What the panel says when nothing has been asked, and when there is no daemon to ask."""

from rxlapce.bridge.messages import ConnectionState, ConnectionStatus


def welcome(*, kept: bool) -> str:
    """The empty conversation. Textual's markup; nothing in it is somebody else's."""
    keeping = "kept on this machine" if kept else "not kept"
    return (
        "[bold]Ask a model something.[/]\n\n"
        "[dim]Write below and press [/][bold]Enter[/][dim]; the answer appears as it is said. "
        "[/][bold]Esc[/][dim] stops it, [/][bold]Ctrl-O[/][dim] chooses the model, "
        f"[/][bold]F1[/][dim] tells all keys. Conversations are {keeping}.[/]"
    )


def notice(status: ConnectionStatus | None, no_key: tuple[str, ...], *, offers: bool) -> str:
    """What is wrong with the connection, and what to do; "" while nothing is."""
    if status is None or status.state in (ConnectionState.CONNECTED, ConnectionState.CONNECTING):
        return ""
    offer = "\nOr press Enter now to try the panel with a simulator: no key, no network." if offers else ""
    if status.state is ConnectionState.ERROR and no_key:
        names = ", ".join(no_key[:4])
        return (
            "No provider is configured yet, so there is no model to ask.\n"
            f"Set a provider's key ({names}, …) and start rxlapce chat again; `rxlapce init` writes a configuration, "
            f"`rxlapce providers` names all variables.{offer}"
        )
    reason = f": {status.reason}" if status.reason else ""
    if status.state is ConnectionState.ERROR:
        advice = f"\n{status.advice[0].upper()}{status.advice[1:]}." if status.advice else ""
        return f"There is no connection to a daemon{reason}{advice}{offer}"
    return (
        f"There is no daemon to ask{reason}.\nIt is looked for all the time; Ctrl-R starts one, and so does asking."
        f"{offer}"
    )

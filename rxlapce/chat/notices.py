"""What the panel says when nothing has been asked, and when there is no daemon to ask."""

from typing import Final

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


#: A daemon that runs has answered by then.
IS_THERE_S: Final = 1.0


def notice(
    status: ConnectionStatus | None, since_s: float, no_key: tuple[str, ...], *, offers: bool
) -> tuple[str, ...]:
    """What is wrong with the connection, then what to do, the easiest first; nothing while nothing is wrong.

    `since_s`: how long, in seconds, `status` has been so. Without any key the daemon that is being started cannot
    serve: who waits for that is told before it says so itself.
    """
    starting = status is None or status.state is ConnectionState.CONNECTING
    if status is None or status.state is ConnectionState.CONNECTED or (starting and since_s < IS_THERE_S):
        return ()
    offer = ("Press Enter to try the panel with a simulator: no key, no network.",) if offers else ()
    if no_key and status.state in (ConnectionState.ERROR, ConnectionState.CONNECTING):
        more = "`rxlapce init` writes a configuration, `rxlapce providers` names all variables."
        return (
            "No provider is configured yet, so there is no model to ask.",
            *offer,
            f"For a real model set a provider's key ({', '.join(no_key[:3])}, …) and start rxlapce chat again. {more}",
        )
    if starting:
        return ()
    reason = (f"{status.reason}.",) if status.reason else ()
    if status.state is ConnectionState.ERROR:
        advice = (f"{status.advice[0].upper()}{status.advice[1:]}.",) if status.advice else ()
        return ("There is no connection to a daemon. Ctrl-R tries again.", *offer, *reason, *advice)
    return ("There is no daemon. Ctrl-R starts one, and so does asking.", *offer, *reason)

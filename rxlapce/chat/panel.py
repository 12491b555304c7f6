"""Running the panel: the one call that `rxlapce chat` makes."""

import asyncio
import contextlib
import os
import signal
from dataclasses import replace

from rxlapce.chat.app import ChatApp
from rxlapce.chat.session import Session
from rxlapce.chat.terminal import taken_over, theme


async def run_panel(session: Session) -> int:
    """Show the panel until somebody quits it; the exit code. SIGTERM and SIGHUP quit it too, and free the terminal."""
    with taken_over(os.environ) as found:
        app = ChatApp(replace(session, theme=theme(os.environ, found.dark), typed=found.typed))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, app.exit)
        try:
            await app.run_async()
        finally:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                with contextlib.suppress(ValueError):
                    loop.remove_signal_handler(number)
        return app.return_code or 0

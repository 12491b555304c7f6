"""An editor as a process of its own: `editor_process.py PATH TRANSPORT MODEL WINDOW`.

Prints a line after the first token, and one with what it got at the end. Imports no more than an editor would: a test
starts dozens of these.
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path

from rxlapce.bridge import connect
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Finish, StreamToken, Text


async def main(path: Path, transport: str, model: str, window: int) -> None:
    async with await connect(path, transport="shm" if transport == "shm" else "socket") as client:
        request = ChatRequest(model=model, messages=(Message(role="user", content="hello"),))
        tokens = 0
        text = hashlib.sha256()
        finished = False
        error: Exception | None = None
        ended = asyncio.Event()

        def on_next(token: StreamToken) -> None:
            nonlocal tokens, finished
            finished = isinstance(token, Finish)
            if isinstance(token, Text):
                if not tokens:
                    print("first", flush=True)
                tokens += 1
                text.update(token.text.encode())

        def on_error(failure: Exception) -> None:
            nonlocal error
            error = failure
            ended.set()

        client.chat_stream(request, window=window).subscribe(on_next, on_error, ended.set)
        await ended.wait()
        said = {
            "tokens": tokens,
            "sha256": text.hexdigest(),
            "finished": finished,
            "gaps": client.sequence_gaps,
            "error": repr(error) if error else None,
        }
        print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))

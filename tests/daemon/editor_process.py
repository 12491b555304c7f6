"""An editor as a process of its own: `editor_process.py PATH TRANSPORT MODEL WINDOW`.

Prints a line after the first token, and one with what it got at the end.
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path

from rxlapce.bridge import connect
from rxlapce.errors import RxlapceError
from rxlapce.messages import ChatRequest, Message
from rxlapce.testing.asking import Collected
from rxlapce.tokens import Finish, Text


async def main(path: Path, transport: str, model: str, window: int) -> None:
    async with await connect(path, transport="shm" if transport == "shm" else "socket") as client:
        request = ChatRequest(model=model, messages=(Message(role="user", content="hello"),))
        got = Collected(client.chat_stream(request, window=window))
        await got.until(1)
        print("first", flush=True)
        error = await got.end()
        if error is not None and not isinstance(error, RxlapceError):
            raise error
        text = "".join(token.text for token in got.items if isinstance(token, Text))
        print(
            json.dumps(
                {
                    "tokens": sum(isinstance(token, Text) for token in got.items),
                    "sha256": hashlib.sha256(text.encode()).hexdigest(),
                    "finished": isinstance(got.items[-1], Finish),
                    "gaps": client.sequence_gaps,
                    "error": repr(error) if error else None,
                }
            )
        )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))

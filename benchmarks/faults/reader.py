"""An editor with one stream: `python -m benchmarks.faults.reader SOCKET TRANSPORT MODEL WINDOW [KEYS]`.

Prints `first` at the first token, and at the end one line of JSON with what it got.
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path

from rxlapce.bridge import connect
from rxlapce.errors import RxlapceError
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Finish, Text
from rxlapce.transports.key_file import only_key


async def main(path: Path, transport: str, model: str, window: int, keys: Path | None) -> None:
    """Read it, and say what came."""
    key = None if keys is None else only_key(keys)
    async with await connect(path, transport="shm" if transport == "shm" else "socket", key=key) as client:
        request = ChatRequest(model=model, messages=(Message(role="user", content="hello"),))
        text, error, finished = "", None, False
        try:
            async for token in client.chat_stream(request, window=window):
                finished = isinstance(token, Finish)
                if isinstance(token, Text):
                    if not text:
                        print("first", flush=True)
                    text += token.text
        except RxlapceError as failure:
            error = f"{type(failure).__name__}: {failure}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        said = {"sha256": digest, "chars": len(text), "finished": finished, "error": error, "text": text[:200_000]}
        print(json.dumps({**said, "gaps": client.sequence_gaps}), flush=True)


if __name__ == "__main__":
    file = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), file))

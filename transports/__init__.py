"""Ways for frames to travel: shared memory, Unix socket, memory; and the sink that writes them."""

if __name__ != "rxlapce.transports":  # pragma: no cover - tests/packaging runs it in a subprocess
    raise ImportError("import rxlapce.transports, not the top-level folder")

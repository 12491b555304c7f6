"""Stages of a stream, each usable alone: `source.pipe(sse_decode(), token_map(dialect), ...)`."""

if __name__ != "rxlapce.operators":  # pragma: no cover - tests/packaging runs it in a subprocess
    raise ImportError("import rxlapce.operators, not the top-level folder")

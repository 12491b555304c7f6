"""The sinks besides the client: each takes a copy of an answer, and has a line of its own in which that waits."""

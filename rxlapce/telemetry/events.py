"""Every event of the daemon's log: when it is told, at which level, and what is told besides."""

from dataclasses import dataclass
from typing import Final

#: What each line has; those of a session and those of a request have more (`SESSION`, `REQUEST`).
LINE: Final = ("timestamp", "level", "event")
SESSION: Final = ("session", "client", "user")
REQUEST: Final = (*SESSION, "request_id", "provider", "model")
#: What a line tells of an error (`words.facts_of`).
ERROR: Final = ("kind", "phase", "status", "message", "cause", "provider_request_id")


@dataclass(frozen=True, slots=True)
class Event:
    """`levels` are those that it may have. `of` is what it belongs to: a request, a session, or the daemon ("")."""

    levels: str
    meaning: str
    members: tuple[str, ...] = ()
    of: str = ""


_END: Final = ("outcome", "duration_s", "attempts", "tokens", "usage", "tried")

EVENTS: Final[dict[str, Event]] = {
    "stream_start": Event("info", "a stream was asked for; `model` is the name that was asked", of="request"),
    "request_start": Event("info", "the same, of an answer in one piece", of="request"),
    "first_token": Event(
        "info", "the first token that a reader sees, after `first_token_s`; once a stream", ("first_token_s",),
        "request",
    ),
    "retry": Event(
        "warning", "the same model is asked again: attempt number `attempt`, in `wait_s`",
        ("attempt", "wait_s", *ERROR), "request",
    ),
    "fallback": Event(
        "warning", "the next model is asked; `seam` says what becomes of what the reader has",
        ("to_provider", "to_model", "seam", "key", "to_key", *ERROR), "request",
    ),
    "error": Event(
        "warning, error", "what the client was told; error if it is rxlapce's own, none for a cancel", ERROR, "request"
    ),
    "stream_end": Event(
        "info", "it is over: a finish's word, an error's kind, or client_gone; `tried` are those asked in vain",
        ("frames", *_END), "request",
    ),
    "request_end": Event("info", "the same, of an answer in one piece", _END, "request"),
    "prompt": Event("debug", "only with `content`: the request", ("request", "characters"), "request"),
    "answer": Event(
        "debug", "only with `content`: the answer, as far as it came",
        ("text", "reasoning", "refusal", "tool_calls", "characters"), "request",
    ),
    "tap_begin": Event("info", "a stage `log_tap` was subscribed to", of="request"),
    "tap_end": Event(
        "info", "what it watched is over", ("outcome", "duration_s", "tokens", "first_token_s"), "request"
    ),
    "handler_failed": Event("error", "a handler's bug ended a request", ("exception",), "session"),
    "client_connected": Event("info", "a handshake is over", ("transport",), "session"),
    "client_gone": Event("info", "a connection is over", ("dropped_requests",), "session"),
    "protocol_error": Event(
        "warning", "a client broke the protocol; `at` is the place in a payload", ("error", "message", "at"), "session"
    ),
    "handshake_failed": Event("warning", "a connection got no further", ("error", "message", "at")),
    "connection_refused": Event("warning", "there are too many of them", ("reason",)),
    "accept_failed": Event("error", "the system gives no connection", ("error",)),
    "breaker": Event("info, warning", "a model's circuit opened or closed", ("model", "before", "now", "cause")),
    "copy_failed": Event(
        "warning", "a copy of an answer gets no further", ("request_id", "pipeline", "sink", "error")
    ),
    "provider_unwell": Event("warning", "a provider does not answer or takes no key", ("provider", "cause")),
    "provider_well_again": Event("info", "it does", ("provider",)),
    "limits_are_shared": Event("info", "quotas are counted in a store", ("store", "answers")),
    "limits_store_failed": Event("error", "the store does not answer", ("store", "error")),
    "limits_store_answers": Event("info", "it does again", ("store",)),
    "metrics_listening": Event("info", "Prometheus may ask", ("address",)),
    "metrics_open_to_others": Event("warning", "so may other machines", ("address", "advice")),
    "metrics_wait": Event("warning", "the address is taken, as by the daemon before", ("address", "cause")),
    "metrics_not_served": Event("error", "it cannot be had", ("error",)),
    "metrics_failed": Event("error", "a bug in what is told of metrics", ("exception",)),
    "audit_head": Event(
        "info", "the audit log's last row, at the start, when a file is closed, and at the end", ("seq", "hash", "path")
    ),
    "audit_failed": Event("error", "the audit log takes no rows; they are kept for now", ("error", "path")),
    "audit_writes_again": Event("info", "it does; so many could not be kept, since the start", ("lost", "path")),
    "audit_rows_lost": Event("error", "rows that had found no place by the end", ("count", "error")),
    "audit_not_synced": Event("error", "rows may not outlive a loss of power", ("error", "path")),
    "audit_torn": Event("warning", "the last row had been cut, as by a loss of power", ("bytes", "path")),
    "daemon_listening": Event("info", "clients may connect", ("path", "version")),
    "draining": Event("info", "a stop waits for what runs", ("requests", "drain_s")),
    "path_taken_over": Event("info", "the next daemon listens there already", ("path",)),
    "daemon_stopped": Event("info", "it is over"),
    "taking_over": Event("info", "the daemon that was there is asked to stop", ("pid",)),
    "handed_over": Event("info", "the next daemon serves", ("pid",)),
    "handover_failed": Event("error", "it does not, and this one goes on", ("error",)),
    "open_files": Event("info", "how many files may be open", ("limit", "before")),
    "providers_configured": Event("info", "who can be asked", ("providers",)),
    "aliases_configured": Event("info", "names for several models", ("aliases",)),
    "pipelines_configured": Event("info", "ways that an answer can go", ("pipelines",)),
    "config_reloaded": Event(
        "info", "new streams take what the file says now", ("cause", "file", "changed", "took_s")
    ),
    "config_needs_restart": Event("warning", "what only the next daemon takes", ("settings",)),
    "config_refused": Event("error", "the file is wrong, and changes nothing", ("cause", "file", "problems")),
    "config_problem": Event("error", "what is wrong in it: a line each", ("problem",)),
    "config_failed": Event("error", "a bug on the way, which changes nothing either", ("cause", "exception")),
    "hangup": Event("info", "SIGHUP came", ("reopened",)),
    "log_file_not_reopened": Event("error", "the old one is written to", ("path", "error")),
    "log_lines_lost": Event("warning", "lines that nobody took", ("count",)),
    "loop_error": Event("error", "a bug that ended no request", ("what", "exception")),
    "notify_failed": Event("warning", "the service manager could not be told", ("error",)),
    "notify_socket_unknown": Event("warning", "it cannot be told at all", ("address",)),
}  # fmt: skip

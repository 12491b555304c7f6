"""What to do about an error, by its kind: one or two sentences for the person who asked."""

from collections.abc import Mapping
from typing import Final

from rxlapce.errors import ErrorKind, Phase
from rxlapce.messages import ErrorBody

#: Every kind has its advice; a test holds the table to that.
ADVICE: Final[Mapping[ErrorKind, str]] = {
    ErrorKind.AUTH: "The key was refused. `rxlapce providers --check` tells which key is used; set the right one and "
    "restart the daemon.",
    ErrorKind.BILLING: "The account has no money left or is not allowed this. Mend it at the provider, or choose "
    "another model (Ctrl-O).",
    ErrorKind.QUOTA: "The account's quota is used up. Wait until it is renewed, or choose another model (Ctrl-O).",
    ErrorKind.RATE_LIMIT: "Too many requests just now. Ask again soon (Ctrl-R), or choose another model (Ctrl-O).",
    ErrorKind.OVERLOADED: "The provider is overloaded. Ask again soon (Ctrl-R), or choose another model (Ctrl-O).",
    ErrorKind.TIMEOUT: "Nothing came in time. Ask again (Ctrl-R), or choose another model (Ctrl-O).",
    ErrorKind.NETWORK: "The connection failed. Ask again (Ctrl-R); `rxlapce doctor` looks for what is wrong.",
    ErrorKind.TRUNCATED: "The answer broke off; what came is kept. Ask again (Ctrl-R).",
    ErrorKind.BAD_REQUEST: "The provider does not take this question for this model. Choose another (Ctrl-O), or "
    "change the options that rxlapce chat was started with.",
    ErrorKind.CONTEXT_LENGTH: "The conversation is too long for this model. Begin a new one (Ctrl-N), or take a model "
    "with more room (Ctrl-O).",
    ErrorKind.CONTENT_FILTER: "The provider's filter refused it. Ask in other words.",
    ErrorKind.PROTOCOL: "The provider said what its API does not allow. Ask again (Ctrl-R), or choose another model "
    "(Ctrl-O).",
    ErrorKind.CANCELLED: "Cancelled. Ctrl-R asks again.",
    ErrorKind.INTERNAL: "This is a fault of rxlapce's own: the daemon's log has more of it. Ask again (Ctrl-R).",
}


def advice(error: ErrorBody) -> str:
    """What to do about it."""
    kind = ErrorKind(error.kind) if error.kind in list(ErrorKind) else ErrorKind.INTERNAL
    if kind is ErrorKind.NETWORK and error.phase == Phase.CONNECT and error.provider is None:
        return "There is no connection to the daemon. Ctrl-R connects again, and then asks again."
    if kind is ErrorKind.NETWORK and error.phase == Phase.HEADERS and error.provider is None:
        return "The daemon went away before anything of the answer had come. Ask again (Ctrl-R)."
    if error.retry_after_s:
        return f"Ask again (Ctrl-R) in {error.retry_after_s:,.0f} s: that is what the provider asks for."
    return ADVICE[kind]

"""What Bedrock adds to its answers: padding, request ids and latencies, as recorded from the API in 2025 and 2026."""

import random
import string
import uuid
from typing import Final

from rxlapce.simulator.tokenizer import seeded

#: Payloads carry a member `p` with the beginning of this, so that their lengths do not give the text away.
_ALPHABET: Final = string.ascii_lowercase + string.ascii_uppercase + string.digits
_SHORTEST: Final = 2
_VARIANTS: Final = 64

#: Paddings of all lengths in an order that looks like chance and does not depend on the request.
PADDINGS: Final = [_ALPHABET[: seeded("p", number).randrange(_SHORTEST, len(_ALPHABET))] for number in range(_VARIANTS)]
#: The end of an object whose last member is the padding.
TAILS: Final = [f',"p":"{padding}"}}'.encode() for padding in PADDINGS]
VARIANT_MASK: Final = _VARIANTS - 1


def request_id(chance: random.Random) -> dict[str, str]:
    """The header with the request's id."""
    return {"x-amzn-requestid": str(uuid.UUID(bytes=chance.randbytes(16), version=4))}


def latencies_ms(chance: random.Random) -> tuple[int, int]:
    """How long the first byte and the whole answer are said to have taken."""
    first = chance.randrange(90, 600)
    return first, first + chance.randrange(100, 4000)

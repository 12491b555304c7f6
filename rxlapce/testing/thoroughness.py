"""How many examples a property is tried on: some in `make test`, all that it says and more in the long run."""

import os
from typing import Final

from hypothesis import settings

#: Of the examples that a test says, how many are tried; more than 1 for a longer search.
VARIABLE: Final = "RXLAPCE_TEST_EXAMPLES"
_SHARE: Final = 0.35
_FEWEST: Final = 5
#: What a test that says nothing tries.
_USUAL: Final = 100


def examples(most: int) -> int:
    """The part of `most` examples that is tried in this run."""
    return max(min(most, _FEWEST), round(most * float(os.environ.get(VARIABLE) or _SHARE)))


def choose_profile() -> None:
    """Let tests that say nothing of it try as many as the others."""
    settings.register_profile("share", max_examples=examples(_USUAL))
    settings.load_profile("share")

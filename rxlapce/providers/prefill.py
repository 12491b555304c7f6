"""Which of Claude's models go on with an assistant's turn, wherever they are asked.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response (the answer
goes on where the last assistant's turn ends, unless extended thinking is asked for) and
.../about-claude/models/migration-guide (from Opus 4.6 and Sonnet 4.6 on, such a request is refused with status 400).
"""

import re
from typing import Final

#: The version in a name: `claude-3-5-sonnet-20241022`, `claude-opus-4-1`, `anthropic.claude-v2:1`. Numbers of more than
#: two digits are dates.
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?v?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_LAST: Final = (4, 5)


def claude_accepts_prefill(model: str) -> bool:
    """Whether `model` is a Claude before 4.6, by any vendor's name for it; False for a name without a version.

    >>> claude_accepts_prefill("claude-sonnet-4-5-20250929"), claude_accepts_prefill("claude-sonnet-4-6")
    (True, False)
    >>> claude_accepts_prefill("us.anthropic.claude-3-5-haiku-20241022-v1:0"), claude_accepts_prefill("amazon.nova-pro")
    (True, False)
    """
    named = _VERSION.search(model)
    if named is None:
        return False
    major, minor = named.groups()
    return (int(major), int(minor or 0)) <= _LAST

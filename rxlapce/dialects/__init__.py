"""What is said to providers, one pure mapping a file: request bodies, events, errors, unary answers.

`DIALECTS` is the table of dialects by the name of the API that they speak. A new one adds its file and its line here.
"""

from collections.abc import Callable
from typing import Final

from rxlapce.codec.event import Event
from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.messages import AnthropicMessages
from rxlapce.dialects.responses import Responses
from rxlapce.typing import Dialect

#: API name -> what makes its dialect with the defaults.
DIALECTS: Final[dict[str, Callable[[], Dialect[Event]]]] = {
    "openai.chat.completions": ChatCompletions,
    "openai.responses": Responses,
    "anthropic.messages": AnthropicMessages,
}

__all__ = ["DIALECTS", "AnthropicMessages", "ChatCompletions", "Responses"]

"""What is said to providers, one pure mapping a file: request bodies, events, errors, unary answers.

`DIALECTS` is the table of dialects by name. A new one adds its file and its line here; which framing its streams come
in stands in `rxlapce.providers.apis`.
"""

from collections.abc import Callable
from typing import Final

from rxlapce.codec.event import Event
from rxlapce.dialects.anthropic_complete import AnthropicComplete
from rxlapce.dialects.bedrock_invoke import BedrockInvoke
from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.converse import Converse
from rxlapce.dialects.generate_content import GenerateContent
from rxlapce.dialects.messages import AnthropicMessages
from rxlapce.dialects.ollama import Ollama
from rxlapce.dialects.responses import Responses
from rxlapce.typing import Dialect

#: name -> what makes the dialect with the defaults.
DIALECTS: Final[dict[str, Callable[[], Dialect[Event]]]] = {
    "openai.chat.completions": ChatCompletions,
    "openai.responses": Responses,
    "openai.completions": Completions,
    "anthropic.messages": AnthropicMessages,
    "anthropic.complete": AnthropicComplete,
    "gemini.streamGenerateContent": GenerateContent,
    "bedrock.converse-stream": Converse,
    "bedrock.invoke-with-response-stream": BedrockInvoke,
    "ollama.chat": Ollama,
}

__all__ = [
    "DIALECTS",
    "AnthropicComplete",
    "AnthropicMessages",
    "BedrockInvoke",
    "ChatCompletions",
    "Completions",
    "Converse",
    "GenerateContent",
    "Ollama",
    "Responses",
]

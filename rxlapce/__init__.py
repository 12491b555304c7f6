"""Reactive streams from language-model providers to an editor: whole, in order, or one clear error.

Importing this opens nothing, starts nothing, reads no environment, and does not import aiohttp.
"""

from rxlapce.answer import Answer, AnswerBuilder, TurnBuilder
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry, RxlapceError
from rxlapce.flow import Exchange, FlowControl, iterate
from rxlapce.requests import (
    ChatRequest,
    CompletionRequest,
    Image,
    Message,
    OpaquePart,
    Part,
    RequestedCall,
    ResponseFormat,
    Tool,
)
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    SeamWord,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AnswerBuilder",
    "ChatRequest",
    "CompletionRequest",
    "ErrorKind",
    "Exchange",
    "Finish",
    "FinishKind",
    "FlowControl",
    "Image",
    "Message",
    "Opaque",
    "OpaquePart",
    "Part",
    "Phase",
    "ProviderError",
    "Reasoning",
    "Refusal",
    "RequestedCall",
    "ResponseFormat",
    "Retry",
    "RxlapceError",
    "Seam",
    "SeamWord",
    "StreamToken",
    "Text",
    "Tool",
    "ToolCall",
    "TurnBuilder",
    "Usage",
    "UsageReport",
    "__version__",
    "iterate",
]

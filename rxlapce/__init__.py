"""Reactive streams from language-model providers to an editor: whole, in order, or one clear error.

Importing this opens nothing, starts nothing, reads no environment, and does not import aiohttp.
"""

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry, RxlapceError
from rxlapce.flow import Exchange, FlowControl, iterate
from rxlapce.requests import ChatRequest, CompletionRequest, Message, Tool
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
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
    "Message",
    "Opaque",
    "Phase",
    "ProviderError",
    "Reasoning",
    "Refusal",
    "Retry",
    "RxlapceError",
    "Seam",
    "StreamToken",
    "Text",
    "Tool",
    "ToolCall",
    "Usage",
    "UsageReport",
    "__version__",
    "iterate",
]

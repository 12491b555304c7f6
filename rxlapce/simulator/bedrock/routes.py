"""AWS Bedrock's paths: the runtime's under `/model`, and the control plane's list of models."""

from typing import Any, Final

import msgspec

from rxlapce.simulator.asked import BadBody, Where
from rxlapce.simulator.bedrock.asked import read_converse, read_invoke
from rxlapce.simulator.bedrock.converse import ConverseAnswer
from rxlapce.simulator.bedrock.invoke import WORDS, InvokeAnswer
from rxlapce.simulator.bedrock.vendor import BEDROCK
from rxlapce.simulator.options import SHOWCASE
from rxlapce.simulator.reply import prompt_tokens
from rxlapce.simulator.route import PlainRoute, Route


class _Invoked(msgspec.Struct):
    body: bytes


class _Input(msgspec.Struct, rename="camel"):
    converse: msgspec.Raw = msgspec.Raw()
    invoke_model: _Invoked | None = None


class _CountTokens(msgspec.Struct):
    input: _Input


def _count_tokens(body: bytes, where: Where) -> bytes:
    """CountTokens: the request of either kind, as it would be sent."""
    try:
        said = msgspec.json.decode(body, type=_CountTokens).input
    except msgspec.DecodeError as error:
        raise BadBody(f"The request is malformed: {error}") from None
    converse = bytes(said.converse)
    if converse:
        asked = read_converse(converse, where)
    elif said.invoke_model is not None:
        asked = read_invoke(said.invoke_model.body, where)
    else:
        raise BadBody("The input of CountTokens must be one of converse, invokeModel.")
    return msgspec.json.encode({"inputTokens": prompt_tokens(asked)})


#: An id of each vendor's whose words the simulator knows, and the models worth trying.
_MODELS: Final = [*(f"{part.rstrip('.')}.sim-v1:0" for part in WORDS), *SHOWCASE]


def _listing(_body: bytes, where: Where) -> bytes:
    """ListFoundationModels, which has no pages."""
    provider = where.query.get("byProvider")
    models = [model for model in map(_summary, _MODELS) if provider in (None, model["providerName"])]
    return msgspec.json.encode({"modelSummaries": models})


def _summary(model: str) -> dict[str, Any]:
    return {
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"],
        "inputModalities": ["TEXT"],
        "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}",
        "modelId": model,
        "modelLifecycle": {"status": "ACTIVE"},
        "modelName": SHOWCASE.get(model, model),
        "outputModalities": ["TEXT"],
        "providerName": model.partition(".")[0] if model not in SHOWCASE else "simulator",
        "responseStreamingSupported": True,
    }


ROUTES: Final = (
    Route("/model/{model}/converse", BEDROCK, read_converse, ConverseAnswer),
    Route("/model/{model}/converse-stream", BEDROCK, read_converse, ConverseAnswer),
    Route("/model/{model}/invoke", BEDROCK, read_invoke, InvokeAnswer),
    Route("/model/{model}/invoke-with-response-stream", BEDROCK, read_invoke, InvokeAnswer),
)
PLAIN_ROUTES: Final = (
    PlainRoute("POST", "/model/{model}/count-tokens", BEDROCK, _count_tokens),
    PlainRoute("GET", "/foundation-models", BEDROCK, _listing),
)

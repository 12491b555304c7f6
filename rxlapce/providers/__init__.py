"""To whom it is said: endpoint, auth, framing and dialect of each provider, one small file each.

`SPECS` is the table: a new provider is its file and one line here.
"""

from rxlapce.providers import anthropic, azure, bedrock, gemini, local, openai, openrouter, vertex, xai
from rxlapce.providers.spec import ProviderSpec

SPECS: dict[str, ProviderSpec] = {
    spec.name: spec
    for spec in (
        openai.SPEC,
        anthropic.SPEC,
        gemini.SPEC,
        azure.SPEC,
        bedrock.SPEC,
        xai.SPEC,
        vertex.SPEC,
        openrouter.SPEC,
        local.SPEC,
    )
}

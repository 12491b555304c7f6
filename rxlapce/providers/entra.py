"""Access tokens of Microsoft Entra ID by azure-identity. Importing this imports it: the extra `rxlapce[azure]`.

Source: azure-identity's reference, "DefaultAzureCredential": a service principal in environment variables, workload and
managed identity, and who is signed in to Azure's tools.
"""

from typing import Final

from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.credentials import Fetched, Token, tellable
from rxlapce.secret import Secret

#: For one connection, and for one read of it, in seconds; azure-core's own limits are 300.
REQUEST_TIMEOUT_S: Final = 10


def fetch(scope: str) -> Fetched[Token]:
    """A token for `scope` of the first credential that there is. Blocks. Raises `ProviderError` (auth).

    The credentials are looked up each time, so that a new login counts without a restart.
    """
    try:
        with DefaultAzureCredential(
            connection_timeout=REQUEST_TIMEOUT_S, read_timeout=REQUEST_TIMEOUT_S, retry_total=2
        ) as credential:
            said = credential.get_token(scope)
    except (AzureError, ValueError) as error:  # ValueError: a variable of azure-identity's that does not fit
        raise ProviderError(
            ErrorKind.AUTH,
            "no token of Microsoft Entra ID: set AZURE_OPENAI_API_KEY, or sign in (az login), or set the variables "
            f"of a service principal; azure-identity says: {tellable(error)}",
            retry=Retry.OTHER_PROVIDER,
            phase=Phase.ADMIT,
        ) from None
    secret = Secret(said.token)
    return Fetched(value=Token(secret), secrets=(secret,), expires_s=float(said.expires_on))

"""The built-in providers by the kind that the configuration names: the one place that names their classes."""

from typing import assert_never, cast

from farthing.config import (
    AnthropicProviderConfig,
    AnyProviderConfig,
    BedrockProviderConfig,
    GeminiProviderConfig,
    OpenAIProviderConfig,
    PluginProviderConfig,
    ResponsesProviderConfig,
    VertexProviderConfig,
)
from farthing.models.providers.anthropic.provider import AnthropicProvider
from farthing.models.providers.bedrock.provider import BedrockProvider
from farthing.models.providers.gemini.provider import GeminiProvider
from farthing.models.providers.host import UNKNOWN_HOST, HostFacts
from farthing.models.providers.learnt import Lessons
from farthing.models.providers.openai.provider import OpenAIProvider
from farthing.models.providers.plugin import PluginProvider
from farthing.models.providers.responses.makers import Makers
from farthing.models.providers.responses.provider import ResponsesProvider
from farthing.models.providers.vertex.claude import VertexClaudeProvider
from farthing.models.providers.vertex.gemini import VertexGeminiProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import AwsCredentials, BearerToken, Credentials, Provider, ProviderPlugin
from farthing.types import replace

OPENAI_HOST = "api.openai.com"
AZURE_HOSTS = ".openai.azure.com"
"""What the names of Azure's hosts end in."""
DEPLOYMENTS = "/deployments/"
"""In a base URL of Azure: what follows is one model's. Responses are asked for above it."""


def make(
    name: str,
    origin: HttpOrigin,
    config: AnyProviderConfig,
    *,
    path: str,
    host: HostFacts = UNKNOWN_HOST,
    plugin: ProviderPlugin | None = None,
    makers: Makers | None = None,
    credentials: Credentials | None = None,
    lessons: Lessons | None = None,
) -> Provider:
    """The provider called `name` at `origin`; `path` is that of its `base_url`, `plugin` what knows its
    dialect where that is none of ours, `makers` what remembers whose encrypted content is,
    `credentials` what it is asked with in place of a key, `lessons` what remembers what its targets refuse.

    Raises:
        ValueError: a header has characters that HTTP does not allow.
    """
    account = "" if makers is None else makers.account
    match config:
        case OpenAIProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            native = None
            if _speaks_responses(config, origin.host):
                below = path.partition(DEPLOYMENTS)
                path_of_responses = f"{below[0]}/v1" if below[1] else path
                native = ResponsesProvider(
                    name,
                    origin,
                    config,
                    path=path_of_responses,
                    passage=passage,
                    host=host,
                    makers=makers,
                    token=_token(credentials),
                )
            return OpenAIProvider(
                name,
                origin,
                config,
                path=path,
                passage=passage,
                host=replace(host, stored_completions=_keeps_completions(config, origin.host, path)),
                native=native,
                token=_token(credentials),
                lessons=lessons,
            )
        case ResponsesProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return ResponsesProvider(
                name,
                origin,
                config,
                path=path,
                passage=passage,
                host=host,
                makers=makers,
                token=_token(credentials),
                lessons=lessons,
            )
        case AnthropicProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return AnthropicProvider(name, origin, config, path=path, passage=passage)
        case GeminiProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return GeminiProvider(name, origin, config, path=path, passage=passage, account=account)
        case VertexProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            of_vertex = VertexGeminiProvider if config.publisher == "google" else VertexClaudeProvider
            return of_vertex(name, origin, config, path=path, passage=passage, token=_token(credentials))
        case BedrockProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return BedrockProvider(name, origin, config, path=path, passage=passage, keys=_keys(credentials))
        case PluginProviderConfig():
            assert plugin is not None, "whoever names a plug-in has opened it"
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return PluginProvider(name, origin, config, plugin, path=path, passage=passage)
        case _:
            assert_never(config)


def _token(credentials: Credentials | None) -> BearerToken | None:
    """Those of a provider that is asked with a token: the configuration allows it no others."""
    assert credentials is None or hasattr(credentials, "line"), "keys that sign are no token"
    return cast("BearerToken | None", credentials)


def _keys(credentials: Credentials | None) -> AwsCredentials | None:
    """Those of a provider whose calls are signed."""
    assert credentials is None or hasattr(credentials, "keys"), "a token does not sign"
    return cast("AwsCredentials | None", credentials)


def _speaks_responses(config: OpenAIProviderConfig, host: str) -> bool:
    """Whether a provider of chat completions takes Responses too."""
    if config.responses is None:
        return host == OPENAI_HOST or host.endswith(AZURE_HOSTS)
    return config.responses


def _keeps_completions(config: OpenAIProviderConfig, host: str, path: str) -> bool:
    """Whether a provider of chat completions keeps those that ask for it. Azure's older interface, by
    deployments, has them under the newer one's paths alone."""
    if config.stored_completions is None:
        return host == OPENAI_HOST or (host.endswith(AZURE_HOSTS) and DEPLOYMENTS not in path)
    return config.stored_completions

"""The built-in providers by the kind that the configuration names: the one place that names their classes."""

from functools import partial
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
    passage = Passage(config.pass_headers, config.return_headers, config.headers)
    of_responses = partial(ResponsesProvider, name, origin, passage=passage, host=host, makers=makers)
    match config:
        case OpenAIProviderConfig():
            native = None
            if _speaks_responses(config, origin.host):
                native = of_responses(config, path=_path_of_responses(path), token=_token(credentials))
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
            return of_responses(config, path=path, token=_token(credentials), lessons=lessons)
        case AnthropicProviderConfig():
            return AnthropicProvider(name, origin, config, path=path, passage=passage, lessons=lessons)
        case GeminiProviderConfig():
            account = "" if makers is None else makers.account
            return GeminiProvider(name, origin, config, path=path, passage=passage, account=account)
        case VertexProviderConfig():
            of_vertex = (
                VertexGeminiProvider
                if config.publisher == "google"
                else partial(VertexClaudeProvider, lessons=lessons)
            )
            return of_vertex(name, origin, config, path=path, passage=passage, token=_token(credentials))
        case BedrockProviderConfig():
            keys = _keys(credentials)
            return BedrockProvider(
                name, origin, config, path=path, passage=passage, keys=keys, lessons=lessons
            )
        case PluginProviderConfig():
            assert plugin is not None, "whoever names a plug-in has opened it"
            return PluginProvider(name, origin, config, plugin, path=path, passage=passage)
        case _:
            assert_never(config)


def _path_of_responses(path: str) -> str:
    """Where the host of `path` takes Responses: at Azure, not below a deployment."""
    above, deployments, _ = path.partition(DEPLOYMENTS)
    return f"{above}/v1" if deployments else path


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

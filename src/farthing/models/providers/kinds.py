"""The built-in providers by the kind that the configuration names: the one place that names their classes."""

from typing import assert_never

from farthing.config import (
    AnthropicProviderConfig,
    AnyProviderConfig,
    OpenAIProviderConfig,
    PluginProviderConfig,
)
from farthing.dialects.chat.embedded import ANY_INPUTS, InputsMax
from farthing.dialects.chat.usage import UNSAID, UsageForm
from farthing.dialects.passing.operations import PASSING
from farthing.models.providers.anthropic.provider import AnthropicProvider
from farthing.models.providers.openai.provider import LIST_FROM, OpenAIProvider
from farthing.models.providers.plugin import PluginProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import Provider, ProviderPlugin
from farthing.types import Operation


def make(
    name: str,
    origin: HttpOrigin,
    config: AnyProviderConfig,
    *,
    path: str,
    usage_form: UsageForm = UNSAID,
    list_from: tuple[str, str] = LIST_FROM,
    plugin: ProviderPlugin | None = None,
    operations: frozenset[Operation] = frozenset(PASSING),
    inputs_max: InputsMax = ANY_INPUTS,
) -> Provider:
    """The provider called `name` at `origin`; `path` is that of its `base_url`, `plugin` what knows its
    dialect where that is none of ours, `operations` what it has of those that are passed through,
    `inputs_max` what one call of it for embeddings takes.

    Raises:
        ValueError: a header has characters that HTTP does not allow.
    """
    match config:
        case OpenAIProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return OpenAIProvider(
                name,
                origin,
                config,
                path=path,
                list_from=list_from,
                passage=passage,
                usage_form=usage_form,
                operations=operations,
                inputs_max=inputs_max,
            )
        case AnthropicProviderConfig():
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return AnthropicProvider(name, origin, config, path=path, passage=passage)
        case PluginProviderConfig():
            assert plugin is not None, "whoever names a plug-in has opened it"
            passage = Passage(config.pass_headers, config.return_headers, config.headers)
            return PluginProvider(name, origin, config, plugin, path=path, passage=passage)
        case _:
            assert_never(config)

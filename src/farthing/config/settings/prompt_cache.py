"""What is done about the prompt caches of providers."""

from typing import Literal

from farthing.config.settings.table import Table


class PromptCacheConfig(Table, frozen=True):
    measure: bool = True
    """Record for each call what was read from its provider's prompt cache, what was missed and why. Routers
    weigh what a session has cached by it."""
    stay: bool | None = None
    """A session stays at a target that has its prompt cached, even if rules choose another, where its list
    price is at least that of the other and its next call costs less now. None: where the shipped rules or a
    cascade choose, but not against rules of your own."""
    breakpoints: Literal["auto", "off"] = "auto"
    """Mark the beginning of prompts for the caches of providers that cache only what is marked (Claude),
    where the client marked nothing and it is measured to pay. Needs `measure`."""
    key: Literal["auto", "off"] = "auto"
    """Send `prompt_cache_key` to providers that take it (OpenAI), where the client sent none. Needs
    `measure`."""


class EndpointPromptCacheConfig(Table, frozen=True):
    breakpoints: Literal["auto", "off"] | None = None
    """Overrides `prompt_cache.breakpoints` for this endpoint."""
    key: Literal["auto", "off"] | None = None
    """Overrides `prompt_cache.key` for this endpoint."""

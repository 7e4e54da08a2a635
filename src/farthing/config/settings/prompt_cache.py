"""What is done about the prompt caches of providers."""

from farthing.config.settings.table import Table


class PromptCacheConfig(Table, frozen=True):
    measure: bool = True
    """Record for each call what was read from its provider's prompt cache, what was missed and why. Routers
    weigh what a session has cached by it."""

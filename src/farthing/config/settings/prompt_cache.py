"""What is done about the prompt caches of providers."""

from farthing.config.settings.table import Table


class PromptCacheConfig(Table, frozen=True):
    measure: bool = True
    """Record for each call what was read from its provider's prompt cache, what was missed and why. Routers
    weigh what a session has cached by it."""
    stay: bool | None = None
    """A session stays at a target that has its prompt cached, even if rules choose another, where its list
    price is at least that of the other and its next call costs less now. None: where the shipped rules or a
    cascade choose, but not against rules of your own."""

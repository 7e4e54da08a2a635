"""How many input tokens a call is taken to have used where its provider has not said."""

from farthing.protocols import TokenSizes
from farthing.types import Prompt, Target


def expected_tokens(sizes: TokenSizes | None, target: Target, prompt: Prompt) -> int:
    """The estimate for `target`; without `sizes`, and of what is no chat, the one for all."""
    if sizes is None or "messages" not in prompt.body:
        return prompt.input_tokens
    return sizes.expected(target, prompt.input_tokens, prompt.media_tokens, prompt.body).tokens

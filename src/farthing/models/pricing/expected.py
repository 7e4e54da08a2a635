"""Estimates the input tokens of a call whose provider did not report them."""

from farthing.protocols import TokenSizes
from farthing.types import Pass, Prompt, Target, Usage


def expected_tokens(sizes: TokenSizes | None, target: Target, prompt: Prompt) -> int:
    """The estimate for `target`; one for all targets without `sizes`, and for requests other than chat."""
    if sizes is None or "messages" not in prompt.body:
        return prompt.input_tokens
    return sizes.expected(target, prompt.input_tokens, prompt.media_tokens, prompt.body).tokens


def estimated_pass(usage: Usage, input_tokens: int, output_tokens: int) -> Pass:
    """What `usage` does not count of the model that was called."""
    return Pass(
        usage=Usage(
            input_tokens=0 if usage.input_tokens else input_tokens,
            output_tokens=0 if usage.output_tokens else output_tokens,
            tier=usage.tier,
            region=usage.region,
        )
    )

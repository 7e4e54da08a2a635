"""What is asked in the tests of prompt caches."""

from typing import Any

from farthing.types import Prompt


def prompt_of(body: dict[str, Any], tokens: int = 5_000) -> Prompt:
    return Prompt(
        body=body, input_tokens=tokens, input_tokens_bound=None, output_tokens_max=None, stream=False
    )

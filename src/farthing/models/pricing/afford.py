"""How much output the remaining money pays for. Pure functions."""

from collections.abc import Callable

from farthing.models.pricing.cost import worst_case_nusd
from farthing.text.media import input_tokens_bound_at
from farthing.types import Prompt, Target, choices_said, replace

OUTPUT_TOKENS_ASSUMED = 4_096  # held for a call that sets no maximum, at a model whose own is unknown


def affordable(
    prompt: Prompt,
    target: Target,
    left_nusd: int,
    closer: Callable[[Target, Prompt], int] | None = None,
) -> tuple[Prompt, int | None]:
    """The prompt with its output capped to what is left to pay it with, and the worst case of that. `closer`
    bounds the prompt's tokens nearer than its bytes do, and is asked where these come to more than is left.

    Where even one token is too dear, or the price is unknown, the worst case is as it is: `Hold.call`
    refuses it.
    """
    if prompt.input_tokens_bound is None:
        return prompt, None
    bound = input_tokens_bound_at(target.model, prompt.input_tokens_bound, prompt.images)
    output_max = prompt.output_tokens_max or target.output_tokens_max or OUTPUT_TOKENS_ASSUMED
    choices = choices_said(prompt.body)  # the cap is each choice's own, and all of them are charged for
    worst_case = worst_case_nusd(target.price, bound, choices * output_max, prompt.dearer)
    if closer is not None and worst_case is not None and worst_case > left_nusd:
        bound = min(bound, closer(target, prompt))
        worst_case = worst_case_nusd(target.price, bound, choices * output_max, prompt.dearer)
    if worst_case is None or worst_case <= left_nusd:
        if (
            prompt.output_tokens_max
            or target.output_tokens_max
            or not (target.price and target.price.output_pusd)
        ):
            return prompt, worst_case
        # nothing else would keep the model to what is held for it
        return replace(prompt, output_tokens_max=output_max, capped_by="usd_max"), worst_case
    one = worst_case_nusd(target.price, bound, choices, prompt.dearer) or 0
    if one > left_nusd or worst_case <= one:
        return prompt, worst_case
    # both are rounded up: one more between them keeps what is between below the line from one to the other
    cap = 1 + (left_nusd - one) * (output_max - 1) // (worst_case - one + 1)
    capped = worst_case_nusd(target.price, bound, choices * cap, prompt.dearer)
    return replace(prompt, output_tokens_max=cap, capped_by="usd_max"), capped

"""What a call that failed has cost."""

from farthing.dialects.chat.usage import as_stated, begun
from farthing.dialects.passing.operations import passing_of
from farthing.errors import ProviderError
from farthing.models.calling.request import CallResult
from farthing.models.pricing.book import book
from farthing.models.pricing.expected import estimated_pass, expected_tokens
from farthing.protocols import TokenSizes
from farthing.types import Prompt, Usage, replace

CHARS_PER_TOKEN = 4


def book_failed(
    result: CallResult, prompt: Prompt, error: ProviderError | None, sizes: TokenSizes | None
) -> None:
    """Record the cost of a failed call: what its provider counted; else nothing if it was refused, its
    estimated prompt if the provider may have worked on it."""
    if error is not None and error.counted is not None:
        book(result.attempt, result.target, error.counted)
        return
    if error is not None and (error.upstream_status is not None or not error.sent):
        result.attempt.cost_nusd = 0
        if result.spent is not None:
            book(result.attempt, result.target, result.spent)
        return
    if passing_of(prompt) is not None:
        return  # nobody knows
    stream = result.stream
    usage = None if stream is None else stream.usage
    said = 0
    if stream is not None:
        reader = stream.reader
        said = max(reader.chunks, reader.text_chars // CHARS_PER_TOKEN)
        if usage is not None and not (reader.done or stream.counted or reader.usage_event):
            usage = begun(usage)
        if reader.states_nothing:
            usage = as_stated(usage)
    if usage is None:
        tokens = expected_tokens(sizes, result.target, prompt)
        usage = Usage(input_tokens=tokens, output_tokens=said, estimated=True)
    elif usage.estimated:
        tokens = usage.input_tokens or expected_tokens(sizes, result.target, prompt)
        usage = replace(
            usage,
            input_tokens=tokens,
            output_tokens=usage.output_tokens or said,
            passes=usage.passes and (*usage.passes, estimated_pass(usage, tokens, said)),
        )
    book(result.attempt, result.target, usage)

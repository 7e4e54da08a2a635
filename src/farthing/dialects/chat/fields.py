"""The names that a request for chat completions is made of, as messages about one use them."""

FIELDS = frozenset({
    "audio", "cache_control", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention",
    "reasoning", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop",
    "store", "stream", "stream_options", "temperature", "thinking", "tool_choice", "tools", "top_k",
    "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
})  # fmt: skip
"""Top-level fields, and those of other providers that many clients send."""

PARTS = frozenset({
    "file", "file_id", "image_url", "input_audio", "messages.name", "reasoning_content",
    "thinking.budget_tokens", "tools.custom", "tools.parameters",
})  # fmt: skip
"""Parts of a field, as a provider's interface names them that has no word for one."""

CHANGES_THE_ANSWER = frozenset({
    "audio", "file", "file_id", "frequency_penalty", "function_call", "functions", "image_url", "input_audio",
    "logit_bias", "logprobs", "modalities", "n", "presence_penalty", "response_format", "stop", "thinking",
    "reasoning_effort", "tool_choice", "tools", "tools.custom", "top_logprobs", "web_search_options",
})  # fmt: skip
"""What a client cannot do without noticing: the number of answers, their form or what they are about."""

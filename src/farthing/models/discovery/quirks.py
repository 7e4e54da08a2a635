"""What providers of OpenAI's form want otherwise than OpenAI, by their hosts, as their documentation and
their official SDKs say. docs/providers.md shows this table, and a test compares the two.

Local servers are known by what their table is called, as detection calls them. A host that is not here gets
what OpenAI would, and says itself what it does not take: that is learnt (`providers/learnt`).
"""

from farthing.dialects.chat.requests.fitting import NO_QUIRKS, OF_OPENAI, Quirks

_LOCAL = Quirks(developer=False)
_OF_REASONING_GROK = frozenset({"frequency_penalty", "logit_bias", "presence_penalty", "stop"})
_FIXED_BY_KIMI = frozenset({"frequency_penalty", "n", "presence_penalty", "temperature", "top_p"})

_HOSTS: dict[str, Quirks] = {
    "api.groq.com": Quirks(
        refused=OF_OPENAI - {"store"} | {"logit_bias", "logprobs", "n", "prompt_cache_key", "top_logprobs"},
        names=False,
        strict=True,
        thoughts="",
    ),
    "api.mistral.ai": Quirks(
        limit="max_tokens",
        renamed={"seed": "random_seed"},
        refused=(OF_OPENAI | {"logit_bias", "user"}) - {"prediction"},
        names=False,
        developer=False,
        short_call_ids=True,
        stream_options=False,
        strict=True,
        thoughts="",
        user_behind_tools=False,
    ),
    "api.deepseek.com": Quirks(
        limit="max_tokens",
        refused=frozenset({"audio", "logit_bias", "modalities", "n", "web_search_options"}),
        schemas=False,
        developer=False,
    ),
    "api.together.xyz": Quirks(limit="max_tokens", developer=False),
    "api.x.ai": Quirks(refused_by=((r"^grok-(?!2|3(?!-mini)|.*non-reasoning)", _OF_REASONING_GROK),)),
    "api.fireworks.ai": Quirks(refused=OF_OPENAI - {"prediction"}, developer=False),
    "api.cerebras.ai": Quirks(
        refused=(OF_OPENAI | {"metadata", "top_k"}) - {"prediction"},
        developer=False,
        strict=True,
        thoughts="reasoning",
    ),
    "api.moonshot.ai": Quirks(
        refused_by=((r"^kimi-", _FIXED_BY_KIMI),),
        demands=False,
        developer=False,
    ),
}
_HOSTS["generativelanguage.googleapis.com"] = _HOSTS["aiplatform.googleapis.com"] = Quirks(proofs=True)
_HOSTS["api.moonshot.cn"] = _HOSTS["api.moonshot.ai"]
_NAMES: dict[str, Quirks] = {
    "vllm": _LOCAL,
    "sglang": _LOCAL,
    "llama-server": _LOCAL,
    "ollama": Quirks(limit="max_tokens", refused=frozenset({"logit_bias", "n"}), developer=False),
    "lm-studio": Quirks(limit="max_tokens", refused=frozenset({"n"}), developer=False),
}


def quirks_of(name: str, host: str) -> Quirks:
    """Those of the provider called `name` at `host`: by where it is, else by what it is called if that is a
    local server's name."""
    host = host.lower()
    for known, found in _HOSTS.items():
        if host == known or host.endswith((f".{known}", f"-{known}")):
            return found
    return _NAMES.get(name, NO_QUIRKS)


def known_quirks() -> dict[str, Quirks]:
    """All of them, by host or by name."""
    return {**_HOSTS, **_NAMES}

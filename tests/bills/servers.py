"""Smaller providers, proxies and servers of one's own that make their bills by their own published rules.

As those in `providers`; what is run on one's own machine has the prices that its owner gives it.
"""

import json
from fractions import Fraction
from random import Random

from tests.bills.drawn import Chat, Drawn, Json, money, part, size


class DeepSeek(Chat):
    """Models and pricing, api-docs.deepseek.com: the prompt is hits and misses of the cache, told at the top
    level; the reasoning is in `completion_tokens`.
    """

    name = "deepseek"
    prices = "input = 0.28\ncached_input = 0.028\noutput = 0.42\n"

    def draw(self, random: Random) -> Drawn:
        hit, miss, output = size(random, 100_000), 1 + size(random, 100_000), 1 + size(random, 30_000)
        usage: Json = {
            "prompt_tokens": hit + miss,
            "completion_tokens": output,
            "total_tokens": hit + miss + output,
            "prompt_cache_hit_tokens": hit,
            "prompt_cache_miss_tokens": miss,
        }
        if random.random() < 0.5:
            usage["prompt_tokens_details"] = {"cached_tokens": hit}
        if random.random() < 0.5:
            usage["completion_tokens_details"] = {"reasoning_tokens": part(random, output)}
        return Drawn(usage=usage, usd=hit * money("0.028") + miss * money("0.28") + output * money("0.42"))


class Groq(Chat):
    """Pricing and prompt caching, console.groq.com: cached tokens are part of the prompt, at half. Flex is
    the price of `on_demand`. A stream tells its usage in `x_groq`.
    """

    name = "groq"
    prices = "input = 0.15\ncached_input = 0.075\noutput = 0.6\nflex_factor = 1\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 90_000), 1 + size(random, 9_000)
        read = part(random, prompt)
        usage: Json = {
            "queue_time": 0.01, "prompt_tokens": prompt, "prompt_time": 0.002, "completion_tokens": output,
            "completion_time": 0.5, "total_tokens": prompt + output, "total_time": 0.502,
        }  # fmt: skip
        if read:
            usage["prompt_tokens_details"] = {"cached_tokens": read}
        if random.random() < 0.5:
            usage["completion_tokens_details"] = {"reasoning_tokens": part(random, output)}
        usd = (prompt - read) * money("0.15") + read * money("0.075") + output * money("0.6")
        return Drawn(usage=usage, usd=usd, head={"service_tier": random.choice(["on_demand", "flex"])})

    def usage_chunks(self, head: Json, drawn: Drawn) -> list[Json]:
        return [{**head, "choices": [], "x_groq": {"id": "req_1", "usage": drawn.usage}}]


class Kimi(Chat):
    """Pricing, platform.moonshot.ai: `cached_tokens` stands at the top level and is part of the prompt. A
    stream tells its usage in the last choice.
    """

    name = "moonshot"
    prices = "input = 0.6\ncached_input = 0.15\noutput = 2.5\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 90_000), 1 + size(random, 9_000)
        read = part(random, prompt)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "cached_tokens": read,
        }
        usd = (prompt - read) * money("0.6") + read * money("0.15") + output * money("2.5")
        return Drawn(usage=usage, usd=usd)

    def usage_chunks(self, head: Json, drawn: Drawn) -> list[Json]:
        choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": drawn.usage}
        return [{**head, "choices": [choice]}]


class Mistral(Chat):
    """Pricing, mistral.ai, of the models that hear: tokens, and each second of audio ($0.004 a minute)."""

    name = "mistral"
    prices = "input = 0.1\noutput = 0.3\naudio_seconds_per_1000 = 0.066\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 90_000), 1 + size(random, 9_000)
        heard_s = random.choice([None, 0, random.randint(1, 900)])
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_audio_seconds": heard_s,
        }
        usd = prompt * money("0.1") + output * money("0.3") + (heard_s or 0) * Fraction("0.066") / 1_000
        return Drawn(usage=usage, usd=usd)


class Perplexity(Chat):
    """Pricing, docs.perplexity.ai, of deep research: input, output, citations and reasoning at prices of
    their own, $5 per thousand searches; and of the search models, a fee for each request.
    """

    name = "perplexity"
    prices = (
        "input = 2\noutput = 8\noutput_reasoning = 3\ncitation_tokens_per_1000 = 0.002\n"
        "web_search_per_1000 = 5\nrequest_per_1000 = 6\n"
    )

    def draw(self, random: Random) -> Drawn:
        prompt, output, cited = 1 + size(random, 9_000), 1 + size(random, 9_000), size(random, 90_000)
        thought, searches = part(random, output), random.randint(0, 20)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "citation_tokens": cited,
            "num_search_queries": searches,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        usd = (
            prompt * money("2") + (output - thought) * money("8") + thought * money("3") + cited * money("2")
            + searches * Fraction(5, 1_000) + Fraction(6, 1_000)
        )  # fmt: skip
        return Drawn(usage=usage, usd=usd)


class Cohere(Chat):
    """Pricing, cohere.com, at its OpenAI-compatible endpoint: input and output, nothing else."""

    name = "cohere"
    prices = "input = 0.0375\noutput = 0.15\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 90_000), 1 + size(random, 9_000)
        usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        return Drawn(usage=usage, usd=prompt * money("0.0375") + output * money("0.15"))


class Qwen(Chat):
    """Model Studio, alibabacloud.com/help: three prices by the length of the prompt, for all of it and the
    answer. What was read from a cache by marks costs a tenth, what was written to it 1.25 times; the split
    stands in the details.
    """

    name = "dashscope"
    STEPS = ((0, "1", "5"), (32_000, "1.8", "9"), (128_000, "3", "15"), (256_000, "6", "60"))
    prices = (
        "input = 1\ncached_input = 0.1\ncache_write_5m = 1.25\noutput = 5\n"
        "above_32000_input = { input = 1.8, cached_input = 0.18, cache_write_5m = 2.25, output = 9 }\n"
        "above_128000_input = { input = 3, cached_input = 0.3, cache_write_5m = 3.75, output = 15 }\n"
        "above_256000_input = { input = 6, cached_input = 0.6, cache_write_5m = 7.5, output = 60 }\n"
    )

    def draw(self, random: Random) -> Drawn:
        limits = [limit for limit, _, _ in self.STEPS[1:]]
        prompt = random.choice((1 + size(random, 500_000), *limits, *(limit + 1 for limit in limits)))
        output = 1 + size(random, 30_000)
        read = part(random, prompt)
        written = part(random, prompt - read)
        inside, outside = [(i, o) for limit, i, o in self.STEPS if prompt > limit or not limit][-1]
        usd = (
            (prompt - read - written) * money(inside) + read * money(inside) / 10
            + written * money(inside) * 5 / 4 + output * money(outside)
        )  # fmt: skip
        details: Json = {"cached_tokens": read}
        if written or random.random() < 0.5:
            details["cache_creation"] = {"ephemeral_5m_input_tokens": written}
            details["cache_creation_input_tokens"] = written
            details["cache_type"] = "ephemeral"
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"reasoning_tokens": part(random, output), "text_tokens": output},
        }
        return Drawn(usage=usage, usd=usd)


class LiteLLM(Chat):
    """A proxy's account of Anthropic (litellm, `Usage`): the prompt has all of it, under names of both."""

    name = "litellm"
    prices = "input = 4\ncached_input = 0.4\ncache_write_5m = 5\ncache_write_1h = 8\noutput = 20\n"

    def draw(self, random: Random) -> Drawn:
        fresh, read, output = 1 + size(random, 99_000), size(random, 99_000), 1 + size(random, 9_000)
        short, long = size(random, 50_000), size(random, 50_000)
        details: Json = {"cached_tokens": read, "audio_tokens": None, "text_tokens": None}
        if long or random.random() < 0.5:
            details["cache_creation_token_details"] = {
                "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long
            }  # fmt: skip
        prompt = fresh + read + short + long
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {**details, "cache_creation_tokens": short + long},
            "cache_creation_input_tokens": short + long,
            "cache_read_input_tokens": read,
        }
        usd = (
            fresh * money("4") + read * money("0.4") + short * money("5") + long * money("8")
            + output * money("20")
        )  # fmt: skip
        return Drawn(usage=usage, usd=usd)


class VLLM(Chat):
    """docs.vllm.ai: the prompt has what its prefix cache had of it, the output the reasoning. A stream may
    tell the counts so far in every chunk (`continuous_usage_stats`).
    """

    name = "vllm"
    prices = "input = 0.0125\ncached_input = 0.001\noutput = 0.05\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 90_000), 1 + size(random, 9_000)
        read = part(random, prompt)
        details = {"cached_tokens": read} if read or random.random() < 0.5 else None
        usage: Json = {"prompt_tokens": prompt, "total_tokens": prompt + output}
        usage |= {"completion_tokens": output, "prompt_tokens_details": details}
        usd = (prompt - read) * money("0.0125") + read * money("0.001") + output * money("0.05")
        return Drawn(usage=usage, usd=usd, head={"prompt_logprobs": None, "kv_transfer_params": None})

    def events(self, drawn: Drawn) -> bytes:
        prompt, output = drawn.usage["prompt_tokens"], drawn.usage["completion_tokens"]
        so_far = {"prompt_tokens": prompt, "total_tokens": prompt + output // 2}
        so_far["completion_tokens"] = output // 2
        told = b'"finish_reason": null}], "usage": %b' % json.dumps(so_far).encode()
        return super().events(drawn).replace(b'"finish_reason": null}]', told)


class LlamaCpp(Chat):
    """llama.cpp's server: counts as OpenAI's, and its own timings beside them."""

    name = "llama"
    prices = "input = 0.02\ncached_input = 0.0025\noutput = 0.06\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 30_000), 1 + size(random, 9_000)
        read = part(random, prompt)
        usage: Json = {"completion_tokens": output, "prompt_tokens": prompt, "total_tokens": prompt + output}
        usage["prompt_tokens_details"] = {"cached_tokens": read}
        timings = {"prompt_n": prompt - read, "cache_n": read, "predicted_n": output, "predicted_ms": 12.5}
        usd = (prompt - read) * money("0.02") + read * money("0.0025") + output * money("0.06")
        return Drawn(usage=usage, usd=usd, head={"timings": timings, "system_fingerprint": "b7000"})


class Ollama(Chat):
    """Ollama's OpenAI-compatible endpoint, which counts the prompt whole, whatever it remembered of it."""

    name = "ollama"
    prices = "input = 0.01\noutput = 0.03\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 30_000), 1 + size(random, 9_000)
        usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        return Drawn(usage=usage, usd=prompt * money("0.01") + output * money("0.03"))

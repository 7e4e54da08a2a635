"""Providers that make their bills by their own published rules.

Each class says its rules and where they are published. The rates are such as the price lists had in November
2026, of one model each; what matters is what they are multiplied with.
"""

from fractions import Fraction
from random import Random

from tests.bills.drawn import Biller, Chat, Drawn, Json, Messages, part, size

M = Fraction(1, 1_000_000)


def money(usd: str) -> Fraction:
    """Dollars for one token, of dollars per million."""
    return Fraction(usd) * M


OPENAI = {
    "input": "2",
    "cached_input": "0.2",
    "cache_write_30m": "2.5",
    "cache_write_12h": "5",
    "output": "10",
}


OPENAI_LONG = {
    "input": "4",
    "cached_input": "0.4",
    "cache_write_30m": "5",
    "cache_write_12h": "10",
    "output": "15",
}


OPENAI_TIERS = {"flex": Fraction(1, 2), "batch": Fraction(1, 2), "priority": 2, "fast": 2, "ultrafast": 6}


class OpenAI(Chat):
    """Prices and prompt caching guide, platform.openai.com (GPT-5.6 and later): `prompt_tokens` has the
    cached and the written ones in it; reading costs a tenth, writing 1.25 times for 30 minutes and 2.5 times
    for 12 hours. `completion_tokens` has the reasoning and rejected predictions in it. A prompt of more than 272,000
    tokens: input, cached and written at twice, output at 1.5 times, all of it. Flex and batch halve, priority
    doubles, whichever `service_tier` the answer names; `default` and `auto` do nothing. A web search is $10
    per thousand; a chat makes one where `web_search_options` asks for it.
    """

    name = "openai"
    prices = (
        "".join(f"{name} = {usd}\n" for name, usd in OPENAI.items())
        + "above_272000_input = { " + ", ".join(f"{name} = {usd}" for name, usd in OPENAI_LONG.items()) + " }\n"
        + "flex_factor = 0.5\nbatch_factor = 0.5\npriority_factor = 2\nultrafast_factor = 6\n"
        + "web_search_per_1000 = 10\n"
    )  # fmt: skip

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 900_000), 1 + size(random, 100_000)
        read = part(random, prompt)
        short = part(random, prompt - read)
        long = part(random, prompt - read - short)
        thought, rejected = part(random, output), part(random, output)
        tier = random.choice(["default", "default", "auto", None, *OPENAI_TIERS])
        searches = random.random() < 0.1
        rates = OPENAI_LONG if prompt > 272_000 else OPENAI
        usd = (
            (prompt - read - short - long) * money(rates["input"])
            + read * money(rates["cached_input"])
            + short * money(rates["cache_write_30m"])
            + long * money(rates["cache_write_12h"])
            + output * money(rates["output"])
        ) * OPENAI_TIERS.get(tier or "", 1)
        if searches:
            usd += Fraction(10, 1_000)
        details: Json = {"cached_tokens": read, "audio_tokens": 0}
        if short or long or random.random() < 0.5:
            details["cache_write_tokens"] = short + long
        if long or random.random() < 0.2:
            details["cache_write_tokens_details"] = {"ttl_30m_tokens": short, "ttl_12h_tokens": long}
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": details,
            "completion_tokens_details": {
                "reasoning_tokens": thought,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": rejected,
            },
        }
        return Drawn(
            usage=usage,
            usd=usd,
            asked={
                "service_tier": random.choice(["auto", "default"]) if tier is None else "priority",
                **({"web_search_options": {}} if searches else {}),
            },
            head={} if tier is None else {"service_tier": tier},
        )


class OpenAIAudio(Chat):
    """Prices of gpt-audio and gpt-realtime: text and audio are parts of both totals at their own prices, and
    what was read from the cache is split in `cached_tokens_details`, each with a price of its own.
    """

    name = "openai"
    prices = (
        "input = 4\ncached_input = 0.4\noutput = 16\ninput_audio = 32\ncached_audio = 0.5\n"
        "output_audio = 64\ninput_image = 5\ncached_image = 0.6\n"
    )

    def draw(self, random: Random) -> Drawn:
        text, audio, images = 1 + size(random, 50_000), size(random, 50_000), size(random, 20_000)
        said, spoken = 1 + size(random, 5_000), size(random, 5_000)
        cached = part(random, text), part(random, audio), part(random, images)
        usd = (
            (text - cached[0]) * money("4") + cached[0] * money("0.4")
            + (audio - cached[1]) * money("32") + cached[1] * money("0.5")
            + (images - cached[2]) * money("5") + cached[2] * money("0.6")
            + said * money("16") + spoken * money("64")
        )  # fmt: skip
        details: Json = {"text_tokens": text, "audio_tokens": audio, "image_tokens": images}
        details["cached_tokens"] = sum(cached)
        details["cached_tokens_details"] = {
            "text_tokens": cached[0], "audio_tokens": cached[1], "image_tokens": cached[2]
        }  # fmt: skip
        usage = {
            "prompt_tokens": text + audio + images,
            "completion_tokens": said + spoken,
            "total_tokens": text + audio + images + said + spoken,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"text_tokens": said, "audio_tokens": spoken},
        }
        return Drawn(usage=usage, usd=usd)


ANTHROPIC = {
    "input": "4",
    "cached_input": "0.4",
    "cache_write_5m": "5",
    "cache_write_1h": "8",
    "output": "20",
}


ADVISER = {
    "input": "8",
    "cached_input": "0.8",
    "cache_write_5m": "10",
    "cache_write_1h": "16",
    "output": "40",
}


class Anthropic(Messages):
    """Pricing page, docs.anthropic.com: `input_tokens` leaves out what was read from the cache (a tenth) and
    written to it (1.25 times for 5 minutes, also where no split is told, 2 times for an hour). Fast mode
    doubles and US inference makes 1.1 times of every class of tokens, batches half. Searches are $10 per
    thousand, fetches free, whatever the speed. A compaction is charged beside the totals, at the same rates;
    an adviser's tokens at those of its own model, in the same batch and region, at its own speed.
    """

    name = "anthropic"
    prices = (
        "".join(f"{name} = {usd}\n" for name, usd in ANTHROPIC.items())
        + "fast_factor = 2\nbatch_factor = 0.5\ninference_geo_us_factor = 1.1\nweb_search_per_1000 = 10\n"
    )
    others = (
        (
            "wiser",
            "".join(f"{name} = {usd}\n" for name, usd in ADVISER.items())
            + "batch_factor = 0.5\ninference_geo_us_factor = 1.1\n",
        ),
    )

    def draw(self, random: Random) -> Drawn:
        counts, usd = self.counts(random, ANTHROPIC)
        usage: Json = {**counts}
        iterations: list[Json] = []
        if random.random() < 0.15:
            more, charge = self.counts(random, ANTHROPIC)
            iterations.append({"type": "compaction", **more})
            usd += charge
        speed, tier = random.choice([(None, "standard"), ("standard", "standard"), ("fast", "standard"),
                                     (None, "batch"), ("standard", None)])  # fmt: skip
        if speed is not None:
            usage["speed"] = speed
        if tier is not None:
            usage["service_tier"] = tier
        geo = random.choice([None, "not_available", "global", "us"])
        if geo is not None:
            usage["inference_geo"] = geo
        usd *= 2 if speed == "fast" else 1
        if random.random() < 0.15:
            more, charge = self.counts(random, ADVISER)
            iterations.append({"type": "advisor_message", "model": "wiser", **more})
            usd += charge
        usd *= Fraction(1, 2) if tier == "batch" else 1
        usd *= Fraction(11, 10) if geo == "us" else 1
        if random.random() < 0.2:
            searches = random.randint(0, 6)
            usage["server_tool_use"] = {
                "web_search_requests": searches, "web_fetch_requests": random.randint(0, 6)
            }  # fmt: skip
            usd += searches * Fraction(10, 1_000)
        if iterations:
            usage["iterations"] = [*iterations, {"type": "message", **counts}]
        if random.random() < 0.5:
            usage["output_tokens_details"] = {"thinking_tokens": part(random, counts["output_tokens"])}
        began = {**{name: value for name, value in usage.items() if name != "iterations"}, "output_tokens": 1}
        last = dict(usage)
        if random.random() < 0.5:  # what does not change is not told again
            for name in (
                "input_tokens",
                "cache_creation",
                "cache_read_input_tokens",
                "speed",
                "service_tier",
            ):
                last.pop(name, None)
        return Drawn(usage=usage, usd=usd, began=began, ended=last)

    def counts(self, random: Random, rates: dict[str, str]) -> tuple[Json, Fraction]:
        fresh, read, output = 1 + size(random, 200_000), size(random, 500_000), 1 + size(random, 60_000)
        short, long = size(random, 100_000), random.choice((0, size(random, 100_000)))
        usd = (
            fresh * money(rates["input"])
            + read * money(rates["cached_input"])
            + short * money(rates["cache_write_5m"])
            + long * money(rates["cache_write_1h"])
            + output * money(rates["output"])
        )
        counts: Json = {"input_tokens": fresh, "output_tokens": output, "cache_read_input_tokens": read}
        counts["cache_creation_input_tokens"] = short + long
        if long or random.random() < 0.5:
            counts["cache_creation"] = {
                "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long
            }  # fmt: skip
        return counts, usd


class XAI(Chat):
    """Models and pricing, docs.x.ai: cached tokens are part of `prompt_tokens`; the reasoning of a chat
    stands beside `completion_tokens` and costs as output. More than 200,000 tokens of prompt: everything at twice.
    Tools by the use, $5 per thousand web or X searches. `cost_in_usd_ticks`, of which 10,000,000,000 are a
    dollar, is the charge, tools included.
    """

    name = "xai"
    prices = (
        "input = 3\ncached_input = 0.75\noutput = 15\n"
        "above_200000_input = { input = 6, cached_input = 1.5, output = 30 }\n"
        "web_search_per_1000 = 5\nx_search_per_1000 = 5\n"
    )

    def draw(self, random: Random) -> Drawn:
        prompt, said, thought = 1 + size(random, 400_000), 1 + size(random, 20_000), size(random, 50_000)
        read = part(random, prompt)
        usd = (
            (prompt - read) * money("3") + read * money("0.75") + (said + thought) * money("15")
        ) * (2 if prompt > 200_000 else 1)  # fmt: skip
        usage: Json = {
            "prompt_tokens": prompt,
            "completion_tokens": said,
            "total_tokens": prompt + said + thought,
            "prompt_tokens_details": {
                "text_tokens": prompt, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": read
            },
            "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
            "num_sources_used": 0,
        }  # fmt: skip
        if random.random() < 0.2:
            web, x = random.randint(0, 4), random.randint(0, 4)
            usage["server_side_tool_usage_details"] = {"web_search_calls": web, "x_search_calls": x}
            usd += (web + x) * Fraction(5, 1_000)
        if random.random() < 0.5:
            usage["cost_in_usd_ticks"] = int(usd * 10**10)
            usd = Fraction(usage["cost_in_usd_ticks"], 10**10)
        return Drawn(usage=usage, usd=usd)


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


class Gemini(Chat):
    """Pricing, ai.google.dev, at the OpenAI-compatible endpoint: thoughts stand beside `completion_tokens`
    and cost as output, so that the total is more than the two; cached tokens are part of the prompt. More than
    200,000 tokens of prompt: input and cached at twice, output at 1.5 times. Flex halves, priority makes 1.8
    times; an answer that names no tier ran as it was asked for.
    """

    name = "gemini"
    prices = (
        "input = 2\ncached_input = 0.2\noutput = 12\n"
        "above_200000_input = { input = 4, cached_input = 0.4, output = 18 }\n"
        "flex_factor = 0.5\npriority_factor = 1.8\n"
    )

    def draw(self, random: Random) -> Drawn:
        prompt, said, thought = 1 + size(random, 500_000), 1 + size(random, 20_000), size(random, 30_000)
        read = part(random, prompt)
        asked = random.choice([None, None, "flex", "priority"])
        if prompt > 200_000:
            usd = (prompt - read) * money("4") + read * money("0.4") + (said + thought) * money("18")
        else:
            usd = (prompt - read) * money("2") + read * money("0.2") + (said + thought) * money("12")
        usd *= {None: Fraction(1), "flex": Fraction(1, 2), "priority": Fraction(9, 5)}[asked]
        usage: Json = {"prompt_tokens": prompt, "completion_tokens": said}
        usage["total_tokens"] = prompt + said + thought
        if read or random.random() < 0.3:
            usage["prompt_tokens_details"] = {"cached_tokens": read}
        if random.random() < 0.5:
            usage["completion_tokens_details"] = {"reasoning_tokens": thought}
        return Drawn(usage=usage, usd=usd, asked={} if asked is None else {"service_tier": asked})


class GeminiNative(Chat):
    """The same provider's own `usageMetadata` (google-genai, `GenerateContentResponseUsageMetadata`), as
    proxies hand it on: cached content is in the prompt, thoughts beside the candidates, what tools put into
    the prompt beside it. Audio has a price of its own, read from the cache too.
    """

    name = "proxy"
    prices = "input = 0.3\ninput_audio = 1\ncached_input = 0.03\ncached_audio = 0.1\noutput = 2.5\n"

    def draw(self, random: Random) -> Drawn:
        text, audio, tools = 1 + size(random, 50_000), size(random, 50_000), size(random, 9_000)
        read, heard = part(random, text), part(random, audio)
        said, thought = 1 + size(random, 9_000), size(random, 9_000)
        usd = (
            (text - read + tools) * money("0.3") + (audio - heard) * money("1") + read * money("0.03")
            + heard * money("0.1") + (said + thought) * money("2.5")
        )  # fmt: skip
        usage: Json = {
            "promptTokenCount": text + audio,
            "promptTokensDetails": modalities(TEXT=text, AUDIO=audio),
            "candidatesTokenCount": said,
            "totalTokenCount": text + audio + tools + said + thought,
        }
        if read or heard:
            usage["cachedContentTokenCount"] = read + heard
            usage["cacheTokensDetails"] = modalities(TEXT=read, AUDIO=heard)
        if tools:
            usage["toolUsePromptTokenCount"] = tools
        if thought:
            usage["thoughtsTokenCount"] = thought
        return Drawn(usage=usage, usd=usd)


class Converse(Chat):
    """Usage of Bedrock's Converse (botocore, `TokenUsage`), as proxies hand it on: the input leaves the cache
    out, `cacheDetails` splits what was written by its life.
    """

    name = "proxy"
    prices = Anthropic.prices

    def draw(self, random: Random) -> Drawn:
        fresh, read, output = 1 + size(random, 99_000), size(random, 99_000), 1 + size(random, 9_000)
        short, long = size(random, 50_000), size(random, 50_000)
        usd = (
            fresh * money("4") + read * money("0.4") + short * money("5") + long * money("8")
            + output * money("20")
        )  # fmt: skip
        details = [{"ttl": "5m", "inputTokens": short}, {"ttl": "1h", "inputTokens": long}]
        usage: Json = {
            "inputTokens": fresh,
            "outputTokens": output,
            "totalTokens": fresh + read + short + long + output,
            "cacheReadInputTokens": read,
            "cacheWriteInputTokens": short + long,
        }
        if long or random.random() < 0.5:
            usage["cacheDetails"] = details
        return Drawn(usage=usage, usd=usd)


class OpenRouter(Chat):
    """Usage accounting, openrouter.ai/docs: `cost` is the whole charge, of which `upstream_inference_cost` is
    a part; with a key of one's own `cost` is the fee alone, and the provider charges the rest.
    """

    name = "openrouter"
    prices = "input = 1\noutput = 5\ncache_write_5m = 1.25\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 90_000), 1 + size(random, 9_000)
        cost, upstream = random.randint(0, 10**9), random.randint(0, 10**9)
        own_key = random.choice([True, False, False, None])
        usage: Json = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "cost": cost / 10**9,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": part(random, prompt)},
            "completion_tokens_details": {"reasoning_tokens": part(random, output)},
        }
        if own_key is not None:
            usage["is_byok"] = own_key
        if own_key:
            usage["cost_details"] = {"upstream_inference_cost": upstream / 10**9}
        elif random.random() < 0.5:
            usage["cost_details"] = {"upstream_inference_cost": random.choice([None, cost / 10**9])}
        return Drawn(usage=usage, usd=Fraction(cost + (upstream if own_key else 0), 10**9))


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


def modalities(**tokens: int) -> list[Json]:
    return [{"modality": name, "tokenCount": count} for name, count in tokens.items() if count]


BILLERS: list[Biller] = [
    OpenAI(), OpenAIAudio(), Anthropic(), XAI(), DeepSeek(), Gemini(), GeminiNative(), Converse(),
    OpenRouter(), Groq(), Kimi(), Mistral(), Perplexity(),
]  # fmt: skip

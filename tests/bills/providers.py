"""Providers that make their bills by their own published rules.

Each class says its rules and where they are published. The rates are such as the price lists had in November
2026, of one model each; what matters is what they are multiplied with.
"""

import json
from fractions import Fraction
from random import Random

from tests.bills.drawn import Chat, Converse, Drawn, Json, Messages, money, part, rates, size

OPENAI = {
    "input": "0.05",
    "cached_input": "0.005",
    "cache_write_30m": "0.0625",
    "cache_write_12h": "0.125",
    "output": "0.4",
}
OPENAI_LONG = {
    "input": "0.1",
    "cached_input": "0.01",
    "cache_write_30m": "0.125",
    "cache_write_12h": "0.25",
    "output": "0.6",
}
OPENAI_TIERS = {
    "flex": Fraction(1, 2),
    "batch": Fraction(1, 2),
    "priority": Fraction(7, 4),
    "fast": Fraction(7, 4),
    "ultrafast": Fraction(6),
}


class OpenAI(Chat):
    """Prices and prompt caching guide, platform.openai.com (GPT-5.6 and later): `prompt_tokens` has the
    cached and the written ones in it; reading costs a tenth, writing 1.25 times for 30 minutes and 2.5 times
    for 12 hours. `completion_tokens` has the reasoning and rejected predictions in it. A prompt of more than
    272,000 tokens: input, cached and written at twice, output at 1.5 times, all of it. Flex and batch halve,
    priority is 1.75 times, whichever `service_tier` the answer names; `default` and `auto` do nothing. A web
    search is $10 per thousand; a chat makes one where `web_search_options` asks for it.
    """

    name = "openai"
    prices = (
        f"{rates(OPENAI)}\nabove_272000_input = {{ {rates(OPENAI_LONG, ', ')} }}\n"
        "flex_factor = 0.5\nbatch_factor = 0.5\npriority_factor = 1.75\nultrafast_factor = 6\n"
        "web_search_per_1000 = 10\n"
    )

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 900_000), 1 + size(random, 100_000)
        read = part(random, prompt)
        short = part(random, prompt - read)
        long = part(random, prompt - read - short)
        thought, rejected = part(random, output), part(random, output)
        tier = random.choice(["default", "default", "auto", None, *OPENAI_TIERS])
        searches = random.random() < 0.1
        held = OPENAI_LONG if prompt > 272_000 else OPENAI
        usd = (
            (prompt - read - short - long) * money(held["input"])
            + read * money(held["cached_input"])
            + short * money(held["cache_write_30m"])
            + long * money(held["cache_write_12h"])
            + output * money(held["output"])
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


class Azure(OpenAI):
    """Azure OpenAI, learn.microsoft.com: OpenAI's counts and rules at rates of its own contract, here the
    same. A stream begins with what the filter found in the prompt, and says in each chunk that it has not
    counted yet.
    """

    name = "azure"

    def events(self, drawn: Drawn) -> bytes:
        filtered = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "usage": None,
                    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}  # fmt: skip
        chunks = (
            super()
            .events(drawn)
            .replace(b'"finish_reason": null}]', b'"finish_reason": null}], "usage": null')
        )
        return b"data: %b\n\n" % json.dumps(filtered).encode() + chunks


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
    "input": "0.25",
    "cached_input": "0.025",
    "cache_write_5m": "0.3125",
    "cache_write_1h": "0.5",
    "output": "1.25",
}
ADVISER = {
    "input": "0.75",
    "cached_input": "0.075",
    "cache_write_5m": "0.9375",
    "cache_write_1h": "1.5",
    "output": "3.75",
}
ANTHROPIC_LONG = {
    "input": "1.25",
    "cached_input": "0.125",
    "cache_write_5m": "1.5625",
    "cache_write_1h": "2.5",
    "output": "6.25",
}


BEDROCK = {
    "input": "0.8",
    "cached_input": "0.2",
    "cache_write_5m": "1",
    "cache_write_1h": "1.6",
    "output": "3.2",
}
BEDROCK_TIERS = {"flex": Fraction(1, 2), "priority": Fraction(7, 4)}


class Bedrock(Converse):
    """Pricing page, aws.amazon.com/bedrock: `inputTokens` leaves out what was read from the cache and written
    to it, each of which has a price; `cacheDetails` splits what was written by how long it stays, where it is
    told. Flex halves and priority makes 1.75 times of every class of tokens, whichever `serviceTier` the
    answer names. Latency-optimised inference is 1.25 times as dear.
    """

    name = "bedrock"
    prices = f"{rates(BEDROCK)}\nflex_factor = 0.5\npriority_factor = 1.75\noptimized_factor = 1.25\n"

    def draw(self, random: Random) -> Drawn:
        fresh, output = 1 + size(random, 200_000), 1 + size(random, 50_000)
        read, short, long = size(random, 200_000), size(random, 100_000), size(random, 100_000)
        usage: Json = {"inputTokens": fresh, "outputTokens": output}
        usage["totalTokens"] = fresh + output + read + short + long
        if read or random.random() < 0.5:
            usage["cacheReadInputTokens"] = read
        if short or long or random.random() < 0.5:
            usage["cacheWriteInputTokens"] = short + long
        if long or random.random() < 0.5:
            lives = [{"ttl": "1h", "inputTokens": long}, {"ttl": "5m", "inputTokens": short}]
            usage["cacheDetails"] = [one for one in lives if one["inputTokens"]]
        tier = random.choice([None, None, "default", *BEDROCK_TIERS])
        fast = tier is None and random.random() < 0.2
        usd = (
            fresh * money(BEDROCK["input"])
            + read * money(BEDROCK["cached_input"])
            + short * money(BEDROCK["cache_write_5m"])
            + long * money(BEDROCK["cache_write_1h"])
            + output * money(BEDROCK["output"])
        ) * BEDROCK_TIERS.get(tier or "", 1)
        head: Json = {} if tier is None else {"serviceTier": {"type": tier}}
        if fast:
            usd *= Fraction(5, 4)
            head["performanceConfig"] = {"latency": "optimized"}
        return Drawn(usage=usage, usd=usd, head=head)


class Anthropic(Messages):
    """Pricing page, docs.anthropic.com: `input_tokens` leaves out what was read from the cache (a tenth) and
    written to it (1.25 times for 5 minutes, also where no split is told, 2 times for an hour). A prompt of
    more than 100,000 tokens, the cache's included, is five times as dear, answer and all. Fast mode doubles
    and US inference makes 1.1 times of every class of tokens, batches half. Searches are $10 per thousand,
    fetches free, whatever the speed. The totals are the sum of the turns; a compaction is charged beside
    them at the same rates, an adviser's tokens at those of its own model, in the same batch and region, at
    its own speed. Each of these runs is charged by its own length.
    """

    name = "anthropic"
    prices = (
        f"{rates(ANTHROPIC)}\nabove_100000_input = {{ {rates(ANTHROPIC_LONG, ', ')} }}\n"
        "fast_factor = 2\nbatch_factor = 0.5\ninference_geo_us_factor = 1.1\nweb_search_per_1000 = 10\n"
    )
    others: tuple[tuple[str, str], ...] = (
        ("wiser", f"{rates(ADVISER)}\nbatch_factor = 0.5\ninference_geo_us_factor = 1.1\n"),
    )

    def draw(self, random: Random) -> Drawn:
        counts, usd = self.counts(random, ANTHROPIC)
        turns: list[Json] = [{"type": "message", **counts}]
        if random.random() < 0.15:
            more, charge = self.counts(random, ANTHROPIC)
            turns.append({"type": "message", **more})
            counts = added(counts, more)
            usd += charge
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
        if iterations or len(turns) > 1 or random.random() < 0.2:
            usage["iterations"] = [*iterations, *turns]
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

    def counts(self, random: Random, held: dict[str, str]) -> tuple[Json, Fraction]:
        fresh, read, output = 1 + size(random, 200_000), size(random, 500_000), 1 + size(random, 60_000)
        short, long = size(random, 100_000), random.choice((0, size(random, 100_000)))
        if held is ANTHROPIC and fresh + read + short + long > 100_000:
            held = ANTHROPIC_LONG
        usd = (
            fresh * money(held["input"])
            + read * money(held["cached_input"])
            + short * money(held["cache_write_5m"])
            + long * money(held["cache_write_1h"])
            + output * money(held["output"])
        )
        counts: Json = {"input_tokens": fresh, "output_tokens": output, "cache_read_input_tokens": read}
        counts["cache_creation_input_tokens"] = short + long
        if long or random.random() < 0.5:
            counts["cache_creation"] = {
                "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long
            }  # fmt: skip
        return counts, usd


def added(one: Json, other: Json) -> Json:
    """The counts of two turns together."""
    total: Json = {name: one[name] + other[name] for name in one if name != "cache_creation"}
    if "cache_creation" in one or "cache_creation" in other:
        plain = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
        split = [
            turn.get("cache_creation")
            or {**plain, "ephemeral_5m_input_tokens": turn["cache_creation_input_tokens"]}
            for turn in (one, other)
        ]
        total["cache_creation"] = {name: split[0][name] + split[1][name] for name in plain}
    return total


class XAI(Chat):
    """Models and pricing, docs.x.ai: cached tokens are part of `prompt_tokens`; the reasoning of a chat
    stands beside `completion_tokens` and costs as output. More than 200,000 tokens of prompt: everything at
    twice. Tools by the use, $5 per thousand web or X searches. `cost_in_usd_ticks`, of which 10,000,000,000
    are a dollar, is the charge, tools included.
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


class Gemini(Chat):
    """Pricing, ai.google.dev, at the OpenAI-compatible endpoint: thoughts stand beside `completion_tokens`
    and cost as output, so that the total is more than the two; cached tokens are part of the prompt. More
    than 200,000 tokens of prompt: input and cached at twice, output at 1.5 times. Flex halves, priority makes
    1.8 times; an answer that names no tier ran as it was asked for.
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

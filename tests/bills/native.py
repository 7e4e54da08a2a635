"""Providers that count in usage objects of their own, which proxies in front of them hand on in a chat.

Each makes its bill by its own published rules, as those in `providers`.
"""

from fractions import Fraction
from random import Random

from tests.bills.drawn import Chat, Drawn, GenerateContent, Json, money, part, size

TRAFFIC = {
    None: Fraction(1),
    "ON_DEMAND": Fraction(1),
    "ON_DEMAND_PRIORITY": Fraction(9, 5),
    "ON_DEMAND_FLEX": Fraction(1, 2),
    "PROVISIONED_THROUGHPUT": Fraction(0),
}


class GeminiNative(Chat):
    """Gemini's own `usageMetadata` (google-genai, `GenerateContentResponseUsageMetadata`): cached content is
    in the prompt, thoughts beside the candidates, what tools put into the prompt beside it. Audio has a price
    of its own, read from the cache too, and so have images that come back. Vertex says in `trafficType` what
    ran: flex halves, priority makes 1.8 times, what was paid for ahead costs nothing more.
    """

    name = "proxy"
    prices = (
        "input = 0.3\ninput_audio = 1\ncached_input = 0.03\ncached_audio = 0.1\noutput = 2.5\n"
        "output_image = 30\nflex_factor = 0.5\npriority_factor = 1.8\n"
        "tiers.provisioned_throughput = { input = 0, output = 0 }\n"
    )

    def draw(self, random: Random) -> Drawn:
        text, audio, tools = 1 + size(random, 50_000), size(random, 50_000), size(random, 9_000)
        read, heard = part(random, text), part(random, audio)
        said, thought = 1 + size(random, 9_000), size(random, 9_000)
        drawn = random.choice((0, 0, 1290, 2580))
        traffic = random.choice(list(TRAFFIC))
        usd = (
            (text - read + tools) * money("0.3") + (audio - heard) * money("1") + read * money("0.03")
            + heard * money("0.1") + (said + thought) * money("2.5") + drawn * money("30")
        ) * TRAFFIC[traffic]  # fmt: skip
        usage: Json = {
            "promptTokenCount": text + audio,
            "promptTokensDetails": modalities(TEXT=text, AUDIO=audio),
            "candidatesTokenCount": said + drawn,
            "totalTokenCount": text + audio + tools + said + drawn + thought,
        }
        if drawn or random.random() < 0.3:
            usage["candidatesTokensDetails"] = modalities(TEXT=said, IMAGE=drawn)
        if traffic is not None:
            usage["trafficType"] = traffic
        if read or heard:
            usage["cachedContentTokenCount"] = read + heard
            usage["cacheTokensDetails"] = modalities(TEXT=read, AUDIO=heard)
        if tools:
            usage["toolUsePromptTokenCount"] = tools
        if thought:
            usage["thoughtsTokenCount"] = thought
        return Drawn(usage=usage, usd=usd)


class GeminiContent(GenerateContent):
    """Gemini by `generateContent` itself, whose bill is that of its usage; each query of a search that an
    answer rests on is charged too, $14 per thousand (ai.google.dev, pricing of Gemini 3).
    """

    name = "gemini-native"
    prices = GeminiNative.prices + "web_search_per_1000 = 14\n"

    def draw(self, random: Random) -> Drawn:
        drawn = GeminiNative().draw(random)
        queries = random.choice((0, 0, 1, 4))
        if not queries:
            return drawn
        grounding = {"webSearchQueries": ["q"] * queries, "groundingChunks": [{"web": {"uri": "https://e"}}]}
        fee = queries * Fraction(14, 1_000)
        return Drawn(usage=drawn.usage, usd=drawn.usd + fee, head={"groundingMetadata": grounding})


class Converse(Chat):
    """Bedrock's Converse (botocore, `TokenUsage`): the input leaves the cache out, `cacheDetails` splits what
    was written by its life.
    """

    name = "proxy"
    prices = "input = 4\ncached_input = 0.4\ncache_write_5m = 5\ncache_write_1h = 8\noutput = 20\n"

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


class Cohere(Chat):
    """Chat of Cohere's second version, docs.cohere.com: `billed_units` is what is charged, and leaves out
    what the provider itself put around a prompt, which `tokens` has. Searches have a fee.
    """

    name = "proxy"
    prices = "input = 2.5\noutput = 10\nweb_search_per_1000 = 2\n"

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 90_000), 1 + size(random, 9_000)
        units: Json = {"input_tokens": prompt, "output_tokens": output}
        usd = prompt * money("2.5") + output * money("10")
        if random.random() < 0.2:
            units["search_units"] = random.randint(0, 3)
            usd += units["search_units"] * Fraction(2, 1_000)
        usage: Json = {"billed_units": units}
        usage["tokens"] = {"input_tokens": prompt + random.randint(0, 700), "output_tokens": output + 2}
        return Drawn(usage=usage, usd=usd)


class OpenAIResponses(Chat):
    """Usage of OpenAI's Responses (openai-python, `ResponseUsage`): `input_tokens` has the cached and the
    written ones in it, `output_tokens` the reasoning.
    """

    name = "openai"
    prices = (
        "input = 4\ncached_input = 0.4\ncache_write_30m = 5\ncache_write_12h = 10\noutput = 20\n"
        "flex = { input = 2, cached_input = 0.2, cache_write_30m = 2.5, cache_write_12h = 5, output = 10 }\n"
    )

    def draw(self, random: Random) -> Drawn:
        prompt, output = 1 + size(random, 200_000), 1 + size(random, 30_000)
        read = part(random, prompt)
        written = part(random, prompt - read)
        long = part(random, written)
        usd = (
            (prompt - read - written) * money("4") + read * money("0.4") + (written - long) * money("5")
            + long * money("10") + output * money("20")
        )  # fmt: skip
        tier = random.choice(["default", "flex"])
        details: Json = {"cached_tokens": read, "cache_write_tokens": written}
        if long:
            details["cache_write_tokens_details"] = {"ttl_30m_tokens": written - long, "ttl_12h_tokens": long}
        usage = {
            "input_tokens": prompt,
            "input_tokens_details": details,
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": part(random, output)},
            "total_tokens": prompt + output,
        }
        return Drawn(usage=usage, usd=usd / 2 if tier == "flex" else usd, head={"service_tier": tier})


class OpenAIImages(Chat):
    """Usage of an image model (openai-python, `ImagesResponse.Usage`): the input is text and images at two
    prices, the output images, where nothing is said of it.
    """

    name = "openai"
    prices = "input = 5\ninput_image = 8\noutput = 10\noutput_image = 30\n"

    def draw(self, random: Random) -> Drawn:
        text, images = 1 + size(random, 2_000), size(random, 9_000)
        said, drawn = random.choice((0, size(random, 900))), random.choice((272, 1056, 4160))
        usage: Json = {
            "input_tokens": text + images,
            "input_tokens_details": {"text_tokens": text, "image_tokens": images},
            "output_tokens": said + drawn,
            "total_tokens": text + images + said + drawn,
        }
        if said or random.random() < 0.3:
            usage["output_tokens_details"] = {"text_tokens": said, "image_tokens": drawn}
        usd = text * money("5") + images * money("8") + said * money("10") + drawn * money("30")
        return Drawn(usage=usage, usd=usd)


def modalities(**tokens: int) -> list[Json]:
    return [{"modality": name, "tokenCount": count} for name, count in tokens.items() if count]

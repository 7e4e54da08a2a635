"""Usage objects as they came in reports of wrong bills, and what the calls cost, whole and streamed."""

import dataclasses
from fractions import Fraction
from typing import Any

import pytest
from tests.bills.booked import Accounts
from tests.bills.drawn import Chat, Drawn, Json, Messages

CLAUDE = "input = 4\ncached_input = 0.4\ncache_write_5m = 5\ncache_write_1h = 8\noutput = 20\n"
IN_OUT = "input = 1\noutput = 10\n"
LONG = IN_OUT + "above_200000_input = { input = 2, output = 15 }\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    what: str
    provider: str
    prices: str
    usage: Json
    usd: str | None
    """None: unknown."""
    asked: Json = dataclasses.field(default_factory=dict)
    head: Json = dataclasses.field(default_factory=dict)
    began: Json | None = None
    ended: Json | None = None


def chat(prompt: int, completion: int, total: int | None = None, **more: Any) -> Json:
    total = prompt + completion if total is None else total
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


def claude(fresh: int, output: int, **more: Any) -> Json:
    return {"input_tokens": fresh, "output_tokens": output, **more}


def cached(read: int, written: int | None = None, **split: int) -> Json:
    told: Json = {"cache_read_input_tokens": read}
    if written is not None:
        told["cache_creation_input_tokens"] = written
    if split:
        told["cache_creation"] = {f"ephemeral_{life}_input_tokens": count for life, count in split.items()}
    return told


def turn(kind: str, fresh: int, output: int, **more: Any) -> Json:
    return {"type": kind, **claude(fresh, output, **cached(0, 0)), **more}


def gemini(prompt: int, candidates: int, total: int, **more: Any) -> Json:
    told = {"promptTokenCount": prompt, "candidatesTokenCount": candidates, "totalTokenCount": total}
    return {**told, **more}


ANTHROPIC = [
    Case("the cache stands beside the input", "anthropic", CLAUDE,
         claude(10, 100, **cached(8000, 2000, **{"5m": 2000, "1h": 0}), service_tier="standard"), "0.01524"),
    Case("writes by how long they stay", "anthropic", CLAUDE,
         claude(10, 100, **cached(0, 1000, **{"5m": 600, "1h": 400})), "0.00824"),
    Case("writes without a split stay five minutes", "anthropic", CLAUDE,
         claude(10, 100, cache_creation_input_tokens=1000), "0.00704"),
    Case("a split that leaves some out", "anthropic", CLAUDE,
         claude(10, 100, **cached(0, 1000, **{"1h": 400})), "0.00824"),
    Case("a split alone", "anthropic", CLAUDE,
         claude(10, 100, **cached(0, **{"5m": 600, "1h": 400})), "0.00824"),
    Case("writes without a price for an hour", "anthropic", "input = 4\ncache_write_5m = 5\noutput = 20\n",
         claude(10, 100, **cached(0, 1000, **{"5m": 600, "1h": 400})), None),
    Case("searches have a fee and fetches none", "anthropic", CLAUDE + "web_search_per_1000 = 10\n",
         claude(100, 100, server_tool_use={"web_search_requests": 3, "web_fetch_requests": 5}), "0.0324"),
    Case("fast, and it ran", "anthropic", CLAUDE + "fast_factor = 2\n",
         claude(100, 200, **cached(1000, 368), speed="fast"), "0.01328", asked={"speed": "fast"}),
    Case("fast, and it did not", "anthropic", CLAUDE + "fast_factor = 2\n",
         claude(100, 200, speed="standard"), "0.0044", asked={"speed": "fast"}),
    Case("fast at an unknown factor", "anthropic", CLAUDE, claude(100, 200, speed="fast"), None),
    Case("a region", "anthropic", CLAUDE + "inference_geo_us_factor = 1.1\n",
         claude(100, 200, **cached(1000), inference_geo="us"), "0.00528"),
    Case("a region and fast", "anthropic", CLAUDE + "inference_geo_us_factor = 1.1\nfast_factor = 2\n",
         claude(100, 200, **cached(1000), inference_geo="us", speed="fast"), "0.01056"),
    Case("a region that makes no difference", "anthropic", CLAUDE,
         claude(100, 200, inference_geo="global"), "0.0044"),
    Case("a batch", "anthropic", CLAUDE + "batch_factor = 0.5\n",
         claude(100, 200, **cached(1000), service_tier="batch"), "0.0024"),
    Case("a compaction stands beside the totals", "anthropic", CLAUDE,
         claude(2000, 100, iterations=[turn("compaction", 17500, 500), turn("message", 2000, 100)]), "0.09"),
    Case("a compaction that wrote for an hour", "anthropic", CLAUDE,
         claude(2000, 100, iterations=[
             turn("compaction", 1000, 500, **cached(0, 1000, **{"1h": 1000})), turn("message", 2000, 100),
         ]), "0.032"),
    Case("a compaction is charged by its own length", "anthropic",
         CLAUDE + "above_100000_input = { input = 20, output = 100 }\n",
         claude(60000, 100, iterations=[turn("compaction", 150000, 500), turn("message", 60000, 100)]),
         "3.292"),
    Case("turns are charged by their own length", "anthropic",
         CLAUDE + "above_100000_input = { input = 20, output = 100 }\n",
         claude(120000, 200, iterations=[turn("message", 60000, 100), turn("message", 60000, 100)]), "0.484"),
    Case("thinking is in the output", "anthropic", CLAUDE,
         claude(100, 200, output_tokens_details={"thinking_tokens": 150}), "0.0044"),
    Case("the counts of a stream replace those before", "anthropic", CLAUDE,
         claude(10, 100, **cached(8000, 2000)), "0.01524",
         began=claude(10, 1, **cached(8000, 2000)), ended=claude(10, 100, **cached(8000))),
    Case("a stream whose end counts the answer alone", "anthropic", CLAUDE,
         claude(10, 100, **cached(8000, 2000)), "0.01524",
         began=claude(10, 1, **cached(8000, 2000)), ended={"output_tokens": 100}),
    Case("a stream that learns of its prompt at the end", "anthropic", CLAUDE,
         claude(10, 100, **cached(8000, 2000)), "0.01524",
         began=claude(0, 0), ended=claude(10, 100, **cached(8000, 2000))),
]  # fmt: skip

OPENAI = [
    Case("cached is in the prompt", "openai", "input = 2\ncached_input = 0.5\noutput = 8\n",
         chat(2000, 300, prompt_tokens_details={"cached_tokens": 1800},
              completion_tokens_details={"reasoning_tokens": 0}), "0.0037"),
    Case("writes by how long they stay", "openai",
         "input = 4\ncached_input = 0.4\ncache_write_30m = 5\ncache_write_12h = 10\noutput = 20\n",
         {"input_tokens": 3000, "output_tokens": 100, "total_tokens": 3100,
          "output_tokens_details": {"reasoning_tokens": 0},
          "input_tokens_details": {
              "cached_tokens": 2000, "cache_write_tokens": 600,
              "cache_write_tokens_details": {"ttl_30m_tokens": 200, "ttl_12h_tokens": 400}}}, "0.0094"),
    Case("reasoning is in the completion", "openai", IN_OUT,
         chat(100, 500, completion_tokens_details={"reasoning_tokens": 400}), "0.0051"),
    Case("and so is a prediction that was rejected", "openai", IN_OUT,
         chat(100, 150, completion_tokens_details={
             "accepted_prediction_tokens": 60, "rejected_prediction_tokens": 50}), "0.0016"),
    Case("audio in both", "openai", "input = 2\ninput_audio = 30\noutput = 10\noutput_audio = 60\n",
         chat(1000, 500, prompt_tokens_details={"text_tokens": 400, "audio_tokens": 600, "cached_tokens": 0},
              completion_tokens_details={"text_tokens": 100, "audio_tokens": 400}), "0.0438"),
    Case("cached audio without a price", "openai", "input = 2\ninput_audio = 30\noutput = 10\n",
         chat(1000, 10, prompt_tokens_details={
             "audio_tokens": 600, "cached_tokens": 500, "cached_tokens_details": {"audio_tokens": 500}}),
         None),
    Case("an image model draws", "openai", "input = 5\ninput_image = 8\noutput = 10\noutput_image = 30\n",
         {"input_tokens": 1000, "input_tokens_details": {"text_tokens": 200, "image_tokens": 800},
          "output_tokens": 500, "total_tokens": 1500}, "0.0224"),
    Case("priority was asked for and did not run", "openai",
         IN_OUT + "priority = { input = 2, output = 20 }\n", chat(1000, 200), "0.003",
         asked={"service_tier": "priority"}, head={"service_tier": "default"}),
    Case("priority ran, what was cached too", "openai",
         IN_OUT + "cached_input = 0.1\npriority = { input = 2, cached_input = 0.2, output = 20 }\n",
         chat(1000, 200, prompt_tokens_details={"cached_tokens": 500}), "0.0051",
         asked={"service_tier": "priority"}, head={"service_tier": "priority"}),
    Case("flex ran though nothing was asked for", "openai", IN_OUT + "flex_factor = 0.5\n",
         chat(1000, 200), "0.0015", asked={"service_tier": "auto"}, head={"service_tier": "flex"}),
    Case("a tier without a price", "openai", IN_OUT, chat(1000, 200), None, head={"service_tier": "flex"}),
    Case("a long prompt, with what of it was cached", "openai",
         "input = 2\ncached_input = 0.2\noutput = 10\n"
         "above_272000_input = { input = 4, cached_input = 0.4, output = 15 }\n",
         chat(300000, 1000, prompt_tokens_details={"cached_tokens": 100000}), "0.855"),
    Case("a search that the request asked for", "openai", IN_OUT + "web_search_per_1000 = 10\n",
         chat(1200, 100), "0.0122", asked={"web_search_options": {}}),
    Case("a search without a price", "openai", IN_OUT, chat(1200, 100), None,
         asked={"web_search_options": {}}),
]  # fmt: skip

OTHERS = [
    Case("hits and misses make up the prompt", "deepseek", "input = 1\ncached_input = 0.02\noutput = 2\n",
         chat(10000, 100, prompt_cache_hit_tokens=8000, prompt_cache_miss_tokens=2000), "0.00236"),
    Case("reasoning beside the completion", "xai", "input = 1\ncached_input = 0.2\noutput = 5\n",
         chat(1000, 100, 1300, prompt_tokens_details={"cached_tokens": 400},
              completion_tokens_details={"reasoning_tokens": 200}), "0.00218"),
    Case("the charge as it is told", "openrouter", "input = 1\noutput = 5\n",
         chat(1000, 100, cost=0.0123, is_byok=False, cost_details={"upstream_inference_cost": 0.011}),
         "0.0123"),
    Case("the charge of two with a key of one's own", "openrouter", "input = 1\noutput = 5\n",
         chat(1000, 100, cost=0.0005, is_byok=True, cost_details={"upstream_inference_cost": 0.01}),
         "0.0105"),
    Case("thoughts beside the candidates", "proxy", IN_OUT,
         gemini(5000, 200, 5500, thoughtsTokenCount=300), "0.01"),
    Case("thoughts that only the total shows", "gemini", IN_OUT, chat(5000, 200, 5500), "0.01"),
    Case("thoughts that only the total shows, beside as much that was cached", "gemini",
         IN_OUT + "cached_input = 0.1\n",
         chat(5000, 200, 5500, prompt_tokens_details={"cached_tokens": 300}), "0.00973"),
    Case("what tools put into the prompt", "proxy", IN_OUT,
         gemini(100, 20, 200, toolUsePromptTokenCount=50, thoughtsTokenCount=30), "0.00065"),
    Case("cached content is in the prompt", "proxy", IN_OUT + "cached_input = 0.1\n",
         gemini(10000, 100, 10100, cachedContentTokenCount=8000), "0.0038"),
    Case("a prompt at the limit", "proxy", LONG, gemini(200000, 100, 200100), "0.201"),
    Case("a prompt over the limit", "proxy", LONG, gemini(200001, 60, 200101, thoughtsTokenCount=40),
         "0.401502"),
    Case("audio without a price of its own", "proxy", "input = 2\noutput = 10\n",
         gemini(1000, 10, 1010, promptTokensDetails=[
             {"modality": "TEXT", "tokenCount": 400}, {"modality": "AUDIO", "tokenCount": 600}]), "0.0021"),
    Case("Converse leaves the cache out", "proxy", CLAUDE,
         {"inputTokens": 10, "cacheReadInputTokens": 800, "cacheWriteInputTokens": 90,
          "cacheDetails": [{"ttl": "1h", "inputTokens": 90}], "outputTokens": 100, "totalTokens": 1000},
         "0.00308"),
    Case("units that are charged and tokens that are not", "proxy", "input = 2\noutput = 10\n",
         {"billed_units": {"input_tokens": 10, "output_tokens": 20},
          "tokens": {"input_tokens": 510, "output_tokens": 22}}, "0.00022"),
    Case("counts of Ollama's own", "proxy", "input = 2\noutput = 10\n",
         {"prompt_eval_count": 26, "eval_count": 298, "total_duration": 5_589_157_167}, "0.003032"),
]  # fmt: skip


class Provider(Chat):
    def __init__(self, case: Case) -> None:
        self.name, self.prices = case.provider, case.prices


class AnthropicProvider(Messages):
    def __init__(self, case: Case) -> None:
        self.name, self.prices = case.provider, case.prices


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "case", [*ANTHROPIC, *OPENAI, *OTHERS], ids=lambda case: f"{case.provider}: {case.what}"
)
def test_a_call_is_booked_at_what_it_costs(case: Case, stream: bool) -> None:
    accounts = Accounts(AnthropicProvider(case) if case.provider == "anthropic" else Provider(case))
    drawn = Drawn(case.usage, Fraction(0), case.asked, case.head, case.began, case.ended)
    attempt = accounts.streamed(drawn, 1_000_000) if stream else accounts.whole(drawn)
    assert attempt.usage is not None and not attempt.usage.estimated
    assert attempt.cost_nusd == (None if case.usd is None else int(Fraction(case.usd) * 10**9))
    assert bool(attempt.unpriced) == (case.usd is None)

"""Build src/farthing/data/catalogue.jsonl from two MIT-licensed price lists.

    pip download --no-deps litellm genai-prices -d wheels
    python tools/build_catalogue.py wheels/litellm-*.whl wheels/genai_prices-*.whl

Needs pydantic (for reading genai-prices); Farthing itself does not. Which source is believed:

1. Context and output sizes: the larger of litellm's `max_input_tokens` and genai-prices'
   `context_window` (a window stated too small would refuse what the provider takes).
2. Price known to one source only: that one.
3. Both agree within 1 %: genai-prices' history of dated prices, with the batch and cache-write
   prices that only litellm has.
4. They disagree: genai-prices when the price it holds today carries a start date and its rule names the
   model exactly, because somebody then saw the change; litellm otherwise. Every case is printed.
5. A price that changes with the hour of the day is taken at its highest, so that budgets hold.
6. Zero is unknown, not free, except for names that end in `:free`.
7. A service tier, and a batch if the list says what it charges for cached input, whose every listed
   price is the same multiple of the plain one, up to rounding, is kept as that multiple; else as prices
   of its own. What a tier does not list although the plain price has it
   (cached input, writes to the prefix cache, long prompts) follows its input price.
8. A search that is charged by its depth is taken at its dearest.
9. More than $1,000 per million tokens is a slip of units, and a cached price above the plain one a
   mistake: neither is taken.
"""

import argparse
import dataclasses
import datetime
import importlib
import json
import re
import sys
import types
import zipfile
from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parent.parent / "src/farthing/data/catalogue.jsonl"
PUSD_PER_USD = Decimal(10) ** 12
ALWAYS = "0000-00-00"
PUSD_MAX = 1_000_000_000

LITELLM_PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "groq": "groq",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "together_ai": "together",
    "xai": "xai",
    "azure": "azure",
    "azure_ai": "azure",
}
GENAI_PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gemini",
    "groq": "groq",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "together": "together",
    "x-ai": "xai",
    "azure": "azure",
}
MODES = {"chat": "chat", "responses": "chat", "embedding": "embeddings"}
# Azure prices some regions higher. A deployment's name does not tell its region, so only the global
# price is kept; a regional one is for the operator to state.
REGIONAL = re.compile(r"^(eu|us|global|global-standard|apac|[a-z]+-[a-z]+-\d)/")
NOT_TEXT = re.compile(
    r"whisper|tts|transcri|realtime|-image|audio|voice|moderation|-ocr|ocr-|rerank|-live|live-|orpheus|lyria|"
    r"translate|nano-banana|imagen|veo-|container|dall-e|sora|embedding-up-to|together-ai-|decider",
    re.IGNORECASE,
)
# But these are chats that hear and speak, priced by tokens of audio.
HEARS = re.compile(r"(?:^|/)gpt-(?:4o-(?:mini-)?)?audio")
WELL_KNOWN = re.compile(
    r"^(gpt-[45]|o[134]|claude-|gemini-|deepseek-|grok-|mistral-(large|medium|small)|llama-3)"
)
GEMINI_API = re.compile(r"^(gemini|gemma|learnlm|text-embedding|embedding)")


@dataclasses.dataclass
class Entry:
    """What one source says of one model. `exact`: the source names the model, not a family of names."""

    operation: str
    context: int | None
    output: int | None
    prices: list[dict[str, Any]]
    exact: bool = True


Source = dict[tuple[str, str], Entry]


def pusd(usd: Decimal | int | None) -> int | None:
    """Pico-dollars for one token; None for unknown, zero and negative."""
    if usd is None or usd <= 0:
        return None
    return max(1, int((Decimal(usd) * PUSD_PER_USD).to_integral_value(ROUND_HALF_UP)))


RATES = {
    "in": "input_cost_per_token",
    "out": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "write": "cache_creation_input_token_cost",
    "audio_in": "input_cost_per_audio_token",
    "audio_out": "output_cost_per_audio_token",
    "image_in": "input_cost_per_image_token",
    "image_out": "output_cost_per_image_token",
    "cached_audio": "cache_read_input_audio_token_cost",
    "cached_image": "cache_read_input_image_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
LONG_WRITES = ("above_1hr", "above_12hr")
TIERS = {"priority": "_priority", "flex": "_flex", "ultrafast": "_ultrafast", "batch": "_batches"}
PLACES = ("eu", "us")
OWN_FACTORS = {"us": "inference_geo_us", "fast": "fast"}


def not_text(name: str) -> bool:
    """Whether a name tells of a model that is no chat and embeds no text."""
    return bool(NOT_TEXT.search(name)) and not HEARS.search(name)


def compact(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in (None, [], "")}


def same(one: int | None, other: int | None) -> bool:
    return one == other or (
        one is not None and other is not None and abs(one - other) <= max(one, other) / 100
    )


def believable(name: str, prices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [price for price in prices if max(price["in"], price["out"]) <= PUSD_MAX]
    if HEARS.search(name):
        kept = [price for price in kept if "audio_in" in price]  # as text it would be far too cheap
    for price in kept:
        if price.get("cached", 0) > price["in"]:
            del price["cached"]
        if price.get("tiers"):
            price["tiers"] = {n: t for n, t in price["tiers"].items() if max(t["in"], t["out"]) <= PUSD_MAX}
    return kept


# -- litellm ----------------------------------------------------------------------------------------


def litellm_price(row: dict[str, Any], name: str, operation: str) -> list[dict[str, Any]]:
    def rates(length: str = "", tier: str = "") -> dict[str, Any]:
        """Of prompts of one length in one tier; suffixes stand in this order."""
        found = {key: pusd(row.get(f"{field}{length}{tier}")) for key, field in RATES.items()}
        for life in LONG_WRITES:
            found["write_long"] = pusd(
                row.get(f"cache_creation_input_token_cost_{life}{length}{tier}")
            ) or found.get("write_long")
        if not tier:
            found["batch_in"] = pusd(row.get(f"input_cost_per_token{length}_batches"))
            found["batch_out"] = pusd(row.get(f"output_cost_per_token{length}_batches"))
        if operation == "embeddings":
            found |= {"out": 0, "batch_out": 0 if found.get("batch_in") else None}
        if found["audio_in"] == found["in"]:
            found["audio_in"] = None  # as text, which is what its absence says
        if found["reasoning"] == found["out"]:
            found["reasoning"] = None  # as output
        return compact(found)

    price = rates()
    if name.endswith(":free") and row.get("input_cost_per_token") == 0 == row.get("output_cost_per_token"):
        price = {"in": 0, "out": 0}
    if "in" not in price or "out" not in price:
        return []
    limits = sorted(
        {
            int(match[1])
            for key in row
            if (match := re.fullmatch(r"(?:in|out)put_cost_per_token_above_(\d+)k_tokens", key))
        },
        reverse=True,
    )
    price |= with_lengths(price, {limit: rates(f"_above_{limit}k_tokens") for limit in limits})
    tiers = {}
    for name, suffix in TIERS.items():
        tier = rates(tier=suffix)
        if name == "batch" and "cached" not in tier:
            continue  # it may be charged in full
        if "in" in tier and "out" in tier and "in" in price:
            longer = {limit: rates(f"_above_{limit}k_tokens", suffix) for limit in limits}
            tiers[name] = completed(with_lengths(tier, {n: r for n, r in longer.items() if r}), price)
    found, more = variants(price, tiers), extras(row)
    more["factors"] = {**found.get("factors", {}), **more["factors"]} or None
    return [price | found | compact(more)]


def with_lengths(price: dict[str, Any], longer: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """`price` with those of longer prompts nested in it; thresholds in thousands, highest first."""
    nested: dict[str, Any] = {}
    for thousands, rates in longer.items():
        tier = {key: price[key] for key in ("in", "out") if key in price} | rates
        nested = {"long_over": thousands * 1000, "long": tier | nested}
    return price | nested


def completed(tier: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """`tier` with what only `plain` lists, in proportion to the input."""
    ratio = Fraction(tier["in"], plain["in"])
    for key, rate in plain.items():
        if key == "long":
            tier["long_over"] = plain["long_over"]
            tier["long"] = completed(tier.get("long", scaled(rate, ratio)), rate)
        elif key in (*RATES, "write_long") and key not in tier:
            tier[key] = round(rate * ratio)
    return tier


def scaled(price: dict[str, Any], ratio: Fraction) -> dict[str, Any]:
    return {key: round(price[key] * ratio) for key in (*RATES, "write_long") if key in price}


def variants(plain: dict[str, Any], tiers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The tiers as factors where they are, else as prices."""
    factors, prices = {}, {}
    for name, tier in tiers.items():
        ratio = Fraction(tier["in"], plain["in"])
        if (
            is_multiple(tier, plain, ratio)
            and len(str(decimal := Decimal(ratio.numerator) / ratio.denominator)) < 8
        ):
            factors[name] = str(decimal)
        else:
            prices[name] = tier
    return compact({"factors": factors or None, "tiers": prices or None})


def is_multiple(tier: dict[str, Any], plain: dict[str, Any], ratio: Fraction) -> bool:
    """Up to what the list rounds its prices to: a cent for a million tokens, where that is little."""
    for key, rate in plain.items():
        if key == "long":
            if not is_multiple(tier["long"], rate, ratio):
                return False
        elif key in (*RATES, "write_long") and abs(tier[key] - rate * ratio) > min(5_000, rate * ratio / 20):
            return False
    return True


def extras(row: dict[str, Any]) -> dict[str, Any]:
    """Fees by the use, and what multiplies a price."""
    searches = [pusd(usd) for usd in (row.get("search_context_cost_per_query") or {}).values()]
    own = row.get("provider_specific_entry") or {}
    factors = {OWN_FACTORS[key]: str(own[key]) for key in OWN_FACTORS if own.get(key, 1) != 1}
    for place in PLACES:
        if (uplift := row.get(f"regional_processing_uplift_multiplier_{place}", 1)) != 1:
            factors[f"processing_{place}"] = str(uplift)
    fee = max((rate for rate in searches if rate), default=None)
    return {"fees": {"web_search": fee} if fee else None, "factors": factors}


def read_litellm(wheel: Path) -> Source:
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read("litellm/model_prices_and_context_window_backup.json")
    rows: dict[str, dict[str, Any]] = json.loads(raw, parse_float=Decimal)
    source: Source = {}
    # azure_ai after azure: the same name under both is an Azure OpenAI deployment. Prefixed names win.
    for key in sorted(
        rows, key=lambda key: (rows[key].get("litellm_provider") == "azure_ai", "/" not in key, key)
    ):
        row = rows[key]
        provider = LITELLM_PROVIDERS.get(row.get("litellm_provider", ""))
        operation = MODES.get(row.get("mode", ""))
        if provider is None or operation is None:
            continue
        name = key.removeprefix(row["litellm_provider"] + "/")
        if not_text(name) or (provider == "azure" and REGIONAL.match(name)):
            continue
        source.setdefault(
            (provider, name),
            Entry(
                operation,
                number(row.get("max_input_tokens") or row.get("max_tokens")),
                number(row.get("max_output_tokens")) if operation == "chat" else None,
                litellm_price(row, name, operation),
            ),
        )
    return source


def number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | Decimal) and value > 0 else None


# -- genai-prices -----------------------------------------------------------------------------------


def import_genai(wheel: Path) -> Any:
    """Import the data module alone: the package itself would pull in an HTTP client."""
    package = types.ModuleType("genai_prices")
    package.__path__ = [f"{wheel}/genai_prices"]
    sys.modules["genai_prices"] = package
    return importlib.import_module("genai_prices.data")


def flat(value: Any, over: int) -> Decimal | None:
    """The rate that holds for a prompt longer than `over` tokens."""
    if value is None or isinstance(value, Decimal | int):
        return None if value is None else Decimal(value)
    rate: Decimal = value.base
    for tier in value.tiers:
        if over >= tier.start:
            rate = tier.price
    return rate


def genai_rates(price: Any, over: int, operation: str) -> dict[str, Any]:
    def rate(field: str) -> int | None:
        found = flat(getattr(price, field, None), over)
        return None if found is None else pusd(found / 1_000_000)

    found = {
        "in": rate("input_mtok"),
        "out": rate("output_mtok"),
        "cached": rate("cache_read_mtok"),
        "write": rate("cache_write_mtok") or rate("cache_write_5m_mtok"),
        "write_long": rate("cache_write_1h_mtok"),
        "audio_in": rate("input_audio_mtok"),
        "audio_out": rate("output_audio_mtok"),
        "image_in": rate("input_image_mtok"),
        "image_out": rate("output_image_mtok"),
        "cached_audio": rate("cache_audio_read_mtok"),
    }
    return compact(found | ({"out": 0} if operation == "embeddings" else {}))


def genai_price(price: Any, name: str, operation: str) -> dict[str, Any] | None:
    result = genai_rates(price, 0, operation)
    if name.endswith(":free") and not result:
        result = {"in": 0, "out": 0}
    if "in" not in result or "out" not in result:
        return None
    starts = {
        t.start
        for field in ("input_mtok", "output_mtok")
        for t in getattr(getattr(price, field), "tiers", ())
    }
    long: dict[str, Any] | None = None
    for start in sorted(starts, reverse=True):
        tier = genai_rates(price, start, operation)
        if long:
            tier |= long
        long = {"long_over": start, "long": tier}
    return result | (long or {})


def current(history: list[dict[str, Any]], today: str) -> int:
    """Index of the price that holds on `today`; announced prices come after it."""
    return max(
        (index for index, price in enumerate(history) if price.get("since", ALWAYS) <= today), default=0
    )


def genai_history(model: Any, name: str, operation: str, today: str) -> list[dict[str, Any]]:
    """Dated prices, oldest first; hours of the day folded into the highest of today."""
    conditional = model.prices if isinstance(model.prices, list) else None
    if conditional is None:
        price = genai_price(model.prices, name, operation)
        return [price] if price else []
    by_date: dict[str, dict[str, Any]] = {}
    hourly = []
    for item in conditional:
        price = genai_price(item.prices, name, operation)
        if price is None:
            continue
        start = getattr(item.constraint, "start_date", None)
        if item.constraint is None or start is not None:
            by_date[start.isoformat() if start else ALWAYS] = price
        else:
            hourly.append(price)
    history = [compact({"since": "" if date == ALWAYS else date}) | by_date[date] for date in sorted(by_date)]
    if hourly and history:
        now = current(history, today)
        history[now] |= max([history[now], *hourly], key=lambda price: (price["in"], price["out"]))
    return history


def clauses(match: Any) -> Iterator[Any]:
    inner = getattr(match, "or_", None)
    if inner is None:
        yield match
    for part in inner or ():
        yield from clauses(part)


def genai_names(model: Any) -> dict[str, bool]:
    """Names that have the price of `model` -> whether genai-prices names them outright."""
    names = {model.id: True}
    for clause in clauses(model.match):
        if equal := getattr(clause, "equals", None):
            names.setdefault(equal, True)
        start = getattr(clause, "starts_with", None)
        if start and start[-1].isalnum() and re.search(r"\d", start):
            names.setdefault(start, False)
    return names


def batch_rates(model: Any, operation: str, day: str) -> dict[str, Any]:
    """The batch price that holds on `day`; empty when none is listed."""
    newest: tuple[str, dict[str, Any]] = ("", {})
    for variant in model.price_variants or ():
        start = getattr(variant.constraint, "start_date", None)
        since = start.isoformat() if start else ALWAYS
        if variant.when == {"processing": "batch"} and newest[0] <= since <= day:
            rates = genai_rates(variant.prices, 0, operation)
            newest = since, compact({"batch_in": rates.get("in"), "batch_out": rates.get("out")})
    return newest[1]


def read_genai(wheel: Path, today: str) -> Source:
    source: Source = {}
    for listed in import_genai(wheel).providers:
        provider = GENAI_PROVIDERS.get(listed.id)
        if provider is None:
            continue
        named: Counter[str] = Counter(name for model in listed.models for name in genai_names(model))
        for model in listed.models:
            for name, exact in genai_names(model).items():
                if (named[name] > 1 and name != model.id) or not_text(name) or name.endswith((".ft-", "-")):
                    continue
                if provider == "gemini" and not GEMINI_API.match(name):
                    continue
                operation = "embeddings" if "embed" in name else "chat"
                history = genai_history(model, name, operation, today)
                # What a batch cost before today is not on record: only today's and announced prices have one.
                for price in history[current(history, today) :] if history else ():
                    price |= batch_rates(model, operation, max(today, price.get("since", today)))
                if history or model.context_window:
                    source[provider, name] = Entry(operation, model.context_window, None, history, exact)
    return source


def filled(price: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """`price` with what only `rest` has, prompts of the same length included."""
    found = price | {key: rate for key, rate in rest.items() if key not in price}
    if "long" in price and rest.get("long_over") == price.get("long_over"):
        found["long"] = filled(price["long"], rest["long"])
    return found


# -- merge ------------------------------------------------------------------------------------------


class Merge:
    """Applies the rules of the module's docstring and remembers every disagreement."""

    def __init__(self, litellm: Source, genai: Source, today: str) -> None:
        self.litellm = litellm
        self.genai = genai
        self.today = today
        self.disagreements: list[str] = []

    def prices(self, key: tuple[str, str], ours: Entry | None, theirs: Entry | None) -> list[dict[str, Any]]:
        if ours is None or not ours.prices:
            return theirs.prices if theirs else []
        if theirs is None or not theirs.prices:
            return ours.prices
        now = current(theirs.prices, self.today)
        old, new = ours.prices[0], theirs.prices[now]
        agree = all(same(old[field], new[field]) for field in ("in", "out"))
        if agree:
            rest = {field: rate for field, rate in old.items() if field not in ("since", "in", "out")}
            return [*theirs.prices[:now], filled(new, rest), *theirs.prices[now + 1 :]]
        dated = "since" in new and theirs.exact
        self.disagreements.append(
            f"{'/'.join(key):55} litellm {old['in']:>9} {old['out']:>10}"
            f"   genai-prices {new['in']:>9} {new['out']:>10}"
            f"   {'genai-prices (since ' + new['since'] + ')' if dated else 'litellm'}"
        )
        if not dated:
            return ours.prices
        kept = {field: old[field] for field in ("factors", "fees") if field in old}  # they hold at any price
        return [*theirs.prices[:now], kept | new, *theirs.prices[now + 1 :]]

    def rows(self) -> Iterator[dict[str, Any]]:
        for key in sorted(self.litellm.keys() | self.genai.keys()):
            ours, theirs = self.litellm.get(key), self.genai.get(key)
            first = ours or theirs
            assert first is not None
            windows = [entry.context for entry in (ours, theirs) if entry and entry.context]
            yield compact(
                {
                    "provider": key[0],
                    "model": key[1],
                    "operation": "embeddings" if first.operation == "embeddings" else None,
                    "context": max(windows, default=None),
                    "output": ours.output if ours else None,
                    "prices": believable(key[1], self.prices(key, ours, theirs)),
                }
            )


def wheel_version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("litellm", type=Path, help="litellm wheel")
    parser.add_argument("genai_prices", type=Path, help="genai-prices wheel")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    options = parser.parse_args()
    merge = Merge(read_litellm(options.litellm), read_genai(options.genai_prices, options.date), options.date)
    rows = list(merge.rows())
    sources = f"litellm-{wheel_version(options.litellm)} genai-prices-{wheel_version(options.genai_prices)}"
    version = f"{options.date} {sources}"
    header = {"version": version, "unit": "pico-dollars per token", "models": len(rows)}
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in [header, *rows]]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report(merge, rows, options.out)


def report(merge: Merge, rows: list[dict[str, Any]], out: Path) -> None:
    known = [line for line in merge.disagreements if WELL_KNOWN.match(line.split("/")[-1].strip())]
    print("Well-known models priced differently by more than 1 % (pico-dollars: input, output):")
    print("\n".join(known) or "none")
    print(f"... and {len(merge.disagreements) - len(known)} others")
    total, priced, embeddings = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        total[row["provider"]] += 1
        priced[row["provider"]] += "prices" in row
        embeddings[row["provider"]] += row.get("operation") == "embeddings"
    for provider, count in total.items():
        counts = f"{count:5} models, {priced[provider]:5} priced, {embeddings[provider]:3} for embeddings"
        print(f"{provider:12} {counts}")
    dated = sum(any("since" in price for price in row.get("prices", ())) for row in rows)
    long = sum("long" in price for row in rows for price in row.get("prices", ()))
    print(f"{len(rows)} models, {priced.total()} priced, {dated} dated, {long} long-prompt prices")
    print(f"{out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

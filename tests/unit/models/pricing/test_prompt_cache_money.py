"""What a prompt cache did to the cost of a call is the same by the short way and by the long one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.models.pricing import prompt_cache
from farthing.models.pricing.cost import cost_nusd
from farthing.types import Price, Usage, replace

COUNT = st.sampled_from([0, 0, 1, 7, 999, 12_345, -3])
PUSD = st.sampled_from([None, 1, 333_333, 1_250_001])
PRICES = st.builds(
    Price,
    since=st.just("0000-00-00"),
    input_pusd=st.sampled_from([1, 100_001, 3_000_000]),
    output_pusd=st.sampled_from([0, 15_000_001]),
    request_pusd=st.sampled_from([0, 499, 777_777]),
    cached_input_pusd=PUSD,
    cache_write_pusd=PUSD,
    cache_write_long_pusd=PUSD,
)
USAGES = st.builds(
    Usage,
    input_tokens=COUNT,
    output_tokens=COUNT,
    cached_tokens=COUNT,
    cache_write_5m_tokens=COUNT,
    cache_write_1h_tokens=COUNT,
    tier=st.sampled_from(["", "", "", "flex"]),
)


@settings(max_examples=200, deadline=None)
@given(PRICES, USAGES, st.sampled_from([None, 0]))
def test_the_short_way_gives_what_the_long_one_gives(price: Price, usage: Usage, missed: int | None) -> None:
    short = prompt_cache._plain_money(price, usage, missed)
    if short is None:
        return
    assert short == prompt_cache._differences(price, usage, missed)


def test_most_calls_go_the_short_way() -> None:
    price = Price(
        since="0000-00-00",
        input_pusd=4_000_000,
        output_pusd=20_000_000,
        cached_input_pusd=400_000,
        cache_write_pusd=5_000_000,
    )
    usage = Usage(input_tokens=9_000, output_tokens=7, cached_tokens=8_000, cache_write_5m_tokens=900)
    found = prompt_cache._plain_money(price, usage, 0)
    cost = cost_nusd(price, usage)
    plain = cost_nusd(price, replace(usage, cached_tokens=0, cache_write_5m_tokens=0))
    assert found is not None and cost is not None and plain is not None
    assert found == (plain - cost, 900 * 1_000, 0)

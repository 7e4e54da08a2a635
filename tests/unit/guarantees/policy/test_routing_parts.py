"""What the routers of a gateway share: policies that follow their files, a watch that outlives a restart."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.certified import ROUTER, certificate

from farthing.config import Config, EndpointConfig, QualityConfig
from farthing.guarantees.monitor.routing import WATCH_FILE
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.versions import Author
from farthing.types import Receipt
from farthing.wiring.routing import RoutingParts, explore_shares, losses_max

ANNA = Author(who="anna", at_unix_s=1.0)


def config_of(**endpoints: EndpointConfig) -> Config:
    return Config(endpoints=endpoints)


def endpoint(**quality: Any) -> EndpointConfig:
    return EndpointConfig(quality=QualityConfig(**quality))


def serve(folder: Path) -> None:
    versions.change(
        folder, "faq", lambda book: versions.promote(versions.add(book, certificate(), ANNA), 1, ANNA)
    )


def test_only_endpoints_where_somebody_can_tell_which_answer_is_better_explore(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = config_of(
        judged=endpoint(judge="a/judge"),
        own=endpoint(judge="a/judge", explore_share=0.2),
        off=endpoint(judge="a/judge", explore_share=0.0),
        nobody=endpoint(explore_share=0.5),
    )
    assert explore_shares(config, 0.01) == {"judged": 0.01, "own": 0.2, "off": 0.0}
    assert explore_shares(config_of(nobody=endpoint()), 0.01) == {}
    assert "explores nothing" in caplog.text


def test_the_most_that_may_be_lost_is_that_of_each_endpoint() -> None:
    config = config_of(strict=EndpointConfig(route_risk_max=0.01), any=EndpointConfig())
    assert losses_max(config) == {"strict": 0.01}


def test_policies_follow_their_files_and_what_was_audited_outlives_the_process(tmp_path: Path) -> None:
    async def first() -> None:
        parts = RoutingParts(tmp_path)
        policies = parts.policies()
        await parts.start()
        serve(tmp_path)
        for _ in range(100):
            if policies.book("faq") is not None:
                break
            await asyncio.sleep(0.01)
        assert policies.book("faq") is not None
        for n in range(100):
            policies.opened(
                Receipt(
                    request_id=f"r{n}",
                    at_unix_s=1.0,
                    started_s=0.0,
                    endpoint="faq",
                    route_policy="faq@1",
                    route_score=0.9,
                    route_by=ROUTER,
                    tier="expensive",
                    explored="cheap",
                )
            )
            policies.lost(f"r{n}", 1.0)
        assert policies.watched()["faq@1"].retreated
        await parts.aclose()
        await parts.aclose()

    asyncio.run(first())
    assert (tmp_path / WATCH_FILE).exists()
    assert RoutingParts(tmp_path).policies().watched()["faq@1"].retreated


def test_policies_that_no_router_goes_by_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serve(tmp_path)
    parts = RoutingParts(tmp_path)
    with caplog.at_level(logging.WARNING):
        parts.serve(Config())
    assert "none is applied" in caplog.text and parts.states() == []


def test_nothing_is_read_or_written_before_a_router_asks(tmp_path: Path) -> None:
    async def main() -> None:
        parts = RoutingParts(tmp_path / "state")
        await parts.start()
        parts.serve(Config())
        await parts.aclose()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []
    assert RoutingParts().states() == []

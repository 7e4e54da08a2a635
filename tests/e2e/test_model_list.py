"""`GET /v1/models` names what the providers have, as they say it themselves."""

import time

from openai import OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.network import closed_port
from tests.faults.provider import FaultProvider


def listed(gateway: Running) -> list[str]:
    with OpenAI(base_url=gateway.base_url, api_key="any") as client:
        return [model.id for model in client.models.list()]


def test_one_provider_without_tiers_lists_what_it_has_and_each_can_be_asked_and_retrieved(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    upstream.on_call = lambda call: (
        "models=mine tuned:7b whisper-1" if call.path.endswith("/models") else None
    )
    gateway = start_gateway(f'[providers.a]\nbase_url = "{upstream.base_url}"\n')
    asked = len(upstream.calls)
    assert listed(gateway) == ["mine", "tuned:7b"], "what neither chats nor embeds has no route here"
    assert listed(gateway) == ["mine", "tuned:7b"] and len(upstream.calls) == asked + 1, "once a minute"
    with OpenAI(base_url=gateway.base_url, api_key="any") as client:
        assert client.models.retrieve("tuned:7b").id == "tuned:7b"
        for name in ("mine", "tuned:7b"):
            assert gateway.chat(f"hello {name}", model=name).status == 200


def test_a_provider_that_does_not_answer_holds_up_the_list_no_longer_than_two_seconds(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    upstream.on_call = lambda call: "hang" if call.path.endswith("/models") else None
    with closed_port() as port:
        gateway = start_gateway(f"""
[providers.hung]
base_url = "{upstream.base_url}"
[providers.gone]
base_url = "http://127.0.0.1:{port}/v1"
[tiers.cheap]
targets = ["hung/mini"]
""")
        began_s = time.monotonic()
        assert {"auto", "cheap", "hung/mini"} <= set(listed(gateway))
        assert time.monotonic() - began_s < 20.0
        began_s = time.monotonic()
        assert listed(gateway)
        assert time.monotonic() - began_s < 1.9, "and is not asked again at once"

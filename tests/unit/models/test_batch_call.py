"""What a batch tells of the past, and what it does not."""

import asyncio
from typing import Any, cast

from tests.asking import asked

from farthing.config import CallConfig, OpenAIProviderConfig
from farthing.guarantees.monitor.models import ModelWatch
from farthing.models.batch_call import LineCaller
from farthing.models.calling.caller import Caller
from farthing.models.calling.request import CallRequest
from farthing.protocols import Outcome
from farthing.types import Prompt, Receipt, Route, Target
from farthing.wiring.providers import build_provider

TARGET = Target(name="a/m", provider="a", model="m")
LINE = (
    b'{"id":"c1","object":"chat.completion","model":"%b","system_fingerprint":"fp_1","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)


def test_the_model_of_an_answer_of_hours_ago_is_on_the_receipt_and_no_change_of_now() -> None:
    config = OpenAIProviderConfig(base_url="http://127.0.0.1:9/v1")
    provider = build_provider("a", config)
    nothing = cast(Any, None)
    real = Caller(
        providers={"a": provider},
        limits={"a": config},
        transport=nothing,
        ledger=nothing,
        config=CallConfig(),
        clock=lambda: 0.0,
        health={},
    )
    real.context.models = watch = ModelWatch(clock=lambda: 1_000_000.0)
    watch.answered("a/m", "m", "e", "m-2", "")
    request = asked()
    prompt = Prompt(
        body=request.body, input_tokens=1, input_tokens_bound=None, output_tokens_max=None, stream=False
    )
    reply = provider.whole({}, LINE % b"m-1", prompt)
    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, purpose="precompute")
    call = CallRequest(request=request, prompt=prompt, hold=nothing, receipt=receipt, keep_bytes_max=0)
    line = LineCaller(real, TARGET, Outcome(reply=reply, status=200), capped_by=None)
    asyncio.run(line.call(call, Route(tier="cheap", targets=(TARGET,), reason="")))
    [attempt] = receipt.attempts
    assert (attempt.model, attempt.fingerprint) == ("m-1", "fp_1")
    assert not [*watch.changes()]

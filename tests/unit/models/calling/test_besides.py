"""What is asked for beside the client's request, of each target that takes it."""

import asyncio
import json
from typing import Any

import pytest
from tests import virtual
from tests.sim.calling import GOOD, Answered, Desk, Plant, with_config

from farthing.errors import NoProviderLeft
from farthing.models.calling.request import Besides

FIELDS = {"logprobs": True, "top_logprobs": 5}
BODY = {"model": "auto", "messages": [{"role": "user", "content": "q"}], "user": "u"}


class Picky(Plant):
    """Refuses requests that have one of `fields`, and names it where it `says` so."""

    def __init__(self, *fields: str, says: bool) -> None:
        super().__init__()
        self._fields, self._says = fields, says

    async def answer(self, first_byte_s: float) -> Answered:
        self.calls.append((asyncio.get_running_loop().time(), 0))
        found = next((name for name in self._fields if name in self.asked(-1)), None)
        if found is None:
            return Answered(200, {}, GOOD)
        error: dict[str, Any] = {"message": "this cannot be", "type": "invalid_request_error"}
        if self._says:
            error = {"message": f"Unsupported parameter: '{found}'", "param": found} | {
                "code": "unsupported_parameter"
            }
        return Answered(400, {}, json.dumps({"error": error}).encode())

    def asked(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.bodies[number])
        return found


def has(plant: Plant) -> list[bool]:
    return [b'"logprobs"' in body for body in plant.bodies]


@pytest.mark.parametrize("says", [False, True])
@pytest.mark.parametrize("attempts_max", [1, 4])
def test_a_target_that_refuses_it_is_asked_again_at_once_without(says: bool, attempts_max: int) -> None:
    async def main() -> None:
        plant, other = Picky("logprobs", "top_logprobs", says=says), Plant()
        desk = Desk({"a": plant, "b": other}, config=with_config(attempts_max=attempts_max))
        besides = Besides(FIELDS, set())
        found = await desk.ask(body=BODY, besides=besides)
        assert (found.target, besides.spared) == ("a/m", {"a/m"})
        assert has(plant) == [True, False] and other.calls == []

    virtual.run(main())


def test_what_one_has_said_that_it_does_not_take_is_asked_of_the_others_alone() -> None:
    async def main() -> None:
        plant, other = Picky("logprobs", says=True), Plant()
        desk = Desk({"a": plant, "b": other})
        await desk.ask(body=BODY, besides=Besides(FIELDS, set()))
        for _ in range(3):  # other clients: it is never passed over for what nobody needs of it
            besides = Besides(FIELDS, set())
            assert (await desk.ask(body=BODY, besides=besides)).target == "a/m" and not besides.spared
        assert has(plant) == [True, False, False, False, False]
        plant.down = True
        plant.answer = Plant.answer.__get__(plant)  # type: ignore[method-assign]
        assert (await desk.ask(body=BODY, besides=Besides(FIELDS, set()))).target == "b/m"
        assert has(other) == [True]

    virtual.run(main())


def test_another_field_that_is_not_taken_is_left_out_and_the_rest_is_asked_for_still() -> None:
    async def main() -> None:
        plant = Picky("user", says=True)
        desk = Desk({"a": plant})
        besides = Besides(FIELDS, set())
        assert (await desk.ask(body=BODY, besides=besides)).target == "a/m"
        assert has(plant) == [True, True] and not besides.spared

    virtual.run(main())


def test_a_request_that_is_refused_without_it_too_is_refused() -> None:
    async def main() -> None:
        plant = Picky("messages", says=False)
        found = await Desk({"a": plant}).ask(body=BODY, besides=Besides(FIELDS, set()))
        assert isinstance(found.error, NoProviderLeft) and found.error.status == 400
        assert has(plant) == [True, False]

    virtual.run(main())

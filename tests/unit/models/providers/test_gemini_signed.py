"""The signatures that a provider of Gemini remembers for clients that do not."""

from farthing.models.providers.gemini.signed import BYTES_MAX, Signed


def test_the_newest_are_remembered_within_the_bound() -> None:
    signed = Signed()
    size = BYTES_MAX // 100
    for number in range(300):
        signed.note(f"call-{number}", "f", chr(97 + number % 26) * size)
    known = [number for number in range(300) if signed.of(f"call-{number}", "f")]
    assert known == list(range(300 - len(known), 300)) and 90 < len(known) < 100
    assert signed.of("call-299", "g") == "" and signed.of("call-299", "f")[0] == chr(97 + 299 % 26)


def test_what_is_told_again_takes_the_place_of_what_was() -> None:
    signed = Signed()
    for text in ("old", "new"):
        signed.note("a", "f", text * 100_000)
    assert signed.of("a", "f") == "new" * 100_000
    signed.note("a", "f", "x" * BYTES_MAX)
    assert signed.of("a", "f") == "", "one that would take it all is not kept"
    for number in range(200):
        signed.note(f"b{number}", "f", "y" * 50_000)
    assert all(signed.of(f"b{number}", "f") for number in range(200))

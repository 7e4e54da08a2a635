"""Token counts without a vocabulary: 1 to 4 us for a text of any length.

Four numbers tell most of it: characters, spaces, pairs of spaces (indentation, which is cheap) and
ASCII characters that are neither letters nor spaces (each a token of its own half of the time); outside
ASCII, how many bytes a character takes in UTF-8, which tells the kind of script. They are counted in a
sample of at most 256 characters from four places. The weights are least squares on the relative error
against o200k_base, every kind of text weighing the same.

Estimate as a multiple of the true o200k_base count, 5th to 95th percentile on the texts it was fitted to:

    encyclopaedia prose     0.87-1.10     Spanish, French, German    0.90-1.14
    short bank questions    0.88-1.12     Turkish                    0.87-1.08
    chat instructions       0.91-1.10     Russian                    0.94-1.28
    exam questions          0.69-1.06     Ukrainian                  0.81-0.99
    Python source           0.79-1.10     Chinese, Japanese          0.86-1.08
    minified JSON           0.94-1.24     Korean                     0.90-1.18
    indented JSON           0.96-1.09     Hindi                      0.89-1.09

Not good for text that is not language: base64 has four times the tokens estimated, hashes 1.5 times, and
Thai (not fitted) twice.
Nothing may be refused on an estimate alone; the bound for that is the number of bytes.
"""

SAMPLE_CHARS = 256
SLICE_CHARS = SAMPLE_CHARS // 4

# What `bytes.translate` takes out to leave spaces, ASCII digits, punctuation and line ends.
_LETTERS_AND_BEYOND_ASCII = bytes(code for code in range(256) if code >= 0x80 or chr(code).isalpha())


class EstimateCounter:
    """Estimates tokens for any model. Has no state; the same text always gives the same number."""

    def count(self, text: str, model: str) -> int:
        """Return about how many tokens `text` has; at least 1 unless it is empty. Never raises."""
        return estimate_tokens(text)


def estimate_tokens(text: str) -> int:
    """About how many o200k_base tokens `text` has; at least 1 unless it is empty."""
    chars = len(text)
    if chars <= SAMPLE_CHARS:
        return max(1, round(_weigh(text))) if text else 0
    step = (chars - SLICE_CHARS) // 3
    sample = (
        text[:SLICE_CHARS]
        + text[step : step + SLICE_CHARS]
        + text[2 * step : 2 * step + SLICE_CHARS]
        + text[-SLICE_CHARS:]
    )
    return max(1, round(_weigh(sample) * chars / SAMPLE_CHARS))


def _weigh(text: str) -> float:
    chars = len(text)
    encoded = text.encode("utf-8", "replace")
    rest = encoded.translate(None, _LETTERS_AND_BEYOND_ASCII)
    spaces = rest.count(b" ")
    marks = len(rest) - spaces
    if len(encoded) == chars:
        pairs = text.count("  ") if "  " in text else 0
        return 0.067 * chars + 0.755 * spaces - 1.307 * pairs + 0.49 * marks + 0.62
    ascii_chars = len(text.encode("ascii", "ignore"))
    beyond = chars - ascii_chars
    extra_bytes = len(encoded) - chars
    two_bytes = max(0, 2 * beyond - extra_bytes)
    more_bytes = max(0, extra_bytes - beyond)
    if more_bytes > two_bytes and more_bytes * 8 > chars:
        indic = min(encoded.count(b"\xe0"), more_bytes)  # scripts of India and Thai: short vowels merge
        return 0.25 * ascii_chars + 0.709 * (more_bytes - indic) + 0.241 * indic
    if two_bytes * 4 > ascii_chars:  # Cyrillic, Greek, Hebrew, Arabic
        return 0.17 * ascii_chars + 0.259 * two_bytes + 0.539 * marks
    return 0.171 * chars + 0.075 * spaces + 0.735 * two_bytes + 0.403 * marks + 0.7 * more_bytes


def estimate_prompt(text: str, prompt_chars: int) -> int:
    """About how many tokens a prompt of `prompt_chars` characters has, of which `text` is a part.

    The rest is taken to be like `text`; without one, to be English.
    """
    chars = len(text)
    if not chars:
        return (prompt_chars + 3) // 4
    tokens = estimate_tokens(text)
    return tokens if prompt_chars <= chars else tokens * prompt_chars // chars

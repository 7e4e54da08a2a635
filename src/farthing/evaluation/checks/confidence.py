# ruff: noqa: RUF001  (phrases of many languages)
"""Whether an answer looks good enough to keep, without asking anybody. Checked before an escalation."""

from collections.abc import Sequence

MEAN_LOGPROB_MIN = -1.0  # on average less than e**-1 = 37 % sure of each token
_START_CHARS = 240  # a refusal comes first; later the same words may be quoted or qualified

# Lower case, straight apostrophes. Openings of answers that decline to answer.
_NO_ANSWER = (
    # English
    "i don't know", "i do not know", "i'm not sure", "i am not sure", "i can't help", "i cannot help",
    "i can't answer", "i cannot answer", "i'm unable to", "i am unable to", "i'm sorry, but i", "as an ai",
    "i don't have enough information", "i do not have enough information", "i don't have information",
    "i do not have information", "i don't have access", "i do not have access", "not enough information",
    "i couldn't find", "i could not find", "no information is available", "i can't provide",
    "i cannot provide", "i can't assist", "i cannot assist",
    # German
    "ich weiß es nicht", "ich weiß nicht", "ich bin mir nicht sicher", "ich kann ihnen dabei nicht",
    "ich kann dir dabei nicht", "es tut mir leid, aber ich", "dazu habe ich keine informationen",
    "ich habe keine informationen",
    # French
    "je ne sais pas", "je ne suis pas sûr", "je ne peux pas", "je suis désolé, mais je",
    "je n'ai pas d'information", "je n'ai pas assez d'information",
    # Spanish
    "no lo sé", "no sé la respuesta", "no estoy seguro", "no puedo ayudar", "lo siento, pero no",
    "no tengo información", "no tengo suficiente información",
    # Italian
    "non lo so", "non sono sicuro", "non posso aiutar", "mi dispiace, ma non", "non ho informazioni",
    # Portuguese
    "não sei", "não tenho certeza", "não posso ajudar", "desculpe, mas não", "não tenho informaç",
    # Dutch, Polish, Swedish, Turkish
    "ik weet het niet", "ik weet niet", "het spijt me, maar ik", "nie wiem", "przykro mi, ale nie",
    "jag vet inte", "jag kan tyvärr inte", "bilmiyorum", "üzgünüm, ama", "emin değilim",
    # Russian, Chinese, Japanese, Korean
    "я не знаю", "к сожалению, я не", "我不知道", "我无法", "抱歉", "わかりません", "分かりません",
    "申し訳ありませんが", "모르겠습니다", "죄송하지만",
)  # fmt: skip


def low_confidence(
    text: str, finish_reason: str | None, logprobs: Sequence[float] | None = None
) -> str | None:
    """Return why the answer is not good enough, as a phrase for the receipt; None if nothing shows it.

    `logprobs` are those of the answer's tokens, if the provider gave them. None does not prove that an
    answer is right: a fluent wrong answer passes.
    """
    if finish_reason == "length":
        return "cut off at the token limit"
    if finish_reason == "content_filter":
        return "stopped by the provider's filter"
    if finish_reason in ("tool_calls", "function_call"):
        return None  # the calls are the answer; text is optional
    start = text[: _START_CHARS * 4].strip()
    if not start:
        return "empty" if not text.strip() else None
    start = start[:_START_CHARS].lower().replace("’", "'")
    for phrase in _NO_ANSWER:
        if phrase in start:
            return f'says "{phrase}"'
    if logprobs:
        mean = sum(logprobs) / len(logprobs)
        if not mean >= MEAN_LOGPROB_MIN:  # NaN is not confident either
            return f"mean logprob {mean:.2f}"
    return None

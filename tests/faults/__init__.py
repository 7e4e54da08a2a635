"""A provider that misbehaves on request, and keeps its own record of the truth.

Start with `provider.FaultProvider` (in this process) or `process.spawned` (a process); `truth.Call` is
what it knows of one request, `network` has the faults below HTTP (U1, U2, U14), `exact` replies given as
bytes.

It speaks two dialects, by the path of the request: chat completions (`answers`), and Anthropic's Messages
under `/v1/messages` (`messages`), where `messages_request` refuses what the real one refuses. `said` is the
seam between them and the faults, which are the same for both; the list of models is Anthropic's where the
header `anthropic-version` comes along.

A script is words with commas between them; a value may be percent-encoded (`say=one%2C two`). It stands
in the model's name (`fault:U6`, `fault:status=500,share=0.3,seed=7`, or any name with a `=` in it), in the
header `x-fault`, in what `on_call` returns, and in the queue filled by `provider.script(...)`. All that
are there are merged in this order, later words win, and `good` forgets every fault before it.

    the answer
      say=TEXT               instead of "echo: <last user text>"
      n=TOKENS               repeat or cut it to so many tokens (one a word)
      reasoning=TEXT         a `reasoning_content` beside it; Messages: the thinking, where it is asked for
      calls=N                so many calls of the tool, where one is demanded or named in the text
      tool=NAME  arguments=JSON                of that tool, whatever the text names, if the request has it
      stops                  chat: `stop` ends the text, and the match is told as vLLM tells it
      redacted  bound        Messages: thinking that nobody may see; its signature is checked against all
                                  that came before it
      foreign                Messages: thinking that others signed is taken too
      logprob=NUMBER         of every token (-0.25), where the request asks for logprobs
      delay=S  gap=S         before the head; after each event
      prompt-tokens=N  cached=N  usage=0       what `usage` says; none at all
      written-5m=N  written-1h=N               Messages: of the prompt, written to the cache of prefixes; with
                                  none of these words marks (`cache_control`) do what they do
      finish=REASON          instead of stop, length or tool_calls (Messages: or its own words)
      names=MODEL            what the answer names as its model; default: what was asked for
      models=NAMES           what `GET /v1/models` lists, with spaces between
    when the fault strikes (else the answer is good)
      share=P  seed=N        by chance, the same for every run; default always
      first=K                only the first K calls with this very script
    the fault
      reset                  U3   RST before the head
      hang                   U4   nothing for `hold` seconds (60), then FIN
      (events: of Messages `message_start`, each delta and `message_delta`; others go with the one before)
      stall=K                U5   silence for `hold` seconds after K events (whole: half of the body)
      truncate=K  end=HOW    U6   stop after K events; clean (last chunk, no [DONE]), cut (FIN), reset (RST)
      bad=HOW                U7   json, sse, utf8, type (`[]`): second event or whole body; html, empty: all
      eol=HOW  split=BYTES   U7   lf, crlf, cr, mixed (by event); bytes for each TCP write of the body
      comments  bigline=BYTES     U7   comment, event, id and retry lines; one token of so many bytes
      status=CODE            U10  an error object; body=json, text, html, empty, broken; code=CODE
                                  message=TEXT
      retry-after=TEXT  retry-after-ms=TEXT  retry-date=S      U8   as it stands; HTTP date S from now
      error=K                after K events `data: {"error": ...}`, then a clean end without [DONE];
                                  whole: a 200 with an error object
      rate=BPS  head-rate=BPS     U11  bytes a second of the body; of the head
      length=HOW             U12  short (10 less than sent), long (10 more, then FIN), double
      endless=BYTES          U13  a body or stream that only ends at a cap (1 GiB)
      header=BYTES           U13  one header of this size
      gzip=BYTES             U13  gzip nobody asked for, padded with spaces to this size

    U3, U4, U5, U6, U6-cut, U6-reset, U7, U7-sse, U7-utf8, U7-split, U7-line (10 MB), U8, U8-date, U8-ms,
    U8-year, U8-negative, U8-garbage, U9, U10, U11, U12, U12-long, U12-double, U13, U13-head (100 MB) and
    U13-gzip (100 MB) are words too, each short for some of the above (`script.ALIASES`).

What no word says is given as its bytes: `provider.exactly(model, reply)`, made with `exact`.

A script nobody understands is answered with a 400 that says so. Requests are answered with the header
`x-call-id` and the id `chatcmpl-<call id>` or `msg_<call id>`, which are `Call.id`; fields nobody knows come
back in `echoed_fields`, which Messages refuses.
"""

"""What each gauge of the moment says, for `HELP`: by name without `farthing_`."""

from collections.abc import Mapping
from typing import Final

UNTOLD: Final = "A value of this moment."
ABOUT: Final[Mapping[str, str]] = {
    "requests_in_progress": "Requests now in progress.",
    "requests_shed": "Requests refused with 503 since the start, for any reason.",
    "requests_shed_cpu": "Requests refused with 503 since the start because the CPU could not keep up.",
    "requests_shed_full": "Requests refused with 503 since the start because server.requests_max were in "
    "progress.",
    "requests_limit": "How many requests may be in progress now: server.requests_max, or less during "
    "an overload.",
    "requests_unauthenticated": "Requests refused for their key since the start; they leave no receipt.",
    "connections": "Client connections open now.",
    "reloads_applied": "Reloads since the start.",
    "reloads_refused": "Reloads refused since the start.",
    "reloads_refused_open": "Reloads refused since the start because they would have opened the gateway.",
    "config_stale": "1 while the file is refused, so that an older configuration serves.",
    "route_policies_applied": "Files of routing policies applied since the start.",
    "route_policies_refused": "Files of routing policies refused since the start.",
    "ledger_available": "1 while the gateway accepts new paid requests.",
    "ledger_rows_waiting": "Receipts and signals in memory that wait for disk space.",
    "ledger_rows_lost": "Receipts and signals lost since the start.",
    "ledger_rows_lost_before": "Receipts and signals that earlier runs lost, in the whole life of the "
    "directory.",
    "ledger_requests_refused": "Requests refused since the start because there was no room for their "
    "receipt.",
    "ledger_sync_failures": "Failed syncs of the disk since the start.",
    "responses_stored": "Stored responses.",
    "responses_stored_bytes": "Size of the stored responses, in bytes.",
    "completions_stored": "Stored chat completions of which it is noted who has them.",
    "prompts_unmeasured": "Prompts that were not measured because too many waited for it, since the start.",
    "semantic_entries": "Answers in the index of the semantic cache.",
    "semantic_index_bytes": "Memory of the index of the semantic cache, in bytes.",
    "semantic_writes_lost": "Writes to the file of the semantic cache that failed for good since the start.",
    "semantic_ready": "1 once the index of the semantic cache is built.",
    "checks_dropped": "Answers that were not checked because the queue was full, since the start.",
    "judging_waiting": "Calls of judges that wait for the quiet hours.",
    "judging_dropped": "Calls of judges dropped because the queue was full, since the start.",
    "jobs_queued": "Internal requests that wait.",
    "jobs_running": "Internal requests in progress.",
    "jobs_done": "Internal requests that got an answer, since the start.",
    "jobs_failed": "Internal requests that got none, since the start; their receipts say why.",
    "jobs_dropped": "Internal requests dropped because the queue was full, since the start.",
    "jobs_unpaid": "Internal requests that failed because their budget was spent, since the start.",
    "jobs_spent_today_usd": "US dollars spent of jobs.usd_per_day since midnight UTC.",
    "route_llm_asked": "Questions put to the model that routes, since the start.",
    "route_llm_cached": "Questions answered from an earlier or simultaneous call of the model that "
    "routes, since the start.",
    "route_llm_failed": "Questions to the model that routes without a readable answer, since the start.",
    "route_llm_unasked": "Questions not put to the model that routes: too many at once, no time left, or "
    "in cooldown.",
}

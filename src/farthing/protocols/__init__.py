"""Every seam of Farthing. An extension implements one of these and nothing else.

Implementations sit side by side in the folder named beside each Protocol; `wiring/` chooses one.
Each Protocol is proved by one test file, `tests/contract/test_<protocol>.py`, run on all of them, in a task
and as the gateway runs it.

An implementation may use any asyncio library: its methods run in a task, in a `contextvars` context that is
this request's alone. One that needs no current task before its first wait may say `immediate = True` (see
`runtime.loop_batch.is_immediate`); where all of a configuration do, a request that waits for nothing but its
provider is spared the task. One that wraps others is what they are. Who leaves it out is right, and pays some
microseconds a request.
"""

from typing import TYPE_CHECKING

from farthing.protocols.brain import (
    Classifier,
    Confirmer,
    ResponseCache,
    Retriever,
    RouteAdvisor,
    Router,
    SemanticCache,
    Verifier,
)
from farthing.protocols.contract import Contract, Hold
from farthing.protocols.edge import Sink
from farthing.protocols.evaluation import (
    AnswerCheck,
    AnswerJudge,
    Ask,
    AsyncGuardrail,
    Guardrail,
    HitMonitor,
    Inspector,
    ModelWatch,
    RouteAudit,
)
from farthing.protocols.jobs import Allowance, Budget, InternalRequest, InternalRequests, Purpose
from farthing.protocols.ledger import Ledger
from farthing.protocols.local_models import Embedder, PairModel, TokenCounter, TokenSizes
from farthing.protocols.plugins import (
    GuardrailPlugin,
    PluginContext,
    PluginFactory,
    ProviderPlugin,
    RouterPlugin,
    StreamPlugin,
)
from farthing.protocols.prompt_caches import (
    PromptCaches,
    PromptCall,
    PromptPreparer,
    SegmentSize,
    SentPrompt,
    WarmPrefix,
)
from farthing.protocols.providers import (
    ALL_SAID,
    AwsCredentials,
    BatchApi,
    BatchState,
    BearerToken,
    Capabilities,
    Credentials,
    Outcome,
    Provider,
    Reply,
    SigningKeys,
    StreamDecoder,
    Unsaid,
)
from farthing.protocols.responses import Held, ResponseStore, StoredResponse
from farthing.protocols.state import Balance, Level, Reserved, StateStore, Taken
from farthing.protocols.stores import CacheAdmin, KeyValueStore, PartitionIndex, VectorIndex
from farthing.protocols.transport import Exchange, Transport

if TYPE_CHECKING:
    from farthing.protocols.vectors import Keys as Keys
    from farthing.protocols.vectors import Vector as Vector
    from farthing.protocols.vectors import Vectors as Vectors

__all__ = [
    "ALL_SAID",
    "Allowance",
    "AnswerCheck",
    "AnswerJudge",
    "Ask",
    "AsyncGuardrail",
    "AwsCredentials",
    "Balance",
    "BatchApi",
    "BatchState",
    "BearerToken",
    "Budget",
    "CacheAdmin",
    "Capabilities",
    "Classifier",
    "Confirmer",
    "Contract",
    "Credentials",
    "Embedder",
    "Exchange",
    "Guardrail",
    "GuardrailPlugin",
    "Held",
    "HitMonitor",
    "Hold",
    "Inspector",
    "InternalRequest",
    "InternalRequests",
    "KeyValueStore",
    "Ledger",
    "Level",
    "ModelWatch",
    "Outcome",
    "PairModel",
    "PartitionIndex",
    "PluginContext",
    "PluginFactory",
    "PromptCaches",
    "PromptCall",
    "PromptPreparer",
    "Provider",
    "ProviderPlugin",
    "Purpose",
    "Reply",
    "Reserved",
    "ResponseCache",
    "ResponseStore",
    "Retriever",
    "RouteAdvisor",
    "RouteAudit",
    "Router",
    "RouterPlugin",
    "SegmentSize",
    "SemanticCache",
    "SentPrompt",
    "SigningKeys",
    "Sink",
    "StateStore",
    "StoredResponse",
    "StreamDecoder",
    "StreamPlugin",
    "Taken",
    "TokenCounter",
    "TokenSizes",
    "Transport",
    "Unsaid",
    "VectorIndex",
    "Verifier",
    "WarmPrefix",
]

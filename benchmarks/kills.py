"""P1, measured: SIGKILLs under load, reconciled with what clients hold and with the provider's own record.

    python -m benchmarks.kills [--kills 1000] [--seed 1]       writes benchmarks/results/kills.json

Each round starts the gateway on the same ledger directory, lets clients ask (whole and streamed), kills
it at a random moment, and goes on. At the end every complete answer that a client holds must have its
receipt, and every call that the provider saw its intent.
"""

import argparse
import http.client
import json
import os
import platform
import random
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.e2e.gateway import ROOT, Running, start
from tests.faults.process import spawned
from tests.faults.truth import read_truth

from farthing.types import Receipt

CLIENTS = 4
LIFE_S = (0.02, 0.25)  # from the first answer to the kill

CONFIG = """
[providers.a]
base_url = "{base_url}"
[tiers.cheap]
targets = ["a/fault:gap=0.001"]
[tiers.expensive]
targets = ["a/fault:delay=0.004"]
[cache]
exact = "off"
[ledger]
segment_bytes = 262144
"""


class Clients:
    """Ask until told to stop, and remember the id of every answer that was complete."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self._lock = threading.Lock()

    def ask(self, gateway: Running, stop: threading.Event, number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            stream = (count + number) % 2 == 0
            try:
                reply = gateway.chat(
                    f"{number} {count}", model=("cheap", "expensive")[count % 2], stream=stream
                )
            except (OSError, http.client.HTTPException):
                return  # it was killed
            complete = b"data: [DONE]" in reply.body if stream else reply.status == 200
            if complete:
                with self._lock:
                    self.answered.add(reply.headers["x-request-id"])


def one_life(folder: Path, config: str, clients: Clients, life_s: float) -> None:
    """Start, ask, kill."""
    gateway = start(config, folder)
    stop = threading.Event()
    askers = [threading.Thread(target=clients.ask, args=(gateway, stop, number)) for number in range(CLIENTS)]
    for asker in askers:
        asker.start()
    time.sleep(life_s)
    gateway.process.kill()
    gateway.process.wait()
    stop.set()
    for asker in askers:
        asker.join()
    assert gateway.process.stdout is not None
    gateway.process.stdout.close()


def run(folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Kill the gateway `kills` times and return what was found."""
    chance = random.Random(seed)
    clients = Clients()
    began_s = time.monotonic()
    truth_file = folder / "truth.jsonl"
    with spawned(truth_file) as provider:
        config = CONFIG.format(base_url=provider.base_url)
        for _ in range(kills):
            one_life(folder / "gateway", config, clients, chance.uniform(*LIFE_S))
        last = start(config, folder / "gateway")  # recovers what the last kill left
        rows = last.rows()
        last.process.terminate()
        last.process.wait()
    receipts = [row.request_id for row in rows if isinstance(row, Receipt)]
    intents = {row.request_id for row in rows if not isinstance(row, Receipt)}
    calls = read_truth(truth_file)
    called = {call.request_id for call in calls.values()}
    return {
        "kills": kills,
        "seed": seed,
        "clients": CLIENTS,
        "answers": len(clients.answered),
        "receipts": len(receipts),
        "intents": len(intents),
        "provider_calls": len(calls),
        "calls_cut_by_a_kill": sum(call.aborted for call in calls.values()),
        "answers_without_receipt": len(clients.answered - set(receipts)),
        "calls_without_intent": len(called - intents),
        "receipts_twice": len(receipts) - len(set(receipts)),
        "intents_without_receipt": len(intents - set(receipts)),
        "seconds": round(time.monotonic() - began_s, 1),
    }


def machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farthing-kills-") as folder:
        result = run(Path(folder), kills=given.kills, seed=given.seed)
    told = {"what": "SIGKILLs under load (P1)", "commit": commit(), "machine": machine(), **result}
    path = ROOT / "benchmarks" / "results" / "kills.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))
    if result["answers_without_receipt"] or result["calls_without_intent"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

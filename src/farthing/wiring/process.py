"""One gateway process: its servers, the serving configuration, and their life: signals, reload, drain.

A reload builds everything anew beside what runs and then swaps it in; a configuration that cannot be built
changes nothing. The address, the ledger and the store of the cache stay as they were at the start.
"""

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from farthing import config as configuration
from farthing.config import (
    Config,
    ServerConfig,
    loopback,
    policy_version,
)
from farthing.edge.admit import Admission
from farthing.edge.http.server import Server
from farthing.edge.operators.listener import Admin
from farthing.edge.routes import Edge, Serving, refusal
from farthing.errors import ConfigError, FarthingError, Overloaded, StoreError
from farthing.guarantees.drift.detect import DriftMonitor
from farthing.guarantees.drift.references import References
from farthing.jobs.prewarm.gather import Stage
from farthing.jobs.prewarm.run import Order, Precompute
from farthing.jobs.refresh import Refresh
from farthing.jobs.runner import JobRunner
from farthing.jobs.schedule import Record, Row
from farthing.ledger.metrics import Metrics
from farthing.models.price_list import price_list
from farthing.models.pricing.catalogue import today
from farthing.runtime import heap
from farthing.runtime.faults import log_fault
from farthing.runtime.log import set_up_logging
from farthing.runtime.loop_batch import LoopBatch
from farthing.runtime.redact import Redactor
from farthing.stores.presence import Presence, User
from farthing.stores.state.memory import MemoryState
from farthing.wiring.build import build, build_stage, open_parts, operators_parts
from farthing.wiring.cascade import unproven_cascades
from farthing.wiring.catalogue import ask_configured, ending, in_tiers, not_there
from farthing.wiring.models import semantic_targets, suspend_routing, suspend_semantic
from farthing.wiring.warnings import advised

log = logging.getLogger("farthing.gateway")

ADMIN_CONNECTIONS_MAX = 16
ADMIN_BODY_BYTES_MAX = 65_536
ADMIN_QUIET_S = 10.0  # the same while idle and while a request arrives: then the next to end is the quietest
OTHERS_SHOWN_MAX = 3
OTHER_FILES = 64  # the ledger, the stores, the listeners
WATCH_S = 0.3  # a changed file is applied within a second
SWEEP_S = 60.0
SETTLE_S = 0.02  # a file that is being written is not read
SETTLE_LOOKS = 50
OPENS = frozenset({"keys_gone", "hosts_gone", "scope_gone", "host_widened"})
GC_ALLOCATIONS = 50_000  # requests leave no cycles; a full pass over a warm heap takes 10 ms


class Gateway:
    """One gateway process: its servers, the serving configuration, and their life."""

    _missing_told: tuple[str, ...] = ()
    """What was found when providers were last asked for their models."""

    def __init__(
        self,
        config: Config,
        *,
        source: Path | None,
        env: Mapping[str, str],
        redact: Redactor | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        turn = LoopBatch(loop)
        state_dir = configuration.state_dir(config, env)
        self._config = config
        self._started = config
        """What holds until the end for all that a reload does not change."""
        self._source = source
        self._env = env
        self._stop = asyncio.Event()
        self._stamp = _stamp(source)
        self._whole = _ends_its_line(source)
        """The file that runs ended with a line break, so one without is cut."""
        self._reloads = {"applied": 0, "refused": 0, "refused_open": 0}
        self._presence = Presence(state_dir)
        self._references = References(state_dir)
        self._reloading = asyncio.Lock()
        self._told: set[asyncio.Task[None]] = set()
        """Reloads that a signal asked for."""
        self._asking: set[asyncio.Task[None]] = set()
        """Questions to providers for their models."""
        self._admission = Admission(config.server.requests_max, loop)
        self._drift = DriftMonitor()
        self._metrics = Metrics(self._gauges, self._drift)
        self._jobs = JobRunner(
            config.jobs,
            busy=self._admission.share,
            clock=time.monotonic,
            clock_unix_s=time.time,
            state=MemoryState(),
            state_dir=state_dir,
        )
        self._segments, self._parts = open_parts(
            config, env, self._metrics, loop, turn, jobs=self._jobs, redact=redact
        )
        self._parts.models.watch.told = self._model_changed
        self._parts.routing.changed = self._suspend_routing
        if self._parts.semantic is not None:
            self._parts.semantic.certified = self._suspend_semantic
        self._admission.pressed = self._parts.transport.press
        self._admission.behind = self._parts.transport.behind
        serving = build(config, self._parts)
        for line in advised(config, source, env):
            log.warning("%s", line)
        self._jobs.reconfigure(config.jobs, serving.steps)
        self._ahead = self._precompute(config, serving)
        self._refresh = self._refresher()
        self._metrics.targets = serving.targets
        self._edge = Edge(serving, self._admission, metrics=self._metrics.exposition, clock=time.monotonic)
        self._server = self._client_server(config, loop, turn)
        self._operators = self._admin_server(config, loop, turn)
        if self._parts.semantic is not None:
            self._metrics.semantic.states = self._parts.semantic.bound.states
        self._metrics.tokens = self._parts.tokens.ratios
        self._metrics.models = self._parts.models.watch
        self._parts.models.serve(config)
        self._parts.routing.serve(config)
        self._suspend_routing()
        self._serve_quality(config, serving)
        self._metrics.routing.states = self._parts.routing.states

    def _model_changed(self, target: str) -> list[str]:
        """Suspend what rests on the model that `target` had; what that is, in words."""
        unproven = unproven_cascades(self._config, self._parts.cascades, target)
        return [*self._suspend_routing(), *self._suspend_semantic(), *unproven]

    def _suspend_routing(self) -> list[str]:
        tiers = {name: tier.targets for name, tier in self._config.tiers.items()}
        return suspend_routing(self._parts.models.watch, self._parts.routing.audit, tiers)

    def _suspend_semantic(self) -> list[str]:
        if self._parts.semantic is None:
            return []
        targets = partial(semantic_targets, self._config)
        return suspend_semantic(self._parts.models.watch, self._parts.semantic.bound, targets)

    def _precompute(self, config: Config, serving: Serving) -> Precompute:
        """The cache warmer. It takes up batches as soon as answers can be stored."""
        state_dir = configuration.state_dir(config, self._env)
        ahead = Precompute(self._jobs, state_dir, clock=time.monotonic, clock_unix_s=time.time)
        ahead.stage = build_stage(config, self._env, serving)
        semantic = self._parts.semantic
        ahead.batches.ready = lambda: semantic is None or semantic.ready
        return ahead

    def _refresher(self) -> Refresh:
        """The job that asks doubted questions again, if there are any."""
        semantic = self._parts.semantic
        return Refresh(
            self._jobs,
            lambda: semantic.questions if semantic is not None else None,
            endpoint=lambda name: self._edge.serving.reader.named(name),
            clock=time.monotonic,
        )

    def _client_server(self, config: Config, loop: asyncio.AbstractEventLoop, turn: LoopBatch) -> Server:
        """The clients' listener."""
        return Server(
            config.server,
            self._edge.handle,
            refusal,
            loop=loop,
            turn=turn,
            vet=self._edge.vet,
            admission=self._admission,
            turned_away=self._edge.turned_away,
        )

    def _admin_server(
        self, config: Config, loop: asyncio.AbstractEventLoop, turn: LoopBatch
    ) -> Server | None:
        """The operators' listener; None when it has no port."""
        admin = config.admin
        if admin.port is None:
            return None
        parts = operators_parts(
            lambda: self._edge.serving.cache_admin, self._parts.responses, self._parts.completions
        )
        handler = Admin(admin, parts)
        limits = ServerConfig(
            host=admin.host,
            port=admin.port,
            connections_max=ADMIN_CONNECTIONS_MAX,
            body_bytes_max=ADMIN_BODY_BYTES_MAX,
            header_s=ADMIN_QUIET_S,
            body_s=ADMIN_QUIET_S,
            idle_s=ADMIN_QUIET_S,
        )
        return Server(limits, handler.handle, refusal, loop=loop, turn=turn, evicts=True)

    async def run(self, ready: Callable[[int], None] | None = None) -> int:
        """Serve until SIGTERM or SIGINT, then drain. Returns the exit status."""
        loop = asyncio.get_running_loop()
        _check_descriptors(self._config)
        port = await _listening(self._server, "server", "--port")
        if self._operators is not None:
            admin_port = await _listening(self._operators, "admin", "admin.port")
            log.info("operators at %s:%d", self._config.admin.host, admin_port)
        self._tell_others(port)
        await self._parts.routing.start()
        if self._parts.semantic is not None:
            self._parts.semantic.start()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        watching = (self._watch(), self._ahead.watch(), self._refresh.watch(), self._sweep())
        background = [loop.create_task(one) for one in watching]
        keeping = (self._parts.models.run, self._parts.lessons.run)
        background += [loop.create_task(run()) for run in keeping if run is not None]
        for task in background:
            task.add_done_callback(log_fault(log, "a part of the gateway stopped by a fault of ours"))
        self._jobs.start()
        self._parts.tokens.start()
        if self._parts.quality is not None:
            self._parts.quality.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS, 20, 50)
        self._ask_models()
        log.info("ready on %s:%d, policy %s", self._config.server.host, port, policy_version(self._config))
        if ready is not None:
            ready(port)
        await self._stop.wait()
        log.info("draining: up to %.0f s for %d requests", self._config.server.drain_s, self._in_progress())
        self._admission.draining = True
        for task in (*background, *self._told, *self._asking):
            task.cancel()
        self._jobs.stop()
        cut = await self._server.drain(self._config.server.drain_s)
        if self._operators is not None:
            await self._operators.drain(0.0)
        await self._jobs.aclose()
        self._admission.stop()
        self._ahead.lock.release()
        await self._parts.aclose()
        self._presence.leave()
        log.info("stopped; %d requests were cut", cut)
        return 0

    def _ask_models(self) -> None:
        """Begin to ask the providers of the tiers which models they have. Nothing waits for it."""
        if not self._config.call.ask_models or self._asking:
            return
        task = asyncio.get_running_loop().create_task(self._tell_of_missing(self._config))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        task.add_done_callback(log_fault(log, "providers could not be asked for their models"))

    async def _tell_of_missing(self, config: Config) -> None:
        said = await ask_configured(config, in_tiers(config), self._env, self._parts.transport)
        catalogue = await asyncio.to_thread(price_list, config)
        found = (*not_there(config, said, catalogue), *ending(config, catalogue, today()))
        for line in found:
            if line not in self._missing_told:
                log.warning("%s", line)
        self._missing_told = found

    def _tell_others(self, port: int) -> None:
        """Log whether another gateway uses the same state directory. No file is damaged by that: each gateway
        writes its own segments of the ledger, and what is learned is written atomically."""
        config, where = self._config, configuration.state_dir(self._config, self._env)
        others = self._presence.enter(User(pid=os.getpid(), address=f"{config.server.host}:{port}"))
        if not others:
            return
        shown = " and ".join(map(str, others[:OTHERS_SHOWN_MAX]))
        more = f" and {len(others) - OTHERS_SHOWN_MAX} more" if len(others) > OTHERS_SHOWN_MAX else ""
        ledger = "one ledger, so that `farthing report` adds up both, " if config.ledger.path is None else ""
        log.warning(
            "%s uses the state directory %s too: they share %sthe caches kept there and the day's budget for "
            "background jobs, and of what each learns only the last written stays; to keep them apart give "
            "this one a directory of its own, by state_dir in its file or FARTHING__STATE_DIR",
            f"another gateway ({shown}{more})",
            where,
            ledger,
        )

    def stop(self) -> None:
        """Begin to drain, as on SIGTERM."""
        self._stop.set()

    def _reload_soon(self) -> None:
        if len(self._told) > 1:
            return  # the second of them has not read the file yet
        task = asyncio.get_running_loop().create_task(self.reload())
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def reload(self) -> None:
        """Apply the current configuration file, or keep what runs if the file is not valid. Reloads run one
        after another.

        Slow work is done in a thread before anything changes; the change itself takes some milliseconds of
        the event loop. Raises nothing but a cancellation.
        """
        async with self._reloading:
            try:
                await self._reload()
            except Exception:
                self._refused("internal_error")
                log.exception("reload refused by a fault of ours, the last good configuration stays")

    def _read_anew(self, source: Path) -> Config:
        """The configuration of `source`, with what it needs loaded. May run in any thread.

        Raises:
            ConfigError: the configuration is not valid.
            StoreError: a file cannot be opened.
        """
        before = _settled(source)
        config = configuration.load(source, self._env)
        whole = _ends_its_line(source)
        if before is None or before != _stamp(source) or (self._whole and not whole):
            raise _Refused(
                "half_written",
                f"{source}: it is cut, or still being written: it has to end with a line break as before; "
                "write another file and rename it",
            )
        self._whole = whole
        if not config.providers and not config.answers:
            raise ConfigError(f"{source}: nothing in it can answer")
        host = self._started.server.host  # where we listen, whatever the file says now
        if not loopback(host) and not config.keys and not config.server.allow_keyless:
            raise _Refused(
                "keys_gone", f"{source}: no key is left and {host} is open to others until a restart; add one"
            )
        listening = msgspec.structs.replace(self._config.server, host=host)
        opens = configuration.opening(msgspec.structs.replace(self._config, server=listening), config)
        if opens is not None:
            raise _Refused(opens[0], f"{source}: {opens[1]}")
        if self._parts.semantic is not None:
            self._parts.semantic.prepare(config)
        return config

    async def _reload(self) -> None:
        if self._source is None:
            log.warning("nothing to reload: there is no configuration file")
            return
        try:
            config = await asyncio.to_thread(self._read_anew, self._source)
            serving = build(config, self._parts)
            stage = build_stage(config, self._env, serving)
            advice = await asyncio.to_thread(advised, config, self._source, self._env)
        except (FarthingError, OSError) as error:
            self._refused(error.why if isinstance(error, _Refused) else "not_good")
            log.error("reload refused, the last good configuration stays: %s", error)
            return
        for line in advice:
            log.warning("%s", line)
        for name in _wants_a_restart(self._started, config):
            log.warning(
                "%s has changed since the start and still has its old value: restart to apply it", name
            )
        self._serve(config, serving, stage)
        self._server.reconfigure(config.server)
        self._admission.resize(config.server.requests_max)
        self._config = config
        self._ask_models()
        self._reloads["applied"] += 1
        self._edge.reload_refused = ""
        log.info("configuration reloaded, policy %s", serving.steps.money.policy)

    def _serve(self, config: Config, serving: Serving, stage: Stage) -> None:
        """Let `serving`, built from `config`, answer from now on."""
        self._edge.serving = serving
        self._parts.models.serve(config)
        self._parts.routing.serve(config)
        self._config = config
        self._suspend_routing()
        self._serve_quality(config, serving)
        self._jobs.reconfigure(config.jobs, serving.steps)
        self._ahead.stage = stage
        self._metrics.targets = serving.targets

    async def _reprice(self) -> None:
        """Apply the prices of a new day; everything else stays. Raises nothing but a cancellation."""
        async with self._reloading:
            try:
                serving = build(self._config, self._parts)
                stage = build_stage(self._config, self._env, serving)
            except Exception:
                log.exception("the prices of this day cannot be taken, those of yesterday stay")
                return
            self._serve(self._config, serving, stage)
            log.info("with the day prices have changed; those of today hold from now on")

    def _refused(self, why: str) -> None:
        """Record that the file was not applied, and why."""
        self._reloads["refused"] += 1
        self._reloads["refused_open"] += why in OPENS
        self._edge.reload_refused = why

    async def _watch(self) -> None:
        """Reload once the file has changed and then stayed the same for a moment, since the first half of a
        file may be valid but lack the keys. Also applies the prices of a new day."""
        seen = self._stamp
        while True:
            references = self._references.changed()
            if references is not None:
                self._drift.follow(references)
            await asyncio.sleep(WATCH_S)
            if self._edge.serving.prices_ended():
                await self._reprice()
            stamp = _stamp(self._source)
            if stamp == seen and stamp != self._stamp:
                self._stamp = stamp
                await self.reload()
            seen = stamp

    async def _sweep(self) -> None:
        """Delete stored responses that have expired, from the start on."""
        while True:
            try:
                await self._parts.responses.sweep()
                await self._parts.completions.sweep()
            except StoreError as error:
                log.warning("expired responses could not be deleted, next try in %.0f s: %s", SWEEP_S, error)
            await asyncio.sleep(SWEEP_S)

    def _serve_quality(self, config: Config, serving: Serving) -> None:
        if self._parts.quality is not None:
            self._parts.quality.serve(config, serving.reader.named, self._parts.routing.audit)

    def _in_progress(self) -> int:
        return self._admission.in_progress

    def _gauges(self) -> dict[str, float]:
        state = self._segments.state()
        return {
            "requests_in_progress": self._admission.in_progress,
            "requests_shed": self._admission.shed,
            "requests_shed_cpu": self._admission.shed_cpu,
            "requests_shed_full": self._admission.shed_full,
            "requests_limit": self._admission.most,
            "requests_unauthenticated": self._edge.unauthenticated,
            "connections": len(self._server.connections),
            "reloads_applied": self._reloads["applied"],
            "reloads_refused": self._reloads["refused"],
            "reloads_refused_open": self._reloads["refused_open"],
            "config_stale": float(bool(self._edge.reload_refused)),
            "route_policies_applied": self._parts.routing.audit.applied,
            "route_policies_refused": self._parts.routing.audit.refused,
            "responses_stored": self._parts.responses.held.responses,
            "responses_stored_bytes": self._parts.responses.held.bytes,
            "completions_stored": self._parts.completions.held.responses,
            "prompts_unmeasured": self._parts.prompt_caches.backlog.dropped,
            "ledger_available": float(state.available),
            "ledger_rows_waiting": state.waiting,
            "ledger_rows_lost": state.lost,
            "ledger_rows_lost_before": state.lost_before,
            "ledger_requests_refused": state.refused,
            "ledger_sync_failures": state.sync_failures,
            **self._jobs.gauges(),
            **self._parts.routing.gauges(),
            **({} if self._parts.semantic is None else self._parts.semantic.gauges()),
            **({} if self._parts.quality is None else self._parts.quality.gauges()),
        }


def _wants_a_restart(started: Config, config: Config) -> list[str]:
    """The settings of `config` that differ from what runs and take effect only after a restart."""
    pairs: list[tuple[str, object, object]] = [
        ("ledger", started.ledger, config.ledger),
        ("state_dir", started.state_dir, config.state_dir),
        ("server.host", started.server.host, config.server.host),
        ("server.port", started.server.port, config.server.port),
        ("cache.store", started.cache.store, config.cache.store),
        ("responses.store", started.responses.store, config.responses.store),
        ("responses.tenant_share", started.responses.tenant_share, config.responses.tenant_share),
        (
            "responses.response_bytes_max",
            started.responses.response_bytes_max,
            config.responses.response_bytes_max,
        ),
        (
            "stored_completions.store",
            started.stored_completions.store,
            config.stored_completions.store,
        ),
        (
            "stored_completions.tenant_share",
            started.stored_completions.tenant_share,
            config.stored_completions.tenant_share,
        ),
        ("admin", started.admin, config.admin),
        ("log", started.log, config.log),
    ]
    return [name for name, runs, wanted in pairs if runs != wanted]


async def _listening(server: Server, table: str, port_knob: str) -> int:
    """Start to listen, and return the port.

    Raises:
        ConfigError: the address cannot be used; the message names the setting to change.
    """
    host, port = server.config.host, server.config.port
    try:
        return await server.start()
    except OSError as error:
        fix = f"choose another {port_knob}"
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            fix = (
                f"{host} is no address of this machine: set {table}.host to one, or to 127.0.0.1, or to "
                "0.0.0.0 for all of them"
            )
        elif error.errno in (errno.EACCES, errno.EPERM):
            fix = f"this user may not have that port: choose a {port_knob} from 1024 on"
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}; {fix}") from error


def _check_descriptors(config: Config) -> None:
    """Warn if the system allows fewer open files than there may be connections: the rest get no answer."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    upstream = sum(provider.connections_max for provider in config.providers.values())
    wanted = config.server.connections_max + upstream + OTHER_FILES
    if limit not in (resource.RLIM_INFINITY, -1) and limit < config.server.connections_max + OTHER_FILES:
        log.warning(
            "only %d files may be open here, and server.connections_max = %d clients and %d connections to "
            "providers may want one each: raise the limit to %d (ulimit -n; LimitNOFILE in systemd), or "
            "lower connections_max",
            limit,
            config.server.connections_max,
            upstream,
            wanted,
        )


class _Refused(ConfigError):
    """A reload that would open what is shut, or of half a file. `why` is a short name for probes."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


def _settled(source: Path) -> tuple[int, int] | None:
    """The stamp of a file that stays the same for a moment; None: the file is missing, or keeps changing."""
    stamp = _stamp(source)
    for _ in range(SETTLE_LOOKS):
        time.sleep(SETTLE_S)
        before, stamp = stamp, _stamp(source)
        if stamp == before:
            return stamp
    return None


def _ends_its_line(source: Path | None) -> bool:
    """Whether the last line of the file is complete."""
    if source is None:
        return False
    try:
        with source.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 1))
            return file.read(1) == b"\n"
    except OSError:
        return False


def _stamp(source: Path | None) -> tuple[int, int] | None:
    """A value that changes with the file; None: there is no file."""
    if source is None:
        return None
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _log(config: Config, env: Mapping[str, str]) -> Redactor:
    """Start logging; returns the redactor that removes secrets."""
    redact = Redactor(digest=configuration.key_digest)
    redact.learn(*configuration.secrets_of(config, env))
    set_up_logging(config.log.level, as_json=config.log.json, stream=sys.stderr, redact=redact.line)
    return redact


def answer_ahead(
    config: Config, *, env: Mapping[str, str], order: Order, told: Callable[[Row], None]
) -> Record:
    """Warm the cache in this process, if no gateway runs on the state directory.

    Raises:
        ConfigError: the configuration cannot be used.
        StoreError: the counts cannot be read.
    """
    redact = _log(config, env)

    async def main() -> Record:
        loop = asyncio.get_running_loop()
        jobs = JobRunner(
            config.jobs,
            busy=lambda: 0.0,
            clock=time.monotonic,
            clock_unix_s=time.time,
            state=MemoryState(),
            state_dir=configuration.state_dir(config, env),
        )
        _, parts = open_parts(config, env, Metrics(), loop, LoopBatch(loop), jobs=jobs, redact=redact)
        try:
            serving = build(config, parts)
            for line in advised(config, None, env):
                log.warning("%s", line)
            jobs.reconfigure(config.jobs, serving.steps)
            ahead = Precompute(
                jobs,
                configuration.state_dir(config, env),
                clock=time.monotonic,
                clock_unix_s=time.time,
                told=told,
            )
            ahead.stage = build_stage(config, env, serving)
            if parts.semantic is not None:
                await parts.semantic.load()
            if not ahead.lock.take():
                raise Overloaded("another process has begun to answer ahead on this state directory")
            jobs.start()
            return await ahead.run(order)
        finally:
            await jobs.aclose()
            await parts.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        record: Record = runner.run(main())
    return record


def run(
    config: Config,
    *,
    source: Path | None,
    env: Mapping[str, str],
    ready: Callable[[int], None] | None = None,
) -> int:
    """Serve until stopped; return the exit status.

    Raises:
        ConfigError: the configuration cannot be served, or its address is taken.
    """
    redact = _log(config, env)

    heap.set_up()

    async def main() -> int:
        try:
            gateway = Gateway(config, source=source, env=env, redact=redact)
        except OSError as error:
            where = error.filename or configuration.state_dir(config, env)
            raise ConfigError(
                f"cannot start: {where}: {error.strerror or error}; let the user that this runs as read and "
                "write it"
            ) from error
        return await gateway.run(ready)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status: int = runner.run(main())
    except FarthingError:
        raise
    except Exception:  # Python would print it as it is, secrets included
        log.exception("stopped by a fault of ours")
        return 1
    return status

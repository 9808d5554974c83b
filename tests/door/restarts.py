"""Callers of two door replicas whose processes, and the worker's, are told to stop, killed and started again.

`python tests/door/restarts.py --requests 10000 --seed N`: every caller must end with its own answer. What breaks a law
is printed, and the exit status is 1. Broker, flow and callers live in this process.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
from aiohttp import web
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from support.house import REPLIES, REQUESTS

from worker.emulator.broker import QueueProperties, Topology
from worker.emulator.server import EmbeddedBroker

LOCK_S: Final = 5.0
DRAIN_S: Final = 3.0
PATIENCE_S: Final = 90.0  # of a caller, all tries together
CALL_S: Final = 30.0
PAUSE_S: Final = 0.2
READY_S: Final = 30.0
FLOW: Final = "flow"
MODES: Final = ("waiting", "polling", "repeating", "session")


@dataclass(slots=True, kw_only=True)
class Flow:
    """Says what it was asked, and a run that no other call has."""

    draw: random.Random
    url: str = ""
    runs: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.text()
        self.runs += 1
        run = f"run-{self.runs}"
        await asyncio.sleep(self.draw.choice((0.0, 0.01, 0.05, 0.3, 1.0)))
        return web.json_response({"asked": asked, "run": run}, headers={"x-ms-workflow-run-id": run})


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """A process that is started again whenever it has ended. `url`: of what says whether it is ready.

    `name` is that of its key at the broker.
    """

    name: str

    command: str
    environment: Mapping[str, str]
    url: str
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "FLOWBRIDGE_"))}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", self.command),
            env={**inherited, **self.environment},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def until_ready(self, http: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(READY_S):
            while not await _is_ready(http, self.url):  # noqa: ASYNC110 - another process can't set our event
                await asyncio.sleep(0.05)

    async def end(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class Stage:
    broker: EmbeddedBroker
    doors: Sequence[Seat]
    worker: Seat
    flow: Flow
    http: aiohttp.ClientSession
    sender: ServiceBusSender
    draw: random.Random
    violations: list[str] = field(default_factory=list)
    took_s: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})
    met: Counter[str] = field(default_factory=Counter)
    restarts: dict[str, list[float]] = field(default_factory=dict)
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def one(self, method: str, path: str, **more: Any) -> Answer | None:
        """One try at some replica; None where its connection broke, or it can't now."""
        address = self.draw.choice(self.doors).url + path
        try:
            async with self.http.request(method, address, **more) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.met[type(error).__name__] += 1
            return None
        if answer.status == 503:
            self.met[f"503 {_kind(body)}"] += 1
            return None
        return Answer(status=answer.status, headers=answer.headers, body=body)

    async def until_answered(self, method: str, path: str, *, wait_s: int | None = None, **more: Any) -> Answer:
        """As a caller does that wants its answer: by its id once it is known, and again as it was asked until then."""
        again = (method, path, {**more, "headers": {**more.get("headers", {}), **_prefer(wait_s)}})
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.one(again[0], again[1], **again[2])
                if answer is None or (answer.status == 504 and _kind(answer.body) == "sending-in-doubt"):
                    await asyncio.sleep(PAUSE_S)
                elif answer.status == 202:
                    self.met["202"] += 1
                    again = ("GET", answer.headers["Location"] + f"?wait={self.draw.randint(0, 5)}", {})
                else:
                    return answer


def _prefer(wait_s: int | None) -> dict[str, str]:
    return {} if wait_s is None else {"Prefer": f"wait={wait_s}"}


def _kind(body: bytes) -> str:
    with contextlib.suppress(ValueError):
        return str(json.loads(body).get("type", "")).rpartition(":")[2]
    return "?"


async def call(stage: Stage, number: int, mode: str) -> None:
    """One caller's whole story, held against the laws."""
    asked = json.dumps({"number": number, "secret": f"{stage.draw.getrandbits(64):x}"})
    began = time.perf_counter()
    try:
        answers = await _STORIES[mode](stage, number, asked)
    except TimeoutError:
        stage.violations.append(f"{mode} {number}: lost, no answer within {PATIENCE_S:g} s")
        return
    stage.took_s[mode].append(time.perf_counter() - began)
    for answer in answers:
        if answer.status != 200:
            stage.violations.append(f"{mode} {number}: {answer.status} {answer.body!r:.200} {dict(answer.headers)}")
        elif json.loads(answer.body)["asked"] != asked:
            stage.violations.append(f"{mode} {number}: somebody else's answer: {answer.body!r:.200}")
    bodies = {answer.body for answer in answers if answer.status == 200}
    if len(bodies) > 1:
        stage.violations.append(f"{mode} {number}: {len(bodies)} answers to one request: {sorted(bodies)}")
    if number % 20 == 0:
        await _pry(stage, number, answers[0])


async def _pry(stage: Stage, number: int, answer: Answer) -> None:
    """An id whose owner's part is another's reads nothing."""
    request_id = answer.headers.get("Flowbridge-Request-Id", "")
    forged = request_id[:-22] + request_id[-22:][::-1]
    pried = await stage.one("GET", f"/v1/requests/{forged}?wait=0")
    if pried is not None and pried.status != 404:
        stage.violations.append(f"{number}: with a forged id {pried.status} {pried.body!r:.100}")


async def _waiting(stage: Stage, number: int, asked: str) -> list[Answer]:
    return [await _post(stage, f"key-{number}", asked, wait_s=None)]


async def _polling(stage: Stage, number: int, asked: str) -> list[Answer]:
    """And once more, as who lost it on the last metre."""
    first = await _post(stage, f"key-{number}", asked, wait_s=stage.draw.randint(0, 1))
    request_id = first.headers.get("Flowbridge-Request-Id")
    return [first, await stage.until_answered("GET", f"/v1/requests/{request_id}?wait=5")]


async def _repeating(stage: Stage, number: int, asked: str) -> list[Answer]:
    together = [_post(stage, f"key-{number}", asked, wait_s=wait_s) for wait_s in (None, 0, 2)]
    answers = await asyncio.gather(*together)
    await asyncio.sleep(stage.draw.uniform(0.0, 1.0))
    return [*answers, await _post(stage, f"key-{number}", asked, wait_s=None)]


async def _session(stage: Stage, _number: int, asked: str) -> list[Answer]:
    opened = json.loads((await stage.until_answered("POST", "/v1/sessions")).body)
    message = ServiceBusMessage(
        asked,
        message_id=opened["messageId"],
        reply_to=opened["replyTo"],
        reply_to_session_id=opened["replyToSessionId"],
        content_type="application/json",
        application_properties={"flow": FLOW, "reply-ttl-s": 600},
    )
    async with stage.sending:
        await stage.sender.send_messages(message)
    return [await stage.until_answered("GET", opened["reply"] + "?wait=5")]


async def _post(stage: Stage, key: str, asked: str, *, wait_s: int | None) -> Answer:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    return await stage.until_answered("POST", f"/v1/flows/{FLOW}", wait_s=wait_s, data=asked, headers=headers)


_STORIES: Final = {"waiting": _waiting, "polling": _polling, "repeating": _repeating, "session": _session}


class End(Enum):
    """`VANISHES`: killed, and the broker doesn't notice, as when a host is lost: its locks must be waited out."""

    STOPS = auto()
    DIES = auto()
    VANISHES = auto()


async def restart(stage: Stage, seat: Seat, end: End) -> None:
    began = time.perf_counter()
    if end is End.VANISHES:
        stage.broker.faults.silence_connections(key_name=seat.name)
    await seat.end(signal.SIGTERM if end is End.STOPS else signal.SIGKILL)
    ended = time.perf_counter()
    await seat.start()
    await seat.until_ready(stage.http)
    stage.restarts.setdefault(f"{seat.command} {end.name.lower()}: to its end", []).append(ended - began)
    stage.restarts.setdefault(f"{seat.command} {end.name.lower()}: ready after", []).append(time.perf_counter() - ended)


async def restart_on_and_on(stage: Stage, *, every_s: float) -> None:
    while True:
        await asyncio.sleep(stage.draw.uniform(0.0, every_s))
        await restart(stage, stage.draw.choice([*stage.doors, stage.worker]), stage.draw.choice(list(End)))


async def play(stage: Stage, *, requests: int, at_once: int) -> None:
    """All callers' stories, so many at a time."""
    numbers = iter(range(requests))

    async def callers() -> None:
        for number in numbers:
            await call(stage, number, stage.draw.choice(MODES))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(callers())


@asynccontextmanager
async def opened(seed: int, *, session_lock_s: float = LOCK_S, drain_s: float = DRAIN_S) -> AsyncIterator[Stage]:
    """Broker, flow, a worker and two doors, all ready."""
    draw = random.Random(seed)
    topology = Topology(
        queues=(
            QueueProperties(name=REQUESTS, lock_s=LOCK_S, dead_letters_on_expiry=True, duplicate_window_s=600.0),
            QueueProperties(name=REPLIES, lock_s=session_lock_s, requires_session=True, duplicate_window_s=600.0),
        )
    )
    async with (
        EmbeddedBroker(topology) as broker,
        _serving(Flow(draw=draw)) as flow,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=CALL_S)
        ) as http,
        ServiceBusClient.from_connection_string(broker.connection_string) as client,
        client.get_queue_sender(REQUESTS) as sender,
    ):
        worker, *doors = _seats(broker.connection_string, flow.url, drain_s=drain_s)
        stage = Stage(broker=broker, doors=doors, worker=worker, flow=flow, http=http, sender=sender, draw=draw)
        try:
            await asyncio.gather(*(seat.start() for seat in (worker, *doors)))
            await asyncio.gather(*(seat.until_ready(http) for seat in (worker, *doors)))
            yield stage
        finally:
            await asyncio.gather(*(seat.end(signal.SIGKILL) for seat in (worker, *doors)))


@asynccontextmanager
async def _serving(flow: Flow) -> AsyncIterator[Flow]:
    application = web.Application()
    application.router.add_post("/flow", flow.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        flow.url = f"http://127.0.0.1:{runner.addresses[0][1]}/flow"
        yield flow
    finally:
        await runner.cleanup()


def _seats(connection_string: str, flow_url: str, *, drain_s: float) -> list[Seat]:
    """Replicas are named like the last part of their loopback addresses: so one with `{replica}` leads to each."""
    worker_port, port = _free_ports(2)
    replicas = ["1", "2"]
    worker = {
        "worker": {"drain_s": drain_s, "grace_s": drain_s + 5},
        "http": {"port": worker_port},
        "flows": [{"name": FLOW, "url": flow_url, "auth": "none", "timeout_s": 20}],
    }
    seats = [_seat("worker", "run", worker, connection_string, f"127.0.0.1:{worker_port}")]
    for replica in replicas:
        door = {
            "host": f"127.0.0.{replica}",
            "port": port,
            "replica": replica,
            "replicas": replicas,
            "peers": f"http://127.0.0.{{replica}}:{port}",
            "timeout_s": 60,
            "default_wait_s": 20,
            "max_wait_s": 20,
            "drain_s": drain_s,
        }
        settings = {"http": {"port": 0}, "door": door}
        seats.append(_seat(f"door-{replica}", "door", settings, connection_string, f"127.0.0.{replica}:{port}"))
    return seats


def _seat(name: str, command: str, settings: Mapping[str, Any], connection_string: str, address: str) -> Seat:
    key = connection_string.replace("RootManageSharedAccessKey", name)
    sections = {**settings, "servicebus": {"connection_string": key, "lock_s": LOCK_S}}
    environment = {f"FLOWBRIDGE_{section.upper()}": json.dumps(value) for section, value in sections.items()}
    return Seat(name=name, command=command, environment=environment, url=f"http://{address}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in listeners]


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _report(stage: Stage, took_s: float) -> str:
    lines = [f"{'callers':<36}{'answered':>9}{'p50 s':>8}{'p99 s':>8}{'max s':>8}"]
    timed = [*stage.took_s.items(), *sorted(stage.restarts.items())]
    for name, values in timed:
        figures = [_quantile(values, share) for share in (0.5, 0.99, 1.0)]
        lines.append(f"{name:<36}{len(values):>9}" + "".join(f"{each:>8.2f}" for each in figures))
    answered = sum(map(len, stage.took_s.values()))
    lines.append(f"{answered} callers in {took_s:.0f} s, {stage.flow.runs} runs of the flow")
    lines.append("met: " + ", ".join(f"{count} x {what}" for what, count in stage.met.most_common()))
    lines.append(f"violations: {len(stage.violations)}")
    return "\n".join([*lines, *stage.violations[:50]])


async def main(*, requests: int, seed: int, at_once: int, every_s: float) -> int:
    async with opened(seed) as stage:
        began = time.perf_counter()
        restarting = asyncio.create_task(restart_on_and_on(stage, every_s=every_s))
        await play(stage, requests=requests, at_once=at_once)
        restarting.cancel()
        await asyncio.wait({restarting})
        sys.stdout.write(_report(stage, time.perf_counter() - began) + "\n")
    return 1 if stage.violations else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=80)
    parser.add_argument("--every-s", type=float, default=3.0, help="longest pause before the next restart")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(requests=given.requests, seed=given.seed, at_once=given.at_once, every_s=given.every_s)))

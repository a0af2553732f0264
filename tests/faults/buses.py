"""A bus of eight RTU devices, four of them bad: the good ones keep their cadence, and no value stands under another's name."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bus import BLOCKS
from follow import Follower
from processes import Peer, die_with_parent
from rig import Failure, Rig, Tool, dump

KINDS = ("good", "dead", "slow", "good", "late", "good", "noisy", "good")
TIMEOUT = 0.1
POLLS = {"good": 0.25, "noisy": 0.5, "slow": 0.6, "late": 0.6, "dead": 0.6}
# The counter in a register turns every 6.4 s: what is older than this is an answer to an earlier request.
STALE = 2.0


def addresses() -> list[int]:
    """Of all registers, in the order of their places."""
    return [address for first, count in BLOCKS for address in range(first, first + count)]


@dataclass
class Read:
    """What came of one device."""

    readings: int = 0
    registers: int = 0
    times: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    states: list[tuple[float, str, str]] = field(default_factory=list)


class Bus:
    """The bus, the gateway's port to it, and what the MES received."""

    def __init__(self, rig: Rig, over_tcp: bool, keep: str) -> None:
        self.rig = rig
        self.over_tcp = over_tcp
        self.port = rig.folder / "tty-gateway"
        self.end = rig.folder / "tty-hub"
        self.socat: subprocess.Popen[bytes] | None = None
        self.received = Follower(rig.received)
        self.begun = time.time()
        self.reads: dict[str, Read] = defaultdict(Read)
        self.unread = 0
        rig.add_broker(calm=True)
        rig.add_mes()
        args = ["--kinds", ",".join(KINDS), "--timeout", str(TIMEOUT), "--seed", str(rig.seed)]
        self.hub = Peer("bus.py", [*args, "--tcp"] if over_tcp else args, rig.folder / "bus.log")
        rig.undo.append(self.hub.end)
        rig.undo.append(self.unplug)
        if not over_tcp:
            self.plug()
        address = f"127.0.0.1:{self.hub.hello['port']}" if over_tcp else str(self.port)
        slots = [self.slot(number, kind) for number, kind in enumerate(KINDS, 1)]
        for number, (slot, kind) in enumerate(zip(slots, KINDS, strict=True), 1):
            connection: dict[str, Any] = {"protocol": "modbus-rtu-over-tcp" if over_tcp else "modbus-rtu", "address": address, "server_id": number}
            connection |= {"timeout": f"{int(TIMEOUT * 1000)}ms", "poll": f"{int(POLLS[kind] * 1000)}ms"}
            if not over_tcp:
                connection |= {"baud": 115200, "framing": "8N1"}
            points = {f"r{place}": {"at": f"holding:{address}", "type": "u16"} for place, address in enumerate(addresses())}
            event = {"when": {"every": f"{int(POLLS[kind] * 1000)}ms"}, "values": "*", "keep": keep}
            profile = {"profile": 1, "vendor": "Peer Bus", "model": kind, "maturity": "document"}
            (rig.devices / f"{slot}.toml").write_text(dump({**profile, "connection": connection, "points": points, "events": {"readings": event}}))
        rig.tools.append(Tool(self.hub, 0, None, rig.folder / "none", slots, "bus"))
        rig.configure(asks='delivers = "readings"')
        rig.tools.clear()

    @staticmethod
    def slot(number: int, kind: str) -> str:
        """The slot of a device."""
        return f"st10.{kind}-{number}"

    def plug(self) -> None:
        """A pty pair by socat, under a stable name; the hub takes up its end."""
        pair = [f"pty,raw,echo=0,link={self.port}", f"pty,raw,echo=0,link={self.end}"]
        self.socat = subprocess.Popen(["socat", *pair], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        deadline = time.monotonic() + 10
        while not (self.port.exists() and self.end.exists()):
            if time.monotonic() > deadline:
                raise Failure("socat made no pty pair within 10 s")
            time.sleep(0.02)
        self.hub.ask("open", port=str(self.end))

    def unplug(self) -> None:
        """The adapter is pulled: the port is gone, and its name."""
        if self.socat is not None:
            self.socat.terminate()
            self.socat.wait(10)
            self.socat = None
        for path in (self.port, self.end):
            path.unlink(missing_ok=True)

    def look(self) -> None:
        """Checks every register of every reading that came since."""
        for parts, entry in self.received.entries():
            read = self.reads[".".join(parts[-3:-1])]
            if parts[-1] == "readings":
                self.check(parts[-2], read, json.loads(entry["p"]))
            elif parts[-1] == "status" and entry["p"]:
                status = json.loads(entry["p"])
                read.states.append((entry["t"], status["state"], status.get("reason", "")))

    def check(self, name: str, read: Read, event: dict[str, Any]) -> None:
        """One reading."""
        device = int(name.rpartition("-")[2])
        at = datetime.fromisoformat(event["time"]).timestamp()
        read.readings += 1
        read.times.append(at)
        for point, value in event["data"]["values"].items():
            read.registers += 1
            place = int(point[1:])
            whose, where, count = (int(value) >> 13) + 1, int(value) >> 6 & 0x7F, int(value) & 0x3F
            if whose != device:
                read.wrong.append(f"{name}: {point} holds a value of device {whose} ({value:#06x})")
            elif where != place:
                read.wrong.append(f"{name}: {point} holds the value of register r{where} ({value:#06x})")
            elif (int(at * 10) - count) % 64 / 10 > STALE and (count - int(at * 10)) % 64 > 3:
                read.wrong.append(f"{name}: {point} is {(int(at * 10) - count) % 64 / 10:.1f} s old: the answer to an earlier request")

    def registers(self) -> int:
        """Checked so far."""
        self.look()
        return sum(read.registers for read in self.reads.values())

    def good(self) -> list[str]:
        """The slots of the good devices."""
        return [self.slot(number, kind) for number, kind in enumerate(KINDS, 1) if kind == "good"]

    def state(self, slot: str) -> tuple[str, str]:
        """What its status said last, and why."""
        self.look()
        states = self.reads[slot].states
        return states[-1][1:] if states else ("", "")

    def heard(self) -> bool:
        """Whether the slow one and the noisy one were read at least once: how soon is a matter of chance."""
        self.look()
        slots = [self.slot(number, kind) for number, kind in enumerate(KINDS, 1) if kind in ("slow", "noisy")]
        return all(self.reads[slot].readings for slot in slots)

    def online(self) -> bool:
        """Whether all good ones are."""
        return all(self.state(slot)[0] == "online" for slot in self.good())


def intervals(read: Read, spans: list[tuple[float, float]]) -> list[float]:
    """Seconds between readings, but for those across a fault."""
    pairs = zip(read.times, read.times[1:], strict=False)
    return sorted(b - a for a, b in pairs if not any(a < end and b > start for start, end in spans))


def run(rig: Rig, registers: int, over_tcp: bool, keep: str) -> int:
    """One bus: long enough for so many registers; in the middle its port vanishes and returns."""
    bus = Bus(rig, over_tcp, keep)
    begun = time.time()
    rig.gateway.start()
    rig.wait("the good devices are online", bus.online, 30)
    rig.wait("the dead one is offline", lambda: bus.state("st10.dead-2")[0] == "offline", 30)
    rig.say(f"the dead one: {bus.state('st10.dead-2')[1]}")
    faults: list[str] = []
    if "answer" not in bus.state("st10.dead-2")[1]:
        faults.append(f"the status of the dead device says no sentence: {bus.state('st10.dead-2')[1]!r}")
    spans: list[tuple[float, float]] = [(begun, time.time() + 1)]

    def until(goal: int) -> None:
        told = time.monotonic()
        seen, since = -1, time.monotonic()
        while (now := bus.registers()) < goal:
            rig.pass_time(0.5)
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > 20:
                raise Failure(f"no reading came for 20 s; {now} registers so far")
            if time.monotonic() - told > 30:
                told = time.monotonic()
                rig.say(f"{now} of {registers} registers checked")

    until(registers // 2)
    for _ in range(2):
        start = time.time()
        if over_tcp:
            bus.hub.ask("close")
        else:
            bus.unplug()
            rig.wait("a good device is offline", lambda: bus.state(bus.good()[0])[0] == "offline", 20)
            rig.say(f"port gone: {bus.state(bus.good()[0])[1]}")
            rig.pass_time(1.5)
            bus.plug()
        rig.wait("the good devices are online again", bus.online, 20)
        end = time.time()
        spans.append((start - 0.2, end + 1))
        rig.say(f"the link was gone, everything goes on {end - start:.1f} s after it went")
        rig.pass_time(3)
    start = time.time()
    rig.gateway.kill()
    rig.gateway.start()
    rig.wait("the good devices are online after a kill", lambda: all(bus.reads[s].times and bus.reads[s].times[-1] > start + 0.5 for s in bus.good()) or not bus.registers(), 20)
    spans.append((start - 0.2, time.time() + 1.5))
    until(registers)
    rig.wait("the slow one and the noisy one were read", bus.heard, 60)
    stop = rig.gateway.stop()
    spans.append((time.time() - 1, time.time() + 10))
    rig.quiet()
    bus.look()
    if stop:
        faults.append(stop)
    return judge(rig, bus, spans, faults)


def judge(rig: Rig, bus: Bus, spans: list[tuple[float, float]], faults: list[str]) -> int:
    """The table, and what is wrong in it."""
    # A machine that gives the bus itself no turn says nothing of the gateway.
    stalls = [(start - TIMEOUT, end + TIMEOUT) for start, end in bus.hub.ask("stalls")["stalls"]]
    stalled = sum(end - start for start, end in stalls)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    judged = stalled < 0.2 * (time.time() - bus.begun) and load < 3
    spans += stalls
    print(f"     {'device':<12}{'readings':>9}{'registers':>11}{'wrong':>7}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8} ms between readings", flush=True)
    for number, kind in enumerate(KINDS, 1):
        slot = bus.slot(number, kind)
        read = bus.reads[slot]
        between = intervals(read, spans)
        row = [between[min(int(len(between) * share), len(between) - 1)] * 1000 if between else 0 for share in (0.5, 0.95, 0.99, 1)]
        print(f"     {slot[5:]:<12}{read.readings:>9}{read.registers:>11}{len(read.wrong):>7}" + "".join(f"{at:>8.0f}" for at in row), flush=True)
        faults += read.wrong
        every = POLLS[kind] * 1000
        # Beside bad devices a request may be in front, of a whole time-out and the pause behind it. Some dozen readings
        # have no 99th percentile.
        rare = row[2] if len(between) > 500 else row[1]
        if kind == "good" and judged and (not between or row[0] > every * 1.15 or rare > every + 3 * TIMEOUT * 1000):
            faults.append(f"{slot}: does not keep its cadence of {every:.0f} ms: p50 {row[0]:.0f}, p95 {row[1]:.0f}, p99 {row[2]:.0f} ms")
        if kind == "dead" and any(state == "online" for _, state, _ in read.states):
            faults.append(f"{slot}: was said to be online")
        if kind in ("slow", "noisy") and not read.readings:
            faults.append(f"{slot}: not one reading came")
        if kind == "dead" and read.readings:
            faults.append(f"{slot}: {read.readings} readings of a device that is not there")
    for slot in bus.good():
        bad = [(at, state, reason) for at, state, reason in bus.reads[slot].states if state != "online" and not any(a < at < b for a, b in spans)]
        for _, state, reason in bad[:3] if judged else []:
            faults.append(f"{slot}: was {state} while nothing had happened to it: {reason}")
    stats = bus.hub.ask("stats")
    total = sum(read.registers for read in bus.reads.values())
    statuses = Counter(slot for slot, read in bus.reads.items() for _ in read.states)
    print(f"     {total} registers checked; {stats['late']} answers late, {stats['spoilt']} spoilt, {stats['split']} in two parts; asked {stats['asked']}", flush=True)
    print(f"     the machine let the bus wait {len(stalls)} times; {stalled:.1f} s are left out of the cadence, load {load:.1f} a core{'' if judged else ': the cadence cannot be judged'}", flush=True)
    print(f"     statuses {dict(statuses)}; gateway {rig.gateway.cpu:.1f} s CPU, {rig.gateway.peak_kib // 1024} MiB", flush=True)
    for text in faults[:10]:
        print(f"     ! {text}", flush=True)
    print(f"     {'discrepancies':<34}{len(faults):>12}", flush=True)
    return len(faults)


def bus(rig: Rig, _chance: random.Random, options: Any) -> int:
    """On a pty."""
    return run(rig, options.registers or (1_000_000 if options.long else 20_000), False, "latest")


def bus_tcp(rig: Rig, _chance: random.Random, options: Any) -> int:
    """The same bus behind a serial device server, and its readings stored."""
    return run(rig, options.registers or (200_000 if options.long else 20_000), True, "stored")

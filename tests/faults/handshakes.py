"""Every handshake of devices.md 3.4 against a simulated PLC that punishes mistakes, with kills and link cuts.

What was acknowledged has to be at the MES once; what the PLC overwrote has to be told by gaps, to the last one; and
no event may hold values of two results.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ledger
from follow import Follower
from plc_results import expected
from processes import Peer
from proxy import Proxy
from rig import Failure, Rig, Tool
from verify import Report, Rules, Verifier, look_up

# Those that wait for the acknowledgement, and those that overwrite: results a second of these, twice as many as polls.
WAITING = ("level", "toggle", "echo", "clear")
FREE = {"counter": 100.0, "torn": 60.0, "selfclear": 100.0, "latched": 25.0, "ring": 100.0, "ringfree": 100.0}
ASKS = 'delivers = "tightening"\nrequires = ["torque", "angle", "program"]'
NUMBERS = ("torque.value", "angle.value", "extra.number.value", "extra.check.value")


@dataclass(slots=True)
class Made:
    """One result of a PLC."""

    counter: int
    stamp: int
    shown: float
    acked: bool = False
    lost: bool = False
    event: str = ""


@dataclass
class Slot:
    """What a PLC did, and what came of it."""

    made: dict[int, Made] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    gaps: int = 0
    quarantined: int = 0
    received: list[int] = field(default_factory=list)


class HandshakeVerifier(Verifier):
    """The envelope, sequences and schemas as ever; results by the number from which all their values follow."""

    def __init__(self, rules: Rules, plcs: dict[str, Path], mes: Path, schemas: Path | None) -> None:
        super().__init__(rules, [], mes, schemas)
        self.slots: dict[str, Slot] = defaultdict(Slot)
        for name, path in plcs.items():
            self.read_plc(self.slots[name], path)

    def read_plc(self, slot: Slot, path: Path) -> None:
        """A PLC's ledger."""
        for line in ledger.read(path):
            match line["e"]:
                case "shown":
                    slot.made[line["n"]] = Made(line["counter"], line["stamp"], line["t"])
                case "acked":
                    if slot.made[line["n"]].acked:
                        slot.violations.append(f"result {line['n']} was taken twice")
                    slot.made[line["n"]].acked = True
                case "lost":
                    slot.made[line["n"]].lost = True
                case "fault":
                    slot.faults[line["kind"]] += 1
                case "violation":
                    slot.violations.append(f"at result {line['n']}: {line['text']}")

    def read_event(self, topic: str, kind: str, text: str, received: float) -> None:
        slot = self.slots[".".join(topic.split("/")[-3:-1])]
        if kind in ("gap", "quarantine"):
            event = json.loads(text)
            if event["id"] not in self.ids:
                if kind == "gap":
                    slot.gaps += int(event["data"].get("count", 0))
                else:
                    slot.quarantined += 1
        super().read_event(topic, kind, text, received)

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        data = event["data"]
        name = ".".join(topic.split("/")[-3:-1])
        slot = self.slots[name]
        number = int(look_up(data, "extra.number.value") or 0)
        result = slot.made.get(number)
        if result is None:
            self.report.fault(f"{name}: result {number} was never made: {json.dumps(data, default=str)[:300]}")
            return
        if result.event:
            self.report.fault(f"{name}: result {number} came under two ids, {result.event} and {event['id']} (sequence {event['sequence']})")
            return
        result.event = event["id"]
        slot.received.append(number)
        self.report.latencies.append(received - result.shown)
        wanted: dict[str, Any] = expected(number)
        wanted["result_id"] = str(result.counter)
        for path, want in wanted.items():
            got = look_up(data, path)
            same = got == Decimal(want) if path in NUMBERS and isinstance(got, (int, Decimal)) else got == want
            if not same:
                self.report.fault(f"{name}: result {number}: {path} is {got!r} and should be {want}: values of two results in one event")
        stamp = int(datetime.fromisoformat(data["times"]["device"]).timestamp())
        if stamp != result.stamp:
            self.report.fault(f"{name}: result {number}: the device's time is {stamp} and should be {result.stamp}")

    def finish(self) -> Report:
        """What is missing at the end, by PLC."""
        for (topic, _), numbers in self.left_out.items():
            if numbers:
                self.report.fault(f"{topic}: {len(numbers)} sequence numbers never came: {sorted(numbers)[:5]}")
        print(f"     {'pattern':<18}{'made':>8}{'taken':>8}{'received':>9}{'overwritten':>12}{'gaps tell':>10}  what was done to it", flush=True)
        for name, slot in self.slots.items():
            self.judge(name, slot)
        return self.report

    def judge(self, name: str, slot: Slot) -> None:
        """One PLC."""
        waits = name.split(".")[1].startswith(WAITING)
        taken = sum(result.acked for result in slot.made.values())
        overwritten = 0
        if slot.received:
            # The baseline is older than the first result: what stands before the first that came is missing too.
            last = max(slot.received)
            overwritten = sum(not result.event for n, result in slot.made.items() if n < last and not result.lost)
        else:
            self.report.fault(f"{name}: not one result came: nothing was proved")
        if slot.received != sorted(slot.received):
            self.report.fault(f"{name}: results came out of order")
        if waits:
            for n, result in slot.made.items():
                if not result.event and (result.acked or not result.lost):
                    self.report.fault(f"{name}: result {n} {'was acknowledged and ' if result.acked else ''}never came")
            if slot.gaps:
                self.report.fault(f"{name}: gaps tell {slot.gaps} results, and none was overwritten: the PLC waits for each")
        elif overwritten != slot.gaps:
            self.report.fault(f"{name}: {overwritten} results were overwritten unread, and gaps tell {slot.gaps}")
        elif slot.received and max(slot.received) != max(slot.made):
            self.report.fault(f"{name}: the last result, {max(slot.made)}, never came; the last that came is {max(slot.received)}")
        for text in slot.violations:
            self.report.fault(f"{name}: the PLC was mistreated: {text}")
        powers = sum(count for kind, count in slot.faults.items() if kind.startswith("power"))
        if slot.quarantined > powers:
            self.report.fault(f"{name}: {slot.quarantined} quarantines, and its registers were all 0 only {powers} times")
        counts = self.report.counts
        counts["results made"] += len(slot.made)
        counts["results acknowledged"] += taken
        counts["results received"] += len(slot.received)
        counts["overwritten and told by gaps"] += overwritten
        done = ", ".join(f"{kind} {count}" for kind, count in sorted(slot.faults.items()))
        print(f"     {name:<18}{len(slot.made):>8}{taken:>8}{len(slot.received):>9}{overwritten:>12}{slot.gaps:>10}  {done}", flush=True)


class Newest(Follower):
    """Reads on in what the MES received: the newest result and the statuses of each slot."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.last: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.states: dict[str, list[tuple[float, str, str]]] = defaultdict(list)

    def look(self) -> None:
        """Takes up what is new."""
        for parts, entry in self.entries():
            slot = ".".join(parts[-3:-1])
            if parts[-1] == "tightening":
                number = json.loads(entry["p"])["data"].get("extra", {}).get("number", {}).get("value", 0)
                self.last[slot] = max(self.last[slot], number)
                self.received[slot] += 1
            elif parts[-1] == "status" and entry["p"]:
                status = json.loads(entry["p"])
                self.states[slot].append((entry["t"], status["state"], status.get("reason", "")))

    def state(self, slot: str) -> str:
        """What its status said last."""
        return self.states[slot][-1][1] if self.states[slot] else ""


def add_plc(rig: Rig, pattern: str, chance: random.Random) -> Tool:
    """A PLC, the link to it, and its device file."""
    slot = f"st10.{pattern}"
    path = rig.folder / f"plc-{pattern}.jsonl"
    args = ["--pattern", pattern, "--slot", slot, "--ledger", str(path), "--seed", str(chance.random())]
    peer = Peer("plc.py", args, rig.folder / f"plc-{pattern}.log")
    link = Proxy(peer.hello["port"])
    rig.links.append(link)
    tool = Tool(peer, link.port, link, path, [slot], f"peer/plc-{pattern}")
    rig.tools.append(tool)
    text = f'profile = 1\nextends = "peer/plc-{pattern}"\n[connection]\naddress = "127.0.0.1:{link.port}"\n'
    (rig.devices / f"{slot}.toml").write_text(text)
    return tool


class Run:
    """One run of all patterns."""

    def __init__(self, rig: Rig, chance: random.Random, results: int, patterns: list[str], long: bool) -> None:
        self.rig = rig
        self.chance = chance
        self.results = results
        self.long = long
        rig.add_broker(calm=True)
        rig.add_mes()
        self.plcs = {pattern: add_plc(rig, pattern, chance) for pattern in patterns}
        rig.configure(asks=ASKS)
        self.follower = Newest(rig.received)
        self.done: Counter[str] = Counter()
        self.stills: list[tuple[float, float]] = []
        self.lost = 0.0

    def stats(self, pattern: str) -> dict[str, Any]:
        """Of one PLC."""
        return self.plcs[pattern].peer.ask("stats")

    def last(self, pattern: str) -> int:
        """The highest number that the MES has of this PLC."""
        self.follower.look()
        return self.follower.last[f"st10.{pattern}"]

    def online(self) -> bool:
        """Whether every slot says so."""
        self.follower.look()
        return all(self.follower.state(f"st10.{pattern}") == "online" for pattern in self.plcs)

    def begin(self) -> None:
        """Baselines, then results."""
        self.rig.gateway.start()
        self.rig.wait("every slot is online", self.online, 30)
        # On a dead calm link a chance for each acknowledgement to get lost, some for each pattern.
        self.lost = 0.004 if self.results > 2000 else 0.03
        # Slowly at first: of what stands before the first one, not every pattern can know how many it were.
        for plc in self.plcs.values():
            plc.peer.ask("resume", rate=4, limit=2)
        self.rig.wait("the first results arrive", lambda: all(self.last(pattern) == 2 for pattern in self.plcs), 30)
        for pattern, plc in self.plcs.items():
            if pattern in WAITING:
                plc.peer.ask("faults", chance=self.lost)
            plc.peer.ask("resume", rate=FREE.get(pattern, 0), limit=self.results)
        self.rig.wait("results flow everywhere", lambda: all(self.last(pattern) > 3 for pattern in self.plcs), 30)
        self.rig.say("results flow")

    def busy(self) -> list[str]:
        """The patterns that have not made all of theirs."""
        return [pattern for pattern in self.plcs if self.stats(pattern)["made"] < self.results]

    def calm(self, pattern: str) -> None:
        """Slow results until the last one has arrived: then nothing is lost that the gateway could not know of."""
        made = self.stats(pattern)["made"]
        plc = self.plcs[pattern]
        plc.peer.ask("resume", rate=4, limit=made + 3)
        self.rig.wait(f"the last results of {pattern} arrive", lambda: self.last(pattern) == made + 3, 30)

    def reset(self, pattern: str) -> None:
        """The counter of a PLC without flow control begins anew, by itself or because its power was gone."""
        if self.stats(pattern)["made"] + 10 > self.results:
            return
        self.calm(pattern)
        plc = self.plcs[pattern]
        kind = self.chance.choice(["restart_counter", "power"])
        if kind == "power":
            plc.peer.ask("power", keep=self.chance.random() < 0.5 and not pattern.startswith("ring"))
            self.rig.wait(f"{pattern} has power", lambda: not self.stats(pattern)["down"], 10)
            self.rig.pass_time(self.chance.uniform(0, 0.6))
        else:
            plc.peer.ask("restart_counter")
        before = self.last(pattern)
        plc.peer.ask("resume", rate=FREE[pattern], limit=self.results)
        self.rig.wait(f"results of {pattern} arrive after {kind}", lambda: self.last(pattern) > before, 30)

    def stand_still(self) -> None:
        """The program of a PLC with a life sign stands, and nothing else happens to it: a lost link is judged anew."""
        plc, slot = self.plcs["echo"].peer, "st10.echo"
        plc.ask("faults", chance=0)
        self.rig.pass_time(1)

        def online() -> bool:
            self.follower.look()
            return self.follower.state(slot) == "online" and not self.stats("echo")["down"]

        self.rig.wait("echo is online", online, 20)
        start = time.time()
        plc.ask("still", seconds=1.5)
        self.rig.pass_time(1.5)
        self.stills.append((start, time.time()))
        plc.ask("faults", chance=self.lost)

    def disturb(self) -> None:
        """One fault."""
        rig, chance = self.rig, self.chance
        kind = chance.choice(["kill", "kill", "kill", "kill on ack", "kill on ack", "cut", "cut all", "refuse", "black hole", "still", "reset"])
        pattern = chance.choice(list(self.plcs))
        waiting = [name for name in self.plcs if name in WAITING]
        free = [name for name in self.plcs if name in FREE]
        link = self.plcs[pattern].link
        self.done[kind] += 1
        match kind:
            case "kill":
                rig.gateway.kill()
                rig.pass_time(chance.choice([0, 0, chance.uniform(0, 1)]))
                rig.gateway.start()
            case "kill on ack" if waiting:
                process = rig.gateway.process
                if process is not None:
                    self.plcs[chance.choice(waiting)].peer.ask("kill_on_ack", pid=process.pid)
                    deadline = time.monotonic() + 2
                    while process.poll() is None and time.monotonic() < deadline:
                        time.sleep(0.01)
                    for name in waiting:
                        self.plcs[name].peer.ask("kill_on_ack", pid=0)
                    rig.gateway.kill()
                    rig.gateway.start()
            case "cut":
                link.cut()
            case "cut all":
                for plc in self.plcs.values():
                    plc.link.cut()
            case "refuse":
                link.cut(refuse=True)
                rig.pass_time(chance.uniform(0.1, 1))
                link.mend()
            case "black hole":
                link.black_hole()
                rig.pass_time(chance.uniform(0.1, 1.2))
                link.mend()
            case "still" if "echo" in self.plcs:
                self.stand_still()
            case "reset" if free:
                self.reset(chance.choice(free))

    def faults(self) -> None:
        """Faults until every PLC has made its results."""
        told = time.monotonic()
        while busy := self.busy():
            # A long run has a fault every three seconds, so that more is done than to recover.
            self.rig.pass_time(self.chance.uniform(0.3, 6) if self.long else self.chance.uniform(0.2, 1.2))
            self.disturb()
            if time.monotonic() - told > 20:
                told = time.monotonic()
                self.follower.look()
                left = ", ".join(f"{name} {self.results - self.stats(name)['made']}" for name in busy)
                self.rig.say(f"to do: {left}; {sum(self.done.values())} faults")
            if time.monotonic() - self.rig.begun > 120 + self.results * 0.3:
                raise Failure(f"too slow: {busy} have not made {self.results} results")

    def end(self) -> int:
        """All is delivered, and the ledgers agree."""
        rig = self.rig
        for pattern, plc in self.plcs.items():
            plc.peer.ask("faults", chance=0)
            plc.link.mend()
        try:
            for pattern in self.plcs:
                if pattern in FREE:
                    self.calm(pattern)
            waiting = [pattern for pattern in self.plcs if pattern in WAITING]
            rig.wait("every shown result is acknowledged", lambda: not any(self.stats(name)["showing"] for name in waiting))
            rig.wait("the last results arrive", lambda: all(self.last(name) >= self.stats(name)["made"] for name in waiting))
            rig.wait("every slot is online", self.online)
        except Failure as failure:
            rig.say(f"{failure}")
            rig.late = str(failure)
        rig.quiet()
        return self.verdict()

    def verdict(self) -> int:
        """Stops everything and holds the ledgers against each other."""
        rig = self.rig
        stop = rig.gateway.stop()
        rig.quiet()
        self.follower.look()
        rig.mes.ask("stop")
        rig.mes.end()
        rules = Rules(check_units=False, content_type=rig.version == "5", schema_every=20, allowed=("alarm", "change", "gap", "quarantine"))
        plcs = {f"st10.{pattern}": plc.ledger for pattern, plc in self.plcs.items()}
        verifier = HandshakeVerifier(rules, plcs, rig.mes_ledger, rig.folder / "contract")
        verifier.read_received(rig.received)
        report = verifier.finish()
        self.check_life(report)
        for fault in filter(None, [stop, rig.late]):
            report.fault(fault)
        if rig.gateway.exits:
            report.counts["gateway killed by an acknowledgement"] = sum("exit -9" in text for text in rig.gateway.exits)
        report.counts["gateway starts"] = rig.gateway.starts
        for kind, count in self.done.items():
            report.counts[f"fault: {kind}"] = count
        report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
        return report.fault_count

    def check_life(self, report: Report) -> None:
        """A PLC whose life sign stands for twice the time granted is degraded, and the status says by which sign."""
        told = [at for at, state, reason in self.follower.states["st10.echo"] if state == "degraded" and "life" in reason]
        report.counts["life stood still"] = len(self.stills)
        report.counts["degraded by the life sign"] = len(told)
        for start, end in self.stills:
            if not any(start < at < end + 1 for at in told):
                report.fault(f"st10.echo: its life stood still for {end - start:.1f} s and its status was not degraded by it")


def handshakes(rig: Rig, chance: random.Random, options: Any) -> int:
    """All patterns, or those of `--only`, until each has made its results."""
    patterns = options.only.split(",") if options.only else [*WAITING, *FREE]
    run = Run(rig, chance, options.results or (10_000 if options.long else 300), patterns, options.long)
    run.begin()
    run.faults()
    return run.end()

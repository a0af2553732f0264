"""Torque controllers of many kinds by Open Protocol, with links cut and the gateway killed: every result once, in order, exact.

What was missed is fetched and marked so, and only that; what a controller has forgotten is told by gaps that know what they
say; ids that begin anew are no gap.
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
from ports import SerialLink
from processes import Peer
from proxy import Proxy
from rig import Failure, Rig, Tool
from telegrams import expected, samples, vin
from verify import Report, Rules, Verifier, look_up

RATE = 5.0
# Made before the gateway was ever started: none of its business.
BEFORE = 6
ASKS = 'delivers = "tightening"\nrequires = ["torque", "angle", "program"]'
ASKS_MORE = 'delivers = ["tightening", "alarm", "identification"]\nrequires = ["torque", "angle", "program"]'
PROFILE = """profile = 1
vendor = "Peer"
model = "{kind}"
maturity = "document"
[connection]
protocol = "open-protocol"
address = "{address}"
results = "{results}"
revision = {{ start = 6, results = {revision}, recovery = 7 }}
recover = "{recover}"
{more}
[events.tightening]
when = "result"
id = ["tightening_id"]
result = "tightening_status"
torque = {{ value = "torque", min = "torque_min_limit", max = "torque_max_limit", target = "torque_final_target", result = "torque_status" }}
angle = {{ value = "angle", min = "angle_min", max = "angle_max", target = "final_angle_target", result = "angle_status" }}
program = "parameter_set_number"
batch = {{ count = "batch_counter", size = "batch_size" }}
time = {{ point = "time_stamp", format = "%Y-%m-%d:%H:%M:%S", zone = "utc" }}
"""
# Results that name their unit; alarms, and identifiers scanned at the controller.
ECHO = 'unit = "vin_number"\n'
TELLS = """[events.alarm]
when = "alarm"
code = "error_code"
active = "alarm_active"
category = { const = "device" }
[events.identification]
when = "identifier"
code = "vin_number"
"""
CURVES = """[events.curve]
when = "trace"
id = ["tightening_id"]
x = { name_from = "trace_step_name", step = "trace_step" }
y = { name_from = "trace_type", values = "trace_samples" }
"""


def profile(kind: str, address: str, recover: str = "by-id", more: str = "", variable: bool = False) -> str:
    """A device file."""
    results, revision = ("1201", 1) if variable else ("0061", 7)
    return PROFILE.format(kind=kind, address=address, recover=recover, more=more, results=results, revision=revision)


@dataclass(frozen=True)
class Kind:
    """One controller: how it behaves, and what its device file says more."""

    args: tuple[str, ...] = ()
    walk: bool = False
    more: str = ""
    faults: tuple[tuple[str, float], ...] = ()
    forgets: bool = False
    resets: bool = False
    revision: int = 7
    link: bool = False
    echoes: bool = True
    serial: bool = False
    variable: bool = False
    traces: bool = False


KINDS = {
    # A PF6000 whose clock is behind.
    "walk": Kind(("--clock-offset", "-37"), walk=True, faults=(("deaf", 0.01),)),
    "link": Kind(
        ("--sequences",), walk=True, more='acknowledge = "link"', faults=(("deaf", 0.02), ("mute", 0.003)), link=True
    ),
    "exact": Kind(("--ack-timeout", "1"), faults=(("deaf", 0.02),)),
    # 0001 and 0060 are refused twice before they agree, the socket kept; then closed.
    "kept": Kind(("--refuse", "6,5", "--results", "5", "--recovery", "5"), revision=5),
    "closed": Kind(("--refuse", "6,5", "--results", "5", "--recovery", "5", "--hang-up"), revision=5),
    # Knows only the first revision of everything.
    "old": Kind(("--start", "1", "--results", "1", "--recovery", "1"), revision=1),
    "early": Kind(("--behave", "early")),
    "rough": Kind(("--ack-timeout", "0.5"), faults=(("rough", 0.05),)),
    "small": Kind(("--memory", "8"), forgets=True),
    "smallwalk": Kind(("--memory", "16"), walk=True, forgets=True),
    # On a serial line, with noise between its frames.
    "serial": Kind(("--ack-timeout", "1"), more="baud = 115200", serial=True),
    # Results by MID 1201, from an index on.
    "variable": Kind(("--variable",), variable=True),
    # Subscribed by MID 0008, acknowledged by 0005.
    "generic": Kind(("--ack-timeout", "1"), more='generic = true\nacknowledge = "accepted"', faults=(("deaf", 0.02),)),
    "traces": Kind(("--traces",), traces=True),
    "reset": Kind(resets=True),
    "resetwalk": Kind(walk=True, resets=True),
}


@dataclass(slots=True)
class Made:
    """One result of this station."""

    ident: int
    stamp: int
    made: float
    sent: int = 0
    fetched: int = 0
    acked: bool = False
    # First offered when it was a second old, behind a subscription.
    late: bool = False
    event: str = ""
    backfill: bool = False


@dataclass
class Slot:
    """What a controller did, and what came of it."""

    kind: Kind
    made: dict[int, Made] = field(default_factory=dict)
    by_key: dict[tuple[str, int], int] = field(default_factory=dict)
    order: list[tuple[int, int]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    traced: set[tuple[int, int]] = field(default_factory=set)
    curves: dict[tuple[str, str], dict[int, dict[str, Any]]] = field(default_factory=dict)


class TorqueVerifier(Verifier):
    """The envelope, sequences and schemas as ever; results by id and time."""

    def __init__(self, rules: Rules, slots: dict[str, tuple[Kind, Path]], mes: Path, schemas: Path | None) -> None:
        super().__init__(rules, [], mes, schemas)
        self.slots = {name: read_controller(kind, path) for name, (kind, path) in slots.items()}

    def read_event(self, topic: str, kind: str, text: str, received: float) -> None:
        slot = self.slots[".".join(topic.split("/")[-3:-1])]
        if kind == "gap":
            event = json.loads(text)
            if event["id"] not in self.ids:
                slot.gaps.append(event["data"])
        elif kind == "alarm":
            slot.counts["alarms"] += 1
        elif kind == "curve":
            event = json.loads(text)
            if event["id"] not in self.ids:
                data = event["data"]
                parts = slot.curves.setdefault((data["result_id"], data["y"]["name"]), {})
                if data.get("part", 1) in parts:
                    self.report.fault(f"{topic}: part {data.get('part', 1)} of the {data['y']['name']} of {data['result_id']} came twice")
                parts[data.get("part", 1)] = data
        super().read_event(topic, kind, text, received)

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        data = event["data"]
        name = ".".join(topic.split("/")[-3:-1])
        slot = self.slots[name]
        stamp = int(datetime.fromisoformat(data["times"]["device"]).timestamp())
        number = slot.by_key.get((data["result_id"], stamp))
        if number is None:
            self.report.fault(f"{name}: result {data['result_id']} of {data['times']['device']} was never made here: {json.dumps(data, default=str)[:300]}")
            return
        result = slot.made[number]
        if result.event:
            self.report.fault(f"{name}: result {number} (id {result.ident}) came under two ids, {result.event} and {event['id']}")
            return
        result.event = event["id"]
        result.backfill = data.get("backfill") is True
        slot.order.append((int(event["sequence"]), number))
        if not result.backfill:
            self.report.latencies.append(received - result.made)
        self.check_values(name, number, result, event)

    def check_values(self, name: str, number: int, result: Made, event: dict[str, Any]) -> None:
        """Every value follows from the number; limits are only in what was seen live."""
        data = event["data"]
        kind = self.slots[name].kind
        wanted = expected(number, result.backfill and not kind.variable, kind.revision)
        wanted["result_id"] = str(result.ident)
        if kind.echoes:
            wanted |= {"unit.id": vin(number), "unit.state": "bound"}
        for path, want in wanted.items():
            got = look_up(data, path)
            if isinstance(got, (int, Decimal)) and not isinstance(got, bool):
                same = want is not None and got == Decimal(want)
            else:
                same = got == want
            if not same:
                self.report.fault(f"{name}: result {number} ({'fetched' if result.backfill else 'live'}): {path} is {got!r} and should be {want!r}")
        if result.backfill:
            off = datetime.fromisoformat(event["time"]).timestamp() - result.made
            if abs(off) > 3:
                self.report.fault(f"{name}: result {number} was fetched, and its time is {off:+.1f} s off")

    def finish(self) -> Report:
        """What is missing at the end, by controller."""
        for (topic, _), numbers in self.left_out.items():
            if numbers:
                self.report.fault(f"{topic}: {len(numbers)} sequence numbers never came: {sorted(numbers)[:5]}")
        head = f"     {'controller':<12}{'made':>6}{'acked':>7}{'live':>6}{'fetched':>9}{'missing':>9}{'gaps':>6}{'resent':>8}{'ack p99':>9}{'max':>7} ms  what was done to it"
        print(head, flush=True)
        for name, slot in self.slots.items():
            self.judge(name, slot)
        return self.report

    def judge(self, name: str, slot: Slot) -> None:
        """One controller."""
        fault = self.report.fault
        # What comes before the very first subscription is accepted may be taken or left.
        began = BEFORE + ("early" in slot.kind.args)
        theirs = {n: result for n, result in slot.made.items() if n > began}
        came = [result for result in theirs.values() if result.event]
        missing = [n for n, result in theirs.items() if not result.event]
        for n, result in slot.made.items():
            if n <= BEFORE and result.event:
                fault(f"{name}: result {n} was made before the gateway's first start, and came")
            if result.acked and not result.event:
                fault(f"{name}: result {n} (id {result.ident}) was acknowledged and never came")
            if result.event and result.backfill and not result.fetched:
                fault(f"{name}: result {n} is marked as fetched, and was never fetched")
            if result.event and result.backfill and result.acked and not result.fetched:
                fault(f"{name}: result {n} is marked as fetched, and was taken live")
            if result.event and not result.backfill and (not result.sent or (slot.kind.variable and result.late)):
                fault(f"{name}: result {n} was fetched, and is not marked so")
        numbers = [n for _, n in sorted(slot.order)]
        wrong = [(a, b) for a, b in zip(numbers, numbers[1:], strict=False) if b <= a]
        if wrong:
            fault(f"{name}: out of order {len(wrong)} times, first {wrong[0][1]} behind {wrong[0][0]}")
        if not came:
            fault(f"{name}: not one result came: nothing was proved")
        if slot.kind.forgets:
            self.judge_gaps(name, slot, missing)
        else:
            if missing:
                fault(f"{name}: {len(missing)} results never came, though the controller has them: {missing[:8]}")
            for gap in slot.gaps:
                fault(f"{name}: a gap is told, and nothing is missing: {json.dumps(gap)[:300]}")
        if slot.kind.traces:
            self.judge_curves(name, slot)
        for text in slot.violations[:3]:
            fault(f"{name}: the controller was mistreated: {text}")
        if len(slot.violations) > 3:
            fault(f"{name}: and {len(slot.violations) - 3} times more")
        answers = sorted(slot.answers)
        p99 = answers[int(len(answers) * 0.99)] * 1000 if answers else 0
        live = sum(not result.backfill for result in came)
        acked = sum(result.acked for result in theirs.values())
        done = ", ".join(f"{what} {count}" for what, count in sorted(slot.counts.items()))
        print(
            f"     {name[5:]:<12}{len(theirs):>6}{acked:>7}{live:>6}{len(came) - live:>9}{len(missing):>9}{len(slot.gaps):>6}"
            f"{sum(max(result.sent - 1, 0) for result in theirs.values()):>8}{p99:>9.0f}{(answers or [0])[-1] * 1000:>7.0f}     {done}",
            flush=True,
        )
        counts = self.report.counts
        counts["results made"] += len(theirs)
        counts["results acknowledged"] += acked
        counts["results received"] += len(came)
        counts["of these fetched"] += len(came) - live
        counts["forgotten by the controller"] += len(missing)

    def judge_curves(self, name: str, slot: Slot) -> None:
        """Every trace that was acknowledged is there, whole and exact; and each belongs to a result."""
        fault = self.report.fault
        words = {1: ("angle", "deg", 2), 2: ("torque", "N.m", None)}
        for number, kind in sorted(slot.traced):
            word, uom, times = words[kind]
            parts = slot.curves.pop((str(slot.made[number].ident), word), {})
            wanted = parts[min(parts)].get("parts", 1) if parts else 0
            if sorted(parts) != list(range(1, wanted + 1)) or not parts:
                fault(f"{name}: of the {word} of result {number} parts {sorted(parts)} of {wanted} came, and it was acknowledged")
                continue
            if not slot.made[number].event:
                fault(f"{name}: the {word} of result {number} came, and the result did not")
            got = [Decimal(str(value)) for part in sorted(parts) for value in parts[part]["y"]["values"]]
            want = [Decimal(value) * times if times else Decimal(value) / 100 for value in samples(number, kind)]
            if got != want or parts[1]["y"].get("uom") != uom:
                fault(f"{name}: the {word} of result {number} has {len(got)} values ({parts[1]['y'].get('uom')}) and should have {len(want)} others")
            steps = [Decimal(str(value)) for part in sorted(parts) for value in parts[part]["x"]["values"]]
            scale = {"ms": 5, "s": Decimal("0.005")}.get(parts[1]["x"].get("uom", ""), 0)
            if steps != [scale * at for at in range(len(want))]:
                fault(f"{name}: the {word} of result {number} stands over {steps[:4]} … {parts[1]['x'].get('uom')}")
        self.report.counts["traces acknowledged"] += len(slot.traced)

    def judge_gaps(self, name: str, slot: Slot, missing: list[int]) -> None:
        """What a controller has forgotten: gaps name the ids around it, and count where ids are one after another."""
        spans = []
        for gap in slot.gaps:
            if gap["of"] != "tightening" or not str(gap.get("after", "")).isdigit() or not str(gap.get("before", "")).isdigit():
                self.report.fault(f"{name}: a gap does not say of what, after and before which id: {json.dumps(gap)[:300]}")
                continue
            spans.append((int(gap["after"]), int(gap["before"]), gap))
        for after, before, gap in spans:
            inside = [n for n, result in slot.made.items() if after < result.ident < before]
            came = [n for n in inside if slot.made[n].event]
            if came:
                self.report.fault(f"{name}: a gap after {after} and before {before}, and result {came[0]} between them came")
            told = gap.get("count")
            if told is not None and int(told) != len(inside):
                self.report.fault(f"{name}: a gap after {after} and before {before} counts {told}, and {len(inside)} were lost")
            if told is None and not slot.kind.walk:
                self.report.fault(f"{name}: a gap after {after} and before {before} does not count, though ids are one after another")
        for n in missing:
            if not any(after < slot.made[n].ident < before for after, before, _ in spans):
                self.report.fault(f"{name}: result {n} (id {slot.made[n].ident}) was lost, and no gap tells it")
        if not missing:
            self.report.fault(f"{name}: nothing was forgotten: nothing was proved")


def read_controller(kind: Kind, path: Path) -> Slot:
    """A controller's ledger."""
    slot = Slot(kind)
    asked: dict[int, float] = {}
    for line in ledger.read(path):
        match line["e"]:
            case "made" if line["n"]:
                slot.made[line["n"]] = Made(line["id"], line["stamp"], line["t"])
                slot.by_key[str(line["id"]), line["stamp"]] = line["n"]
            case "sent":
                slot.made[line["n"]].sent += 1
                asked[line["n"]] = line["m"]
            case "acked":
                slot.made[line["n"]].acked = True
                slot.answers.append(line["m"] - asked[line["n"]])
            case "fetched" if line["n"]:
                result = slot.made[line["n"]]
                result.fetched += 1
                result.late |= not result.sent and line.get("t", 0) - result.made > 1
            case "trace_acked":
                number, kind_of = line["of"].split()
                slot.traced.add((int(number), int(kind_of)))
            case "violation":
                slot.violations.append(line["text"])
            case "connected" | "refused" | "deaf" | "mute" | "rough" | "reset" as what:
                slot.counts[what] += 1
            case "dropped":
                slot.counts[line["why"]] += 1
    return slot


class Seen(Follower):
    """Reads on in what the MES received: the newest result and the statuses of each slot."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.last: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.told: Counter[tuple[str, str, bool | None]] = Counter()
        self.ids: set[str] = set()
        self.states: dict[str, list[tuple[float, str, str]]] = defaultdict(list)

    def look(self) -> None:
        """Takes up what is new."""
        for parts, entry in self.entries():
            slot = ".".join(parts[-3:-1])
            if parts[-1] == "tightening":
                name = json.loads(entry["p"])["data"].get("unit", {}).get("id", "0")
                self.last[slot] = max(self.last[slot], int(name[-6:]))
                self.received[slot] += 1
            elif parts[-1] in ("alarm", "identification"):
                event = json.loads(entry["p"])
                if event["id"] not in self.ids:
                    self.ids.add(event["id"])
                    self.told[slot, event["data"]["code"], event["data"].get("active")] += 1
            elif parts[-1] == "status" and entry["p"]:
                status = json.loads(entry["p"])
                self.states[slot].append((entry["t"], status["state"], status.get("reason", "")))

    def state(self, slot: str) -> tuple[str, str]:
        """What its status said last, and why."""
        self.look()
        return self.states[slot][-1][1:] if self.states[slot] else ("", "")


class Run:
    """All controllers, and the gateway."""

    def __init__(self, rig: Rig, chance: random.Random, names: list[str], outbox: str = "") -> None:
        self.rig = rig
        self.chance = chance
        rig.add_broker(calm=True)
        rig.add_mes()
        self.tools = {name: self.add(name) for name in names}
        rig.configure(asks=ASKS_MORE, outbox=outbox)
        if "traces" in names:
            # Only this one draws curves.
            text = rig.config.read_text()
            slot = f'id = "traces"\n{ASKS_MORE}'
            rig.config.write_text(text.replace(slot, slot.replace('"identification"', '"identification", "curve"')))
            rig.command("check", "--config", str(rig.config))
            rig.command("contract", "--config", str(rig.config), "--out", str(rig.folder / "contract"))
        self.seen = Seen(rig.received)
        self.done: Counter[str] = Counter()
        self.complaints: list[str] = []

    def add(self, name: str) -> Tool:
        """A controller, the link to it, and its device file."""
        rig, kind, slot = self.rig, KINDS[name], f"st10.{name}"
        path = rig.folder / f"controller-{name}.jsonl"
        args = ["--ledger", str(path), "--paused", "--seed", f"{rig.seed}/{name}", "--ids", "walk" if kind.walk else "exact", *kind.args]
        peer = Peer("controller.py", args, rig.folder / f"controller-{name}.log")
        link: Proxy | SerialLink
        if kind.serial:
            args = ["--ledger", str(rig.folder / f"line-{name}.jsonl"), "--controller", str(peer.hello["port"]), "--seed", f"{rig.seed}/line"]
            line = Peer("ascii_line.py", args, rig.folder / f"line-{name}.log")
            rig.undo.append(line.end)
            line.ask("noise", chance=0.05)
            link = SerialLink(rig, name, line)
            address = str(link.near)
        else:
            link = Proxy(peer.hello["port"])
            rig.links.append(link)
            address = f"127.0.0.1:{link.port}"
        # The name says that results name their unit: the station then listens to devices.
        tool = Tool(peer, peer.hello["port"], link, path, [slot], "open-protocol-echo")
        rig.tools.append(tool)
        recover = "walk-back" if kind.walk else "from-index" if kind.variable else "by-id"
        (rig.devices / f"{slot}.toml").write_text(profile(name, address, recover, kind.more, kind.variable) + ECHO + TELLS + (CURVES if kind.traces else ""))
        return tool

    def stats(self, name: str) -> dict[str, Any]:
        """Of one controller."""
        return self.tools[name].peer.ask("stats")

    def ready(self, names: list[str] | None = None) -> bool:
        """Whether slots are online and subscribed."""
        return all(self.seen.state(f"st10.{name}")[0] == "online" and self.stats(name)["subscribed"] for name in names or self.tools)

    def behind(self, goals: dict[str, int]) -> dict[str, tuple[int, int]]:
        """Of whom the newest result at the MES is older than so: that, and what it should be."""
        self.seen.look()
        return {name: (self.seen.last[f"st10.{name}"], goal) for name, goal in goals.items() if self.seen.last[f"st10.{name}"] < goal}

    def wait_ready(self, names: list[str] | None = None) -> None:
        """Waits for it, and says who is not."""
        try:
            self.rig.wait("slots are online and subscribed", lambda: self.ready(names), 40)
        except Failure as failure:
            bad = [f"{name}: {self.seen.state(f'st10.{name}')}, {self.stats(name)}" for name in names or self.tools if not self.ready([name])]
            raise Failure(f"{failure}; not: {'; '.join(bad)}") from None

    def wait_caught_up(self, names: list[str] | None = None, limit: float = 40) -> None:
        """Waits until all that was made by now has arrived, and says who is behind."""
        goals = {name: self.stats(name)["made"] for name in names or self.tools}
        try:
            self.rig.wait("the newest result of each arrives", lambda: not self.behind(goals), limit)
        except Failure as failure:
            raise Failure(f"{failure}; behind (has, made): {self.behind(goals)}") from None

    def resume(self) -> None:
        """All make results."""
        for tool in self.tools.values():
            tool.peer.ask("resume", rate=RATE)

    def pause(self, names: list[str] | None = None) -> None:
        """None does."""
        for name in names or self.tools:
            self.tools[name].peer.ask("pause")

    def begin(self) -> None:
        """Some results before the first start; then the gateway, and results."""
        for tool in self.tools.values():
            tool.peer.ask("make", count=BEFORE)
        self.rig.gateway.start()
        self.wait_ready()
        for name, tool in self.tools.items():
            tool.peer.ask("faults", **dict(KINDS[name].faults))
        self.resume()
        self.wait_caught_up()
        self.rig.say("results flow")

    def cut(self) -> None:
        """All links, in one way or another."""
        kind = self.chance.choice(["cut", "cut", "cut", "refuse", "black hole"])
        self.done[kind] += 1
        for tool in self.tools.values():
            if kind == "black hole":
                tool.link.black_hole()
            else:
                tool.link.cut(refuse=kind == "refuse")
        if kind != "cut":
            self.rig.pass_time(self.chance.uniform(0.1, 1.5))
            for tool in self.tools.values():
                tool.link.mend()
                if kind == "black hole" and self.chance.random() < 0.5:
                    tool.link.cut()

    def kill(self) -> None:
        """kill -9, at any moment or at an acknowledgement."""
        rig = self.rig
        process = rig.gateway.process
        if self.chance.random() < 0.5 and process is not None:
            self.done["kill on ack"] += 1
            tool = self.tools[self.chance.choice(list(self.tools))]
            tool.peer.ask("kill_on_ack", pid=process.pid)
            deadline = time.monotonic() + 2
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            tool.peer.ask("kill_on_ack", pid=0)
        else:
            self.done["kill"] += 1
        rig.gateway.kill()
        rig.pass_time(self.chance.choice([0, 0, self.chance.uniform(0, 1)]))
        rig.gateway.start()

    def disturb(self, seconds: float, cuts: int, kills: int) -> None:
        """So many cuts and kills at random moments of these seconds."""
        steps = [self.cut] * cuts + [self.kill] * kills
        self.chance.shuffle(steps)
        begun = time.monotonic()
        times = sorted(self.chance.uniform(0, seconds) for _ in steps)
        for at, step in zip(times, steps, strict=True):
            self.rig.pass_time(max(begun + at - time.monotonic(), 0.05))
            step()
        self.rig.pass_time(max(begun + seconds - time.monotonic(), 0))
        self.rig.say(f"{cuts} cuts, {kills} kills; {self.rig.tool_stats()}")

    def away(self, seconds: float) -> None:
        """All links are gone for so long that a small memory forgets; then results must flow again."""
        self.done["away"] += 1
        for tool in self.tools.values():
            tool.link.cut(refuse=True)
        self.rig.pass_time(seconds)
        for tool in self.tools.values():
            tool.link.mend()
        self.wait_ready()
        self.wait_caught_up()
        self.rig.say(f"links were gone for {seconds:.0f} s")

    def reset(self, how: str) -> None:
        """Ids begin at 1: in the middle of results, or by another controller, or while the gateway is away."""
        names = [name for name in self.tools if KINDS[name].resets]
        if not names:
            return
        self.done[f"reset: {how}"] += 1
        self.wait_ready(names)
        if how != "running":
            self.pause(names)
            self.wait_caught_up(names)
        if how == "away":
            self.rig.gateway.kill()
        before = {name: self.stats(name)["fetches"] for name in names}
        for name in names:
            if how == "replaced":
                self.tools[name].peer.ask("replace", serial=f"{self.chance.randrange(10**10):010}")
            else:
                self.tools[name].peer.ask("reset_ids")
        if how == "away":
            self.rig.gateway.start()
        if how != "running":
            self.rig.pass_time(0.5)
            self.wait_ready(names)
        for name in names:
            self.tools[name].peer.ask("resume", rate=RATE)
        made = {name: self.stats(name)["made"] for name in names}
        self.rig.wait("eight more are made", lambda: all(self.stats(name)["made"] >= made[name] + 8 for name in names), 20)
        self.wait_caught_up(names)
        for name in names:
            fetched = self.stats(name)["fetches"] - before[name]
            # Of global ids each live one is asked for what is before it, other stations' included.
            if fetched > (40 if KINDS[name].walk else 12):
                self.complaints.append(f"st10.{name}: {fetched} results were fetched behind a reset ({how}), and nothing was missed")
        self.rig.say(f"ids began anew ({how})")

    def tell(self) -> None:
        """Alarms come and go, and identifiers are scanned, while nothing else happens: each is told once, and acknowledged."""
        for name in self.tools:
            self.tools[name].peer.ask("faults", deaf=0, mute=0, rough=0)
        self.wait_ready()
        names = [name for name in self.tools if not KINDS[name].variable]
        steps: list[tuple[str, dict[str, Any], tuple[str, bool | None]]] = [
            ("alarm", {"code": "E404", "on": True}, ("E404", True)),
            ("alarm", {"code": "E404", "on": False}, ("E404", False)),
            ("vin", {"id": "WVWZZZ3HZPE000001"}, ("WVWZZZ3HZPE000001", None)),
        ]

        def count(name: str, what: tuple[str, bool | None]) -> int:
            self.seen.look()
            return self.seen.told[f"st10.{name}", *what]

        for order, more, what in steps:
            for name in names:
                self.tools[name].peer.ask(order, **more)
            try:
                self.rig.wait(f"{what[0]} is told", lambda what=what: all(count(name, what) for name in names), 15)
            except Failure as failure:
                silent = [name for name in names if not count(name, what)]
                self.complaints.append(f"{order} {more} was not told by {silent}: {failure}")
        self.rig.pass_time(1)
        for name in names:
            for _, _, what in steps:
                if count(name, what) > 1:
                    self.complaints.append(f"st10.{name}: {what} was told {count(name, what)} times")
            heard = self.stats(name)["heard"]
            silent = [mid for mid in ("0072", "0075", "0053") if not heard.get(mid)]
            if silent and not KINDS[name].link and name != "generic":
                self.complaints.append(f"st10.{name}: never acknowledged an alarm or identifier by {silent}")
        self.rig.say("alarms and identifiers are told")

    def end(self) -> int:
        """All is delivered, and the ledgers agree."""
        rig = self.rig
        for tool in self.tools.values():
            tool.peer.ask("faults", deaf=0, mute=0, rough=0)
            tool.link.mend()
        try:
            self.wait_ready()
            self.pause()
            self.wait_caught_up()
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
        rig.mes.ask("stop")
        rig.mes.end()
        rules = Rules(check_units=False, content_type=rig.version == "5", schema_every=20, allowed=("alarm", "change", "gap", "identification", "curve"))
        slots = {f"st10.{name}": (KINDS[name], tool.ledger) for name, tool in self.tools.items()}
        verifier = TorqueVerifier(rules, slots, rig.mes_ledger, rig.folder / "contract")
        verifier.read_received(rig.received)
        report = verifier.finish()
        for name, tool in self.tools.items():
            stats = self.stats(name)
            if name in ("kept", "closed") and stats["refusals"] < 4:
                report.fault(f"st10.{name}: revisions were refused only {stats['refusals']} times: nothing was proved")
            if KINDS[name].link and not tool.peer.ask("stats")["heard"].get("9997"):
                report.fault(f"st10.{name}: the link level was never used: nothing was proved")
        for fault in filter(None, [stop, rig.late, *self.complaints]):
            report.fault(fault)
        killed = sum("exit -9" in text for text in rig.gateway.exits)
        if len(rig.gateway.exits) > killed:
            report.fault(f"the gateway ended by itself {len(rig.gateway.exits) - killed} times, first: {rig.gateway.exits[0]}")
        report.counts["gateway starts"] = rig.gateway.starts
        report.counts["gateway peak memory KiB"] = rig.gateway.peak_kib
        report.counts |= {f"fault: {kind}": count for kind, count in self.done.items()}
        report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
        return report.fault_count


def torque(rig: Rig, chance: random.Random, options: Any) -> int:
    """Ten cuts and five kills while each controller makes five results a second; an outage; ids that begin anew."""
    names = options.only.split(",") if options.only else list(KINDS)
    run = Run(rig, chance, names)
    run.begin()
    for _ in range(3 if options.long else 1):
        run.disturb(60 if options.long else 20, 10, 5)
    run.wait_ready()
    run.wait_caught_up()
    run.away(8 if options.long else 5)
    for how in ("running", "replaced", "away"):
        run.reset(how)
    run.disturb(10 if options.long else 4, 2, 1)
    run.tell()
    return run.end()


def hold(rig: Rig, _chance: random.Random, options: Any) -> int:
    """The outbox is full and the broker away: nothing is acknowledged, the session goes on, and what was missed is fetched."""
    names = options.only.split(",") if options.only else ["walk", "exact", "link", "serial"]
    run = Run(rig, _chance, names, outbox='max_bytes = "1MiB"\nkeep_sent = "0"')
    run.begin()
    begin = time.time()
    before = {name: run.stats(name) for name in names}
    rig.broker_link.cut(refuse=True)
    for name in names:
        run.tools[name].peer.ask("resume", rate=40)
    rig.wait("no result is taken any more", lambda: still(run, names), 90, every=1)
    taken = {name: run.stats(name)["acked"] for name in names}
    for name in names:
        run.tools[name].peer.ask("resume", rate=RATE)
    # Long enough that a controller drops a client that says nothing, or that owes it an acknowledgement.
    rig.pass_time(40 if options.long else 20)
    for name in names:
        stats = run.stats(name)
        if stats["connections"] > before[name]["connections"] or not stats["clients"]:
            run.complaints.append(f"st10.{name}: the session did not live through the hold: {stats['drops']}")
        if stats["subscribed"]:
            run.complaints.append(f"st10.{name}: is subscribed though nothing can be stored")
    rig.say(f"held: acknowledged {taken}")
    rig.broker_link.mend()
    rig.away.append((begin, time.time()))
    run.wait_ready()
    run.wait_caught_up(limit=60)
    rig.say("what was missed is there")
    return run.end()


def still(run: Run, names: list[str]) -> bool:
    """Whether no controller was acknowledged for a second."""
    before = {name: run.stats(name)["acked"] for name in names}
    run.rig.pass_time(1.5)
    return all(run.stats(name)["acked"] == before[name] for name in names)

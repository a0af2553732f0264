"""A joining system by OPC UA (OPC 40450-1) made of node-opcua: every result once through kills of both sides and networks that fail.

What was raised while nobody listened is fetched where the server can be asked for it, and told by gaps where it cannot. The same
tightening through Open Protocol, Modbus and the joining model gives the same data.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import ledger
import same_tool
from broker import free_port
from follow import Follower
from opcua_files import Certificates
from opcua_peers import NodePeer
from processes import Peer
from proxy import Proxy
from rig import ROOT, Failure, Rig, Tool
from telegrams import derive, expected, vin
from torque_kinds import ECHO, profile
from verify import Report, Rules, Verifier, look_up

USER, PASSWORD = "gateway", "42 screws"
# Raised before the gateway was ever started: none of its business.
BEFORE = 6
DEVICE = """profile = 1
extends = "joining/opc-40450"
[connection]
address = "{address}"
timeout = "2s"
publishing = "50ms"
{lines}
"""
ASKS = 'delivers = ["tightening", "curve"]\nrequires = ["torque", "angle", "program"]'
KINDS = ("single", "single", "steps", "last", "plain", "batch", "sync")
POINTS_OF_TRACE = 200


@dataclass(slots=True)
class Raised:
    """One result of the server, its own or a part of one."""

    number: int
    ident: str
    sequence: int
    when: float
    part: bool = False
    held: bool = False
    trace: bool = False
    # It has no content: whoever takes it has only its verdict.
    bare: bool = False
    event: str = ""
    backfill: bool = False


@dataclass
class Slot:
    """What a server raised, and what came of it."""

    results: dict[str, Raised] = field(default_factory=dict)
    # Sequence number of each operation, also of batches; whether it was told while somebody listened is not known here.
    operations: dict[int, list[str]] = field(default_factory=dict)
    order: list[tuple[int, str]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    replayed: set[int] = field(default_factory=set)
    requests: int = 0
    empty: int = 0
    quarantined: int = 0


def read_server(path: Path) -> Slot:
    """A server's ledger."""
    slot = Slot()
    for line in ledger.read(path):
        match line["e"]:
            case "raised" | "held":
                held, when = line["e"] == "held", line["when"] / 1000
                names = []
                if line.get("children"):
                    for number in line["children"]:
                        ident = f"R-{number:06}"
                        slot.results[ident] = Raised(number, ident, line["sequence"], when, part=True, held=held)
                        names.append(ident)
                else:
                    bare = line["kind"] == "empty"
                    slot.empty += bare
                    slot.results[line["id"]] = Raised(line["n"], line["id"], line["sequence"], when, held=held, trace=bool(line.get("trace")), bare=bare)
                    names.append(line["id"])
                slot.operations[line["sequence"]] = names
            case "requested":
                slot.requests += 1
            case "replayed":
                slot.replayed.add(line["sequence"])
    return slot


class JoiningVerifier(Verifier):
    """The envelope, sequences and schemas as ever; results by their ids, every value from their number."""

    def __init__(self, rules: Rules, slots: dict[str, tuple[Path, bool]], mes: Path, schemas: Path | None) -> None:
        super().__init__(rules, [], mes, schemas)
        self.slots = {name: read_server(path) for name, (path, _) in slots.items()}
        self.recovers = {name: recovers for name, (_, recovers) in slots.items()}

    def read_event(self, topic: str, kind: str, text: str, received: float) -> None:
        slot = self.slots[".".join(topic.split("/")[-3:-1])]
        event = json.loads(text)
        if event["id"] not in self.ids:
            if kind == "gap":
                slot.gaps.append(event["data"])
            elif kind == "quarantine":
                slot.quarantined += 1
            elif kind == "curve":
                slot.curves[event["data"]["result_id"]][event["data"].get("part", 1)] = event["data"]
        super().read_event(topic, kind, text, received)

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        data = event["data"]
        name = ".".join(topic.split("/")[-3:-1])
        slot = self.slots[name]
        result = slot.results.get(data["result_id"])
        if result is None:
            self.report.fault(f"{name}: result {data['result_id']} was never raised: {json.dumps(data, default=str)[:300]}")
            return
        if result.event:
            self.report.fault(f"{name}: result {result.ident} came under two ids, {result.event} and {event['id']}")
            return
        result.event = event["id"]
        result.backfill = data.get("backfill") is True
        slot.order.append((int(event["sequence"]), result.ident))
        if not result.backfill:
            self.report.latencies.append(received - result.when)
        wanted = expected(result.number, False) | {"unit.id": vin(result.number), "tool.serial": "C0761275", "controller.serial": "PFC-1"}
        for path, want in wanted.items():
            if result.bare and path.startswith(("torque", "angle")):
                continue
            got = look_up(data, path)
            same = want is not None and got == Decimal(want) if isinstance(got, (int, Decimal)) and not isinstance(got, bool) else got == want
            if not same:
                self.report.fault(f"{name}: result {result.ident}: {path} is {got!r} and should be {want!r}")
        errors = [error.get("code") for error in data.get("errors", [])]
        if not result.bare and errors != ([] if derive(result.number)["status"] else ["E-4"]):
            self.report.fault(f"{name}: result {result.ident}: errors are {data.get('errors')}")

    def finish(self) -> Report:
        for (topic, _), numbers in self.left_out.items():
            if numbers:
                self.report.fault(f"{topic}: {len(numbers)} sequence numbers never came: {sorted(numbers)[:5]}")
        head = f"     {'joining system':<16}{'raised':>8}{'came':>6}{'fetched':>9}{'missing':>9}{'gaps':>6}{'asked':>7}{'replayed':>10}{'curves':>8}"
        print(head, flush=True)
        for name, slot in self.slots.items():
            self.judge(name, slot)
        return self.report

    def judge(self, name: str, slot: Slot) -> None:
        """One server."""
        fault = self.report.fault
        theirs = {ident: result for ident, result in slot.results.items() if result.sequence > BEFORE}
        early = [ident for ident, result in slot.results.items() if result.sequence <= BEFORE and result.event]
        if early:
            fault(f"{name}: {early} were raised before the gateway's first start, and came")
        came = [result for result in theirs.values() if result.event]
        missing = [result for result in theirs.values() if not result.event and not (result.bare and slot.quarantined)]
        if not came:
            fault(f"{name}: not one result came: nothing was proved")
        # What came live came in the order in which it was raised; the parts of a batch share its number.
        live = [slot.results[ident].sequence for _, ident in sorted(slot.order) if not slot.results[ident].backfill]
        wrong = [(a, b) for a, b in pairwise(live) if b < a]
        if wrong:
            fault(f"{name}: out of order {len(wrong)} times, first {wrong[0][1]} behind {wrong[0][0]}")
        for result in came:
            if result.held and not result.backfill:
                fault(f"{name}: result {result.ident} was fetched, and is not marked so")
            elif result.backfill and result.sequence not in slot.replayed:
                fault(f"{name}: result {result.ident} is marked as fetched, and was never told again")
        if self.recovers[name]:
            if missing:
                fault(f"{name}: {len(missing)} results never came, though the server has them: {[result.ident for result in missing[:6]]}")
            for gap in slot.gaps:
                fault(f"{name}: a gap is told, and the server has everything: {json.dumps(gap)[:300]}")
        else:
            self.judge_gaps(name, slot, {result.sequence for result in missing})
        for ident, result in theirs.items():
            if result.event and result.trace:
                self.judge_curve(name, ident, result, slot.curves.pop(ident, {}))
        for ident in slot.curves:
            fault(f"{name}: a curve of {ident} came, which has none")
        if slot.quarantined > slot.empty:
            fault(f"{name}: {slot.quarantined} quarantines, and {slot.empty} results had no content")
        print(
            f"     {name[5:]:<16}{len(theirs):>8}{len(came):>6}{sum(result.backfill for result in came):>9}{len(missing):>9}{len(slot.gaps):>6}"
            f"{slot.requests:>7}{len(slot.replayed):>10}{sum(result.trace for result in came):>8}",
            flush=True,
        )
        self.report.counts["results raised"] += len(theirs)
        self.report.counts["results received"] += len(came)

    def judge_gaps(self, name: str, slot: Slot, missing: set[int]) -> None:
        """What nobody can fetch any more is told: each operation that is missing stands between the ends of a gap, and no other."""
        told: set[int] = set()
        for gap in slot.gaps:
            after, before = str(gap.get("after", "")), str(gap.get("before", ""))
            if not after.isdigit() or not before.isdigit():
                self.report.fault(f"{name}: a gap does not say after and before which number: {json.dumps(gap)[:300]}")
                continue
            inside = set(range(int(after) + 1, int(before)))
            if "count" in gap and int(gap["count"]) != len(inside):
                self.report.fault(f"{name}: a gap after {after} and before {before} counts {gap['count']}")
            told |= inside
        if missing - told:
            self.report.fault(f"{name}: operations {sorted(missing - told)[:8]} are missing, and no gap tells it")
        for number in sorted(told - missing):
            if any(slot.results[ident].event for ident in slot.operations.get(number, [])):
                self.report.fault(f"{name}: a gap tells that operation {number} is missing, and it came")

    def judge_curve(self, name: str, ident: str, result: Raised, parts: dict[int, dict[str, Any]]) -> None:
        """Torque over angle, whole and exact."""
        if not parts:
            self.report.fault(f"{name}: the trace of {ident} never came")
            return
        raw = derive(result.number)
        torque = [Decimal(raw["torque"] * (at + 1) // POINTS_OF_TRACE) / 100 for at in range(POINTS_OF_TRACE)]
        angle = [Decimal(raw["angle"] * (at + 1) // POINTS_OF_TRACE) for at in range(POINTS_OF_TRACE)]
        for axis, want, uom in (("y", torque, "N.m"), ("x", angle, "deg")):
            got = [Decimal(str(value)) for part in sorted(parts) for value in parts[part][axis]["values"]]
            if got != want or parts[min(parts)][axis].get("uom") != uom:
                self.report.fault(f"{name}: the {axis} of the trace of {ident} has {len(got)} values ({parts[min(parts)][axis].get('uom')}), and should have others")


class Seen(Follower):
    """The newest result of each slot, and its status."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.ids: dict[str, set[str]] = defaultdict(set)
        self.states: dict[str, tuple[str, str]] = {}

    def look(self) -> None:
        """Takes up what is new."""
        for parts, entry in self.entries():
            slot = ".".join(parts[-3:-1])
            if parts[-1] == "tightening":
                self.ids[slot].add(json.loads(entry["p"])["data"]["result_id"])
            elif parts[-1] == "status" and entry["p"] and parts[-3] != "lineside":
                status = json.loads(entry["p"])
                self.states[slot] = (status["state"], status.get("reason", ""))


class Run:
    """Two joining systems: one that can be asked for results again, and one that cannot."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self.rig = rig
        self.chance = chance
        self.pki = Certificates(rig.folder / "pki")
        rig.add_broker(calm=True)
        rig.add_mes()
        shutil.copytree(ROOT / "device-profiles" / "joining", rig.devices / "joining")
        self.ports: dict[str, int] = {}
        self.methods = {"asked": True, "mute": False}
        self.seen = Seen(rig.received)
        self.done: Counter[str] = Counter()
        self.took: dict[str, list[float]] = defaultdict(list)
        self.tools = {name: self.add(name) for name in self.methods}
        rig.configure(asks=ASKS)

    def server(self, name: str) -> NodePeer:
        """A process."""
        port = self.ports.setdefault(name, free_port())
        folder = self.rig.folder
        return NodePeer(
            self.pki, folder / f"server-{name}.jsonl", folder / f"server-{name}.log", port=port, users={USER: PASSWORD}, methods=self.methods[name], slot=f"st10.{name}"
        )

    def add(self, name: str) -> Tool:
        """A server, the link to it, and its device file."""
        rig, slot = self.rig, f"st10.{name}"
        peer = self.server(name)
        link = Proxy(self.ports[name])
        rig.links.append(link)
        secret = rig.devices / f"{slot}.password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        lines = [
            'security = "Basic256Sha256/SignAndEncrypt"', peer.pair.trust, f'username = "{USER}"', f'password_file = "{secret.name}"',
        ]  # fmt: skip
        text = DEVICE.format(address=f"opc.tcp://127.0.0.1:{link.port}/joining", lines="\n".join(lines))
        (rig.devices / f"{slot}.toml").write_text(text)
        tool = Tool(peer, self.ports[name], link, rig.folder / f"server-{name}.jsonl", [slot], "joining-echo")
        rig.tools.append(tool)
        return tool

    def each(self, do: str, **more: Any) -> None:
        """Both are told something."""
        for tool in self.tools.values():
            tool.peer.ask(do, **more)

    def online(self) -> bool:
        """Whether both slots are."""
        self.seen.look()
        return all(self.seen.states.get(f"st10.{name}", ("", ""))[0] == "online" for name in self.tools)

    def some(self, count: int) -> None:
        """Results of all kinds, one after another."""
        for _ in range(count):
            self.each("raise", kind=self.chance.choice(KINDS), trace=self.chance.random() < 0.3)
            self.rig.pass_time(self.chance.uniform(0.02, 0.2))

    def caught_up(self, what: str, limit: float = 30) -> None:
        """A new result of each arrives; which, when the subscription lives again, tells what was missed, too."""
        begun = time.monotonic()
        goal: dict[str, set[str]] = {name: set() for name in self.tools}

        def came() -> bool:
            self.seen.look()
            done = True
            for name, tool in self.tools.items():
                if goal[name] & self.seen.ids[f"st10.{name}"]:
                    continue
                done = False
                stats = tool.peer.ask("raise", kind="single")
                goal[name].add(f"R-{stats['results']:06}")
            return done

        try:
            self.rig.wait(f"new results arrive after {what}", came, limit, every=0.3)
        except Failure as failure:
            raise Failure(f"{failure}; status: {self.seen.states}") from None
        self.took[what].append(time.monotonic() - begun)

    # -- disturbances

    def kill_gateway(self) -> None:
        """At any moment."""
        self.rig.gateway.kill()
        self.some(self.chance.randint(0, 3))
        self.rig.gateway.start()

    def kill_server(self) -> None:
        """Both of them; back after a while."""
        for name, tool in self.tools.items():
            tool.peer.process.kill()
            tool.peer.process.wait()
            tool.peer.process.stdin.close()
            tool.peer.process.stdout.close()
            tool.peer = self.server(name)
        self.some(self.chance.randint(0, 3))

    def cut(self) -> None:
        """The network."""
        for tool in self.tools.values():
            tool.link.cut(refuse=True)
        self.some(self.chance.randint(0, 4))
        for tool in self.tools.values():
            tool.link.mend()

    def black_hole(self) -> None:
        """Nothing comes through."""
        for tool in self.tools.values():
            tool.link.black_hole()
        self.some(self.chance.randint(0, 4))
        self.rig.pass_time(self.chance.uniform(0, 4))
        for tool in self.tools.values():
            tool.link.mend()
            tool.link.cut()

    def hold(self) -> None:
        """The servers live, and tell nothing of some results."""
        self.each("hold", on=True)
        self.some(self.chance.randint(1, 4))
        self.each("hold", on=False)

    def run(self, times: int) -> int:
        """All of it."""
        rig = self.rig
        self.each("raise", count=BEFORE)
        rig.gateway.start()
        rig.wait("both are online", self.online, 60)
        rig.pass_time(0.5)
        self.some(6)
        self.caught_up("the start")
        rig.say("results flow")
        steps: list[Callable[[], None]] = [self.hold, self.kill_gateway, self.kill_server, self.cut, self.black_hole]
        for at in range(times):
            step = steps[at % len(steps)] if at < len(steps) else self.chance.choice(steps)
            self.done[step.__name__] += 1
            step()
            self.some(3)
            self.caught_up(step.__name__)
        self.each("raise", kind="empty")
        self.caught_up("a result without content")
        rig.pass_time(2)
        return self.verdict()

    def verdict(self) -> int:
        """The ledgers are held against each other."""
        rig = self.rig
        rig.quiet()
        stop = rig.gateway.stop()
        rig.quiet()
        rig.mes.ask("stop")
        rig.mes.end()
        rules = Rules(check_units=False, content_type=rig.version == "5", schema_every=10, allowed=("alarm", "change", "gap", "curve", "quarantine"))
        slots = {f"st10.{name}": (tool.ledger, self.methods[name]) for name, tool in self.tools.items()}
        verifier = JoiningVerifier(rules, slots, rig.mes_ledger, rig.folder / "contract")
        verifier.read_received(rig.received)
        report = verifier.finish()
        for fault in filter(None, [stop, *rig.gateway.exits]):
            report.fault(fault)
        report.counts["gateway starts"] = rig.gateway.starts
        report.counts["gateway peak memory KiB"] = rig.gateway.peak_kib
        report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
        for what, seconds in self.took.items():
            print(f"     new results after {what:<26}{', '.join(f'{took:.1f}' for took in seconds)} s", flush=True)
        return report.fault_count


def opcua_joining(rig: Rig, chance: random.Random, options: Any) -> int:
    """Results of two joining systems, with and without a method to ask for results again."""
    return Run(rig, chance).run(30 if options.long else 10)


def opcua_same(rig: Rig, _chance: random.Random, options: Any) -> int:
    """The same tightenings through Open Protocol, Modbus and the joining model: equal data but times, origin, extra, result_id."""
    count = 200 if options.long else 60
    pki = Certificates(rig.folder / "pki")
    rig.add_broker(calm=True)
    rig.add_mes()
    shutil.copytree(ROOT / "device-profiles" / "joining", rig.devices / "joining")
    controller = Peer("controller.py", ["--ledger", str(rig.folder / "controller.jsonl"), "--paused", "--ids", "exact"], rig.folder / "controller.log")
    modbus = Peer("same_tool.py", ["--ledger", str(rig.folder / "modbus.jsonl")], rig.folder / "modbus.log")
    joining = NodePeer(pki, rig.folder / "joining.jsonl", rig.folder / "joining.log", port=0)
    files = {
        "telegrams": profile("exact", f"127.0.0.1:{controller.hello['port']}") + ECHO,
        "registers": same_tool.profile(f"127.0.0.1:{modbus.hello['port']}"),
        "joining": DEVICE.format(address=f"opc.tcp://127.0.0.1:{joining.hello['port']}/joining", lines='security = "None"'),
    }
    for name, peer in zip(files, (controller, modbus, joining), strict=True):
        (rig.devices / f"st10.{name}.toml").write_text(files[name])
        rig.tools.append(Tool(peer, 0, None, rig.folder / "none", [f"st10.{name}"], "same-echo"))
    rig.configure(asks='delivers = "tightening"\nrequires = ["torque", "torque.min", "angle", "program", "batch"]')
    controller.ask("make", count=BEFORE)
    joining.ask("raise", count=BEFORE)
    modbus.ask("show", n=BEFORE)
    seen = Seen(rig.received)
    rig.gateway.start()
    ready: Callable[[], bool] = lambda: seen.look() is None and all(seen.states.get(f"st10.{name}", ("",))[0] == "online" for name in files)  # noqa: E731
    rig.wait("all three are online", ready, 60)
    rig.wait("the controller is subscribed", lambda: controller.ask("stats")["subscribed"], 20)
    rig.pass_time(0.5)
    for number in range(BEFORE + 1, BEFORE + count + 1):
        controller.ask("make", count=1)
        joining.ask("raise", count=1, kind="steps" if number % 3 == 0 else "single")
        modbus.ask("show", n=number)
        rig.pass_time(0.1)
    faults: list[str] = []
    try:
        rig.wait("all have come", lambda: seen.look() is None and all(len(seen.ids[f"st10.{name}"]) >= count for name in files), 30)  # type: ignore[func-returns-value]
    except Failure as failure:
        faults.append(str(failure))
    rig.quiet()
    problem = rig.gateway.stop()
    faults += filter(None, [problem])
    data: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in ledger.read(rig.received):
        if line["topic"].endswith("/tightening"):
            data[line["topic"].split("/")[-2]].append(comparable(json.loads(line["p"], parse_float=Decimal)["data"]))
    for name in files:
        if len(data[name]) != count:
            faults.append(f"{name}: {len(data[name])} of {count} tightenings came")
    different = 0
    for at, (one, two, three) in enumerate(zip(data["telegrams"], data["registers"], data["joining"], strict=False), BEFORE + 1):
        for name, other in (("registers", two), ("joining", three)):
            if one != other:
                different += 1
                wrong = {key: (one.get(key), other.get(key)) for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
                faults.append(f"tightening {at}: Open Protocol and {name} differ: {wrong}")
    print(f"     {count} tightenings through Open Protocol, Modbus and the joining model: {different} differ; as {json.dumps(data['joining'][:1], default=str)[:500]}", flush=True)
    for text in faults[:8]:
        print(f"     ! {text}", flush=True)
    return len(faults)


def comparable(data: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same: not when, by what, under which id. A device may say more of its tool, controller and errors."""
    left = ("times", "origin", "extra", "result_id", "tool", "controller", "errors")
    kept = {key: value for key, value in data.items() if key not in left}
    kept["unit"] = {key: value for key, value in kept.get("unit", {}).items() if key != "since"}
    return kept

"""A Kolver K-DUCER by its catalog profile: the manufacturer's vector, then results with reboots, kills and link cuts."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import ledger
from follow import Follower
from handshakes import Made
from kolver import expected
from processes import Peer
from proxy import Proxy
from rig import ROOT, Failure, Rig, Tool
from verify import Rules, Verifier, look_up

SLOT = "st10.kolver"
CATALOG = ROOT / "device-profiles"
# The members that the manufacturer's vector has to lead to.
K1 = {
    "result": "ok",
    "result_id": "5",
    "torque.value": Decimal("0.5"),
    "torque.uom": "N.m",
    "torque.target": Decimal("0.5"),
    "angle.value": 999,
    "angle.uom": "deg",
    "program.id": "51",
    "batch.count": 1,
    "batch.size": 1,
    "tool.serial": "2007773",
}


class KolverVerifier(Verifier):
    """Results by the number in their program's name."""

    def __init__(self, rules: Rules, path: Path, mes: Path, schemas: Path) -> None:
        super().__init__(rules, [], mes, schemas)
        self.made: dict[int, Made] = {}
        self.faults: Counter[str] = Counter()
        self.gaps = 0
        self.received: list[int] = []
        self.vectors = 0
        for line in ledger.read(path):
            if line["e"] == "shown":
                self.made[line["n"]] = Made(line["counter"], line["stamp"], line["t"])
            elif line["e"] == "fault":
                self.faults[line["kind"].partition(",")[0]] += 1

    def read_event(self, topic: str, kind: str, text: str, received: float) -> None:
        if kind == "gap":
            event = json.loads(text)
            if event["id"] not in self.ids and event["data"]["of"] == "tightening":
                self.gaps += int(event["data"].get("count", 0))
        super().read_event(topic, kind, text, received)

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        data = event["data"]
        name = str(look_up(data, "program.name") or "")
        if not name.startswith("R"):
            self.vectors += 1
            self.hold("K1", data, K1)
            return
        number = int(name[1:])
        result = self.made.get(number)
        if result is None:
            self.report.fault(f"result {number} was never made")
        elif result.event:
            self.report.fault(f"result {number} came under two ids, {result.event} and {event['id']}")
        else:
            result.event = event["id"]
            self.received.append(number)
            self.report.latencies.append(received - result.shown)
            self.hold(f"result {number}", data, {**expected(number), "result_id": str(result.counter)})

    def hold(self, what: str, data: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Members against what they should be."""
        for path, want in wanted.items():
            got = look_up(data, path)
            if got != want or isinstance(got, str) != isinstance(want, str):
                self.report.fault(f"{what}: {path} is {got!r} and should be {want!r}")


class Run:
    """One Kolver, its link and the gateway."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self.rig = rig
        self.chance = chance
        rig.add_broker()
        rig.add_mes()
        self.path = rig.folder / "kolver.jsonl"
        self.peer = Peer("kolver.py", ["--slot", SLOT, "--ledger", str(self.path), "--seed", str(rig.seed)], rig.folder / "kolver.log")
        self.link = Proxy(self.peer.hello["port"])
        rig.links.append(self.link)
        rig.tools.append(Tool(self.peer, self.link.port, self.link, self.path, [SLOT], "kolver"))
        profile = "kolver/k-ducer-modbus"
        (rig.devices / "kolver").mkdir()
        (rig.devices / f"{profile}.toml").write_bytes((CATALOG / f"{profile}.toml").read_bytes())
        (rig.devices / f"{SLOT}.toml").write_text(
            f'profile = 1\nextends = "{profile}"\nserial = "KD-20077"\n[connection]\naddress = "127.0.0.1:{self.link.port}"\npoll = "20ms"\n'
        )
        rig.configure(asks='delivers = ["tightening", "curve", "readings"]')
        self.received = Follower(rig.received)
        self.last = 0
        self.seen = 0

    def newest(self) -> int:
        """The highest number that the MES has."""
        for parts, entry in self.received.entries():
            if parts[-1] == "tightening":
                self.seen += 1
                name = json.loads(entry["p"])["data"].get("program", {}).get("name", "")
                if name.startswith("R"):
                    self.last = max(self.last, int(name[1:]))
        return self.last

    def make(self, count: int, rate: float) -> None:
        """So many more results; does not wait."""
        made = self.peer.ask("stats")["made"]
        self.peer.ask("resume", rate=rate, limit=made + count)

    def made(self) -> int:
        """By the controller."""
        return int(self.peer.ask("stats")["made"])

    def arrives(self) -> None:
        """The last one made is at the MES."""
        self.rig.wait("the last result arrives", lambda: self.newest() == self.made(), 30)

    def done(self) -> bool:
        """Whether the controller has made all it was told to."""
        stats = self.peer.ask("stats")
        return stats["made"] >= stats["limit"]

    def calm(self) -> None:
        """Two more results, slowly, so that the last one stands long enough to be read."""
        self.make(2, 2)
        self.rig.wait("two more are made", self.done, 30)
        self.arrives()

    def reboot(self, wait: bool) -> None:
        """Off and on: ids begin at 1."""
        self.peer.ask("power", keep=False)
        if wait:
            self.rig.wait("the controller is up", lambda: not self.peer.ask("stats")["down"], 10)

    def disturb(self) -> str:
        """One fault."""
        rig, chance = self.rig, self.chance
        kind = chance.choice(["kill", "kill", "cut", "refuse", "black hole", "kill and stay away"])
        match kind:
            case "kill":
                rig.gateway.kill()
                rig.gateway.start()
            case "kill and stay away":
                rig.gateway.kill()
                rig.pass_time(chance.uniform(0.2, 1))
                rig.gateway.start()
            case "cut":
                self.link.cut()
            case "refuse":
                self.link.cut(refuse=True)
                rig.pass_time(chance.uniform(0.1, 1))
                self.link.mend()
            case "black hole":
                self.link.black_hole()
                rig.pass_time(chance.uniform(0.1, 1))
                self.link.mend()
        return kind


def kolver(rig: Rig, chance: random.Random, options: Any) -> int:
    """The vector; then rounds of results, slow and twice as fast as polled, with faults; between rounds a reboot."""
    results = options.results or (10_000 if options.long else 300)
    run = Run(rig, chance)
    rig.gateway.start()
    rig.wait("the slot is online", lambda: any(s.get("state") == "online" for s in statuses(rig)), 30)
    run.peer.ask("k1")
    rig.wait("the vector arrives", lambda: run.newest() >= 0 and run.seen > 0, 20)
    rig.say("K1 is at the MES")
    done: Counter[str] = Counter()
    told = time.monotonic()
    while run.made() < results:
        # The ids must have come far enough that a restart is told from a jump.
        run.make(chance.randint(25, 60), 8)
        while not run.done():
            rig.pass_time(chance.uniform(0.1, 1.5))
            done[run.disturb()] += 1
        run.make(chance.randint(40, 120) if not options.long else chance.randint(200, 900), chance.choice([25, 50, 100]))
        while not run.done():
            rig.pass_time(chance.uniform(0.1, 1.5))
            done[run.disturb()] += 1
        run.calm()
        kind = chance.choice(["reboot", "reboot", "reboot while the gateway is away"])
        done[kind] += 1
        if kind == "reboot":
            run.reboot(True)
            rig.pass_time(chance.uniform(0, 0.5))
        else:
            rig.gateway.kill()
            run.reboot(True)
            run.make(chance.randint(1, 9), 20)
            rig.wait("results are made while the gateway is away", run.done, 20)
            rig.gateway.start()
            run.arrives()
        if time.monotonic() - told > 20:
            told = time.monotonic()
            rig.say(f"{run.made()} of {results} made, {sum(done.values())} faults")
    try:
        run.calm()
    except Failure as failure:
        rig.say(f"{failure}")
        rig.late = str(failure)
    return verdict(rig, run, done)


def statuses(rig: Rig) -> list[dict[str, Any]]:
    """What the slot's status said."""
    return [json.loads(line["p"] or "{}") for line in ledger.read(rig.received) if line["topic"].endswith("/kolver/status")]


def verdict(rig: Rig, run: Run, done: Counter[str]) -> int:
    """Ledger against inbox."""
    stop = rig.gateway.stop()
    rig.quiet()
    rig.mes.ask("stop")
    rig.mes.end()
    rules = Rules(check_units=False, content_type=rig.version == "5", schema_every=20, allowed=("alarm", "change", "gap", "curve", "readings"))
    verifier = KolverVerifier(rules, run.path, rig.mes_ledger, rig.folder / "contract")
    verifier.read_received(rig.received)
    report = verifier.report
    missing = [n for n, result in verifier.made.items() if not result.event]
    if verifier.vectors != 1:
        report.fault(f"the vector K1 led to {verifier.vectors} events")
    if verifier.received != sorted(verifier.received):
        report.fault("results came out of order")
    if len(missing) != verifier.gaps:
        report.fault(f"{len(missing)} results were overwritten unread, and gaps tell {verifier.gaps}; the first missing: {missing[:5]}")
    for (topic, _), numbers in verifier.left_out.items():
        if numbers:
            report.fault(f"{topic}: {len(numbers)} sequence numbers never came: {sorted(numbers)[:5]}")
    report.counts.update({f"fault: {kind}": count for kind, count in done.items()})
    report.counts.update({"results made": len(verifier.made), "results received": len(verifier.received)})
    report.counts.update({"overwritten and told by gaps": verifier.gaps, "reboots": verifier.faults["power cycle"]})
    report.counts.update({"answered busy": run.peer.ask("stats")["faults"].get("busy", 0), "gateway starts": rig.gateway.starts})
    for fault in filter(None, [stop, rig.late]):
        report.fault(fault)
    report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
    return report.fault_count

"""A wrench and a scanner on serial ports beside a torque controller at one station, and the same over TCP at another.

The scanner says which unit is there, results bind to it, badges never become one. Ports vanish and return, bytes are spoilt, the
gateway is killed: what was acknowledged is there, and what broke its check sum lies in quarantine as it was.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ledger
import scanner
import wrench
from broker import free_port
from handshakes import Made
from ports import Port
from processes import Peer
from rig import ROOT, Rig, Tool
from torque import Seen
from torque_kinds import BEFORE, Kind, profile
from torque_verify import TorqueVerifier
from verify import Rules, look_up

CATALOG = ROOT / "device-profiles"
VIN = "^[A-HJ-NPR-Z0-9]{17}$"
# Around a scan nobody can say which unit a result belongs to.
MARGIN = 0.3
WRENCH = """profile = 1
vendor = "Peer"
model = "wrench"
maturity = "document"
[connection]
protocol = "serial"
address = "{address}"
baud = 19200
[frame]
start = "\\u0002"
end = "\\r\\n"
checksum = "xor"
checksum_at = "before_end"
pattern = '^(?<seq>\\d+),(?<torque>[-\\d. ]+),(?<uom>[^,]+),(?<angle>[-\\d. ]+),(?<judge>OK|NG),$'
reply = "\\u0006"
[points]
torque = {{ type = "decimal", uom = "N.m" }}
angle = {{ type = "decimal", uom = "deg" }}
judge = {{ map = {{ OK = "ok", NG = "nok" }} }}
[events.tightening]
when = "frame"
id = ["seq"]
result = "judge"
torque = "torque"
angle = "angle"
"""
TOHNICHI = """profile = 1
extends = "tohnichi/cem3-bta"
remove = ["events.tightening.unit"]
[connection]
protocol = "tcp"
address = "127.0.0.1:{port}"
[events.tightening]
time = {{ points = ["date", "clock"], format = "%y/%m/%d %H:%M:%S", zone = "utc" }}
extra = ["id"]
"""
SCANNER = """profile = 1
extends = "scanner/text"
[connection]
address = "{address}"
[frame]
pattern = '^(?<aim>\\][A-Za-z].)?I?(?<code>.+)$'
"""
GS1 = """profile = 1
extends = "scanner/gs1"
[connection]
protocol = "tcp"
address = "127.0.0.1:{port}"
listen = true
"""
REMOVED = 'remove = ["connection.baud", "connection.framing"]\n'


class WiresVerifier(TorqueVerifier):
    """The controller as ever; wrenches by their numbers; units by what the scanners said."""

    def __init__(self, rules: Rules, rig: Rig, run: Run, schemas: Path) -> None:
        super().__init__(rules, {"st10.spindle-1": (Kind(walk=True, echoes=False), run.controller.ledger)}, rig.mes_ledger, schemas)
        self.run = run
        self.made = {name: read_wrench(rig.folder / f"{name}.jsonl") for name in ("wrench", "cem3")}
        self.order: dict[str, list[tuple[int, int]]] = {"wrench": [], "cem3": []}
        self.quarantined: list[str] = []
        self.codes: Counter[tuple[str, str]] = Counter()

    def read_event(self, topic: str, kind: str, text: str, received: float) -> None:
        event = json.loads(text)
        if event["id"] not in self.ids:
            if kind == "quarantine":
                self.quarantined.append(str(event["data"]["raw"]))
            elif kind == "identification":
                self.codes[topic.split("/")[-3], event["data"]["code"]] += 1
        slot = topic.split("/")[-2]
        if kind not in ("tightening", "gap", "alarm") or slot != "spindle-1":
            # Not the controller's: the envelope alone.
            super(TorqueVerifier, self).read_event(topic, kind, text, received)
        else:
            super().read_event(topic, kind, text, received)

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        station, slot = topic.split("/")[-3:-1]
        self.check_station_unit(station, slot, event)
        if slot == "spindle-1":
            super().check_result(topic, event, received)
            return
        data = event["data"]
        number = int(data["result_id"]) if slot == "wrench" else int(look_up(data, "extra.id.value") or 0)
        result = self.made[slot].get(number)
        if result is None or result.event:
            under = f"under two ids, {result.event} and {event['id']}" if result else "and was never made"
            self.report.fault(f"{slot}: result {number} came {under}: {json.dumps(data, default=str)[:300]}")
            return
        result.event = event["id"]
        self.order[slot].append((int(event["sequence"]), number))
        self.report.latencies.append(received - result.shown)
        for path, want in wrench.expected(number, judged=slot == "wrench").items():
            got = look_up(data, path)
            same = got == Decimal(want) if isinstance(got, (int, Decimal)) else got == want
            if not same:
                self.report.fault(f"{slot}: result {number}: {path} is {got!r} and should be {want!r}")

    def check_station_unit(self, station: str, slot: str, event: dict[str, Any]) -> None:
        """A result is of the unit that was scanned last when it came."""
        unit = event["data"]["unit"]
        # Of what was fetched the time is as sure as a clock of seconds; while the gateway was away nobody scanned.
        fetched = event["data"].get("backfill") is True or event["data"]["times"]["basis"] == "device"
        seen = datetime.fromisoformat(event["time"]).timestamp()
        margin = 2.0 if fetched else MARGIN
        self.report.counts[f"unit {unit['state']}"] += 1
        observed = datetime.fromisoformat(event["data"]["times"]["observed"]).timestamp()
        if seen > observed + 0.001 and not event["data"].get("backfill"):
            self.report.fault(f"{station}.{slot}: a live result is said to be of {seen:.2f}, and was observed at {observed:.2f}")
        there = self.run.units_near(station, seen, margin)
        if unit.get("id") is not None and not unit["id"].startswith("WVWZZZ3HZPE"):
            self.report.fault(f"{station}.{slot}: {unit['id']} became a unit")
        elif unit.get("id") not in there:
            self.report.fault(f"{station}.{slot}: a result of {seen:.2f} is of {unit.get('id')} ({unit['state']}), and {there} was scanned")
        known = self.run.calm_at(station, seen) and None not in there and not fetched
        if known and (unit["state"] != "bound" or unit.get("from") != "slot:scanner"):
            self.report.fault(f"{station}.{slot}: a result of {seen:.2f} is {unit['state']} from {unit.get('from')}, though the scanner was there")

    def finish(self) -> Any:
        report = super().finish()
        for slot, results in self.made.items():
            numbers = [n for _, n in sorted(self.order[slot])]
            if numbers != sorted(numbers):
                report.fault(f"{slot}: results came out of order")
            missing = [n for n, result in results.items() if not result.event and not result.lost]
            if missing:
                report.fault(f"{slot}: {len(missing)} results never came: {missing[:5]}")
            acked = [n for n, result in results.items() if result.acked and not result.event]
            if acked:
                report.fault(f"{slot}: {len(acked)} results were acknowledged and never came: {acked[:5]}")
            report.counts[f"{slot}: results made"] = len(results)
            report.counts[f"{slot}: results received"] = len(numbers)
        self.check_codes(report)
        return report

    def check_codes(self, report: Any) -> None:
        """Each scan is one identification, twice within a second is one, and what read nothing is none."""
        wanted: Counter[tuple[str, str]] = Counter()
        for station, scans in self.run.scans.items():
            for scan in scans:
                if scan["what"] != "noread":
                    text = scan["code"]
                    text = text[3:] if text.startswith("]") else text
                    wanted[station, text.removeprefix("I") if scan["what"] == "vin" else text] += 1
        for key in wanted.keys() | self.codes.keys():
            if wanted[key] != self.codes[key]:
                report.fault(f"{key[0]}: {key[1]!r} was scanned {wanted[key]} times, and {self.codes[key]} identifications came")
        report.counts["scans"] = sum(wanted.values())


def read_wrench(path: Path) -> dict[int, Made]:
    """A wrench's ledger: `lost` is what it could not say."""
    made: dict[int, Made] = {}
    for line in ledger.read(path):
        if line["e"] == "made":
            made[line["n"]] = Made(line["n"], 0, line["t"])
        elif line["e"] == "acked":
            made[line["n"]].acked = True
        elif line["e"] == "unsaid":
            made[line["n"]].lost = True
    return made


class Run:
    """Two stations, their devices and the gateway."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self.rig = rig
        self.chance = chance
        rig.add_broker(calm=True)
        rig.add_mes()
        for folder in ("scanner", "tohnichi"):
            (rig.devices / folder).mkdir()
            for path in (CATALOG / folder).glob("*.toml"):
                (rig.devices / folder / path.name).write_bytes(path.read_bytes())
        self.wrench = self.peer("wrench.py", "wrench", "--format", "framed")
        self.scanner = self.peer("scanner.py", "scanner")
        self.ports = {"wrench": Port(rig, "wrench", self.wrench), "scanner": Port(rig, "scanner", self.scanner)}
        self.gs1_port = free_port()
        self.gs1 = self.peer("scanner.py", "gs1", "--connect", str(self.gs1_port))
        self.cem3 = self.peer("wrench.py", "cem3", "--format", "tohnichi", "--listen")
        path = rig.folder / "controller.jsonl"
        peer = Peer("controller.py", ["--ledger", str(path), "--paused", "--ids", "walk"], rig.folder / "controller.log")
        self.controller = Tool(peer, peer.hello["port"], None, path, ["st10.spindle-1"], "open-protocol")
        rig.tools.append(self.controller)
        self.seen = Seen(rig.received)
        self.number = 0
        self.scans: dict[str, list[dict[str, Any]]] = {"st10": [], "st20": []}
        # Spans in which a scanner, or the gateway, was not there: until the next scan nobody has to be sure of the unit.
        self.unsure: dict[str, list[list[float]]] = {"st10": [], "st20": []}
        self.returns: list[float] = []
        self.write()

    def peer(self, script: str, name: str, *args: str) -> Peer:
        """A device with a ledger and a log of its name."""
        found = Peer(script, ["--ledger", str(self.rig.folder / f"{name}.jsonl"), "--seed", f"{self.rig.seed}/{name}", *args], self.rig.folder / f"{name}.log")
        self.rig.undo.append(found.end)
        return found

    def write(self) -> None:
        """gateway.toml and the device files."""
        rig = self.rig
        files = {
            "st10.wrench": WRENCH.format(address=self.ports["wrench"].near),
            "st10.scanner": SCANNER.format(address=self.ports["scanner"].near),
            "st10.spindle-1": profile("walk", f"127.0.0.1:{self.controller.port}", "walk-back"),
            "st20.scanner": GS1.format(port=self.gs1_port).replace("profile = 1\n", "profile = 1\n" + REMOVED),
            "st20.cem3": TOHNICHI.format(port=self.cem3.hello["port"]).replace('unit"]', 'unit", "connection.baud", "connection.framing"]'),
        }
        for slot, text in files.items():
            (rig.devices / f"{slot}.toml").write_text(text)
        lines = [
            f'[gateway]\nid = "gw-test"\nstate_dir = "{rig.state}"\nprofiles = "device-profiles"\nweb = "off"',
            '[plant]\nenterprise = "acme"\nsite = "leipzig"\narea = "body"\nline = "line-3"',
            f'[mqtt]\nbroker = "mqtt://127.0.0.1:{rig.broker_link.port}"\nversion = "{rig.version}"',
        ]
        for station, slots in (("st10", ("scanner", "wrench", "spindle-1")), ("st20", ("scanner", "cem3"))):
            lines.append(f"[[station]]\nid = \"{station}\"\nunit_from = [\"slot:scanner\"]\nunit_pattern = '{VIN}'")
            for slot in slots:
                delivers = "identification" if slot == "scanner" else "tightening"
                lines.append(f'[[station.slot]]\nid = "{slot}"\ndelivers = "{delivers}"')
        rig.config.write_text("\n".join(lines) + "\n")
        rig.command("check", "--config", str(rig.config))
        rig.command("contract", "--config", str(rig.config), "--out", str(rig.folder / "contract"))

    # -- units

    def scan(self, station: str, what: str, twice: bool = False) -> None:
        """One code at the station's scanner; a VIN is a new unit from now on."""
        if what in ("vin", "plain", "gs1"):
            self.number += 1
        peer = self.scanner if station == "st10" else self.gs1
        at = time.time()
        peer.ask("scan", what=what, number=self.number, twice=twice)
        entry = {"t": at, "what": what, "code": scanner.code(what, self.number)}
        if what in ("vin", "plain", "gs1"):
            entry["unit"] = scanner.vin(self.number)
            if self.unsure[station] and self.unsure[station][-1][1] == 0:
                self.unsure[station][-1][1] = at + MARGIN
        self.scans[station].append(entry)

    def unit_at(self, station: str, when: float) -> str | None:
        """Which unit was scanned last."""
        units = [scan["unit"] for scan in self.scans[station] if "unit" in scan and scan["t"] <= when]
        return units[-1] if units else None

    def units_near(self, station: str, when: float, margin: float) -> set[str | None]:
        """Every unit that was there around a time."""
        near = {scan["unit"] for scan in self.scans[station] if "unit" in scan and when - margin <= scan["t"] <= when + margin}
        return {self.unit_at(station, when - margin), *near}

    def calm_at(self, station: str, when: float) -> bool:
        """Whether the unit had to be known for sure."""
        return not any(start - MARGIN <= when and (when <= end or end == 0) for start, end in self.unsure[station])

    def doubt(self, station: str) -> None:
        """From now on until the next scan."""
        if not self.unsure[station] or self.unsure[station][-1][1]:
            self.unsure[station].append([time.time(), 0.0])

    # -- what happens

    def online(self) -> bool:
        """Whether every slot says so, and every device has somebody to talk to."""
        slots = ("st10.wrench", "st10.scanner", "st10.spindle-1", "st20.scanner", "st20.cem3")
        there = self.controller.peer.ask("stats")["subscribed"] and self.gs1.ask("stats")["open"]
        return all(self.seen.state(slot)[0] == "online" for slot in slots) and bool(there)

    def work(self, seconds: float, disturb: bool = True) -> None:
        """Units come and go, badges are shown, bytes are spoilt."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.scan("st10", self.chance.choice(["vin", "plain"]), twice=self.chance.random() < 0.3)
            self.scan("st20", "gs1", twice=self.chance.random() < 0.3)
            self.rig.pass_time(self.chance.uniform(0.5, 0.8))
            self.scan("st10", self.chance.choice(["badge", "noread"]))
            if disturb:
                self.wrench.ask(self.chance.choice(["noise", "half", "spoil", "strange"]))
            self.rig.pass_time(self.chance.uniform(0.5, 0.8))
        self.rig.wait("no disturbance is left", lambda: self.wrench.ask("stats")["pending"] == 0, 10)

    def replug(self, name: str) -> None:
        """A port vanishes and returns under the same name."""
        if name == "scanner":
            self.doubt("st10")
        port = self.ports[name]
        port.unplug()
        slot = f"st10.{name}"
        self.rig.wait(f"{slot} is not online", lambda: self.seen.state(slot)[0] != "online", 10)
        reason = self.seen.state(slot)[1]
        self.rig.pass_time(self.chance.uniform(0.5, 3))
        acked = self.wrench.ask("stats")["acked"]
        port.plug()
        back = time.monotonic()
        if name == "wrench":
            self.rig.wait("the wrench is acknowledged again", lambda: self.wrench.ask("stats")["acked"] > acked, 20, every=0.02)
        else:
            self.rig.wait(f"{slot} is online", lambda: self.seen.state(slot)[0] == "online", 20, every=0.02)
        self.returns.append(time.monotonic() - back)
        self.rig.say(f"{slot}: gone ({reason}), resumed {self.returns[-1]:.1f} s after its port was back")

    def kill(self) -> None:
        """kill -9; what a wrench without acknowledgement says meanwhile is lost, so it is silent."""
        self.doubt("st10")
        self.doubt("st20")
        self.cem3.ask("pause")
        self.rig.pass_time(0.5)
        self.rig.gateway.kill()
        self.rig.pass_time(self.chance.uniform(0, 1))
        self.rig.gateway.start()
        self.rig.pass_time(0.5)
        self.rig.wait("all are online again", self.online, 40)
        self.cem3.ask("resume", rate=5)
        self.rig.say("killed and started")

    def end(self) -> int:
        """All is delivered."""
        rig = self.rig
        for peer in (self.wrench, self.cem3, self.controller.peer):
            peer.ask("pause")
        rig.wait("the wrench's last result is acknowledged", lambda: not self.wrench.ask("stats")["showing"], 20)
        rig.pass_time(0.5)
        rig.quiet()
        stop = rig.gateway.stop()
        rig.quiet()
        rig.mes.ask("stop")
        rig.mes.end()
        rules = Rules(check_units=False, content_type=rig.version == "5", schema_every=10)
        rules.allowed = ("alarm", "change", "quarantine", "identification", "gap")
        verifier = WiresVerifier(rules, rig, self, rig.folder / "contract")
        verifier.read_received(rig.received)
        report = verifier.finish()
        stats = self.wrench.ask("stats")
        for entry in ledger.read(rig.folder / "wrench.jsonl"):
            if entry["e"] == "violation":
                report.fault(f"st10.wrench: {entry['text']}")
        broken = [raw for raw in verifier.quarantined if "N.x" in raw or "4e 2e 78" in raw.lower() or "4e2e78" in raw.lower()]
        strange = [raw for raw in verifier.quarantined if "BATTERY" in raw or "42415454" in raw.replace(" ", "").lower()]
        for what, found in (("spoil", broken), ("strange", strange)):
            if len(found) != stats[what]:
                report.fault(f"st10.wrench: {stats[what]} frames were sent in mode {what}, and {len(found)} lie in quarantine")
        if len(verifier.quarantined) > len(broken) + len(strange):
            other = [raw for raw in verifier.quarantined if raw not in broken and raw not in strange]
            report.fault(f"{len(other)} quarantines of what nobody sent so, first: {other[0][:200]}")
        for seconds in self.returns:
            if seconds > 5:
                report.fault(f"a port was resumed {seconds:.1f} s after it was back; 5 s are granted")
        for fault in filter(None, [stop, *rig.gateway.exits]):
            report.fault(fault)
        report.counts |= {f"wrench: {what}": stats[what] for what in ("noise", "half", "spoil", "strange", "resent")}
        report.counts["slowest return, ms"] = int(max(self.returns, default=0) * 1000)
        report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
        return report.fault_count


def wires(rig: Rig, chance: random.Random, options: Any) -> int:
    """Work, ports that vanish, kills."""
    run = Run(rig, chance)
    run.controller.peer.ask("make", count=BEFORE)
    rig.gateway.start()
    rig.wait("all are online", run.online, 40)
    run.scan("st10", "vin")
    run.scan("st20", "gs1")
    rig.pass_time(1)
    for peer in (run.wrench, run.cem3, run.controller.peer):
        peer.ask("resume", rate=5)
    for _ in range(6 if options.long else 2):
        run.work(12 if options.long else 6)
        run.replug("wrench")
        run.work(4, disturb=False)
        run.replug("scanner")
        run.work(4)
        run.kill()
    run.work(4)
    return run.end()

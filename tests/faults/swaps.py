"""Devices are replaced while results flow: one file changes, and neither the MES nor another slot notices.

Modbus, Open Protocol, a serial line and a joining system by OPC UA fill one slot in turn, and then the first once more. The contract
is that of before the first swap; what a device was acknowledged has come, and what it was not stays with it.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import defaultdict
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import inch_tool
from follow import Follower
from rig import Failure, Rig
from swap_devices import Controller, Device, Inches, Joining, Wrench
from telegrams import expected, vin
from verify import Report, Rules, Verifier, look_up

SLOT, OTHER = "st10.spindle-1", "st10.other"
RATE = 15.0
REQUIRES = '["torque", "torque.min", "torque.target", "torque.result", "angle", "angle.min", "program", "batch"]'
GATEWAY = """[gateway]
id = "gw-test"
state_dir = "{state}"
profiles = "device-profiles"
web = "off"
[plant]
enterprise = "acme"
site = "leipzig"
area = "body"
line = "line-3"
[mqtt]
broker = "mqtt://127.0.0.1:{port}"
version = "{version}"
[[station]]
id = "st10"
unit_from = ["mes", "device"]
[[station.slot]]
id = "spindle-1"
delivers = "tightening"
requires = {requires}
[[station.slot]]
id = "other"
delivers = "tightening"
requires = ["torque", "torque.min", "angle", "program"]
"""


class Watch(Follower):
    """What the MES sees while it happens: results of each model, statuses of both slots, changes and alarms."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.came: dict[str, set[str]] = defaultdict(set)
        self.states: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.changes: dict[str, dict[str, Any]] = {}
        self.alarms: dict[str, tuple[str, dict[str, Any]]] = {}
        self.sessions: set[str] = set()

    def look(self) -> None:
        """Takes up what is new."""
        for parts, entry in self.entries():
            slot = ".".join(parts[-3:-1])
            if parts[-1] == "status":
                if entry["p"]:
                    status = json.loads(entry["p"])
                    self.sessions.add(status.get("session", ""))
                    self.states[slot].append(status)
                continue
            event = json.loads(entry["p"])
            if parts[-1] == "tightening":
                self.came[event["data"]["origin"].get("model", "")].add(event["id"])
            elif parts[-1] == "change":
                self.changes[event["id"]] = {"slot": slot, **event["data"]}
            elif parts[-1] == "alarm":
                self.alarms[event["id"]] = (slot, event["data"])

    def state(self, slot: str) -> tuple[str, str, str]:
        """What a status said last: state, model, reason."""
        self.look()
        last = self.states[slot][-1] if self.states[slot] else {}
        return last.get("state", ""), last.get("model", ""), last.get("reason", "")

    def count(self, model: str) -> int:
        """Results of a model so far."""
        self.look()
        return len(self.came[model])


def digests(folder: Path) -> dict[str, str]:
    """What every file of a configuration holds."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def put(rig: Rig, path: Path, text: str | bytes, manner: str) -> None:
    """Writes a file as an editor does: `direct`, `rename` a new one over it, `truncate` and write in two halves, or `backup` the old one first."""
    data = text.encode() if isinstance(text, str) else text
    fresh = path.with_name(f".{path.name}.new")
    match manner:
        case "direct":
            path.write_bytes(data)
        case "rename":
            fresh.write_bytes(data)
            fresh.replace(path)
        case "truncate":
            with open(path, "wb", buffering=0) as file:
                rig.pass_time(0.2)
                file.write(data[: len(data) // 2])
                rig.pass_time(0.3)
                file.write(data[len(data) // 2 :])
        case "backup":
            backup = path.with_name(f"{path.name}~")
            path.replace(backup)
            rig.pass_time(0.1)
            path.write_bytes(data)
            backup.unlink()
        case _:
            raise ValueError(manner)


class SwapVerifier(Verifier):
    """The envelope, sequences and schemas as ever; the results of each device by their number; the other slot by its own ledger."""

    def __init__(self, rules: Rules, devices: list[Device], other: Path, mes: Path, schemas: Path) -> None:
        super().__init__(rules, [other], mes, schemas)
        self.devices = {(device.vendor, device.model): device for device in devices}
        self.data: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self.order: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.models: list[tuple[int, str]] = []
        self.fetched = 0

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        if topic.split("/")[-2] != SLOT.split(".")[1]:
            super().check_result(topic, event, received)
            return
        data, sequence = event["data"], int(event["sequence"])
        device = self.devices.get((data["origin"].get("vendor"), data["origin"].get("model")))
        if device is None:
            self.report.fault(f"a result of nobody: {data['origin']}")
            return
        number = device.number(data)
        if number in self.data[device.name]:
            self.report.fault(f"{device.name}: result {number} came under two ids, the second is {event['id']} (sequence {sequence})")
            return
        self.models.append((sequence, device.name))
        self.order[device.name].append((sequence, number))
        self.data[device.name][number] = comparable(data)
        # A controller that is asked for an old result says less of it.
        fetched = data.get("backfill") is True and isinstance(device, Controller)
        self.fetched += data.get("backfill") is True
        wanted = {**expected(number, fetched), "unit.id": vin(number), "unit.state": "bound", "unit.from": "device"}
        if isinstance(device, Inches):
            wanted |= {f"torque.{path}": inch_tool.contract(number, name) for path, name in TORQUES.items()}
        for path, want in wanted.items():
            got = look_up(data, path)
            same = want is not None and got == Decimal(want) if isinstance(got, (int, Decimal)) and not isinstance(got, bool) else got == want
            if not same:
                self.report.fault(f"{device.name}: result {number}: {path} is {got!r} and should be {want!r}")

    def finish(self) -> Report:
        report = super().finish()
        print(f"     {'device':<14}{'made':>6}{'acknowledged':>14}{'came':>6}", flush=True)
        for device in self.devices.values():
            self.judge(device)
        return report

    def judge(self, device: Device) -> None:
        """What one device made, was acknowledged, and what of it came."""
        fault, name = self.report.fault, device.name
        made, acked, came = device.made(), device.acked(), self.data[name]
        print(f"     {name:<14}{len(made):>6}{len(acked) if device.acknowledged else '-':>14}{len(came):>6}", flush=True)
        numbers = [number for _, number in sorted(self.order[name])]
        if numbers != sorted(numbers):
            fault(f"{name}: its results came out of order")
        if strange := sorted(came.keys() - made.keys()):
            fault(f"{name}: results that were never made: {strange[:5]}")
        if early := sorted(number for number in came if number < device.first):
            fault(f"{name}: {early} were made before the gateway was there, and came")
        if numbers and (holes := sorted(set(range(device.first, max(numbers) + 1)) - came.keys())):
            fault(f"{name}: {len(holes)} results never came, though later ones did: {holes[:5]}")
        if device.acknowledged:
            if lost := sorted(number for number in acked - came.keys() if number >= device.first):
                fault(f"{name}: {lost[:5]} were acknowledged and never came")
            if kept := sorted(came.keys() - acked - device.fetched()):
                fault(f"{name}: {kept[:5]} came, and the device was never told")

    def compare(self, names: list[str], count: int) -> None:
        """The same tightening has the same data, whoever told it: `count` of each, from the first that all have."""
        different = 0
        first = max(device.first for device in self.devices.values())
        for number in range(first, first + count):
            base = self.data[names[0]].get(number)
            for name in names[1:]:
                other = self.data[name].get(number)
                if base is None or other is None:
                    self.report.fault(f"tightening {number} is not there of both {names[0]} and {name}")
                elif wrong := differences(base, other):
                    different += 1
                    self.report.fault(f"tightening {number}: {names[0]} and {name} differ: {wrong}")
        print(f"     {count} tightenings of each of {', '.join(names)}: {different} differ", flush=True)


TORQUES = {"value": "torque", "min": "torque_min", "max": "torque_max", "target": "torque_target"}


def comparable(data: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same: not when, by what, under which id."""
    kept = {key: value for key, value in data.items() if key not in ("times", "origin", "extra", "result_id", "backfill")}
    kept["unit"] = {key: value for key, value in kept["unit"].items() if key != "since"}
    return kept


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Where two values differ; numbers within seven significant digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                found.append(f"{at}.{key} is only in the {'first' if key in one else 'second'}")
            else:
                found += differences(one[key], other[key], f"{at}.{key}")
        return found
    if isinstance(one, (int, Decimal)) and isinstance(other, (int, Decimal)) and not isinstance(one, bool):
        one, other = Decimal(one), Decimal(other)
        digit = Decimal(1).scaleb((one or other).adjusted() - 6)
        return [] if abs(one - other) <= digit else [f"{at}: {one} and {other}"]
    return [] if one == other else [f"{at}: {one!r} and {other!r}"]


class Swaps:
    """The line, its devices, and the swaps."""

    def __init__(self, rig: Rig, count: int) -> None:
        self.rig = rig
        self.count = count
        rig.add_broker(calm=True)
        rig.add_mes()
        self.watch = Watch(rig.received)
        self.devices: list[Device] = []
        for make in (Inches, Controller, Wrench, Joining):
            device = make(rig)
            rig.undo.append(device.peer.end)
            self.devices.append(device)
        self.other = rig.add_tool("peer/torque-a", [OTHER], link=True, rate=10)
        rig.install(self.other)
        self.file = rig.devices / f"{SLOT}.toml"
        self.file.write_text(self.devices[0].text)
        rig.config.write_text(GATEWAY.format(state=rig.state, port=rig.broker_link.port, version=rig.version, requires=REQUIRES))
        rig.command("check", "--config", str(rig.config))
        rig.command("contract", "--config", str(rig.config), "--out", str(rig.folder / "contract"))
        # What stands behind each swap: seconds from the file to the first result, and to the end of the old link.
        self.took: list[str] = []
        # Which device was followed by which; by itself, where its file was edited.
        self.turns: list[tuple[Device, Device]] = []
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        """Goes on, and fails at the end."""
        self.faults.append(text)
        self.rig.say(f"! {text}")

    def arrived(self, device: Device, online: bool = True) -> None:
        """The device sees the gateway, and begins."""
        rig = self.rig
        try:
            if online:
                rig.wait(f"{device.name} is online", lambda: self.watch.state(SLOT)[:2] == ("online", device.model), 20, every=0.02)
            rig.wait(f"{device.name} sees the gateway", device.sees, 20, every=0.02)
        except Failure as failure:
            raise Failure(f"{failure}; the status says {self.watch.state(SLOT)}") from None

    def done(self, device: Device) -> int:
        """How many of its results are safe: acknowledged, or with the MES."""
        return device.stats()["acked"] if device.acknowledged else self.watch.count(device.model)

    def flow(self, device: Device, count: int) -> None:
        """Waits until so many of its results are safe."""
        self.rig.wait(f"{count} results of {device.name} are safe", lambda: self.done(device) >= count, 60)

    def plan(self, old: Device, new: Device) -> None:
        """What the swap would change, said before it is made: nothing for the MES."""
        rig = self.rig
        path = rig.folder / "new" / f"{new.name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(new.text)
        said = json.loads(rig.command("plan", "--config", str(rig.config), "--replace", f"{SLOT}={path}", "--json"))
        slots = said["slots"]
        if not said["contract_kept"] or [(slot["slot"], slot["contract"]) for slot in slots] != [(SLOT, [])]:
            self.fault(f"`lineside plan` for {old.name} to {new.name} does not say that nothing changes for the MES: {json.dumps(said)[:400]}")
        elif (slots[0]["from"]["model"], slots[0]["to"]["model"]) != (old.model, new.model):
            self.fault(f"`lineside plan` speaks of {slots[0]['from']} and {slots[0]['to']}, and {old.model} is to be replaced by {new.model}")

    def swap(self, old: Device, new: Device, manner: str, away: bool) -> None:
        """One device for another, while results flow."""
        rig = self.rig
        self.plan(old, new)
        before, process = digests(rig.etc), rig.gateway.process
        start = time.time()
        if away:
            rig.broker_link.cut(refuse=True)
            rig.say("broker away")
            self.flow(old, self.done(old) + 10)
        rig.say(f"{old.name} is replaced by {new.name}: {manner}{', broker away' if away else ''}; {old.stats()}")
        if isinstance(new, Wrench):
            # Nobody can see who listens on a serial port.
            new.begin(RATE)
        put(rig, self.file, new.text, manner)
        written = time.monotonic()
        rig.wait(f"the gateway has let go of {old.name}", old.gone, 20, every=0.01)
        ended = time.monotonic() - written
        self.arrived(new, online=not away)
        seen = time.monotonic() - written
        if not isinstance(new, Wrench):
            new.begin(RATE)
        safe = self.done(new)
        self.flow(new, safe + 1)
        self.took.append(f"{old.name} to {new.name} ({manner}{', broker away' if away else ''}): {ended:.1f}, {seen:.1f}, {time.monotonic() - written:.1f}")
        if away:
            self.flow(new, safe + 20)
            rig.broker_link.mend()
            rig.away.append((start, time.time()))
            rig.say("broker back")
        self.turns.append((old, new))
        if rig.gateway.process is not process:
            self.fault(f"the gateway was another process after {old.name} was replaced")
        after = digests(rig.etc)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if changed != [f"device-profiles/{SLOT}.toml"]:
            self.fault(f"a swap is one file, and these changed: {changed}")

    def edit(self, device: Device) -> None:
        """The file of the device is edited while results flow: another link to the same device, which goes on where it was."""
        rig = self.rig
        text = device.text.replace(*device.edit)
        if text == device.text:
            raise Failure(f"nothing is edited in the file of {device.name}")
        device.text = text
        told = len(self.told())
        put(rig, self.file, text, "direct")
        rig.wait(f"the MES is told of the edit of {device.name}", lambda: len(self.told()) > told, 20, every=0.02)
        self.flow(device, self.done(device) + 20)
        self.turns.append((device, device))

    def told(self) -> list[dict[str, Any]]:
        """Changes of the slot that the MES was told."""
        self.watch.look()
        return [change for change in self.watch.changes.values() if change["slot"] == SLOT]

    def run(self) -> int:
        """All swaps, and the verdict."""
        rig, devices = self.rig, self.devices
        rig.gateway.start()
        first = devices[0]
        rig.wait("the other slot is online", lambda: self.watch.state(OTHER)[0] == "online", 30)
        self.other.peer.ask("resume")
        self.arrived(first)
        first.begin(RATE)
        self.flow(first, first.first - 1 + self.count + max(0, self.highest() - first.first))
        manners = ["truncate", "rename", "backup", "rename"]
        for at, (old, new) in enumerate(zip(devices, devices[1:] + devices[:1], strict=True)):
            self.swap(old, new, manners[at], away=at == 1)
            behind = self.done(new) if new is first else 0
            self.flow(new, behind + (20 if new is first else self.count + self.highest() - new.first))
            if new is not first:
                self.edit(new)
            rig.say(f"{new.name}: {new.stats()}")
        return self.end(first)

    def highest(self) -> int:
        """The first number that all devices have."""
        return max(device.first for device in self.devices)

    def end(self, last: Device) -> int:
        """All is delivered, and the ledgers agree."""
        rig = self.rig
        last.pause()
        self.other.peer.ask("pause")
        rig.wait("nothing is shown any more", lambda: last.stats()["showing"] + self.other.peer.ask("stats")["showing"] == 0, 20)
        rig.wait(f"all results of {last.name} have come", lambda: self.watch.count(last.model) >= last.stats()["acked"], 30)
        rig.quiet()
        self.changes()
        self.same_contract()
        for device in self.devices:
            if device is not last and not device.gone():
                self.fault(f"{device.name} is still connected to, though {last.name} fills the slot")
        if rig.gateway.starts > 1:
            self.fault(f"the gateway was started {rig.gateway.starts} times")
        if problem := rig.gateway.stop():
            self.fault(problem)
        rig.quiet()
        rig.mes.ask("stop")
        rig.mes.end()
        self.watch.look()
        rules = Rules(check_units=False, everything=True, content_type=rig.version == "5", allowed=("alarm", "change"))
        verifier = SwapVerifier(rules, self.devices, self.other.ledger, rig.mes_ledger, rig.folder / "contract")
        verifier.read_received(rig.received)
        report = verifier.finish()
        verifier.compare([device.name for device in self.devices], self.count)
        turns = [device.name for device in [*self.devices, self.devices[0]]]
        if (found := [name for name, _ in groupby(name for _, name in sorted(verifier.models))]) != turns:
            self.fault(f"in order of sequence the devices come as {found[:12]}, and filled the slot as {turns}")
        self.undisturbed()
        for text in [*self.faults, *rig.gateway.exits]:
            report.fault(text)
        report.counts["gateway starts"] = rig.gateway.starts
        report.counts["gateway peak memory KiB"] = rig.gateway.peak_kib
        report.counts["swaps"] = len(self.took)
        report.counts["fetched after an edit"] = verifier.fetched
        report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
        print("     seconds until the old link had ended, the new device was there, its first result was safe:", flush=True)
        for line in self.took:
            print(f"       {line}", flush=True)
        return report.fault_count

    def changes(self) -> None:
        """One `change` event a swap, with what was there and what is; and `lineside changes` lists the same."""
        wanted = [(old.model, new.model) for old, new in self.turns]
        told = self.told()
        found = [(change.get("from", {}).get("model"), change.get("to", {}).get("model")) for change in told]
        if found != wanted:
            self.fault(f"these changes were told: {found}; the swaps were {wanted}")
        for one, two in pairwise(told):
            if one["to"].get("digest") != two["from"].get("digest"):
                self.fault(f"a change begins with {two['from']}, and the one before ended with {one['to']}")
        if strange := [change for change in self.watch.changes.values() if change["slot"] != SLOT]:
            self.fault(f"changes of another slot: {strange}")
        listed = json.loads(self.rig.command("changes", "--config", str(self.rig.config), "--last", "1000", "--json"))
        found = [(entry.get("from", {}).get("model"), entry.get("to", {}).get("model")) for entry in listed if entry["slot"] == SLOT and entry["what"] != "installed"]
        if found != wanted:
            self.fault(f"`lineside changes` lists {found}; the swaps were {wanted}")

    def same_contract(self) -> None:
        """What `lineside contract` says is what it said before the first swap."""
        rig = self.rig
        rig.command("contract", "--config", str(rig.config), "--out", str(rig.folder / "contract-after"))
        before, after = digests(rig.folder / "contract"), digests(rig.folder / "contract-after")
        if before != after:
            self.fault(f"the contract is another after the swaps: {sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))}")

    def undisturbed(self) -> None:
        """The other slot was online all the time, on one connection, and nothing was to be alarmed about."""
        states = self.watch.states[OTHER]
        begun = next((at for at, status in enumerate(states) if status["state"] == "online"), len(states))
        left = [f"{status['state']} ({status.get('reason', '')})" for status in states[begun:] if status["state"] != "online"]
        # The last one may be its farewell.
        if left[:-1] or (left and states[-1]["state"] == "online"):
            self.fault(f"{OTHER} was not online all the time: {left[:5]}")
        if self.other.link.asked != 1:
            self.fault(f"{OTHER} was connected to {self.other.link.asked} times")
        if len(self.watch.sessions) != 1:
            self.fault(f"statuses name {len(self.watch.sessions)} sessions of the gateway")
        for slot, data in self.watch.alarms.values():
            self.fault(f"an alarm of {slot}: {json.dumps(data)[:300]}")


def swaps(rig: Rig, chance: random.Random, options: Any) -> int:
    """Four devices in turn, and the first once more; long with 200 results of each."""
    del chance
    return Swaps(rig, 200 if options.long else 60).run()

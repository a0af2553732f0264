"""The verifiers of handshakes and of the bus find what is wrong: a sound run passes, each kind of damage is told."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

import buses  # noqa: E402
from bus import register  # noqa: E402
from handshakes import HandshakeVerifier  # noqa: E402
from plc_results import expected  # noqa: E402
from test_verify import BASE, START, iso  # noqa: E402
from verify import CONTENT_TYPE, Report, Rules  # noqa: E402

Lines = list[dict[str, Any]]


def envelope(slot: str, kind: str, sequence: int, data: dict[str, Any]) -> dict[str, Any]:
    """An event of a slot at station st10."""
    return {
        "specversion": "1.0",
        "id": f"{kind}-{sequence}",
        "source": f"/{BASE}/st10/{slot}",
        "type": f"lineside.{kind}.v1",
        "time": iso(START + sequence),
        "datacontenttype": "application/json",
        "dataschema": f"urn:lineside:{kind}:1",
        "sequence": f"{sequence:020d}",
        "stream": "s",
        "data": {"unit": {"state": "unbound"}, **data},
    }


def tightening(slot: str, sequence: int, number: int) -> dict[str, Any]:
    """The event of result `number`."""
    data: dict[str, Any] = {"result_id": str(number), "times": {"device": iso(START + number)}}
    for path, want in expected(number).items():
        *parents, name = path.split(".")
        table = data
        for parent in parents:
            table = table.setdefault(parent, {})
        table[name] = want if path in ("result", "program.id") else float(want) if "." in want else int(want)
    return envelope(slot, "tightening", sequence, data)


def sound(slot: str, missing: tuple[int, ...] = ()) -> tuple[Lines, Lines]:
    """Twelve results of a PLC; those that are missing were overwritten, and a gap tells each."""
    plc: Lines = []
    events: Lines = []
    for number in range(1, 13):
        plc.append({"e": "shown", "slot": f"st10.{slot}", "n": number, "counter": number, "stamp": int(START) + number, "t": START})
        if slot == "echo":
            plc.append({"e": "acked", "slot": f"st10.{slot}", "n": number})
        if number in missing:
            events.append(envelope(slot, "gap", missing.index(number) + 1, {"cause": "missed", "of": "tightening", "count": 1}))
        else:
            events.append(tightening(slot, sum(event["type"].startswith("lineside.t") for event in events) + 1, number))
    return plc, events


class HandshakeTest(unittest.TestCase):
    def run_with(self, slot: str, damage: Callable[[Lines, Lines], object], missing: tuple[int, ...] = ()) -> Report:
        plc, events = sound(slot, missing)
        damage(plc, events)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            (place / "plc.jsonl").write_text("".join(json.dumps(line) + "\n" for line in plc))
            lines = [
                {"topic": f"{BASE}/st10/{slot}/{e['type'].split('.')[1]}", "p": json.dumps(e), "retain": False, "qos": 1, "content_type": CONTENT_TYPE}
                for e in events
            ]
            (place / "received.jsonl").write_text("".join(json.dumps({**line, "t": START}) + "\n" for line in lines))
            rules = Rules(check_units=False, allowed=("gap", "quarantine"))
            (place / "none").mkdir()
            verifier = HandshakeVerifier(rules, {f"st10.{slot}": place / "plc.jsonl"}, place / "mes.jsonl", None)
            verifier.read_received(place / "received.jsonl")
            with contextlib.redirect_stdout(io.StringIO()):
                return verifier.finish()

    def assert_finds(self, what: str, damage: Callable[[Lines, Lines], object], slot: str = "echo", missing: tuple[int, ...] = ()) -> None:
        report = self.run_with(slot, damage, missing)
        self.assertTrue(any(what in fault for fault in report.faults), f"{what!r} is not in {report.faults}")

    def test_sound(self) -> None:
        self.assertEqual(self.run_with("echo", lambda plc, events: None).faults, [])
        self.assertEqual(self.run_with("counter", lambda plc, events: None, (4, 5, 9)).faults, [])

    def test_acknowledged_and_lost(self) -> None:
        def lose(_plc: Lines, events: Lines) -> None:
            del events[-1]

        self.assert_finds("was acknowledged and never came", lose)

    def test_two_ids(self) -> None:
        def again(_plc: Lines, events: Lines) -> None:
            events.append({**events[-1], "id": "other", "sequence": f"{13:020d}"})

        self.assert_finds("came under two ids", again)

    def test_values_of_two_results(self) -> None:
        def mix(_plc: Lines, events: Lines) -> None:
            events[4]["data"]["angle"] = events[5]["data"]["angle"]

        self.assert_finds("values of two results in one event", mix)

    def test_too_few_and_too_many_told(self) -> None:
        def fewer(_plc: Lines, events: Lines) -> None:
            del events[4]
            events[7]["sequence"] = f"{2:020d}"

        self.assert_finds("3 results were overwritten unread, and gaps tell 2", fewer, "counter", (4, 5, 9))

        def more(_plc: Lines, events: Lines) -> None:
            events[4]["data"]["count"] = 2

        self.assert_finds("3 results were overwritten unread, and gaps tell 4", more, "counter", (4, 5, 9))
        self.assert_finds("and none was overwritten", lambda plc, events: events.append(sound("echo", (1,))[1][0]))

    def test_mistreated(self) -> None:
        self.assert_finds("the PLC was mistreated", lambda plc, events: plc.append({"e": "violation", "n": 3, "text": "so"}))
        self.assert_finds("was taken twice", lambda plc, events: plc.append({"e": "acked", "n": 3}))

    def test_the_last_one_never_came(self) -> None:
        def lose(_plc: Lines, events: Lines) -> None:
            del events[-1]

        self.assert_finds("the last result, 12, never came", lose, "counter")


class BusTest(unittest.TestCase):
    def check(self, device: int, place: int, age: float) -> list[str]:
        """What is found in one register of device 4, place 7."""
        read, bus = buses.Read(), object.__new__(buses.Bus)
        value = register(device, place, START - age)
        bus.check("good-4", read, {"time": iso(START), "data": {"values": {"r7": value}}})
        self.assertEqual(read.registers, 1)
        return read.wrong

    def test_whose_which_and_when(self) -> None:
        self.assertEqual(self.check(4, 7, 0.3), [])
        self.assertIn("of device 5", self.check(5, 7, 0.3)[0])
        self.assertIn("of register r57", self.check(4, 57, 0.3)[0])
        self.assertIn("earlier request", self.check(4, 7, 3.5)[0])


if __name__ == "__main__":
    unittest.main()

"""The verifier of swaps finds what is wrong: a sound run passes, each kind of damage is told."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import unittest
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

from swap_devices import Device  # noqa: E402
from swaps import SwapVerifier, differences  # noqa: E402
from telegrams import vin  # noqa: E402
from test_handshakes import envelope  # noqa: E402
from test_torque import tightening  # noqa: E402
from test_verify import BASE, START  # noqa: E402
from verify import CONTENT_TYPE, Report, Rules  # noqa: E402

COUNT = 8
Lines = list[dict[str, Any]]


class Ledgers(Device):
    """A device of which nothing is there but what it would have written down."""

    def __init__(self, name: str, acknowledged: bool) -> None:
        self.name = name
        self.vendor, self.model, self.acknowledged = "Peer", name, acknowledged
        self.numbers = dict.fromkeys(range(1, COUNT + 2), START)
        self.told = set(range(1, COUNT + 1)) if acknowledged else set()

    def made(self) -> dict[int, float]:
        return self.numbers

    def acked(self) -> set[int]:
        return self.told

    def fetched(self) -> set[int]:
        return set()


def sound() -> Lines:
    """The results of the one device, then those of the other."""
    events = []
    for at, name in enumerate(("one", "two")):
        for number in range(1, COUNT + 1):
            data = tightening(number, number, False)["data"] | {"origin": {"vendor": "Peer", "model": name}}
            event = envelope("spindle-1", "tightening", at * COUNT + number, data)
            events.append({**event, "id": f"{name}-{number}", "subject": vin(number)})
    return events


class SwapTest(unittest.TestCase):
    def run_with(self, damage: Callable[[Lines, list[Ledgers]], object]) -> Report:
        events, devices = sound(), [Ledgers("one", True), Ledgers("two", False)]
        damage(events, devices)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            (place / "other.jsonl").touch()
            lines = [{"topic": f"{BASE}/st10/spindle-1/tightening", "p": json.dumps(e), "retain": False, "qos": 1, "content_type": CONTENT_TYPE} for e in events]
            (place / "received.jsonl").write_text("".join(json.dumps({**line, "t": START + 20}) + "\n" for line in lines))
            rules = Rules(check_units=False)
            verifier = SwapVerifier(rules, list(devices), place / "other.jsonl", place / "mes.jsonl", None)
            verifier.read_received(place / "received.jsonl")
            with contextlib.redirect_stdout(io.StringIO()):
                report = verifier.finish()
                verifier.compare(["one", "two"], COUNT)
            # The other slot is not part of these runs.
            report.faults = [fault for fault in report.faults if "nothing was proved" not in fault]
            return report

    def assert_finds(self, what: str, damage: Callable[[Lines, list[Ledgers]], object]) -> None:
        report = self.run_with(damage)
        self.assertTrue(any(what in fault for fault in report.faults), f"{what!r} is not in {report.faults}")

    def test_sound(self) -> None:
        self.assertEqual(self.run_with(lambda events, devices: None).faults, [])

    def test_lost_and_kept(self) -> None:
        self.assert_finds("were acknowledged and never came", lambda events, devices: devices[0].told.add(COUNT + 1))
        self.assert_finds("the device was never told", lambda events, devices: devices[0].told.discard(COUNT))
        self.assert_finds("though later ones did", lambda events, devices: events.pop(COUNT + 2))
        self.assert_finds("sequence numbers never came", lambda events, devices: events.pop(COUNT + 2))

    def test_doubled(self) -> None:
        again = {"id": "again", "sequence": f"{2 * COUNT + 1:020d}"}
        self.assert_finds("came under two ids", lambda events, devices: events.append({**events[-1], **again}))
        self.assert_finds("is not there of both", lambda events, devices: events.pop())

    def test_strangers(self) -> None:
        self.assert_finds("a result of nobody", lambda events, devices: events[3]["data"]["origin"].update(model="three"))
        self.assert_finds("never made", lambda events, devices: devices[1].numbers.pop(COUNT))

    def test_values(self) -> None:
        self.assert_finds("torque.value is", lambda events, devices: events[3]["data"]["torque"].update(value=1))
        self.assert_finds("one and two differ", lambda events, devices: events[3]["data"].update(joint="left"))

    def test_seven_digits(self) -> None:
        self.assertEqual(differences({"value": Decimal("655.35")}, {"value": Decimal("655.3501")}), [])
        self.assertEqual(len(differences({"value": Decimal("655.35")}, {"value": Decimal("655.3502")})), 1)
        self.assertEqual(differences(Decimal(0), Decimal(0)), [])
        self.assertEqual(len(differences({"a": 1}, {"b": 1})), 2)


if __name__ == "__main__":
    unittest.main()

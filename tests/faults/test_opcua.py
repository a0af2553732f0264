"""The verifier of joining systems finds what is wrong: a sound run passes, each kind of damage is told. And values follow from numbers."""

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

from opcua_joining import BEFORE, POINTS_OF_TRACE, JoiningVerifier  # noqa: E402
from telegrams import derive, expected, vin  # noqa: E402
from test_handshakes import Lines, envelope  # noqa: E402
from test_verify import BASE, START  # noqa: E402
from verify import CONTENT_TYPE, Report, Rules  # noqa: E402

FIRST = BEFORE + 1
# Operation FIRST + 2 is a batch of three; FIRST + 3 is held back and fetched; the last one has a trace.
BATCH, HELD, LAST = FIRST + 2, FIRST + 3, FIRST + 6


def raised(sequence: int) -> dict[str, Any]:
    """A line of the server's ledger."""
    line = {"e": "held" if sequence == HELD else "raised", "sequence": sequence, "kind": "single", "when": START * 1000, "n": sequence, "id": f"R-{sequence:06}"}
    if sequence == BATCH:
        line |= {"kind": "batch", "children": [101, 102, 103], "n": 104, "id": "R-000104"}
    return line | {"trace": sequence == LAST}


def tightening(at: int, number: int, fetched: bool = False) -> dict[str, Any]:
    """The event of a result."""
    data: dict[str, Any] = {"result_id": f"R-{number:06}", "tool": {"serial": "C0761275"}, "controller": {"serial": "PFC-1"}}
    if not derive(number)["status"]:
        data["errors"] = [{"code": "E-4"}]
    if fetched:
        data["backfill"] = True
    for path, want in expected(number, False).items():
        if want is None:
            continue
        *parents, name = path.split(".")
        table = data
        for parent in parents:
            table = table.setdefault(parent, {})
        text = path in ("program.id", "result") or not want[0].isdigit()
        table[name] = want if text else float(want) if "." in want else int(want)
    event = envelope("asked", "tightening", at, {**data, "unit": {"state": "bound", "id": vin(number), "from": "device"}})
    return {**event, "subject": vin(number)}


def curve(number: int) -> dict[str, Any]:
    """Its trace."""
    raw = derive(number)
    torque = [float(Decimal(raw["torque"] * (at + 1) // POINTS_OF_TRACE) / 100) for at in range(POINTS_OF_TRACE)]
    angle = [raw["angle"] * (at + 1) // POINTS_OF_TRACE for at in range(POINTS_OF_TRACE)]
    data = {"result_id": f"R-{number:06}", "x": {"name": "angle", "uom": "deg", "values": angle}, "y": {"name": "torque", "uom": "N.m", "values": torque}}
    return envelope("asked", "curve", 1, data)


def gap(after: int, before: int, count: int) -> dict[str, Any]:
    """Told by the gateway."""
    return envelope("asked", "gap", 1, {"cause": "missed", "of": "tightening", "after": str(after), "before": str(before), "count": count})


def sound(without: tuple[int, ...] = ()) -> tuple[Lines, Lines]:
    """A server's ledger and what came of it."""
    ledger: Lines = [raised(sequence) for sequence in range(1, LAST + 1)]
    ledger += [{"e": "requested", "from": HELD, "to": HELD}, {"e": "replayed", "n": HELD, "sequence": HELD}]
    events: Lines = []
    for sequence in range(FIRST, LAST + 1):
        if sequence in without:
            continue
        for number in [101, 102, 103] if sequence == BATCH else [sequence]:
            events.append(tightening(len(events) + 1, number, sequence == HELD))
    return ledger, [*events, curve(LAST)]


class JoiningTest(unittest.TestCase):
    def run_with(self, damage: Callable[[Lines, Lines], object], recovers: bool = True, without: tuple[int, ...] = ()) -> Report:
        server, events = sound(without)
        damage(server, events)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            (place / "server.jsonl").write_text("".join(json.dumps(line) + "\n" for line in server))
            lines = [
                {"topic": f"{BASE}/st10/asked/{e['type'].split('.')[1]}", "p": json.dumps(e), "retain": False, "qos": 1, "content_type": CONTENT_TYPE}
                for e in events
            ]
            (place / "received.jsonl").write_text("".join(json.dumps({**line, "t": START + 20}) + "\n" for line in lines))
            rules = Rules(check_units=False, allowed=("gap", "alarm", "curve"))
            verifier = JoiningVerifier(rules, {"st10.asked": (place / "server.jsonl", recovers)}, place / "mes.jsonl", None)
            verifier.read_received(place / "received.jsonl")
            with contextlib.redirect_stdout(io.StringIO()):
                return verifier.finish()

    def assert_finds(self, what: str, damage: Callable[[Lines, Lines], object], recovers: bool = True, without: tuple[int, ...] = ()) -> None:
        report = self.run_with(damage, recovers, without)
        self.assertTrue(any(what in fault for fault in report.faults), f"{what!r} is not in {report.faults}")

    def test_sound(self) -> None:
        self.assertEqual(self.run_with(lambda server, events: None).faults, [])

    def test_lost(self) -> None:
        self.assert_finds("though the server has them", lambda server, events: None, without=(FIRST + 1,))
        self.assert_finds("though the server has them", lambda server, events: None, without=(BATCH,))

    def test_two_ids_and_strangers(self) -> None:
        self.assert_finds("came under two ids", lambda server, events: events.append({**events[0], "id": "other", "sequence": f"{20:020d}"}))
        self.assert_finds("was never raised", lambda server, events: events.append(tightening(10, LAST + 1)))
        self.assert_finds("before the gateway's first start", lambda server, events: events.append(tightening(10, 2)))

    def test_order(self) -> None:
        def swap(_server: Lines, events: Lines) -> None:
            events[0]["sequence"], events[1]["sequence"] = events[1]["sequence"], events[0]["sequence"]
            events[0], events[1] = events[1], events[0]

        self.assert_finds("out of order", swap)

    def test_marks(self) -> None:
        def unmarked(_server: Lines, events: Lines) -> None:
            del events[5]["data"]["backfill"]

        self.assert_finds("was fetched, and is not marked so", unmarked)

        def marked(_server: Lines, events: Lines) -> None:
            events[0]["data"]["backfill"] = True

        self.assert_finds("was never told again", marked)

    def test_values(self) -> None:
        def mix(_server: Lines, events: Lines) -> None:
            events[0]["data"]["torque"] = events[1]["data"]["torque"]

        self.assert_finds("torque.value is", mix)

        def error(_server: Lines, events: Lines) -> None:
            events[0]["data"].pop("errors")

        self.assert_finds("errors are", error)

    def test_curves(self) -> None:
        self.assert_finds("never came", lambda server, events: events.pop())

        def spoil(_server: Lines, events: Lines) -> None:
            events[-1]["data"]["y"]["values"][3] += 1

        self.assert_finds("should have others", spoil)
        self.assert_finds("which has none", lambda server, events: events.append({**curve(LAST), "id": "x", "data": {**curve(LAST)["data"], "result_id": f"R-{FIRST:06}"}, "sequence": f"{2:020d}"}))

    def test_gaps(self) -> None:
        self.assert_finds("the server has everything", lambda server, events: events.append(gap(FIRST, FIRST + 2, 1)))
        lost = (FIRST + 1,)
        told = self.run_with(lambda server, events: events.append(gap(FIRST, FIRST + 2, 1)), False, lost)
        self.assertEqual(told.faults, [])
        self.assert_finds("no gap tells it", lambda server, events: None, False, lost)
        self.assert_finds("counts 2", lambda server, events: events.append(gap(FIRST, FIRST + 2, 2)), False, lost)
        # A batch whose parts came is no gap.
        self.assert_finds("and it came", lambda server, events: events.append(gap(BATCH - 1, BATCH + 1, 1)), False)


if __name__ == "__main__":
    unittest.main()

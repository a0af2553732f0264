"""The verifier of torque controllers finds what is wrong: a sound run passes, each kind of damage is told."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

from controller import Controller  # noqa: E402
from session import Client  # noqa: E402
from telegrams import LENGTHS, Telegram, cut, expected, fields, vin  # noqa: E402
from test_handshakes import Lines, envelope  # noqa: E402
from test_verify import BASE, START, iso  # noqa: E402
from torque_kinds import BEFORE, Kind  # noqa: E402
from torque_verify import TorqueVerifier  # noqa: E402
from verify import CONTENT_TYPE, Report, Rules  # noqa: E402

LAST = BEFORE + 12
FETCHED = (BEFORE + 4, BEFORE + 5)


def tightening(sequence: int, number: int, fetched: bool) -> dict[str, Any]:
    """The event of result `number`."""
    data: dict[str, Any] = {"result_id": str(number), "times": {"device": iso(START + number)}, **({"backfill": True} if fetched else {})}
    for path, want in expected(number, fetched).items():
        if want is None:
            continue
        *parents, name = path.split(".")
        table = data
        for parent in parents:
            table = table.setdefault(parent, {})
        text = path in ("program.id", "result") or not want[0].isdigit()
        table[name] = want if text else float(want) if "." in want else int(want)
    event = envelope("walk", "tightening", sequence, {**data, "unit": {"state": "bound", "id": vin(number), "from": "device"}})
    return {**event, "subject": vin(number), "time": iso(START + number)}


def sound(missing: tuple[int, ...] = ()) -> tuple[Lines, Lines]:
    """Some results before the first start; then those that came live and two that were fetched."""
    ledger: Lines = []
    events: Lines = []
    for number in range(1, LAST + 1):
        ledger.append({"e": "made", "n": number, "id": number, "station": 1, "stamp": int(START) + number, "t": START + number})
        if number in FETCHED:
            ledger.append({"e": "fetched", "n": number})
        elif number > BEFORE and number not in missing:
            ledger.append({"e": "sent", "n": number, "m": number})
            ledger.append({"e": "acked", "n": number, "m": number + 0.1})
        if number > BEFORE and number not in missing:
            events.append(tightening(len(events) + 1, number, number in FETCHED))
    return ledger, events


class TorqueTest(unittest.TestCase):
    def run_with(self, damage: Callable[[Lines, Lines], object], kind: Kind, missing: tuple[int, ...] = ()) -> Report:
        controller, events = sound(missing)
        damage(controller, events)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            (place / "walk.jsonl").write_text("".join(json.dumps(line) + "\n" for line in controller))
            lines = [
                {"topic": f"{BASE}/st10/walk/{e['type'].split('.')[1]}", "p": json.dumps(e), "retain": False, "qos": 1, "content_type": CONTENT_TYPE}
                for e in events
            ]
            (place / "received.jsonl").write_text("".join(json.dumps({**line, "t": START + 20}) + "\n" for line in lines))
            rules = Rules(check_units=False, allowed=("gap", "alarm"))
            verifier = TorqueVerifier(rules, {"st10.walk": (kind, place / "walk.jsonl")}, place / "mes.jsonl", None)
            verifier.read_received(place / "received.jsonl")
            with contextlib.redirect_stdout(io.StringIO()):
                return verifier.finish()

    def assert_finds(self, what: str, damage: Callable[[Lines, Lines], object], kind: Kind | None = None, missing: tuple[int, ...] = ()) -> None:
        report = self.run_with(damage, kind or Kind(walk=True), missing)
        self.assertTrue(any(what in fault for fault in report.faults), f"{what!r} is not in {report.faults}")

    def test_sound(self) -> None:
        self.assertEqual(self.run_with(lambda controller, events: None, Kind(walk=True)).faults, [])

    def test_lost(self) -> None:
        self.assert_finds("was acknowledged and never came", lambda controller, events: events.pop())
        self.assert_finds("though the controller has them", lambda controller, events: None, missing=(BEFORE + 7,))

    def test_two_ids_and_strangers(self) -> None:
        self.assert_finds("came under two ids", lambda controller, events: events.append({**events[-1], "id": "other", "sequence": f"{13:020d}"}))
        self.assert_finds("was never made here", lambda controller, events: events.append(tightening(13, LAST + 1, False)))
        self.assert_finds("before the gateway's first start, and came", lambda controller, events: events.append(tightening(13, 2, False)))

    def test_order(self) -> None:
        def swap(_controller: Lines, events: Lines) -> None:
            events[6]["sequence"], events[7]["sequence"] = events[7]["sequence"], events[6]["sequence"]
            events[6], events[7] = events[7], events[6]

        self.assert_finds("out of order", swap)

    def test_marks(self) -> None:
        def live(controller: Lines, _events: Lines) -> None:
            controller[:] = [line for line in controller if line["e"] != "fetched"]

        self.assert_finds("is marked as fetched, and was never fetched", live)

        def unmarked(_controller: Lines, events: Lines) -> None:
            events[3] = tightening(4, FETCHED[0], False)

        self.assert_finds("was fetched, and is not marked so", unmarked)

        def late(_controller: Lines, events: Lines) -> None:
            events[3]["time"] = iso(START + 60)

        self.assert_finds("its time is", late)

    def test_values(self) -> None:
        def mix(_controller: Lines, events: Lines) -> None:
            events[8]["data"]["torque"] = events[9]["data"]["torque"]

        self.assert_finds("torque.value is", mix)

        def limits(_controller: Lines, events: Lines) -> None:
            events[3]["data"]["torque"]["min"] = 1

        self.assert_finds("torque.min is", limits)

    def test_gaps(self) -> None:
        lost = (BEFORE + 7, BEFORE + 8)

        def gap(count: int | None, after: int) -> dict[str, Any]:
            data = {"cause": "missed", "of": "tightening", "after": str(after), "before": str(BEFORE + 9)}
            return envelope("walk", "gap", 1, data | ({} if count is None else {"count": count}))

        kind = Kind(forgets=True)
        told = self.run_with(lambda controller, events: events.append(gap(2, BEFORE + 6)), kind, lost)
        self.assertEqual(told.faults, [])
        self.assert_finds("counts 3, and 2 were lost", lambda controller, events: events.append(gap(3, BEFORE + 6)), kind, lost)
        self.assert_finds("does not count", lambda controller, events: events.append(gap(None, BEFORE + 6)), kind, lost)
        self.assert_finds("between them came", lambda controller, events: events.append(gap(3, BEFORE + 5)), kind, lost)
        self.assert_finds("no gap tells it", lambda controller, events: None, kind, lost)
        self.assert_finds("nothing is missing", lambda controller, events: events.append(gap(2, BEFORE + 6)))

    def test_mistreated(self) -> None:
        self.assert_finds("the controller was mistreated", lambda controller, events: controller.append({"e": "violation", "text": "so"}))


class Line:
    """What a client writes to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.transport = self

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0


class ControllerTest(unittest.TestCase):
    """The controller takes what a client may do for right, and nothing else."""

    def setUp(self) -> None:
        self.acked: list[int] = []
        self.violations: list[str] = []
        controller = SimpleNamespace(
            timeout=1.0,
            drops_silent=False,
            ledger=SimpleNamespace(write=lambda **_: None),
            chance=lambda _: False,
            style=lambda: 0,
            note_acked=self.acked.append,
            violation=self.violations.append,
            heard={},
        )
        self.line = Line()
        self.client = Client(controller, None, self.line)  # type: ignore[arg-type]
        self.client.started = 6
        self.client.subscriptions = {60: (1, False), 70: (1, False)}

    def make(self, number: int) -> None:
        self.client.push(61, number, b"")

    def resend(self) -> None:
        self.client.tick(self.client.due + 1)

    def acknowledge(self, mid: int = 62) -> None:
        self.client.receive(Telegram(mid))

    def test_one_answer_to_two_copies(self) -> None:
        for number in (1, 2, 3):
            self.make(number)
        self.client.push(71, 0, b"")
        self.resend()
        for _ in range(3):
            self.acknowledge()
        self.acknowledge(72)
        self.assertEqual(([1, 2, 3, 0], []), (self.acked, self.violations))
        self.assertIsNone(self.client.outstanding)

    def test_one_answer_to_each_copy(self) -> None:
        self.make(1)
        self.resend()
        self.acknowledge()
        self.client.push(71, 0, b"")
        self.acknowledge()
        self.assertEqual(71, self.client.outstanding[0].mid if self.client.outstanding else 0)
        self.acknowledge(72)
        self.assertEqual(([1, 0], []), (self.acked, self.violations))

    def test_more_answers_than_were_asked_for(self) -> None:
        self.make(1)
        self.acknowledge()
        self.make(2)
        self.acknowledge()
        self.acknowledge()
        self.assertEqual((1, [1, 2]), (len(self.violations), self.acked))
        self.acknowledge(72)
        self.assertEqual(2, len(self.violations))

    def test_a_length_that_lies_is_no_telegram(self) -> None:
        for seed in range(2_000):
            liar = Controller.liar(SimpleNamespace(random=random.Random(seed)))  # type: ignore[arg-type]
            with contextlib.suppress(ValueError):
                self.assertIsNone(cut(bytearray(liar)), liar)


class TablesTest(unittest.TestCase):
    def test_lengths(self) -> None:
        for (layout, revision), length in LENGTHS.items():
            self.assertEqual(20 + len(fields(layout, revision, {})), length)


if __name__ == "__main__":
    unittest.main()

"""The verifier finds what is wrong: a sound run passes, and each kind of damage is told in its own words."""

from __future__ import annotations

import json
import sys
import tempfile
import unittest
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

from verify import CONTENT_TYPE, Report, Rules, verify  # noqa: E402

BASE = "acme/leipzig/body/line-3"
TOPIC = f"{BASE}/st10/spindle-1/tightening"
START = 1_795_000_000.0
Events = list[dict[str, Any]]


def iso(at: float) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sound(count: int = 30) -> tuple[Events, Events, Events]:
    """Ten results a second, a unit every second: what the tool, the MES's conveyor and its inbox would have."""
    tool: Events = []
    mes: Events = []
    events: Events = []
    for second in range(count // 10):
        unit = f"WVWZZZ1JZXW{second + 1:06d}"
        for what in ("entered", "published"):
            mes.append({"e": what, "station": "st10", "id": unit, "entered": START + second, "t": START + second})
    for n in range(1, count + 1):
        at = START + (n - 0.5) / 10
        unit = f"WVWZZZ1JZXW{int(at - START) + 1:06d}"
        expect = {"result": "ok", "torque.value": "12.34", "torque.uom": "N.m", "result_id": str(n)}
        tool.append({"e": "shown", "slot": "st10.spindle-1", "n": n, "counter": n, "stamp": int(at), "t": at, "expect": expect})
        tool.append({"e": "acked", "slot": "st10.spindle-1", "n": n, "t": at + 0.02})
        events.append(
            {
                "specversion": "1.0",
                "id": f"id-{n}",
                "source": f"/{BASE}/st10/spindle-1",
                "type": "lineside.tightening.v1",
                "subject": unit,
                "time": iso(at),
                "datacontenttype": "application/json",
                "dataschema": "urn:lineside:tightening:1",
                "sequence": f"{n:020d}",
                "stream": "s",
                "data": {
                    "unit": {"id": unit, "state": "bound", "from": "mes", "context": {"order": f"WO-{unit[-6:]}"}},
                    "result": "ok",
                    "torque": {"value": 12.34, "uom": "N.m"},
                    "result_id": str(n),
                    "times": {"observed": iso(at + 0.01), "device": iso(int(at))},
                    "origin": {"model": "PT-1"},
                },
            }
        )
    return tool, mes, events


class VerifierTest(unittest.TestCase):
    """One damage a test."""

    def run_with(
        self, damage: Callable[[Events, Events, Events], None], rules: Rules | None = None, topic: str = TOPIC
    ) -> Report:
        """The verdict on a sound run that was damaged."""
        tool, mes, events = sound()
        damage(tool, mes, events)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, lines in (("tool-0.jsonl", tool), ("mes.jsonl", mes)):
                (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
            with open(folder / "received.jsonl", "w") as file:
                for event in events:
                    line = {"topic": topic, "p": json.dumps(event), "t": START + 9, "qos": 1, "retain": False}
                    file.write(json.dumps({**line, "content_type": CONTENT_TYPE}) + "\n")
            rules = rules or Rules(everything=True, always_bound=True, content_type=True)
            return verify(rules, [folder / "tool-0.jsonl"], folder / "mes.jsonl", folder / "received.jsonl")

    def assert_finds(self, words: str, damage: Callable[[Events, Events, Events], Any], rules: Rules | None = None) -> None:
        """The damage is told, in these words."""
        report = self.run_with(damage, rules)
        self.assertTrue(any(words in fault for fault in report.faults), f"{words!r} is not in {report.faults}")

    def test_sound_run_passes(self) -> None:
        report = self.run_with(lambda tool, mes, events: None)
        self.assertEqual(report.faults, [])
        self.assertEqual(report.counts["results received"], 30)

    def test_sent_again_is_no_fault(self) -> None:
        report = self.run_with(lambda tool, mes, events: events.append(events[3]))
        self.assertEqual(report.faults, [])
        self.assertEqual(report.counts["sent again (same id)"], 1)

    def test_nothing_received_proves_nothing(self) -> None:
        self.assert_finds("nothing was proved", lambda tool, mes, events: (tool.clear(), events.clear()))

    def test_lost(self) -> None:
        self.assert_finds("was acknowledged and never came", lambda tool, mes, events: events.pop(4))

    def test_hole(self) -> None:
        self.assert_finds("1 sequence numbers never came: 5", lambda tool, mes, events: events.pop(4))

    def test_doubled_under_another_id(self) -> None:
        self.assert_finds(
            "came under two ids", lambda tool, mes, events: events.append({**events[4], "id": "x", "sequence": f"{31:020d}"})
        )

    def test_number_given_twice(self) -> None:
        self.assert_finds("was given to two events", lambda tool, mes, events: events[4].update(sequence=events[3]["sequence"]))

    def test_out_of_order(self) -> None:
        def swap(_tool: Events, _mes: Events, events: Events) -> None:
            events[4], events[5] = events[5], events[4]

        self.assert_finds("was first delivered after", swap)

    def test_value_altered(self) -> None:
        self.assert_finds("should be 12.34", lambda tool, mes, events: events[4]["data"]["torque"].update(value=12.339999999999998))

    def test_number_as_text(self) -> None:
        self.assert_finds("should be 12.34", lambda tool, mes, events: events[4]["data"]["torque"].update(value="12.34"))

    def test_resent_with_other_contents(self) -> None:
        self.assert_finds(
            "came twice with different contents", lambda tool, mes, events: events.append({**events[4], "time": iso(START)})
        )

    def test_null(self) -> None:
        self.assert_finds("it has a null", lambda tool, mes, events: events[4]["data"].update(joint=None))

    def test_never_made(self) -> None:
        self.assert_finds("was never made", lambda tool, mes, events: events[4]["data"].update(result_id="77"))

    def test_bound_to_the_wrong_unit(self) -> None:
        def bind(_tool: Events, _mes: Events, events: Events) -> None:
            events[4]["data"]["unit"]["id"] = events[4]["subject"] = "WVWZZZ1JZXW000003"

        self.assert_finds("is bound to WVWZZZ1JZXW000003, and WVWZZZ1JZXW000001 was there", bind)

    def test_bound_while_nobody_could_know(self) -> None:
        rules = Rules(everything=True, away=((START + 1, START + 2),))
        self.assert_finds("while the broker was out of reach", lambda tool, mes, events: None, rules)

    def test_unit_that_was_never_published(self) -> None:
        self.assert_finds("which the MES never published", lambda tool, mes, events: mes.pop(1))

    def test_not_bound_though_known(self) -> None:
        self.assert_finds("though WVWZZZ1JZXW000001 was there", lambda tool, mes, events: events[4]["data"]["unit"].update(state="assumed"))

    def test_new_stream(self) -> None:
        self.assert_finds("a new stream", lambda tool, mes, events: events[20].update(stream="other"))

    def test_unexpected_type(self) -> None:
        report = self.run_with(lambda tool, mes, events: None, topic=TOPIC.replace("tightening", "quarantine"))
        self.assertTrue(any("nobody expected a quarantine" in fault for fault in report.faults), report.faults)

    def test_overwritten_and_not_told(self) -> None:
        def overwrite(tool: Events, _mes: Events, events: Events) -> None:
            tool[:] = [line for line in tool if line["e"] == "shown"]
            del events[4]
            for at, event in enumerate(events):
                event["sequence"] = f"{at + 1:020d}"

        self.assert_finds("gaps tell 0", overwrite, Rules(gaps_tell=True))


if __name__ == "__main__":
    unittest.main()

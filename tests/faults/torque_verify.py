"""Ledgers of torque controllers against what the MES received: every result once, in order, exact, marked where it was fetched."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import ledger
from telegrams import expected, samples, vin
from torque_kinds import BEFORE, Kind
from verify import Report, Rules, Verifier, look_up


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
        head = f"     {'controller':<12}{'made':>6}{'acked':>7}{'live':>6}{'fetched':>9}{'missing':>9}{'gaps':>6}{'resent':>8}{'ack p99':>9}{'max':>7}"
        print(f"{head} ms  what was done to it", flush=True)
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
            # By MID 1201 the last stored one is pushed behind every subscription: before the first start it is where the count
            # begins, acknowledged and no event; and what is made in the second behind it cannot be told from what is stored.
            pushed = slot.kind.variable
            if result.acked and not result.event and not (pushed and n <= BEFORE):
                fault(f"{name}: result {n} (id {result.ident}) was acknowledged and never came")
            if result.event and result.backfill and not result.fetched and not pushed:
                fault(f"{name}: result {n} is marked as fetched, and was never fetched")
            if result.event and result.backfill and result.acked and not result.fetched and not pushed:
                fault(f"{name}: result {n} is marked as fetched, and was taken live")
            if result.event and not result.backfill and (not result.sent or (slot.kind.variable and result.late)):
                fault(f"{name}: result {n} was fetched, and is not marked so")
        numbers = [n for _, n in sorted(slot.order)]
        wrong = [(a, b) for a, b in pairwise(numbers) if b <= a]
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
        words = {1: ("angle", "deg", Decimal(2)), 2: ("torque", "N.m", Decimal("0.01"))}
        for number, kind in sorted(slot.traced):
            word, uom, factor = words[kind]
            parts = slot.curves.pop((str(slot.made[number].ident), word), {})
            wanted = parts[min(parts)].get("parts", 1) if parts else 0
            if sorted(parts) != list(range(1, wanted + 1)) or not parts:
                fault(f"{name}: of the {word} of result {number} parts {sorted(parts)} of {wanted} came, and it was acknowledged")
                continue
            if not slot.made[number].event:
                fault(f"{name}: the {word} of result {number} came, and the result did not")
            got = [Decimal(str(value)) for part in sorted(parts) for value in parts[part]["y"]["values"]]
            want = [value * factor for value in samples(number, kind)]
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

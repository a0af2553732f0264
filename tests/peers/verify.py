#!/usr/bin/env python3
"""Holds what the tools were acknowledged against what the MES received.

Every acknowledged result has to be there exactly once by its id, with exact values, under a sequence of its topic
that has no hole, and never `bound` to a unit that was not there. Exits with 1 and says the first ten faults.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ledger
from units import Units

SHOWN_FAULTS = 10
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
NUMBERS = ("torque.value", "torque.min", "angle.value")


@dataclass(slots=True)
class Result:
    """One result of a tool."""

    slot: str
    n: int
    shown: float
    expect: tuple[tuple[str, str], ...]
    tool: str
    acked: bool = False
    event: str = ""


@dataclass
class Rules:
    """What this run may and may not show."""

    base: str = "acme/leipzig/body/line-3"
    # Types beside `tightening` that are no fault.
    allowed: tuple[str, ...] = ("alarm", "change")
    # Everything that a tool made has to be there, acknowledged or not.
    everything: bool = False
    # A tool without a handshake overwrites: what is missing has to be told by gaps.
    gaps_tell: bool = False
    # Inside a unit's stay, by this many seconds from either end, its results have to be `bound`.
    always_bound: bool = False
    margin: float = 0.25
    # Wall clock spans in which the broker was out of the gateway's reach.
    away: tuple[tuple[float, float], ...] = ()
    # Wall clock spans in which nothing can be said about units (a black hole that nobody has noticed yet).
    unknowable: tuple[tuple[float, float], ...] = ()
    check_units: bool = True
    streams: int = 1
    # MQTT 5: events have to say what they are.
    content_type: bool = False
    # Validate every n-th event beside those of a shape not seen before.
    schema_every: int = 1


@dataclass
class Report:
    """What was found."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    latencies: list[float] = field(default_factory=list)
    shapes: dict[str, set[str]] = field(default_factory=dict)

    def fault(self, text: str) -> None:
        """Counts a fault, and keeps the sentence of the first ones."""
        self.fault_count += 1
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(text)

    def latency(self, share: float) -> float:
        """Seconds from shown to received, at this share."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    def print(self, title: str) -> None:
        """The table and the first faults."""
        print(f"  -- {title}")
        for name, count in sorted(self.counts.items()):
            print(f"     {name:<34}{count:>12}")
        if self.latencies:
            print(f"     {'p50 / p99 shown to received':<34}{self.latency(0.5) * 1000:>7.0f} / {self.latency(0.99) * 1000:.0f} ms")
        print(f"     {'discrepancies':<34}{self.fault_count:>12}", flush=True)
        for text in self.faults:
            print(f"     ! {text}", flush=True)
        if self.fault_count > len(self.faults):
            print(f"     ! and {self.fault_count - len(self.faults)} more", flush=True)


class Verifier:
    """Reads the ledgers once, in order."""

    def __init__(self, rules: Rules, tools: list[Path], mes: Path, schemas: Path | None) -> None:
        self.rules = rules
        self.report = Report()
        self.results: dict[tuple[str, str, int], Result] = {}
        self.by_number: dict[tuple[str, int], Result] = {}
        self.units = Units(mes)
        self.validators = load_schemas(schemas) if schemas else {}
        # Of each id: its text's hash and its topic. Of each topic and stream: the highest number, and those left out below it.
        self.ids: dict[str, int] = {}
        self.highest: dict[tuple[str, str], int] = {}
        self.left_out: dict[tuple[str, str], set[int]] = {}
        self.streams: dict[str, set[str]] = {}
        self.gap_counts: Counter[str] = Counter()
        self.seen_shapes: set[tuple[str, ...]] = set()
        for tool in tools:
            self.read_tool(tool)

    def read_tool(self, path: Path) -> None:
        """What a tool made, and what of it was acknowledged."""
        if not path.exists():
            self.report.fault(f"there is no ledger {path.name}: the tool never ran")
        for line in ledger.read(path):
            match line["e"]:
                case "shown":
                    result = Result(line["slot"], line["n"], line["t"], tuple(line["expect"].items()), path.stem)
                    self.results[line["slot"], str(line["counter"]), line["stamp"]] = result
                    self.by_number[line["slot"], line["n"]] = result
                    self.report.counts["results made"] += 1
                case "acked":
                    self.by_number[line["slot"], line["n"]].acked = True
                    self.report.counts["results acknowledged"] += 1
                case "strange":
                    self.report.counts["acknowledged again, late"] += 1
                    if (line["counter"] - line["value"]) % 65535 > 1000:
                        self.report.fault(
                            f"{line['slot']}: {line['value']} was acknowledged while {line['counter']} was shown, and was never made"
                        )

    def read_received(self, path: Path) -> None:
        """What the MES received."""
        for line in ledger.read(path):
            kind = line["topic"].rsplit("/", 1)[-1]
            if kind == "status":
                self.report.counts["statuses"] += 1
                continue
            self.report.counts["messages"] += 1
            if self.rules.content_type and line["content_type"] != CONTENT_TYPE:
                self.report.fault(f"{line['topic']}: content type is {line['content_type']!r}")
            if line["retain"] or line["qos"] != 1:
                self.report.fault(f"{line['topic']}: came with QoS {line['qos']}, retained {line['retain']}; events are QoS 1, not retained")
            try:
                self.read_event(line["topic"], kind, line["p"], line["t"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.report.fault(f"{line['topic']}: cannot be read as an event ({error!r}): {line['p'][:200]}")

    def read_event(self, topic: str, kind: str, text: str, received: float) -> None:
        """One event."""
        event = json.loads(text, parse_float=number)
        name = event["id"]
        first = self.ids.get(name)
        if first is not None:
            self.report.counts["sent again (same id)"] += 1
            if first != hash((topic, text)):
                self.report.fault(f"{topic}: id {name} came twice with different contents; the second time: {text[:300]}")
            return
        self.ids[name] = hash((topic, text))
        self.report.counts[f"events: {kind}"] += 1
        self.check_envelope(topic, kind, text, event)
        self.check_sequence(topic, kind, event)
        self.check_schema(topic, kind, text, event)
        if kind == "tightening":
            self.check_result(topic, event, received)
        elif kind == "gap" and self.rules.gaps_tell:
            slot = ".".join(topic.split("/")[-3:-1])
            self.gap_counts[slot] += int(event["data"].get("count", 0))
        elif kind not in self.rules.allowed:
            self.report.fault(f"{topic}: nobody expected a {kind}: {json.dumps(event['data'], default=str)[:400]}")

    def check_envelope(self, topic: str, kind: str, text: str, event: dict[str, Any]) -> None:
        """What interface 5 says of every event."""
        wrong = []
        if event.get("specversion") != "1.0":
            wrong.append("specversion is not 1.0")
        if event.get("type") != f"lineside.{kind}.v1":
            wrong.append(f"type is {event.get('type')!r}")
        if not (event["source"].startswith("/") and topic == f"{event['source'][1:]}/{kind}"):
            wrong.append(f"source is {event['source']!r}")
        if event.get("datacontenttype") != "application/json":
            wrong.append("datacontenttype is not application/json")
        if event.get("dataschema") != f"urn:lineside:{kind}:1":
            wrong.append(f"dataschema is {event.get('dataschema')!r}")
        if has_null(event):
            wrong.append("it has a null")
        unit = event["data"].get("unit")
        if unit is not None and event.get("subject") != unit.get("id"):
            wrong.append(f"subject is {event.get('subject')!r} and unit {unit.get('id')!r}")
        datetime.fromisoformat(event["time"])
        for fault in wrong:
            self.report.fault(f"{topic}: {fault}: {text[:300]}")

    def check_sequence(self, topic: str, kind: str, event: dict[str, Any]) -> None:
        """From 1, without a hole, the first deliveries in order, no number twice."""
        if "sequence" not in event and "stream" not in event and kind == "readings":
            return
        text, stream = event["sequence"], event["stream"]
        if not (isinstance(text, str) and len(text) == 20 and text.isdigit()):
            self.report.fault(f"{topic}: sequence {text!r} is not 20 digits")
        at = int(text)
        key = (topic, stream)
        if stream not in self.streams.setdefault(topic, set()):
            self.streams[topic].add(stream)
            if len(self.streams[topic]) > self.rules.streams:
                self.report.fault(f"{topic}: a new stream {stream} began, as if the store had been lost")
        highest = self.highest.get(key, 0 if len(self.streams[topic]) == 1 else at - 1)
        left_out = self.left_out.setdefault(key, set())
        if at > highest:
            if at - highest > 1_000_000:
                self.report.fault(f"{topic}: sequence jumps from {highest} to {at}")
            else:
                left_out.update(range(highest + 1, at))
            self.highest[key] = at
        elif at in left_out:
            left_out.discard(at)
            self.report.fault(f"{topic}: sequence {at} was first delivered after {highest}")
        else:
            self.report.fault(f"{topic}: sequence {at} was given to two events; the second is {event['id']}")

    def check_schema(self, topic: str, kind: str, text: str, event: dict[str, Any]) -> None:
        """The published JSON Schema, for every shape of event and every n-th event."""
        if not self.validators:
            return
        shape = tuple(sorted(paths(event)))
        count = self.report.counts["events: " + kind]
        if shape in self.seen_shapes and count % self.rules.schema_every:
            return
        self.seen_shapes.add(shape)
        if kind not in self.validators:
            self.report.fault(f"{topic}: `lineside contract` wrote no {kind}.schema.json")
            return
        self.report.counts["validated by schema"] += 1
        for error in self.validators[kind].iter_errors(json.loads(text)):
            self.report.fault(f"{topic}: breaks its schema at {error.json_path}: {error.message[:300]}")

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        """The result that a tool made: once, exact, and of the right unit."""
        data = event["data"]
        slot = ".".join(topic.split("/")[-3:-1])
        # Contract members alone: another device may have other extras.
        stamp = int(datetime.fromisoformat(data["times"]["device"]).timestamp())
        result = self.results.get((slot, data["result_id"], stamp))
        if result is None:
            self.report.fault(f"{topic}: result {data['result_id']} of {data['times']['device']} was never made: {event['id']}")
            return
        if result.event:
            self.report.fault(
                f"{topic}: result {result.n} came under two ids, {result.event} and {event['id']} (sequence {event['sequence']})"
            )
            return
        result.event = event["id"]
        self.report.latencies.append(received - result.shown)
        self.report.shapes.setdefault(result.tool, set()).update(paths(contract_part(data)))
        for path, want in result.expect:
            got = look_up(data, path)
            if path in NUMBERS:
                same = isinstance(got, (int, Decimal)) and not isinstance(got, bool) and got == Decimal(want)
            else:
                same = got == want
            if not same:
                self.report.fault(f"{topic}: result {result.n}: {path} is {got!r} and should be {want} ({event['id']})")
        if self.rules.check_units:
            self.check_unit(topic, result, event)

    def check_unit(self, topic: str, result: Result, event: dict[str, Any]) -> None:
        """Whether the unit of an event was there when the result was made, and could be known."""
        rules = self.rules
        unit = event["data"]["unit"]
        state, name = unit["state"], unit.get("id")
        self.report.counts[f"unit {state}"] += 1
        if any(start <= result.shown <= end for start, end in rules.unknowable):
            return
        station = result.slot.split(".")[0]
        there = self.units.between(station, result.shown - rules.margin, result.shown + rules.margin)
        observed = datetime.fromisoformat(event["data"]["times"]["observed"]).timestamp()
        where = f"{topic}: result {result.n} (shown {clock(result.shown)}, seen {clock(observed)})"
        if (name is None) != (state == "unbound"):
            self.report.fault(f"{where}: unit is {state} and its id {name!r}")
        if name and not self.units.was_published(station, name):
            self.report.fault(f"{where}: names unit {name}, which the MES never published")
        if state == "bound":
            if name not in there:
                self.report.fault(f"{where}: is bound to {name}, and {' or '.join(sorted(map(str, there)))} was there")
            if any(start + rules.margin < observed < end for start, end in rules.away):
                self.report.fault(f"{where}: is bound to {name} while the broker was out of reach, so nobody could know")
            order = unit.get("context", {}).get("order")
            if name and order != f"WO-{name[-6:]}":
                self.report.fault(f"{where}: the context of unit {name} says order {order!r}")
        elif rules.always_bound and len(there) == 1 and None not in there:
            self.report.fault(f"{where}: is {state}, though {next(iter(there))} was there and known")

    def finish(self) -> Report:
        """What is missing at the end."""
        for (topic, _), numbers in self.left_out.items():
            if numbers:
                some = ", ".join(map(str, sorted(numbers)[:5]))
                self.report.fault(f"{topic}: {len(numbers)} sequence numbers never came: {some} …")
        missing: Counter[str] = Counter()
        seen: dict[str, list[int]] = {}
        for result in self.results.values():
            if result.event:
                seen.setdefault(result.slot, []).append(result.n)
        for result in self.results.values():
            if result.event:
                self.report.counts["results received"] += 1
            elif result.acked:
                self.report.fault(f"{result.slot}: result {result.n} (shown {clock(result.shown)}) was acknowledged and never came")
            elif self.rules.everything:
                self.report.fault(f"{result.slot}: result {result.n} (shown {clock(result.shown)}) never came")
            elif self.rules.gaps_tell and result.slot in seen:
                missing[result.slot] += min(seen[result.slot]) < result.n < max(seen[result.slot])
        if self.rules.gaps_tell:
            for slot in missing.keys() | self.gap_counts.keys():
                if missing[slot] != self.gap_counts[slot]:
                    self.report.fault(f"{slot}: {missing[slot]} results were overwritten unread, and gaps tell {self.gap_counts[slot]}")
                self.report.counts["overwritten and told by gaps"] += missing[slot]
        if not self.report.counts["results received"]:
            self.report.fault("not one result came: nothing was proved")
        return self.report


def number(text: str) -> Decimal:
    """A JSON number as a decimal; exponents are not for the contract."""
    if "e" in text or "E" in text:
        raise ValueError(f"{text} has an exponent")
    return Decimal(text)


def has_null(value: Any) -> bool:
    """Whether null stands anywhere."""
    if isinstance(value, dict):
        return any(map(has_null, value.values()))
    if isinstance(value, list):
        return any(map(has_null, value))
    return value is None


def paths(value: Any, at: str = "") -> Iterator[str]:
    """The path and JSON type of every member."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from paths(member, f"{at}.{key}")
    else:
        kind = "number" if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else type(value).__name__
        yield f"{at}: {kind}"


def contract_part(data: dict[str, Any]) -> dict[str, Any]:
    """What the MES may rely on: without `origin` and `extra`, and without what depends on the moment."""
    return {key: value for key, value in data.items() if key not in ("origin", "extra", "unit", "times", "backfill")}


def look_up(data: Any, path: str) -> Any:
    """A dotted member, None where it is absent."""
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def clock(at: float) -> str:
    """A wall clock time for people."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]


def load_schemas(folder: Path) -> dict[str, Any]:
    """A validator for each `<type>.schema.json`; a schema that is none is an error."""
    from jsonschema import Draft202012Validator

    validators = {}
    for path in sorted(folder.glob("*.schema.json")):
        schema = json.loads(path.read_text())
        Draft202012Validator.check_schema(schema)
        validators[path.name.removesuffix(".schema.json")] = Draft202012Validator(schema)
    if "tightening" not in validators:
        raise SystemExit(f"verify: {folder.name} has no tightening.schema.json")
    return validators


def verify(rules: Rules, tools: list[Path], mes: Path, received: Path, schemas: Path | None = None) -> Report:
    """All of it."""
    verifier = Verifier(rules, tools, mes, schemas)
    verifier.read_received(received)
    return verifier.finish()


def main() -> None:
    """From the command line: to look again at a kept directory of a failed run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="directory of a run, with tool-*.jsonl, mes.jsonl and received.jsonl")
    parser.add_argument("--rules", type=json.loads, default={}, help="JSON of rules; a run prints its own")
    args = parser.parse_args()
    rules = Rules(**{key: tuple(map(tuple, v)) if key in ("away", "unknowable") else v for key, v in args.rules.items()})
    schemas = args.folder / "contract"
    report = verify(
        rules,
        sorted(args.folder.glob("tool-*.jsonl")),
        args.folder / "mes.jsonl",
        args.folder / "received.jsonl",
        schemas if schemas.is_dir() else None,
    )
    report.print(args.folder.name)
    sys.exit(1 if report.fault_count else 0)


if __name__ == "__main__":
    main()

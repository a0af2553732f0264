"""What a PLC of OPC UA has inside: result blocks with a handshake, items that change, an event type with structures, odd values.

Owns the address space and what is made; who may come in and how the server misbehaves is in opcua_plc.py. A block's state
follows from its ledger: a PLC that was killed shows after its start what it showed before.
"""

from __future__ import annotations

import random
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import ledger
from asyncua import Node, Server, ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field
from layout import as_f32, shortest_f32
from ledger import Ledger

DATA = "http://peer.example/plc/"
# Names and types of a block's variables; what is read first stands first.
BLOCK = {
    "torque": ua.VariantType.Float,
    "torque_min": ua.VariantType.UInt16,
    "angle": ua.VariantType.Int32,
    "judgement": ua.VariantType.Int16,
    "program": ua.VariantType.UInt16,
    "vin": ua.VariantType.String,
    "stamp": ua.VariantType.UInt32,
    "motor_temp": ua.VariantType.Double,
    "result_count": ua.VariantType.UInt32,
    "ready": ua.VariantType.Boolean,
}
ACK = {"counter": ua.VariantType.UInt32, "level": ua.VariantType.Boolean}
CODES = {"ok": 1, "nok": 2}
SIMPLE = {
    "Number": ua.VariantType.UInt32,
    "Torque": ua.VariantType.Double,
    "Angle": ua.VariantType.Double,
    "Judgement": ua.VariantType.Int32,
    "Vin": ua.VariantType.String,
}
JUDGEMENTS = ["Undefined", "OK", "NotOK"]


def vin(number: int) -> str:
    """Of the unit that this result is of."""
    return f"WVWZZZ1JZXW{number:06d}"


def derive(seed: str, number: int) -> dict[str, Any]:
    """Raw values of a result: they follow from the seed and its number."""
    chance = random.Random(f"{seed}/{number}")
    return {
        "torque": as_f32(round(chance.uniform(-5.0, 400.0), 3)),
        "torque_min": chance.randint(0, 65535),
        "angle": chance.randint(-720, 7200),
        "judgement": CODES[chance.choice(["ok", "ok", "ok", "nok"])],
        "program": chance.randint(1, 99),
        "vin": vin(number),
        "motor_temp": chance.randint(150, 800) / 10,
        "result_count": number,
    }


def expected(raw: dict[str, Any]) -> dict[str, str]:
    """What the MES has to receive of it."""
    return {
        "result": next(word for word, code in CODES.items() if code == raw["judgement"]),
        "torque.value": str(shortest_f32(raw["torque"])),
        "torque.min": str(Decimal(raw["torque_min"]) / 100),
        "torque.uom": "N.m",
        "angle.value": str(raw["angle"]),
        "angle.uom": "deg",
        "program.id": str(raw["program"]),
        "result_id": str(raw["result_count"]),
        "unit.id": raw["vin"],
    }


def plain(raw: dict[str, Any]) -> dict[str, str]:
    """What the MES has to receive of a plain event with these raw values."""
    return {
        "result": next(word for word, code in CODES.items() if code == raw["judgement"]),
        "torque.value": format(Decimal(repr(thousandth(raw))), "f"),
        "angle.value": str(raw["angle"]),
        "result_id": str(raw["result_count"]),
        "unit.id": raw["vin"],
    }


def thousandth(raw: dict[str, Any]) -> float:
    """Its torque as a double of few digits: of a single that was made a double two shortest decimals can be right."""
    return round(raw["torque"], 3)


class Space:
    """Variables by their text id, written without going through the network."""

    def __init__(self, server: Server, index: int) -> None:
        self.server = server
        self.index = index
        self.ids: dict[str, ua.NodeId] = {}
        self.kinds: dict[str, ua.VariantType] = {}

    async def folder(self, name: str) -> Node:
        """An object under Objects."""
        return await self.server.nodes.objects.add_object(ua.NodeId(name, self.index), f"{self.index}:{name}")

    async def add(self, parent: Node, name: str, value: Any, kind: ua.VariantType, writable: bool = False, text: str = "", **more: Any) -> Node:
        """A variable `Parent.name`, or by another text."""
        text = text or f"{parent.nodeid.Identifier}.{name}"
        node = await parent.add_variable(ua.NodeId(text, self.index), f"{self.index}:{name}", ua.Variant(value, kind), **more)
        if writable:
            await node.set_writable()
        self.ids[text] = node.nodeid
        self.kinds[text] = kind
        return node

    async def put(self, text: str, value: Any, status: int = 0) -> None:
        """Its new value."""
        at = ua.uatypes.datetime.now(ua.uatypes.timezone.utc)
        data = ua.DataValue(ua.Variant(value, self.kinds[text]), ua.StatusCode(status), SourceTimestamp=at, ServerTimestamp=at)
        await self.server.iserver.aspace.write_attribute_value(self.ids[text], ua.AttributeIds.Value, data)


class Block:
    """One spindle: shows a result, and the next when that was acknowledged. `counter`: the count is copied back; `level`: ready and ack."""

    def __init__(self, space: Space, kind: str, slot: str, seed: str, ledger_path: Path, out: Ledger) -> None:
        self.space = space
        self.kind = kind
        self.slot = slot
        self.name = kind.capitalize()
        self.seed = f"{seed}/{slot}"
        self.ledger = out
        self.made = 0
        self.acked = 0
        self.stamp = 0
        self.showing = False
        self.ready = False
        self.strange = 0
        self.due = 0.0
        for line in ledger.read(ledger_path):
            if line.get("slot") != slot:
                continue
            if line["e"] == "shown":
                self.made, self.stamp, self.showing = line["n"], line["stamp"], True
            elif line["e"] == "acked":
                self.acked += 1
                self.showing = False

    async def begin(self) -> None:
        """Makes its variables, and shows again what it showed."""
        folder = await self.space.folder(self.name)
        raw = derive(self.seed, self.made) if self.made else {}
        for name, kind in BLOCK.items():
            empty: Any = "" if kind == ua.VariantType.String else False if kind == ua.VariantType.Boolean else 0
            value = {"stamp": self.stamp, "ready": self.kind == "level" and self.showing}.get(name, raw.get(name, empty))
            await self.space.add(folder, name, value, kind)
        self.ready = self.kind == "level" and self.showing
        acked = self.made - self.showing if self.kind == "counter" else False
        await self.space.add(folder, "ack", acked, ACK[self.kind], writable=True)

    async def show(self) -> None:
        """A new result; what triggers comes last."""
        self.made += 1
        self.stamp = max(int(time.time()), self.stamp)
        raw = derive(self.seed, self.made)
        self.showing = True
        self.ready = self.kind == "level"
        now = time.time()
        self.ledger.write(e="shown", slot=self.slot, n=self.made, counter=self.made, stamp=self.stamp, t=now, expect=expected(raw))
        for name, value in (raw | {"stamp": self.stamp}).items():
            if name != "result_count" or self.kind == "level":
                await self.space.put(f"{self.name}.{name}", value)
        trigger, value = ("ready", True) if self.kind == "level" else ("result_count", self.made)
        await self.space.put(f"{self.name}.{trigger}", value)

    async def written(self, value: Any) -> None:
        """The gateway wrote to `ack`. The ledger says so before it gets an answer."""
        if self.kind == "level":
            if value and self.ready:
                self.ready = False
                self.note()
                await self.space.put(f"{self.name}.ready", False)
            elif not value and self.showing and not self.ready:
                self.showing = False
        elif self.showing and value == self.made:
            self.showing = False
            self.note()
        elif value != self.made:
            self.strange += 1
            self.ledger.write(e="strange", slot=self.slot, value=value, counter=self.made)

    def note(self) -> None:
        """Counts and writes down what was acknowledged."""
        self.acked += 1
        self.ledger.write(e="acked", slot=self.slot, n=self.made)


class Items:
    """Many variables that all change at once, so many times a second; each holds the number of the change."""

    def __init__(self, space: Space, count: int, out: Ledger) -> None:
        self.space = space
        self.count = count
        self.ledger = out
        self.ticks = 0
        self.late = 0.0

    async def begin(self, after: int) -> None:
        """Makes them; they go on behind `after`."""
        self.ticks = after
        top = await self.space.folder("Items")
        folder = top
        for at in range(self.count):
            # A hundred in a folder: asyncua looks through all of a parent's children for each new one.
            if at % 100 == 0:
                folder = await top.add_object(ua.NodeId(f"Items.{at // 100}", self.space.index), f"{self.space.index}:{at // 100}")
            await self.space.add(folder, f"v{at:05}", after, ua.VariantType.UInt32, text=f"Items.v{at:05}")

    async def tick(self) -> None:
        """The next change of all of them. What was begun is written down first, what was done behind it."""
        self.ticks += 1
        self.ledger.write(e="tick", k=self.ticks)
        for at in range(self.count):
            await self.space.put(f"Items.v{at:05}", self.ticks)
        self.ledger.write(e="ticked", k=self.ticks)


async def add_odd(space: Space) -> None:
    """Values that are none: a bad status, an uncertain one, NaN, infinity, a text where a number belongs, a null, arrays."""
    folder = await space.folder("Odd")
    number = ua.VariantType.Double
    await space.add(folder, "good", 12.5, number, writable=True)
    await space.add(folder, "bad", 1.0, number)
    await space.add(folder, "uncertain", 21.25, number)
    await space.add(folder, "nan", float("nan"), number)
    await space.add(folder, "infinite", float("inf"), number)
    await space.add(folder, "text", "twelve", ua.VariantType.String)
    await space.add(folder, "digits", "0012", ua.VariantType.String)
    await space.add(folder, "huge", 9_007_199_254_740_993, ua.VariantType.UInt64)
    await space.add(folder, "bytes", b"\x01\x02", ua.VariantType.ByteString)
    await space.add(folder, "when", ua.uatypes.datetime(2026, 11, 22, 10, 15, 2, tzinfo=ua.uatypes.timezone.utc), ua.VariantType.DateTime)
    await space.add(folder, "array", [1.5, 2.5, 3.5], number)
    await space.put("Odd.bad", 1.0, ua.StatusCodes.BadSensorFailure)
    await space.put("Odd.uncertain", 21.25, ua.StatusCodes.UncertainLastUsableValue)


class Events:
    """An event type of its own whose `Result` is a structure: optional fields, an enumeration, an array of structures."""

    def __init__(self, space: Space, slot: str, seed: str, ledger_path: Path, out: Ledger) -> None:
        self.space = space
        self.slot = slot
        self.seed = f"{seed}/{slot}"
        self.ledger = out
        self.path = ledger_path
        self.made = max((line["n"] for line in ledger.read(ledger_path) if line["e"] == "raised"), default=0)
        self.nulls = 0
        self.generator: Any = None
        self.types: dict[str, Any] = {}

    async def begin(self) -> None:
        """The types, a variable of the structure, and who raises the events."""
        server, index = self.space.server, self.space.index
        judgement = await new_enum(server, index, "PeerJudgement", list(JUDGEMENTS))
        value, _ = await new_struct(server, index, "PeerValue", [
            new_struct_field("Name", ua.VariantType.String),
            new_struct_field("Value", ua.VariantType.Double),
            new_struct_field("Quantity", ua.VariantType.Byte, optional=True),
            new_struct_field("High", ua.VariantType.Double, optional=True),
        ])  # fmt: skip
        result, _ = await new_struct(server, index, "PeerResult", [
            new_struct_field("Id", ua.VariantType.String),
            new_struct_field("Judgement", judgement),
            new_struct_field("Note", ua.VariantType.String, optional=True),
            new_struct_field("Program", ua.VariantType.UInt16, optional=True),
            new_struct_field("Values", value, array=True),
        ])  # fmt: skip
        self.types = await server.load_data_type_definitions()
        base = server.get_node(ua.ObjectIds.BaseEventType)
        kind = await base.add_object_type(ua.NodeId("PeerResultEventType", index), f"{index}:PeerResultEventType")
        await kind.add_property(index, "Number", ua.Variant(0, ua.VariantType.UInt32))
        await kind.add_property(index, "Result", ua.Variant(self.result(0)), datatype=result.nodeid)
        self.type_id = kind.nodeid
        simple = await base.add_object_type(ua.NodeId("PeerSimpleEventType", index), f"{index}:PeerSimpleEventType")
        for name, variant in SIMPLE.items():
            await simple.add_property(index, name, ua.Variant("" if variant == ua.VariantType.String else 0, variant))
        self.plain = await server.get_event_generator(simple, server.nodes.server)
        self.simples = max((line["n"] for line in ledger.read(self.path) if line["e"] == "simple"), default=0)
        folder = await self.space.folder("Struct")
        node = await folder.add_variable(ua.NodeId("Struct.result", index), f"{index}:result", ua.Variant(self.result(0)), datatype=result.nodeid)
        self.variable = node.nodeid
        self.generator = await server.get_event_generator(kind, server.nodes.server)

    def result(self, number: int, without: tuple[str, ...] = ()) -> Any:
        """A structure whose values follow from the number."""
        raw = derive(self.seed, number)
        made = ua.PeerResult()
        made.Id = str(number)
        made.Judgement = ua.PeerJudgement(raw["judgement"])
        made.Program = None if "Program" in without else raw["program"]
        made.Note = None if number % 2 else f"note {number}"
        made.Values = []
        for name, quantity, value, high in (("warmup", None, 0.5, None), ("torque", 2, thousandth(raw), 999.5), ("angle", 3, float(raw["angle"]), None)):
            if name not in without:
                made.Values.append(ua.PeerValue(Name=name, Value=value, Quantity=quantity, High=high))
        return made

    async def raise_plain(self) -> None:
        """One event whose fields are plain values."""
        self.simples += 1
        raw = derive(self.seed, self.simples)
        event = self.plain.event
        event.Number, event.Torque, event.Angle = self.simples, thousandth(raw), float(raw["angle"])
        event.Judgement, event.Vin = raw["judgement"], raw["vin"]
        event.Message = ua.LocalizedText(f"result {self.simples}")
        self.ledger.write(e="simple", n=self.simples, expect=plain(raw))
        await self.plain.trigger()

    async def raise_one(self, without: tuple[str, ...] = (), null: bool = False) -> None:
        """One event, or one whose `Result` is null."""
        self.made += 1
        number = self.made
        raw = derive(self.seed, number)
        expect = {
            "result": next(word for word, code in CODES.items() if code == raw["judgement"]),
            "torque.value": format(Decimal(repr(thousandth(raw))), "f"),
            "torque.max": "999.5",
            "angle.value": str(raw["angle"]),
            "program.id": str(raw["program"]),
            "result_id": str(number),
        }
        event = self.generator.event
        event.Number = number
        event.Result = None if null else self.result(number, without)
        event.Message = ua.LocalizedText(f"result {number}")
        self.ledger.write(e="raised", slot=self.slot, n=number, expect=expect, without=list(without), null=null)
        await self.generator.trigger()

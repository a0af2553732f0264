#!/usr/bin/env python3
"""A tool by Modbus with a handshake that shows the results of telegrams.py, torque in pound-force inches, the low word first.

Prints {"port": N} and answers commands, one JSON object a line on stdin:
  {"do": "stats"}    {"do": "resume", "rate": 10, "limit": 0}    {"do": "pause"}    {"do": "stop"}

The next result is shown only when the acknowledgement equals the counter. What has no limit shows none: a NaN.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from decimal import Decimal
from typing import Any

from layout import NEWTON_METRES, Point, as_f32
from ledger import Ledger
from served import FUNCTIONS, Served, arguments, serve
from telegrams import NO_ANGLE_LIMIT, NO_TORQUE_LIMIT, derive, vin

TORQUES = {"torque": 4000, "torque_min": 4002, "torque_max": 4004, "torque_target": 4006}
ANGLES = {"angle": 4010, "angle_min": 4012, "angle_max": 4014, "angle_target": 4016}
WORDS = {"status": 4020, "torque_status": 4021, "angle_status": 4022, "pset": 4023, "batch_counter": 4024, "batch_size": 4025}
VIN, STAMP, COUNT, ACK = 4030, 4040, 4042, 4050
MAPS = {"status": '{ 0 = "nok", 1 = "ok" }', "torque_status": '{ 0 = "low", 1 = "ok", 2 = "high" }', "angle_status": '{ 0 = "low", 1 = "ok", 2 = "high" }'}
VENDOR, MODEL = "Peer Inches", "PI-7"
PROFILE = """profile = 1
vendor = "{vendor}"
model = "{model}"
maturity = "document"
[connection]
protocol = "modbus-tcp"
address = "{address}"
poll = "20ms"
word_order = "cdab"
[points]
{points}
[events.tightening]
when = {{ changes = "count" }}
id = ["stamp", "count"]
counter = {{ point = "count", first = 1, last = 65535 }}
time = {{ point = "stamp", format = "unix" }}
ack = {{ write = "ack", copy = "count" }}
result = "status"
torque = {{ value = "torque", min = "torque_min", max = "torque_max", target = "torque_target", result = "torque_status" }}
angle = {{ value = "angle", min = "angle_min", max = "angle_max", target = "angle_target", result = "angle_status" }}
program = "pset"
batch = {{ count = "batch_counter", size = "batch_size" }}
unit = "vin"
"""


def profile(address: str) -> str:
    """Its device file."""
    lines = [f'{name} = {{ at = "holding:{at}", type = "f32", uom = "lbf.in" }}' for name, at in TORQUES.items()]
    lines += [f'{name} = {{ at = "holding:{at}", type = "i32", uom = "deg"{f", invalid = [{NO_ANGLE_LIMIT}]" if name == "angle_max" else ""} }}' for name, at in ANGLES.items()]
    lines += [f'{name} = {{ at = "holding:{at}", type = "u16"{f", map = {MAPS[name]}" if name in MAPS else ""} }}' for name, at in WORDS.items()]
    lines += [f'vin = {{ at = "holding:{VIN}", type = "string", length = 17 }}', f'stamp = {{ at = "holding:{STAMP}", type = "u32" }}']
    lines += [f'count = {{ at = "holding:{COUNT}", type = "u16" }}', f'ack = {{ at = "holding:{ACK}", type = "u16" }}']
    return PROFILE.format(vendor=VENDOR, model=MODEL, address=address, points="\n".join(lines))


def point(address: int, kind: str, length: int = 0) -> Point:
    """One of its registers."""
    return Point("holding", address, kind, "cdab", Decimal(1), "lbf.in" if kind == "f32" else None, length, {})


def inches(number: int, name: str) -> float:
    """A torque of result `number` as the registers hold it."""
    hundredths = derive(number)[name]
    return math.nan if hundredths == NO_TORQUE_LIMIT else as_f32(float(Decimal(hundredths) / 100 / NEWTON_METRES["lbf.in"]))


def contract(number: int, name: str) -> Decimal | None:
    """What the MES has to receive of it, to the last digit."""
    raw = inches(number, name)
    return None if math.isnan(raw) else point(TORQUES[name], "f32").contract(raw)


class Inches(Served):
    """Shows one result at a time."""

    server_id = 1
    registers = 4100

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.ledger = Ledger(args.ledger)
        self.rate = 10.0
        self.limit = 0
        self.paused = True
        self.made = 0
        self.acked = 0
        self.showing = False
        self.due = 0.0
        self.requests = 0

    async def access(self, code: int, _start: int, address: int, _count: int, _registers: list[int], values: list[Any] | None) -> None:
        """Every request passes here, before it is answered."""
        self.requests += 1
        if values is None or FUNCTIONS[code] != "h" or not address <= ACK < address + len(values):
            return
        value = int(values[ACK - address])
        if self.showing and value == self.made:
            self.showing = False
            self.acked += 1
            self.ledger.write(e="acked", n=self.made)
        elif value != self.made:
            self.ledger.write(e="strange", value=value, counter=self.made)

    def show(self) -> None:
        """Puts the next result into the registers; its counter last."""
        self.made += 1
        raw = derive(self.made)
        self.ledger.write(e="made", n=self.made)
        for name, address in TORQUES.items():
            self.memory.put(point(address, "f32"), inches(self.made, name))
        for name, address in ANGLES.items():
            self.memory.put(point(address, "i32"), raw[name])
        for name, address in WORDS.items():
            self.memory.put(point(address, "u16"), raw[name])
        self.memory.put(point(VIN, "string", 17), vin(self.made))
        self.memory.put(point(STAMP, "u32"), int(time.time()))
        self.showing = True
        self.memory.put(point(COUNT, "u16"), self.made)

    async def clock(self) -> None:
        """Shows what is due."""
        while not self.stopped.is_set():
            now = time.monotonic()
            if not self.paused and not self.showing and now >= self.due and not (self.limit and self.made >= self.limit):
                self.due = max(self.due + 1 / self.rate, now - 1)
                self.show()
            await asyncio.sleep(0.005)

    def command(self, line: str) -> dict[str, Any]:
        """One command of the harness."""
        order = json.loads(line)
        match order["do"]:
            case "stats":
                pass
            case "resume":
                self.paused = False
                self.rate = order.get("rate", self.rate)
                self.limit = order.get("limit", self.limit)
                self.due = time.monotonic()
            case "pause":
                self.paused = True
            case "stop":
                self.stopped.set()
            case unknown:
                raise ValueError(f"this tool knows no command {unknown!r}")
        connections = len(self.server.active_connections) if self.server else 0
        return {"made": self.made, "acked": self.acked, "showing": int(self.showing), "requests": self.requests, "clients": connections}


if __name__ == "__main__":
    serve(Inches, arguments(__doc__).parse_args())

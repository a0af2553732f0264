#!/usr/bin/env python3
"""A torque tool with one or more spindles: a pymodbus server, with a ledger of what it made and what was acknowledged.

Prints {"port": N} and then answers commands, one JSON object a line on stdin:
  {"do": "stats"}                       {"do": "resume", "rate": 20, "limit": 500}   {"do": "pause"}
  {"do": "silence", "on": true}         {"do": "exceptions", "code": 4}  (0: none)   {"do": "close"}
  {"do": "restart_counter"}             {"do": "unit", "id": "…"}                    {"do": "stop"}

Modes: `copy`: the next result is shown only when the acknowledgement equals the counter, so that nothing may be lost.
`level`: ready and acknowledge bits. `free`: no handshake, an unread result is overwritten.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from typing import Any

from layout import Point, as_f32, points, resolve, shift
from ledger import Ledger
from pymodbus.constants import ExcCodes
from served import FUNCTIONS, TABLES, Served, arguments, serve

class Spindle:
    """One tool head: makes results, shows one at a time, and knows what was acknowledged."""

    def __init__(self, name: str, layout: dict[str, Point], mode: str, first: int, seed: str) -> None:
        self.name = name
        self.layout = layout
        self.mode = mode
        self.random = random.Random(seed)
        self.counter = first - 1
        self.shown = self.counter
        self.made = 0
        self.acked = 0
        self.showing = False
        self.known: set[tuple[int, int]] = set()
        self.last_stamp = 0
        self.due = 0.0
        self.ready = False

    def make(self, now: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next result: raw values by point, and what the MES has to receive of it."""
        self.counter = self.counter % 65535 + 1
        self.made += 1
        self.last_stamp = max(int(now), self.last_stamp)
        while (self.last_stamp, self.counter) in self.known:
            self.last_stamp += 1
        # The pair is unique for good: forgetting all but the latest seconds cannot repeat one.
        if len(self.known) > 70_000:
            self.known.clear()
            self.last_stamp += 1
        self.known.add((self.last_stamp, self.counter))
        verdict = self.random.choice(["ok", "ok", "ok", "nok"])
        torque = as_f32(round(self.random.uniform(-5.0, 400.0), 3))
        raw: dict[str, Any] = {
            "result_count": self.counter,
            "torque": torque,
            "angle": self.random.randint(-720, 7200),
            "judgement": self.layout["judgement"].codes[verdict],
            "program": self.random.randint(1, 99),
            "stamp": self.last_stamp,
            "torque_min": self.random.randint(0, 65535),
        }
        expect = {
            "result": verdict,
            "torque.value": str(self.layout["torque"].contract(torque)),
            "torque.min": str(self.layout["torque_min"].contract(raw["torque_min"])),
            "torque.uom": "N.m",
            "angle.value": str(raw["angle"]),
            "angle.uom": "deg",
            "program.id": str(raw["program"]),
            "result_id": str(self.counter),
        }
        for temperature in ("motor_temp", "housing_temp"):
            if temperature in self.layout:
                raw[temperature] = self.random.randint(150, 800)
        return raw, expect


class Tool(Served):
    """All spindles of one server, their handshakes and the faults."""

    bits = 1024
    registers = 8192

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        profile = resolve(args.profile)
        layout = points(profile)
        self.server_id = int(profile["connection"].get("server_id", 1))
        self.mode = args.mode
        self.rate = args.rate
        self.limit = args.limit
        self.paused = args.paused
        self.ledger = Ledger(args.ledger)
        self.answering = asyncio.Event()
        self.answering.set()
        self.exception = 0
        self.unit = ""
        self.strange = 0
        names = args.slots.split(",")
        self.spindles = [
            Spindle(
                name,
                {key: shift(point, args.stride * at) for key, point in layout.items()},
                args.mode,
                args.first_counter,
                f"{args.seed}/{name}",
            )
            for at, name in enumerate(names)
        ]
        if args.mode != "free":
            self.acks = {(TABLES[s.layout["ack"].table], s.layout["ack"].address): s for s in self.spindles}
        else:
            self.acks = {}

    async def access(
        self, code: int, _start: int, address: int, count: int, _registers: list[int], values: list[Any] | None
    ) -> ExcCodes | None:
        """Every request passes here, before it is answered."""
        await self.answering.wait()
        if self.exception:
            return ExcCodes(self.exception)
        if values is not None:
            for offset, value in enumerate(values):
                spindle = self.acks.get((FUNCTIONS[code], address + offset))
                if spindle is not None:
                    self.acknowledge(spindle, int(value))
        return None

    def acknowledge(self, spindle: Spindle, value: int) -> None:
        """The gateway says that a result is durable. Written down before it gets an answer."""
        if self.mode == "level":
            if value and spindle.ready:
                spindle.ready = False
                self.note_ack(spindle)
                self.memory.put(spindle.layout["ready"], False)
            elif not value and spindle.showing and not spindle.ready:
                spindle.showing = False
                self.next(spindle)
        elif spindle.showing and value == spindle.shown:
            spindle.showing = False
            self.note_ack(spindle)
            self.next(spindle)
        elif value != spindle.shown:
            self.strange += 1
            self.ledger.write(e="strange", slot=spindle.name, value=value, counter=spindle.shown)

    def note_ack(self, spindle: Spindle) -> None:
        """Counts and writes down what was acknowledged."""
        spindle.acked += 1
        self.ledger.write(e="acked", slot=spindle.name, n=spindle.made)

    def next(self, spindle: Spindle) -> None:
        """Shows the next result at once where it is due, else leaves it to the clock."""
        if self.paused or (self.limit and spindle.made >= self.limit):
            return
        if self.rate and time.monotonic() < spindle.due:
            self.woken.set()
        else:
            self.show(spindle)

    def show(self, spindle: Spindle) -> None:
        """Puts a new result into the registers; its counter last."""
        now = time.time()
        if self.rate:
            spindle.due = max(spindle.due + 1 / self.rate, time.monotonic() - 1)
        raw, expect = spindle.make(now)
        self.ledger.write(
            e="shown", slot=spindle.name, n=spindle.made, counter=spindle.counter, stamp=raw["stamp"], t=now, expect=expect
        )
        spindle.showing = self.mode != "free"
        spindle.ready = self.mode == "level"
        count = spindle.shown = raw.pop("result_count")
        for name, value in raw.items():
            self.memory.put(spindle.layout[name], value)
        if "vin" in spindle.layout:
            self.memory.put(spindle.layout["vin"], self.unit)
        self.memory.put(spindle.layout["result_count"], count)
        if spindle.ready:
            self.memory.put(spindle.layout["ready"], True)

    async def clock(self) -> None:
        """Shows what is due."""
        while not self.stopped.is_set():
            now = time.monotonic()
            nearest = now + 0.05
            for spindle in self.spindles:
                if spindle.showing or self.paused or (self.limit and spindle.made >= self.limit):
                    continue
                if now >= spindle.due:
                    self.show(spindle)
                nearest = min(nearest, max(spindle.due, now))
            self.woken.clear()
            try:
                await asyncio.wait_for(self.woken.wait(), max(nearest - time.monotonic(), 0.001))
            except TimeoutError:
                pass

    def stats(self) -> dict[str, Any]:
        """What was made and acknowledged so far."""
        return {
            "made": sum(s.made for s in self.spindles),
            "acked": sum(s.acked for s in self.spindles),
            "showing": sum(s.showing for s in self.spindles),
            "strange": self.strange,
        }

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
                for spindle in self.spindles:
                    spindle.due = time.monotonic()
                self.woken.set()
            case "pause":
                self.paused = True
            case "silence":
                (self.answering.clear if order["on"] else self.answering.set)()
            case "exceptions":
                self.exception = int(order["code"])
            case "close":
                self.close()
            case "restart_counter":
                for spindle in self.spindles:
                    spindle.counter = 0
            case "unit":
                self.unit = order["id"]
            case "stop":
                self.stopped.set()
            case unknown:
                raise ValueError(f"the tool knows no command {unknown!r}")
        self.ledger.write(e="command", **order)
        return self.stats()

    def begin(self) -> None:
        """An echoed counter begins acknowledged."""
        if self.mode == "copy":
            for spindle in self.spindles:
                self.memory.put(spindle.layout["ack"], spindle.counter)
                self.memory.put(spindle.layout["result_count"], spindle.counter)


def main() -> None:
    """Reads the arguments and serves."""
    parser = arguments(__doc__)
    parser.add_argument("--profile", default="peer/torque-a", help="device profile that is the register map")
    parser.add_argument("--slots", default="st10.spindle-1", help="a name for each spindle, with commas")
    parser.add_argument("--stride", type=int, default=40, help="registers from one spindle to the next")
    parser.add_argument("--mode", choices=["copy", "level", "free"], default="copy")
    parser.add_argument("--rate", type=float, default=20.0, help="results a second of each spindle, 0: as fast as acknowledged")
    parser.add_argument("--limit", type=int, default=0, help="results of each spindle, 0: no end")
    parser.add_argument("--first-counter", type=int, default=1)
    parser.add_argument("--paused", action="store_true")
    args = parser.parse_args()

    serve(Tool, args)


if __name__ == "__main__":
    main()

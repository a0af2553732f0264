#!/usr/bin/env python3
"""A simulated PLC that punishes mistakes: a pymodbus server with one handshake of devices.md 3.4, and a ledger.

Prints {"port": N} and then answers commands, one JSON object a line on stdin:
  {"do": "stats"}    {"do": "resume", "rate": 100, "limit": 500}    {"do": "pause"}     {"do": "close"}
  {"do": "faults", "chance": 0.02}       acknowledgements get lost, ready bounces, the PLC restarts, all at random
  {"do": "kill_on_ack", "pid": 42}       the next acknowledgement kills this process before anything else happens
  {"do": "power", "keep": true}          off and on: registers are 0, life stands still; what was not taken is shown again or is lost
  {"do": "still", "seconds": 1.5}        its program stands, and it still answers
  {"do": "restart_counter"}              {"do": "stop"}

`level`, `toggle`, `echo`, `clear` wait for the acknowledgement of each result; `counter`, `torn`, `selfclear`, `latched`,
`ring`, `ringfree` overwrite what was not read in time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import time
from typing import Any

from layout import Point, points, resolve
from ledger import Ledger
from plc_results import derive
from pymodbus.constants import ExcCodes
from served import FUNCTIONS, TABLES, Served, arguments, serve

WIDTHS = {"c": 16, "d": 16, "h": 1, "i": 1}


class Plc(Served):
    """What every pattern has: results, a clock, faults. The patterns say how a result is shown and taken."""

    waits = False

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.layout, self.server_id = self.map(args)
        self.args = args
        self.slot = args.slot
        self.ledger = Ledger(args.ledger)
        self.random = random.Random(args.seed)
        self.rate = args.rate
        self.limit = 0
        self.paused = True
        self.chance = 0.0
        self.number = 0
        self.counter = args.first_counter - 1
        self.stamp = 0
        self.acked = 0
        self.showing = False
        self.redisplay = False
        self.shown: dict[str, Any] = {}
        self.excused = False
        self.down = False
        self.still_until = 0.0
        self.assassin = 0
        self.strange = 0
        self.faults: dict[str, int] = {}
        self.due = 0.0
        self.tasks: set[asyncio.Task[None]] = set()

    # -- what a pattern has

    def map(self, args: argparse.Namespace) -> tuple[dict[str, Point], int]:
        """The registers and the unit identifier."""
        profile = resolve(f"peer/plc-{args.pattern}")
        return points(profile), int(profile["connection"].get("server_id", 1))

    def record(self) -> dict[str, Any]:
        """Values of the result that is made now, by point."""
        return {**derive(self.number), "stamp": self.stamp}

    def raise_flag(self) -> None:
        """Says that there is a new result; its record stands already."""
        self.put("counter", self.counter)

    def may_raise(self) -> bool:
        """Whether the acknowledgement of the last result is over."""
        return True

    def ignore(self, old: int, _value: int) -> None:
        """The program overwrites the acknowledgement with what stood there, and has not seen it."""
        asyncio.get_running_loop().call_soon(self.put, self.ack, old)

    def wrote(self, value: int) -> None:
        """The gateway wrote this to the acknowledgement; nothing is answered yet."""

    def was_read(self, table: str, first: int, behind: int) -> None:
        """The gateway has read this; the answer is made already."""

    def begin(self) -> None:
        """What stands in the registers at first."""
        self.put("counter", self.counter)

    def wipe(self) -> None:
        """What the program forgets when the power goes, beside the registers."""

    ack = "ack"

    # -- registers

    def put(self, name: str, value: Any) -> None:
        """Writes one value, where the profile has that point."""
        if name in self.layout:
            self.memory.put(self.layout[name], value)

    def get(self, name: str) -> int:
        """One register or bit."""
        point = self.layout[name]
        block = self.memory.blocks[TABLES[point.table]]
        if point.table in ("coil", "discrete"):
            word, bit = divmod(point.address, 16)
            return block[word] >> bit & 1
        return block[point.address]

    async def access(
        self, code: int, _start: int, address: int, count: int, _registers: list[int], values: list[Any] | None
    ) -> ExcCodes | None:
        """Every request passes here, before it is answered."""
        if self.down:
            self.close()
            return ExcCodes.DEVICE_FAILURE
        table = FUNCTIONS[code]
        if values is None:
            if code < 5:
                loop = asyncio.get_running_loop()
                loop.call_soon(self.read_behind, self.number, table, address, address + count * WIDTHS[table])
            return None
        target = self.layout.get(self.ack)
        for offset in range(len(values)):
            if target and (table, address + offset) == (TABLES[target.table], target.address):
                refused = await self.acknowledge(values, offset)
                if refused:
                    return refused
            else:
                self.violation(f"{values[offset]} was written to {table}:{address + offset}, where nothing is to be written")
        return None

    async def acknowledge(self, values: list[Any], offset: int) -> ExcCodes | None:
        """An acknowledgement, or what becomes of it. Changing `values` changes what pymodbus writes."""
        old, value = self.get(self.ack), int(values[offset])
        if self.assassin:
            pid, self.assassin = self.assassin, 0
            os.kill(pid, signal.SIGKILL)
            self.note_fault("gateway killed by its acknowledgement")
        if self.random.random() >= self.chance:
            self.wrote(value)
            return None
        kind = self.random.choice(["answer lost", "request lost", "busy", "ignored", "answered late"])
        self.note_fault(kind)
        if kind == "busy":
            return ExcCodes.DEVICE_BUSY
        if kind == "request lost":
            values[offset] = old
        if kind == "ignored":
            self.ignore(old, value)
        if kind in ("answer lost", "answered late"):
            self.wrote(value)
        if kind in ("answer lost", "request lost"):
            self.close()
        if kind == "answered late":
            await asyncio.sleep(0.6)
        return None

    def read_behind(self, number: int, table: str, first: int, behind: int) -> None:
        """What a read does is done in one go with it: not to a result that was shown since."""
        if number == self.number:
            self.was_read(table, first, behind)

    # -- results

    def note_fault(self, kind: str) -> None:
        """Counts what the PLC did to the gateway."""
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.ledger.write(e="fault", slot=self.slot, kind=kind, n=self.number)

    def violation(self, text: str) -> None:
        """The gateway did what it must not do."""
        self.ledger.write(e="violation", slot=self.slot, n=self.number, text=text)

    def taken(self) -> None:
        """The result that is shown is acknowledged. Written down before that gets an answer."""
        self.acked += 1
        self.showing = False
        self.ledger.write(e="acked", slot=self.slot, n=self.number)
        asyncio.get_running_loop().call_soon(self.next)

    def next(self) -> None:
        """Shows the next result at once where it is due, else leaves it to the clock."""
        if self.rate and time.monotonic() < self.due or self.random.random() < 0.1:
            self.woken.set()
        else:
            self.show()

    def runs(self) -> bool:
        """Whether the program runs."""
        return not self.down and time.monotonic() >= self.still_until

    def may_show(self) -> bool:
        """Whether the next result can be shown now."""
        more = not self.paused and (not self.limit or self.number < self.limit)
        return more and self.runs() and not self.showing and not self.redisplay and self.may_raise()

    def show(self) -> None:
        """Puts a new result into the registers; what says so comes last."""
        if not self.may_show():
            return
        now = time.time()
        if self.rate:
            self.due = max(self.due + 1 / self.rate, time.monotonic() - 0.5)
        self.number += 1
        self.counter = self.counter % 65535 + 1
        # One second may see more results than the counter tells apart after a restart: the pair stays unique.
        self.stamp = max(int(now), self.stamp + (self.counter == 1))
        self.shown = self.record()
        self.excused = False
        self.showing = self.waits
        self.ledger.write(e="shown", slot=self.slot, n=self.number, counter=self.counter, stamp=self.stamp, t=now)
        self.display()

    def display(self) -> None:
        """The record, and then what says that it is there."""
        for name, value in self.shown.items():
            self.put(name, value)
        self.raise_flag()

    # -- faults

    def later(self, seconds: float, act: Any, *args: Any) -> None:
        """Does that after a while, if nothing else was shown since."""
        number = self.number

        def run() -> None:
            if self.number == number and not self.down:
                act(*args)

        asyncio.get_running_loop().call_later(seconds, run)

    async def power(self, keep: bool) -> None:
        """Off and on again. Without `keep` what was shown and not taken is lost, and the counter begins anew."""
        if self.down:
            return
        self.note_fault(f"power cycle, result {'kept' if keep else 'lost'}")
        self.down = True
        self.close()
        for block in self.memory.blocks.values():
            block[:] = [0] * len(block)
        self.wipe()
        if not keep:
            if self.showing:
                self.ledger.write(e="lost", slot=self.slot, n=self.number)
            self.showing = False
            self.counter = 0
        self.excused = True
        await asyncio.sleep(self.random.uniform(0.1, 0.5))
        # It answers before its program runs: all registers are 0.
        self.still_until = time.monotonic() + self.random.uniform(0, 0.3)
        self.down = False
        self.redisplay = self.showing or (keep and not self.waits and self.number > 0)

    def spontaneous(self) -> None:
        """What happens by itself, some times a minute."""
        if self.waits and self.chance and self.random.random() < 0.02:
            kind = self.random.random()
            if kind < 0.6 and self.showing:
                self.bounce()
            elif kind < 0.8:
                self.start(self.power(self.random.random() < 0.5))
            elif not self.showing and not self.down and self.counter > 1:
                self.counter = 0
                self.note_fault("counter restarted")

    def bounce(self) -> None:
        """What says that there is a result goes and comes again."""

    def start(self, work: Any) -> None:
        """A task that is not forgotten."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def clock(self) -> None:
        """Shows what is due, and lives."""
        life = 0.0
        while not self.stopped.is_set():
            now = time.monotonic()
            if now >= life and now >= self.still_until and not self.down:
                life = now + 0.05
                if "life" in self.layout:
                    self.put("life", (self.get("life") + 1) & 0xFFFF)
                self.spontaneous()
            if self.redisplay and self.runs() and self.may_raise():
                self.redisplay = False
                self.display()
            while self.may_show() and time.monotonic() >= self.due:
                self.show()
                if not self.rate:
                    break
            nearest = min(max(self.due, now), now + 0.02) if self.rate and not self.waits else now + 0.02
            self.woken.clear()
            try:
                await asyncio.wait_for(self.woken.wait(), max(nearest - time.monotonic(), 0.0005))
            except TimeoutError:
                pass

    # -- commands

    def stats(self) -> dict[str, Any]:
        """What was made and taken so far."""
        return {
            "made": self.number,
            "limit": self.limit,
            "acked": self.acked,
            "showing": int(self.showing),
            "strange": self.strange,
            "down": self.down,
            "faults": self.faults,
        }

    def command(self, line: str) -> dict[str, Any]:
        """One command of the harness."""
        order = json.loads(line)
        match order["do"]:
            case "stats":
                return self.stats()
            case "resume":
                self.paused = False
                self.rate = order.get("rate", self.rate)
                self.limit = order.get("limit", self.limit)
                self.due = time.monotonic()
                self.woken.set()
            case "pause":
                self.paused = True
            case "faults":
                self.chance = float(order["chance"])
            case "kill_on_ack":
                self.assassin = int(order["pid"])
            case "power":
                self.start(self.power(bool(order["keep"])))
            case "still":
                self.still_until = time.monotonic() + float(order["seconds"])
            case "restart_counter":
                self.counter = 0
            case "close":
                self.close()
            case "stop":
                self.stopped.set()
            case unknown:
                raise ValueError(f"the PLC knows no command {unknown!r}")
        self.ledger.write(e="command", **order)
        return self.stats()

def covers(point: Point, table: str, first: int, behind: int) -> bool:
    """Whether a request read this point."""
    return TABLES[point.table] == table and first <= point.address < behind


class Level(Plc):
    """H1. Ready may only be answered by 1, and only its fall by 0; the next result waits for that 0."""

    waits = True

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.phase = "idle"

    def may_raise(self) -> bool:
        return self.phase == "idle" and not self.get("ack")

    def ignore(self, _old: int, value: int) -> None:
        # A level cannot be overlooked for ever: the program is slow to see it.
        def see() -> None:
            if self.get("ack") == bool(value):
                self.wrote(value)

        self.later(0.4, see)

    def raise_flag(self) -> None:
        self.put("counter", self.counter)
        self.phase = "ready"
        self.put("ready", True)

    def wrote(self, value: int) -> None:
        if value and self.phase == "ready":
            self.phase = "acknowledged"
            self.put("ready", False)
            self.acked += 1
            self.ledger.write(e="acked", slot=self.slot, n=self.number)
            self.showing = False
            if self.random.random() < self.chance:
                self.note_fault("ready bounces behind the acknowledgement")
                self.excused = True
                self.later(0.002, self.flicker, True)
                self.later(self.random.uniform(0.004, 0.02), self.flicker, False)
        elif value and self.phase == "idle":
            self.strange += 1
            if not self.excused:
                self.violation("acknowledged though nothing was shown and the last one was over")
        elif not value and self.phase == "acknowledged":
            self.phase = "idle"
            asyncio.get_running_loop().call_soon(self.next)
        elif not value and self.phase == "ready" and self.get("ack") and not self.excused:
            self.violation("the acknowledgement was taken back before the trigger fell")
        elif not value:
            self.woken.set()

    def flicker(self, on: bool) -> None:
        """Ready after it was acknowledged, of the same result."""
        if self.phase == "acknowledged":
            self.put("ready", on)

    def bounce(self) -> None:
        if self.phase == "ready":
            self.excused = True
            self.note_fault("ready bounces")
            self.put("ready", False)
            self.later(self.random.uniform(0.001, 0.03), self.again)

    def again(self) -> None:
        """Ready comes again, of the same result."""
        if self.phase == "ready":
            self.put("ready", True)

    def wipe(self) -> None:
        self.phase = "idle"


class Toggle(Plc):
    """H2. The flag says by its change that there is a result; the same value written back takes it."""

    waits = True

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.flag = False

    def raise_flag(self) -> None:
        self.put("counter", self.counter)
        self.flag = not self.flag
        self.put("flag", self.flag)

    def may_raise(self) -> bool:
        return bool(self.get("ack")) == self.flag

    def wrote(self, value: int) -> None:
        if self.showing and bool(value) == self.flag:
            self.taken()
        else:
            self.strange += 1

    def wipe(self) -> None:
        self.flag = False


class Echo(Plc):
    """H4. The counter written back takes the result."""

    waits = True

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.counters = {0}

    def begin(self) -> None:
        super().begin()
        self.put("ack", self.counter)

    def wrote(self, value: int) -> None:
        if self.showing and value == self.counter:
            self.taken()
            return
        self.strange += 1
        if value not in self.counters:
            self.violation(f"{value} was acknowledged while {self.counter} was shown, and was never shown")

    def display(self) -> None:
        self.counters.add(self.counter)
        super().display()


class Clear(Plc):
    """H5, cleared by writing. Zero in the ready word takes the result."""

    waits = True
    ack = "ready"

    def raise_flag(self) -> None:
        self.put("counter", self.counter)
        self.put("ready", 1)

    def wrote(self, value: int) -> None:
        if value:
            self.violation(f"{value} was written to the ready word")
        elif self.showing:
            self.taken()
        else:
            self.strange += 1

    def bounce(self) -> None:
        self.excused = True
        self.note_fault("ready bounces")
        self.put("ready", 0)
        self.later(self.random.uniform(0.001, 0.03), self.again)

    def again(self) -> None:
        """Ready comes again, of the same result."""
        if self.showing:
            self.put("ready", 1)


class Counter(Plc):
    """H3. The counter alone says that there is a result."""


class Torn(Plc):
    """H3 in two requests, and now and then a new result right behind a read of either."""

    def was_read(self, table: str, first: int, behind: int) -> None:
        if self.rate and self.random.random() < 0.1:
            self.show()


class SelfClear(Plc):
    """H5. Reading the flag clears it."""

    def raise_flag(self) -> None:
        self.put("counter", self.counter)
        self.put("flag", 1)

    def was_read(self, table: str, first: int, behind: int) -> None:
        if covers(self.layout["flag"], table, first, behind):
            self.put("flag", 0)
        elif self.rate and self.random.random() < 0.05:
            self.show()


class Latched(Plc):
    """H6. The verdict stands until the next cycle begins; bits are low for half of a cycle."""

    def display(self) -> None:
        self.put("ok", False)
        self.put("nok", False)
        # The new record before the verdict, as a program writes it; its counter comes with the verdict.
        for name, value in self.shown.items():
            self.put(name, value)
        self.later(0.5 / max(self.rate, 4), self.raise_flag)

    def raise_flag(self) -> None:
        self.put("counter", self.counter)
        self.put("ok", self.shown["judgement"] == 1)
        self.put("nok", self.shown["judgement"] == 2)


class Ring(Plc):
    """H8. Sixteen records, twenty registers apart, and the index of the one that is written next."""

    slots, stride = 16, 20

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.index = 0
        self.free = args.pattern == "ringfree"

    def begin(self) -> None:
        pass  # no record, and nothing counted

    def display(self) -> None:
        at = self.index % self.slots * self.stride
        for name, value in {**self.shown, "counter": self.counter}.items():
            point = self.layout[name]
            self.memory.put(Point(**{**point.__dict__, "address": point.address + at}), value)
        self.index = (self.index + 1) % (65536 if self.free else self.slots)
        self.put("write_index", self.index)

    def wipe(self) -> None:
        self.index = 0


PATTERNS: dict[str, type[Plc]] = {
    "level": Level,
    "toggle": Toggle,
    "counter": Counter,
    "torn": Torn,
    "echo": Echo,
    "selfclear": SelfClear,
    "clear": Clear,
    "latched": Latched,
    "ring": Ring,
    "ringfree": Ring,
}


def main() -> None:
    """Reads the arguments and serves."""
    parser = arguments(__doc__)
    parser.add_argument("--pattern", choices=PATTERNS, required=True)
    parser.add_argument("--slot", default="st10.plc")
    parser.add_argument("--rate", type=float, default=0, help="results a second, 0: as fast as acknowledged")
    parser.add_argument("--first-counter", type=int, default=65_500)
    args = parser.parse_args()

    serve(PATTERNS[args.pattern], args)


if __name__ == "__main__":
    main()

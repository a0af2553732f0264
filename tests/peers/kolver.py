#!/usr/bin/env python3
"""A Kolver K-DUCER of pymodbus: registers, busy answers, flag and reboot as reference devices.md 3.2 has them.

Commands as those of plc.py, and {"do": "k1"}: the controller shows the manufacturer's own test vector.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from decimal import Decimal

from layout import Point
from plc import Plc, covers
from pymodbus.constants import ExcCodes
from served import arguments, serve

# The result block of KducerTests, bytes from input register 295 on.
K1 = (
    "65 66 67 45 97 98 99 45 49 50 51 52 0 0 0 0 0 1 0 51 0 4 0 30 162 221 1 115 3 232 0 50 1 44 2 56 0 1 0 1 0 0 0 0 0 0 0 50 "
    "0 50 0 8 0 3 0 50 3 231 0 0 0 0 0 0 0 0 2 88 0 0 0 13 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 24 0 3 "
    "0 15 0 15 0 15 0 38 0 0 0 0 0 0 0 5 0 0 0 0 0 0 0 0 0 0 48 52"
)
SINGLE = {
    "flag": 294, "judgement": 303, "program": 304, "model": 305, "target": 310, "speed": 311, "duration": 312, "screws_ok": 313,
    "screws": 314, "torque": 318, "peak": 319, "angle": 323, "code": 330, "year": 346, "month": 347, "day": 348, "hour": 349,
    "minute": 350, "second": 351,
}  # fmt: skip
DOUBLE = {"serial": 306, "counter": 354}
# Results of this many screws make a program.
SCREWS = 4


def derive(number: int) -> dict[str, Any]:
    """Raw values of result `number`: its name is its number, all else follows from it."""
    good = number % 5 != 0
    return {
        "name": f"R{number:06d}",
        "judgement": 1 if good else 0,
        "program": number % 64 + 1,
        "model": 4,
        "serial": 2_007_773,
        "target": 120,
        "speed": 300,
        "duration": 100 + number % 900,
        "screws_ok": number % SCREWS,
        "screws": SCREWS,
        "torque": number * 13 % 30_000,
        "peak": number * 13 % 30_000,
        "angle": number * 7 % 5_000,
        "code": 13 if good else 32,
    }


def expected(number: int) -> dict[str, Any]:
    """What the MES has to receive of it."""
    raw = derive(number)
    return {
        "result": "ok" if raw["judgement"] == 1 else "nok",
        "torque.value": Decimal(raw["torque"]) / 100,
        "torque.target": Decimal("1.2"),
        "angle.value": raw["angle"],
        "program.id": str(raw["program"]),
        "program.name": raw["name"],
        "tool.serial": "2007773",
        "batch.count": raw["screws_ok"],
        "batch.size": SCREWS,
    }


class Kolver(Plc):
    """Overwrites what was not read; its ids begin at 1 after every reboot."""

    def map(self, args: argparse.Namespace) -> tuple[dict[str, Point], int]:
        def point(address: int, kind: str, length: int = 0) -> Point:
            return Point("input", address, kind, "abcd", Decimal(1), None, length, {})

        layout = {name: point(address, "u16") for name, address in SINGLE.items()}
        layout |= {name: point(address, "u32") for name, address in DOUBLE.items()}
        layout |= {"barcode": point(295, "string", 16), "name": point(331, "string", 30)}
        return layout, 0

    def begin(self) -> None:
        pass  # switched on: nothing was tightened

    def record(self) -> dict[str, Any]:
        now = time.localtime()
        clock = {"year": now.tm_year - 2000, "month": now.tm_mon, "day": now.tm_mday, "hour": now.tm_hour}
        return {**derive(self.number), **clock, "minute": now.tm_min, "second": now.tm_sec}

    def raise_flag(self) -> None:
        self.put("counter", self.counter)
        self.put("flag", 1)

    def was_read(self, table: str, first: int, behind: int) -> None:
        if covers(self.layout["flag"], table, first, behind):
            self.put("flag", 0)

    async def access(self, code: int, *rest: Any) -> ExcCodes | None:
        """Busy while the driver runs: the last third of a cycle, 200 ms at most."""
        left = self.due - time.monotonic()
        if self.rate and not self.paused and self.number < (self.limit or self.number + 1) and 0 < left < min(0.3 / self.rate, 0.2):
            self.faults["busy"] = self.faults.get("busy", 0) + 1
            return ExcCodes.DEVICE_BUSY
        return await super().access(code, *rest)

    def command(self, line: str) -> dict[str, Any]:
        if json.loads(line)["do"] != "k1":
            return super().command(line)
        data = bytes(map(int, K1.split()))
        self.memory.blocks["i"][295 : 295 + len(data) // 2] = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
        self.counter = 5
        self.put("flag", 1)
        return self.stats()


def main() -> None:
    """Reads the arguments and serves."""
    parser = arguments(__doc__)
    parser.add_argument("--slot", default="st10.kolver")
    args = parser.parse_args()
    args.pattern, args.rate, args.first_counter = "kolver", 0, 1

    serve(Kolver, args)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A tool by Modbus that shows the results of telegrams.py: the same tightening as a controller by Open Protocol or OPC UA has.

Prints {"port": N} and answers commands: {"do": "show", "n": 7}   {"do": "stats"}   {"do": "stop"}
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from layout import Point
from ledger import Ledger
from served import Served, arguments, serve
from telegrams import NO_ANGLE_LIMIT, NO_TORQUE_LIMIT, derive, vin

POINTS = {
    "torque": (0, "i32"), "torque_min": (2, "i32"), "torque_max": (4, "i32"), "torque_target": (6, "i32"), "angle": (8, "i32"), "angle_min": (10, "i32"),
    "angle_max": (12, "i32"), "angle_target": (14, "i32"), "status": (16, "u16"), "torque_status": (17, "u16"), "angle_status": (18, "u16"),
    "pset": (19, "u16"), "batch_counter": (20, "u16"), "batch_size": (21, "u16"), "vin": (22, "string"), "count": (40, "u16"),
}  # fmt: skip
PROFILE = """profile = 1
vendor = "Peer"
model = "same"
maturity = "document"
[connection]
protocol = "modbus-tcp"
address = "{address}"
poll = "20ms"
[points]
{points}
[events.tightening]
when = {{ changes = "count" }}
id = ["count"]
result = "status"
torque = {{ value = "torque", min = "torque_min", max = "torque_max", target = "torque_target", result = "torque_status" }}
angle = {{ value = "angle", min = "angle_min", max = "angle_max", target = "angle_target", result = "angle_status" }}
program = "pset"
batch = {{ count = "batch_counter", size = "batch_size" }}
unit = "vin"
"""


def profile(address: str) -> str:
    """Its device file."""
    lines = []
    for name, (register, kind) in POINTS.items():
        more = ""
        if name.startswith("torque") and kind == "i32":
            more = f', scale = 0.01, uom = "N.m", invalid = [{NO_TORQUE_LIMIT}]'
        elif name.startswith("angle") and kind == "i32":
            more = f', uom = "deg", invalid = [{NO_ANGLE_LIMIT}]'
        elif name == "status":
            more = ', map = { 0 = "nok", 1 = "ok" }'
        elif name.endswith("_status"):
            more = ', map = { 0 = "low", 1 = "ok", 2 = "high" }'
        elif name == "vin":
            more = ", length = 17"
        lines.append(f'{name} = {{ at = "holding:{register}", type = "{kind}"{more} }}')
    return PROFILE.format(address=address, points="\n".join(lines))


class Same(Served):
    """Shows what it is told to."""

    server_id = 1

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.ledger = Ledger(args.ledger)
        self.shown = 0

    async def access(self, *_request: Any) -> None:
        """Every request is answered."""

    async def clock(self) -> None:
        """Nothing happens by itself."""
        await self.stopped.wait()

    def command(self, line: str) -> dict[str, Any]:
        """One command of the harness."""
        order = json.loads(line)
        if order["do"] == "show":
            raw = derive(order["n"]) | {"vin": vin(order["n"]), "count": order["n"]}
            self.ledger.write(e="shown", n=order["n"])
            for name, (register, kind) in POINTS.items():
                point = Point("holding", register, kind, "abcd", 1, None, 17 if kind == "string" else 0, {})  # type: ignore[arg-type]
                self.memory.put(point, raw[name])
            self.shown += 1
        elif order["do"] == "stop":
            self.stopped.set()
        return {"made": self.shown, "acked": self.shown, "showing": 0}


if __name__ == "__main__":
    serve(Same, arguments(__doc__).parse_args())
    sys.exit(0)

#!/usr/bin/env python3
"""A pymodbus server that holds one known value of every type in every word order, and the points that read them."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from typing import Any

SERVER_ID = 3
# Type, value as encoded, value as the MES has to receive it. Beyond 2^53 integers are strings.
SAMPLES: list[tuple[str, str, Any, Any]] = [
    ("u16", ">H", 65_534, 65_534),
    ("i16", ">h", -12_345, -12_345),
    ("u32", ">I", 4_000_000_001, 4_000_000_001),
    ("i32", ">i", -2_000_000_003, -2_000_000_003),
    ("u64", ">Q", 9_007_199_254_740_991, 9_007_199_254_740_991),
    ("i64", ">q", -9_223_372_036_854_775_807, "-9223372036854775807"),
    ("f32", ">f", 12.34, 12.34),
    ("f64", ">d", 0.1, 0.1),
    ("bcd16", ">H", 0x1234, 1234),
    ("bcd32", ">I", 0x87654321, 87_654_321),
]
ORDERS = ("abcd", "cdab", "badc", "dcba")


def registers(form: str, value: Any, order: str) -> list[int]:
    """The registers of a value: words swapped, bytes swapped, or both."""
    data = struct.pack(form, value)
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in ("cdab", "dcba"):
        words.reverse()
    if order in ("badc", "dcba"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def build() -> tuple[dict[str, Any], dict[str, Any], list[int]]:
    """Points, expected values and the table of registers."""
    points: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    table: list[int] = []
    for order in ORDERS:
        for kind, form, value, want in SAMPLES:
            name = f"{kind}_{order}"
            points[name] = {"at": f"holding:{len(table)}", "type": kind, "word_order": order}
            expected[name] = want
            table += registers(form, value, order)
    points["scaled"] = {"at": f"holding:{len(table)}", "type": "u16", "scale": 0.01}
    expected["scaled"] = 12.34
    points["bit"] = {"at": f"holding:{len(table) + 1}", "type": "bool", "bit": 3}
    expected["bit"] = True
    points["bits"] = {"at": f"holding:{len(table) + 1}", "type": "u16", "bits": [4, 7]}
    expected["bits"] = 11
    points["text"] = {"at": f"holding:{len(table) + 2}", "type": "string", "length": 6}
    expected["text"] = "007AB"
    table += [1234, 0x00B8, *struct.unpack(">3H", b"007AB\0")]
    return points, expected, table


POINTS, EXPECTED, TABLE = build()


async def serve() -> None:
    """Serves until stdin ends."""
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    words = SimData(0, values=[*TABLE, 0], datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(SERVER_ID, simdata=[words]), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    print(json.dumps({"port": server.transport.sockets[0].getsockname()[1]}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps({"made": 0, "acked": 0, "showing": 0}), flush=True)
    await server.shutdown()


if __name__ == "__main__":
    asyncio.run(serve())

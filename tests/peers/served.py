"""A simulated device as a pymodbus server that takes commands: its memory, its life, its way out. What it does is its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from layout import Point
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

TABLES = {"coil": "c", "discrete": "d", "holding": "h", "input": "i"}
FUNCTIONS = {1: "c", 2: "d", 3: "h", 4: "i", 5: "c", 6: "h", 15: "c", 16: "h"}


class Memory:
    """The four tables of a pymodbus device, bits packed as pymodbus packs them."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[int]] = {}

    def attach(self, server: ModbusTcpServer, server_id: int) -> None:
        """Takes the running server's own lists, so that a change here is what a client reads next."""
        for name, (start, _, registers, _) in server.context.devices[server_id].block.items():
            if start != 0:
                raise RuntimeError(f"block {name} of the device begins at {start}")
            self.blocks[name] = registers

    def put(self, point: Point, value: Any) -> None:
        """Writes one value."""
        block = self.blocks[TABLES[point.table]]
        if point.table in ("coil", "discrete"):
            word, bit = divmod(point.address, 16)
            block[word] = block[word] & ~(1 << bit) | (bool(value) << bit)
        else:
            block[point.address : point.address + point.registers] = point.encode(value)


class Served:
    """A device behind a server. A device has `access`, `clock` and `command`; and `begin`, where it shows something from the start."""

    server_id: int
    bits = 256
    registers = 1024

    def __init__(self) -> None:
        self.memory = Memory()
        self.server: ModbusTcpServer | None = None
        self.stopped = asyncio.Event()
        self.woken = asyncio.Event()

    def device(self) -> SimDevice:
        """Four separate tables, all of them zero."""
        bits = [SimData(0, values=[False] * self.bits, datatype=DataType.BITS) for _ in range(2)]
        words = [SimData(0, count=self.registers, values=0, datatype=DataType.REGISTERS) for _ in range(2)]
        return SimDevice(self.server_id, simdata=([bits[0]], [bits[1]], [words[0]], [words[1]]), action=self.access)

    def begin(self) -> None:
        """What the registers show before anybody asks."""

    def close(self) -> None:
        """Resets every connection."""
        for connection in list(self.server.active_connections.values()):
            if connection.transport:
                connection.transport.abort()

    async def listen_to_harness(self) -> None:
        """Reads commands until stdin ends: a harness that is gone takes its peers with it."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while not self.stopped.is_set():
            line = await reader.readline()
            if not line:
                break
            print(json.dumps(self.command(line.decode())), flush=True)
        self.stopped.set()

    async def run(self, port: int) -> None:
        """Serves until told to stop."""
        self.server = ModbusTcpServer(self.device(), address=("127.0.0.1", port))
        await self.server.serve_forever(background=True)
        self.memory.attach(self.server, self.server_id)
        self.begin()
        print(json.dumps({"port": self.server.transport.sockets[0].getsockname()[1]}), flush=True)
        clock = asyncio.create_task(self.clock())
        orders = asyncio.create_task(self.listen_to_harness())
        done, _ = await asyncio.wait({clock, orders}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        clock.cancel()
        await self.server.shutdown()


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What every device is told."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--ledger", required=True)
    return parser


def serve(make: Callable[[argparse.Namespace], Served], args: argparse.Namespace) -> None:
    """Serves the device that `make` makes, inside a running loop, until it is told to stop."""

    async def run() -> None:
        await make(args).run(args.port)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass

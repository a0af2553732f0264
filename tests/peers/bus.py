#!/usr/bin/env python3
"""An RS-485 bus of pymodbus RTU devices: a hub on which all hear the same bytes, each device a server on a pty of its own.

Prints {"port": N} (0 without --tcp) and then answers commands, one JSON object a line on stdin:
  {"do": "open", "port": "/…/hub"}    the hub's end of a pty pair        {"do": "stats"}
  {"do": "stalls"}                    when this process itself was late
  {"do": "close"}                     lets go of it, or of the TCP link   {"do": "noise", "on": true}     {"do": "stop"}

Every register says whose it is: device (3 bits), place (7 bits), and a counter of tenths of a second (6 bits).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import termios
import time
import tty
from typing import Any

from pymodbus.framer.rtu import FramerRTU
from pymodbus.server import ModbusSerialServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

# Two blocks, so that a read of one cannot be told from a read of the other but by its values.
BLOCKS = ((0, 62), (500, 62))
KINDS = ("good", "dead", "slow", "late", "noisy")


def register(device: int, place: int, now: float) -> int:
    """What a register holds: `place` counts through both blocks."""
    return (device - 1) << 13 | place << 6 | int(now * 10) & 0x3F


class BusHandler(ServerRequestHandler):
    """Takes from the line what is addressed to this device: requests of others and their answers pass by."""

    def callback_data(self, data: bytes, addr: tuple | None = None) -> int:
        own = self.server.own
        for at in range(len(data) - 7):
            frame = data[at : at + 8]
            if frame[0] == own and 1 <= frame[1] <= 6 and FramerRTU.check_CRC(frame[:6], int.from_bytes(frame[6:], "big")):
                super().callback_data(frame, addr)
                return at + 8
        return max(len(data) - 7, 0)


class BusServer(ModbusSerialServer):
    """A pymodbus server that shares its line with others."""

    own = 0

    def callback_new_connection(self) -> BusHandler:
        return BusHandler(self, self.trace_packet, self.trace_pdu, self.trace_connect)


class Device:
    """One device, good or bad."""

    def __init__(self, number: int, kind: str, timeout: float, seed: str) -> None:
        self.number = number
        self.kind = kind
        self.timeout = timeout
        self.random = random.Random(f"{seed}/{number}")
        self.asked = 0
        self.late = 0
        self.fd = -1
        self.server: BusServer | None = None
        self.registers: list[int] = []

    async def start(self) -> None:
        """Its pty, and its server there."""
        self.fd, end = os.openpty()
        tty.setraw(self.fd)
        tty.setraw(end)
        os.set_blocking(self.fd, False)
        if self.kind == "dead":
            return
        words = SimData(0, count=600, values=0, datatype=DataType.REGISTERS)
        device = SimDevice(self.number, simdata=[words], action=self.access)
        self.server = BusServer(device, port=os.ttyname(end), ignore_missing_devices=True)
        self.server.own = self.number
        await self.server.serve_forever(background=True)
        self.registers = self.server.context.devices[self.number].block["x"][2]

    async def access(self, _code: int, _start: int, _address: int, _count: int, _registers: list[int], _values: Any) -> None:
        """Before an answer."""
        self.asked += 1
        if self.kind == "slow":
            await asyncio.sleep(0.7 * self.timeout)
        elif self.kind == "late" and self.random.random() < 0.7:
            self.late += 1
            await asyncio.sleep(self.random.uniform(1.02, 2.5) * self.timeout)
        self.tick()

    def tick(self) -> None:
        """Registers say the time."""
        now, place = time.time(), 0
        for first, count in BLOCKS:
            for address in range(first, first + count):
                self.registers[address] = register(self.number, place, now)
                place += 1


class Hub:
    """What comes in at one end goes out at all others."""

    def __init__(self, devices: list[Device], seed: str) -> None:
        self.devices = devices
        self.random = random.Random(f"{seed}/hub")
        self.loop = asyncio.get_running_loop()
        self.master = -1
        self.writer: asyncio.StreamWriter | None = None
        self.noise = True
        self.bytes = 0
        self.spoilt = 0
        self.split = 0
        self.stalls: list[tuple[float, float]] = []
        for device in devices:
            self.loop.add_reader(device.fd, self.from_device, device)

    def to_devices(self, data: bytes, but: Device | None) -> None:
        """All hear it, but the one that says it."""
        for device in self.devices:
            if device is not but and device.kind != "dead":
                try:
                    os.write(device.fd, data)
                except BlockingIOError:
                    pass  # it does not listen

    def to_gateway(self, data: bytes) -> None:
        """The gateway hears it."""
        self.bytes += len(data)
        try:
            if self.master >= 0:
                os.write(self.master, data)
            elif self.writer is not None and not self.writer.is_closing():
                self.writer.write(data)
        except (BlockingIOError, OSError):
            pass

    def say(self, data: bytes, but: Device | None) -> None:
        """On the line."""
        self.to_gateway(data)
        self.to_devices(data, but)

    def from_device(self, device: Device) -> None:
        """A device says something; the noisy one's words are spoilt now and then, and some come in two parts."""
        try:
            data = os.read(device.fd, 4096)
        except OSError:
            return
        if device.kind == "noisy" and self.noise and self.random.random() < 0.35:
            data = self.spoil(data)
        if len(data) > 8 and self.random.random() < 0.03:
            at = self.random.randrange(1, len(data))
            self.split += 1
            self.say(data[:at], device)
            self.loop.call_later(self.random.uniform(0.0005, 0.004), self.say, data[at:], device)
        else:
            self.say(data, device)

    def spoil(self, data: bytes) -> bytes:
        """Flipped bits, bytes too many before, within and behind, bytes too few."""
        self.spoilt += 1
        rubbish = self.random.randbytes(self.random.randint(1, 12))
        at = self.random.randrange(len(data))
        match self.random.randrange(6):
            case 0:
                flipped = bytearray(data)
                for _ in range(self.random.randint(1, 4)):
                    flipped[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
                return bytes(flipped)
            case 1:
                return rubbish + data
            case 2:
                return data + rubbish
            case 3:
                return data[:at] + rubbish + data[at:]
            case 4:
                return data[:at]
            case _:
                return rubbish

    def from_gateway(self, data: bytes) -> None:
        """A request."""
        self.to_devices(data, None)

    def read_master(self) -> None:
        """From the pty."""
        try:
            data = os.read(self.master, 4096)
        except OSError:
            data = b""
        if data:
            self.from_gateway(data)
        else:
            self.close()

    def open(self, port: str) -> None:
        """Takes up the hub's end of the gateway's port."""
        self.close()
        self.master = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.master, termios.TCSANOW)
        self.loop.add_reader(self.master, self.read_master)

    def close(self) -> None:
        """Lets go of the port, and of the TCP link."""
        if self.master >= 0:
            self.loop.remove_reader(self.master)
            os.close(self.master)
            self.master = -1
        if self.writer is not None:
            self.writer.transport.abort()
            self.writer = None

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """RTU over TCP: one gateway at a time, as a serial device server has it."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.writer = writer
        try:
            while data := await reader.read(4096):
                self.from_gateway(data)
        except OSError:
            pass
        if self.writer is writer:
            self.writer = None
        writer.close()

    async def watch(self) -> None:
        """Notes when this process itself did not get its turn: then the bus was late, not the gateway."""
        last = time.time()
        while True:
            await asyncio.sleep(0.01)
            now = time.time()
            if now - last > 0.04:
                self.stalls.append((last, now))
            last = now

    def stats(self) -> dict[str, Any]:
        """What was asked and spoilt."""
        asked = {str(device.number): device.asked for device in self.devices}
        late = sum(device.late for device in self.devices)
        return {"asked": asked, "spoilt": self.spoilt, "late": late, "split": self.split, "bytes": self.bytes, "made": 0, "acked": 0, "showing": 0}


async def serve(args: argparse.Namespace) -> None:
    """Until stdin ends."""
    kinds = args.kinds.split(",")
    devices = [Device(number, kind, args.timeout, args.seed) for number, kind in enumerate(kinds, 1)]
    for device in devices:
        await device.start()
    hub = Hub(devices, args.seed)
    watch = asyncio.create_task(hub.watch())
    port = 0
    if args.tcp:
        server = await asyncio.start_server(hub.accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        match order["do"]:
            case "open":
                hub.open(order["port"])
            case "close":
                hub.close()
            case "noise":
                hub.noise = bool(order["on"])
            case "stats":
                pass
            case "stalls":
                print(json.dumps({"stalls": hub.stalls}), flush=True)
                continue
            case "stop":
                break
            case unknown:
                raise ValueError(f"the bus knows no command {unknown!r}")
        print(json.dumps(hub.stats()), flush=True)
    watch.cancel()


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="good,dead,slow,good,late,good,noisy,good", help=f"of each device from 1 on: {', '.join(KINDS)}")
    parser.add_argument("--timeout", type=float, required=True, help="of the gateway, seconds")
    parser.add_argument("--tcp", action="store_true", help="RTU over TCP instead of a pty")
    parser.add_argument("--seed", default="1")
    args = parser.parse_args()
    try:
        asyncio.run(serve(args))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

"""A device at the end of a wire: a serial port by path, a TCP connection or a listening port, and commands as JSON lines."""

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

from ledger import Ledger


class Wire:
    """The line and the commands. A device has `receive`, `tick`, `command` and `stats`."""

    # Seconds between two looks of `tick`.
    every = 0.01

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.random = random.Random(args.seed)
        self.ledger = Ledger(args.ledger)
        self.fd = -1
        self.writer: asyncio.StreamWriter | None = None
        self.stopped = asyncio.Event()
        self.written = 0

    # -- the line

    def is_open(self) -> bool:
        """Whether there is somebody to talk to."""
        return self.fd >= 0 or self.writer is not None

    def open(self, port: str) -> None:
        """Takes up a serial port; the line settings of a pty are of no account, but that it is raw."""
        self.close()
        self.fd = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd, termios.TCSANOW)
        asyncio.get_running_loop().add_reader(self.fd, self.read_port)
        self.opened()

    def read_port(self) -> None:
        """What came in on the port; nothing is its end."""
        try:
            data = os.read(self.fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.receive(data)
        else:
            self.close()

    def close(self) -> None:
        """Lets go of the line."""
        if self.fd >= 0:
            asyncio.get_running_loop().remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
        if self.writer is not None:
            self.writer.transport.abort()
            self.writer = None

    def say(self, data: bytes) -> bool:
        """Puts bytes on the line; whether it took all of them."""
        self.written += len(data)
        try:
            if self.fd >= 0:
                return os.write(self.fd, data) == len(data)
            if self.writer is not None and not self.writer.is_closing():
                self.writer.write(data)
                return True
        except OSError:
            self.close()
        return False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection; a new one takes the place of the old one."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.writer = writer
        self.opened()
        try:
            while data := await reader.read(4096):
                self.receive(data)
        except OSError:
            pass
        if self.writer is writer:
            self.writer = None
        writer.transport.abort()

    async def dial(self) -> None:
        """As TCP client: connects to the gateway, again and again."""
        while not self.stopped.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.args.connect)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            await self.talk(reader, writer)

    # -- of the device

    def opened(self) -> None:
        """The line is there."""

    def receive(self, data: bytes) -> None:
        """Bytes of the gateway."""

    def tick(self, now: float) -> None:
        """Time passes."""

    def command(self, order: dict[str, Any]) -> None:
        """A command of this device."""
        raise ValueError(f"there is no command {order['do']!r}")

    def stats(self) -> dict[str, Any]:
        """What happened so far."""
        return {"made": 0, "acked": 0, "showing": 0}

    # -- running

    def obey(self, line: str) -> dict[str, Any]:
        """One command of the harness."""
        order = json.loads(line)
        match order["do"]:
            case "stats":
                return self.stats()
            case "open":
                self.open(order["port"])
            case "close":
                self.close()
            case "stop":
                self.stopped.set()
            case _:
                self.command(order)
        self.ledger.write(e="command", **order)
        return self.stats()

    async def watch(self) -> None:
        """Lets time pass."""
        while not self.stopped.is_set():
            self.tick(time.monotonic())
            await asyncio.sleep(self.every)

    async def orders(self) -> None:
        """Reads commands until stdin ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while not self.stopped.is_set() and (line := await reader.readline()):
            print(json.dumps(self.obey(line.decode())), flush=True)
        self.stopped.set()

    async def run(self) -> None:
        """Until told to stop."""
        port, server = 0, None
        tasks = {asyncio.create_task(self.watch()), asyncio.create_task(self.orders())}
        if self.args.listen:
            server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
        elif self.args.connect:
            tasks.add(asyncio.create_task(self.dial()))
        print(json.dumps({"port": port}), flush=True)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for task in tasks - done:
            task.cancel()
        if server is not None:
            server.close()
        self.close()


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """What every device on a wire is told."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--listen", action="store_true", help="serves TCP instead of a port")
    parser.add_argument("--connect", type=int, default=0, help="connects to this TCP port instead")
    return parser


def serve(make: type[Wire], args: argparse.Namespace) -> None:
    """Runs the device until it is told to stop."""

    async def run() -> None:
        await make(args).run()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass

#!/usr/bin/env python3
"""The serial side of a torque controller: takes telegrams out of their ASCII frames on a port, and puts answers into such.

Prints {"port": 0} and then answers commands, one JSON object a line on stdin:
  {"do": "open", "port": "/…/tty"}    {"do": "close"}    {"do": "hold", "on": true}    {"do": "noise", "chance": 0.1}    {"do": "stats"}

To the controller: BEL HT BEL HT STX telegram NUL ETX; from it: STX telegram NUL ETX. A 0001 begins a new session, as a controller
does that heard nothing for a while.
"""

from __future__ import annotations

import asyncio
from typing import Any

from wire import Wire, arguments, serve

STX, ETX = b"\x02", b"\x03"
FOREWORD = b"\x07\x09\x07\x09"


class AsciiLine(Wire):
    """Between a port and the controller's TCP port."""

    def __init__(self, args: Any) -> None:
        super().__init__(args)
        self.buffer = b""
        self.session: asyncio.StreamWriter | None = None
        self.reading: asyncio.Task[None] | None = None
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.feeding: asyncio.Task[None] | None = None
        self.held = False
        self.noise = 0.0
        self.counts = {"frames": 0, "sessions": 0, "violations": 0, "noise": 0}

    def receive(self, data: bytes) -> None:
        """Bytes of the gateway, until whole frames are there."""
        if self.feeding is None:
            self.feeding = asyncio.create_task(self.feed())
        if self.held:
            return
        self.buffer += data
        while ETX in self.buffer:
            frame, _, self.buffer = self.buffer.partition(ETX)
            before, found, telegram = frame.partition(STX)
            if not found or before != FOREWORD or not telegram.endswith(b"\0"):
                # Half of a frame may stand before the first whole one of a gateway that was started anew.
                self.counts["violations"] += 1
                self.ledger.write(e="violation", text=f"{frame[:60]!r} is no telegram between BEL HT BEL HT STX and NUL ETX")
                continue
            self.counts["frames"] += 1
            self.queue.put_nowait(telegram)

    async def feed(self) -> None:
        """Hands telegrams to the controller, in order."""
        while True:
            telegram = await self.queue.get()
            if telegram[4:8] == b"0001":
                await self.begin()
            if self.session is not None and not self.session.is_closing():
                self.session.write(telegram)

    async def begin(self) -> None:
        """A new session."""
        if self.reading is not None:
            self.reading.cancel()
        if self.session is not None:
            self.session.transport.abort()
        reader, self.session = await asyncio.open_connection("127.0.0.1", self.args.controller)
        self.counts["sessions"] += 1
        self.reading = asyncio.create_task(self.answer(reader))

    async def answer(self, reader: asyncio.StreamReader) -> None:
        """What the controller says goes onto the line, with noise between frames."""
        buffer = b""
        try:
            while data := await reader.read(4096):
                buffer += data
                while b"\0" in buffer:
                    telegram, _, buffer = buffer.partition(b"\0")
                    if self.held:
                        continue
                    if self.noise and self.random.random() < self.noise:
                        self.counts["noise"] += 1
                        self.say(bytes(self.random.choice(b"\x00\x55\xaa\xff~") for _ in range(self.random.randint(1, 12))))
                    self.say(STX + telegram + b"\0" + ETX)
        except OSError:
            pass

    def opened(self) -> None:
        self.buffer = b""

    def command(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "hold":
                self.held = bool(order["on"])
            case "noise":
                self.noise = float(order["chance"])
            case _:
                super().command(order)

    def stats(self) -> dict[str, Any]:
        return {"made": 0, "acked": 0, "showing": 0, **self.counts}


def main() -> None:
    """Reads the arguments and runs."""
    parser = arguments(__doc__)
    parser.add_argument("--controller", type=int, required=True, help="its TCP port")
    serve(AsciiLine, parser.parse_args())


if __name__ == "__main__":
    main()

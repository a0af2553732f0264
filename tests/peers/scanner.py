#!/usr/bin/env python3
"""A barcode scanner that sends an AIM identifier, the code and CR: on a serial port, as TCP client or listening.

Prints {"port": N} and then answers commands, one JSON object a line on stdin:
  {"do": "open", "port": "/…/tty"}    {"do": "scan", "what": "vin", "number": 5, "twice": true}    {"do": "stats"}    {"do": "stop"}

What is scanned: `vin`: a label in Code 39 with the leading I of vehicle makers; `gs1`: a DataMatrix with AI 01 and 21; `iso`: a
DataMatrix by ISO 15434 with DI P and I; `badge`: a person's; `noread`: nothing was read; `text`: `code` as it is.
"""

from __future__ import annotations

import time
from typing import Any

from wire import Wire, arguments, serve

GS, RS, EOT = "\x1d", "\x1e", "\x04"


def vin(number: int) -> str:
    """The unit of a label."""
    return f"WVWZZZ3HZPE{number:06}"


def code(what: str, number: int) -> str:
    """What the scanner sends of it, without CR."""
    match what:
        case "vin":
            return f"]A0I{vin(number)}"
        case "plain":
            return f"]C0{vin(number)}"
        case "gs1":
            return f"]d2010401234567890121{vin(number)}{GS}10B-{number:04}"
        case "iso":
            return f"]d1[)>{RS}06{GS}P1K0-123{GS}I{vin(number)}{RS}{EOT}"
        case "badge":
            return f"]C0EMP-{number:05}"
        case "noread":
            return "NOREAD"
        case unknown:
            raise ValueError(f"the scanner reads no {unknown!r}")


class Scanner(Wire):
    """Says what it is told to have read."""

    def __init__(self, args: Any) -> None:
        super().__init__(args)
        self.scans = 0
        self.repeats: list[tuple[float, bytes]] = []

    def tick(self, now: float) -> None:
        while self.repeats and now >= self.repeats[0][0]:
            self.say(self.repeats.pop(0)[1])

    def command(self, order: dict[str, Any]) -> None:
        if order["do"] != "scan":
            super().command(order)
            return
        self.scans += 1
        text = order["code"] if order["what"] == "text" else code(order["what"], order.get("number", 0))
        twice = bool(order.get("twice"))
        self.ledger.write(e="scan", n=self.scans, what=order["what"], number=order.get("number"), code=text, twice=twice)
        data = text.encode() + b"\r"
        if not self.say(data):
            self.ledger.write(e="unsaid", n=self.scans)
        if twice:
            self.repeats.append((time.monotonic() + 0.3, data))

    def stats(self) -> dict[str, Any]:
        return {"made": self.scans, "acked": 0, "showing": 0, "repeats": len(self.repeats), "open": self.is_open()}


def main() -> None:
    """Reads the arguments and runs."""
    serve(Scanner, arguments(__doc__).parse_args())


if __name__ == "__main__":
    main()

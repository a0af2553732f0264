#!/usr/bin/env python3
"""A torque wrench that sends lines: on a serial port, as TCP client or listening.

Prints {"port": N} and then answers commands, one JSON object a line on stdin:
  {"do": "open", "port": "/…/tty"}    {"do": "close"}    {"do": "stats"}    {"do": "resume", "rate": 5, "limit": 50}    {"do": "pause"}
  {"do": "noise"}    {"do": "half"}    {"do": "spoil"}   before the next result    {"do": "strange"}    {"do": "stop"}

`tohnichi`: what a CEM3 sends, `RE,001,+100.0,…`, once. `framed`: STX, a line with an exclusive or as two hex digits, CR LF; again
every second until 0x06 comes back. `full`: the same with all that a controller says, the results of telegrams.py.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import telegrams
from wire import Wire, arguments, serve

ACK = 0x06
AGAIN = 1.0


def derive(number: int, judged: bool = True) -> dict[str, Any]:
    """Raw values of result `number`. Of torque, tenths of a N.m. Of a CEM3 only one judgement is documented."""
    return {
        "torque": (number * 2_654_435_761 >> 7) % 4000 - 500,
        "angle": number * 17 % 360,
        "good": number % 6 != 0 or not judged,
    }


def expected(number: int, judged: bool = True) -> dict[str, str]:
    """What the MES has to receive of it, numbers as exact text."""
    raw = derive(number, judged)
    sign, torque = ("-" if raw["torque"] < 0 else ""), abs(raw["torque"])
    return {
        "result": "ok" if raw["good"] else "nok",
        "torque.value": f"{sign}{torque // 10}.{torque % 10}",
        "torque.uom": "N.m",
        "angle.value": str(raw["angle"]),
    }


def tohnichi(number: int, at: float) -> bytes:
    """The line of a CEM3, format M-3 with ID: the manual's 59 bytes, so fields carry blanks."""
    raw = derive(number, judged=False)
    when = datetime.fromtimestamp(at, UTC)
    parts = [
        "RE",
        f"{(number - 1) % 999 + 1:03}",
        f"{raw['torque'] / 10:+7.1f}",
        "nm  ",
        f"{raw['angle']:+04}",
        "deg ",
        "OO",
        f"{number:07}",
        when.strftime("%y/%m/%d"),
        when.strftime("%H:%M:%S"),
    ]
    return ",".join(parts).encode() + b"\r\n"


def framed(number: int) -> bytes:
    """Between STX and CR LF, a check before the end."""
    raw = derive(number)
    body = f"{number:06},{raw['torque'] / 10:8.1f},N.m,{raw['angle']:4},{'OK' if raw['good'] else 'NG'},".encode()
    return b"\x02" + body + f"{reduce(lambda a, b: a ^ b, body):02X}".encode() + b"\r\n"


def full(number: int, at: float) -> bytes:
    """The same with limits, targets, judgements, program, batch, identifier and time; dashes where there is no limit."""
    raw = telegrams.derive(number)
    words = ("LO", "OK", "HI")

    def numbers(what: str, none: int, scale: int) -> list[str]:
        values = [raw[f"{what}{part}"] for part in ("", "_min", "_max", "_target")]
        return [f"{'-' * 6:>9}" if value == none else f"{value / scale:9.2f}" if scale > 1 else f"{value:9}" for value in values]

    parts = [f"{number:06}", *numbers("torque", telegrams.NO_TORQUE_LIMIT, 100), "Nm", words[raw["torque_status"]]]
    parts += [*numbers("angle", telegrams.NO_ANGLE_LIMIT, 1), words[raw["angle_status"]], "OK" if raw["status"] else "NG"]
    parts += [f"{raw['pset']:03}", f"{raw['batch_counter']:02}", f"{raw['batch_size']:02}", raw["vin"], telegrams.stamp(at), ""]
    body = ",".join(parts).encode()
    return b"\x02" + body + f"{reduce(lambda a, b: a ^ b, body):02X}".encode() + b"\r\n"


class Wrench(Wire):
    """Makes results; the next one only when the last one is acknowledged, where that is its way."""

    def __init__(self, args: Any) -> None:
        super().__init__(args)
        self.waits = args.format != "tohnichi"
        self.rate = args.rate
        self.limit = args.limit
        self.paused = True
        self.number = 0
        self.made = 0.0
        self.acked = 0
        self.showing = False
        self.attempts = 0
        self.again = 0.0
        self.due = 0.0
        self.owed = 0
        # A whole frame that is no result waits for its acknowledgement as one does.
        self.strange = False
        self.before: list[str] = []
        self.counts = {"noise": 0, "half": 0, "spoil": 0, "strange": 0, "violations": 0, "resent": 0}

    def opened(self) -> None:
        self.owed = 0
        self.strange = False
        self.again = 0.0

    def receive(self, data: bytes) -> None:
        for byte in data:
            if byte != ACK or not self.waits:
                self.counts["violations"] += 1
                self.ledger.write(e="violation", text=f"byte {byte:#04x} came from the gateway")
            elif self.owed == 0:
                self.counts["violations"] += 1
                self.ledger.write(e="violation", text="an acknowledgement came, and no whole frame was sent")
            else:
                self.owed -= 1
                if self.strange:
                    self.strange = False
                    self.again = 0.0
                elif self.showing:
                    self.showing = False
                    self.acked += 1
                    self.ledger.write(e="acked", n=self.number, m=time.monotonic())

    def tick(self, now: float) -> None:
        if not self.is_open():
            return
        if self.waits and self.showing:
            if now >= self.again:
                self.strange = False
                self.send(now)
        elif not self.paused and now >= self.due and not (self.limit and self.number >= self.limit):
            self.due = max(self.due + 1 / self.rate, now - 1)
            self.number += 1
            self.attempts = 0
            self.made = time.time()
            self.showing = self.waits
            self.ledger.write(e="made", n=self.number, m=time.monotonic())
            self.send(now)

    def frame(self) -> bytes:
        """Of the result that is shown."""
        if self.args.format == "full":
            return full(self.number, self.made)
        return framed(self.number) if self.waits else tohnichi(self.number, time.time())

    def send(self, now: float) -> None:
        """What stands before it, and the result."""
        whole = self.frame()
        self.again = now + AGAIN
        while self.before:
            what = self.before.pop(0)
            self.counts[what] += 1
            data = self.disturbance(what, whole)
            self.ledger.write(e=what, n=self.number, raw=data.hex())
            said = self.say(data)
            if what == "strange" and said and self.waits:
                self.owed += 1
                self.strange = True
                return
        self.attempts += 1
        self.counts["resent"] += self.attempts > 1
        self.ledger.write(e="sent", n=self.number, attempt=self.attempts, m=time.monotonic())
        if self.say(whole):
            self.owed += 1
        else:
            self.ledger.write(e="unsaid", n=self.number)

    def disturbance(self, what: str, whole: bytes) -> bytes:
        """Noise has nothing of a frame; half a frame has no end; a spoilt one breaks its checksum; a strange one is whole and says nothing."""
        match what:
            case "noise":
                return bytes(self.random.choice(b"\x00\x7f\x80\xfe\xff~#") for _ in range(self.random.randint(1, 30)))
            case "half":
                return whole[: self.random.randint(2, len(whole) - 6)]
            case "spoil":
                return whole.replace(b"N.m", b"N.x")
            case _:
                body = b"BATTERY LOW,"
                return b"\x02" + body + f"{reduce(lambda a, b: a ^ b, body):02X}".encode() + b"\r\n"

    def command(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "resume":
                self.paused = False
                self.rate = order.get("rate", self.rate)
                self.limit = order.get("limit", self.limit)
                self.due = time.monotonic()
            case "pause":
                self.paused = True
            case "noise" | "half" | "spoil" | "strange":
                self.before.append(order["do"])
            case _:
                super().command(order)

    def stats(self) -> dict[str, Any]:
        return {"made": self.number, "acked": self.acked, "showing": int(self.showing), "pending": len(self.before), **self.counts}


def main() -> None:
    """Reads the arguments and runs."""
    parser = arguments(__doc__)
    parser.add_argument("--format", choices=["tohnichi", "framed", "full"], default="framed")
    parser.add_argument("--rate", type=float, default=5.0, help="results a second")
    parser.add_argument("--limit", type=int, default=0, help="results, 0: no end")
    serve(Wrench, parser.parse_args())


if __name__ == "__main__":
    main()

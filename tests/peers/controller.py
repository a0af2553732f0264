#!/usr/bin/env python3
"""A torque controller that speaks Open Protocol over TCP, with a memory of results and a ledger of what it made and was acknowledged.

Prints {"port": N} and then answers commands, one JSON object a line on stdin:
  {"do": "stats"}            {"do": "resume", "rate": 5, "limit": 500}     {"do": "pause"}          {"do": "stop"}
  {"do": "close"}            {"do": "make", "count": 3}                    {"do": "mode", "mode": "flood"}
  {"do": "reset_ids"}        {"do": "replace", "serial": "2"}              {"do": "faults", "deaf": 0.1, "mute": 0.1, "rough": 0.01}
  {"do": "alarm", "code": "E404", "on": true}     {"do": "vin", "id": "…"}     {"do": "kill_on_ack", "pid": 0}

Ids: `exact`: one after another, MID 0064 gives what it was asked for (PF4000). `walk`: ids are global and not consecutive,
other stations' results between, MID 0064 gives the newest that is not above what it was asked for (PF6000).
Modes of misbehaviour: `good`; `flood`: garbage as fast as it is taken; `silent`: no answer to 0001; `early`: 0061 before the
0005 of its subscription; `closes`: at once.
Faults are chances: `deaf` loses what acknowledges a result, `mute` the link's acknowledgement of a request, `rough` puts a
telegram whose length lies before a result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import struct
import sys
import time
from collections import deque
from typing import Any

import ledger
import telegrams
from ledger import Ledger
from session import Client, Result
from telegrams import Telegram


class Controller:
    """The results, the memory of them, and the clients."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.random = random.Random(args.seed)
        self.walk = args.ids == "walk"
        self.variable = args.variable
        self.traces = args.traces
        self.timeout = args.ack_timeout
        self.rate = args.rate
        self.limit = args.limit
        self.paused = args.paused
        self.highest = {"start": args.start, "results": args.results, "recovery": args.recovery, "light": args.light}
        self.refused = {int(text) for text in args.refuse.split(",") if text}
        self.hang_up = args.hang_up
        self.sequences = args.sequences
        self.offset = args.clock_offset
        self.drops_silent = not args.patient
        self.mode = args.behave
        self.memory: deque[Result] = deque(maxlen=args.memory)
        self.ident = args.first_id - 1
        self.count = 0
        self.acked: set[int] = set()
        self.serial = "1000000001"
        self.clients: set[Client] = set()
        self.serving: set[asyncio.Task[None]] = set()
        self.faults = {"deaf": 0.0, "mute": 0.0, "rough": 0.0}
        self.heard: dict[str, int] = {}
        self.drops: dict[str, int] = {}
        self.violations = 0
        self.refusals = 0
        self.fetches = 0
        self.flooded = 0
        self.connections = 0
        self.alarm = ""
        self.kill = 0
        self.styles = 0
        self.due = 0.0
        self.woken = asyncio.Event()
        self.stopped = asyncio.Event()
        self.take_up(args.ledger)
        self.ledger = Ledger(args.ledger)

    def take_up(self, path: str) -> None:
        """The memory survives the controller: it is the ledger."""
        for line in ledger.read(path):
            match line["e"]:
                case "made":
                    self.memory.append(Result(line["n"], line["id"], line["station"], line["t"]))
                    self.ident = line["id"]
                    self.count = max(self.count, line["n"])
                case "acked":
                    self.acked.add(line["n"])
                case "reset":
                    self.memory.clear()
                    self.ident = 0
                    self.serial = line["serial"]

    # -- what it is

    def identity(self) -> dict[str, Any]:
        """Of MID 0002."""
        return {
            "cell": 1,
            "channel": 1,
            "controller": "Peer controller",
            "supplier": "ACT",
            "op_version": "2.8.0",
            "sw_version": "1.0.0",
            "tool_sw": "1.0.0",
            "rbu": "RBU",
            "serial": self.serial,
            "system": 3 if self.walk else 1,
            "subtype": 1,
            "sequences": int(self.sequences),
            "linking": 0,
            "station": 1,
            "station_name": "Station 1",
            "client": 1,
        }

    def clock(self) -> float:
        """The controller's own clock."""
        return time.time() + self.offset

    def style(self) -> int:
        """How the next header is written."""
        self.styles += 1
        return self.styles

    def chance(self, fault: str) -> bool:
        """Whether a fault happens now."""
        return self.faults[fault] > 0 and self.random.random() < self.faults[fault]

    def liar(self) -> bytes:
        """A telegram whose length lies."""
        # Two bytes at least: a header alone, whose length is true, is a telegram that says too little.
        body = self.random.randbytes(self.random.randint(2, 40)).replace(b"\0", b"x")
        length = self.random.choice([b"0000", b"0019", b"9999", b"12a4", b"0600", f"{20 + len(body) // 2:04}".encode()])
        return length + b"0061002         " + body + b"\0"

    # -- results

    def make(self) -> None:
        """A tightening; in mode `walk`, some of other stations before it."""
        now = time.time()
        others = self.random.choice([0, 0, 0, 1, 2, 3]) if self.walk else 0
        for _ in range(others):
            self.ident += self.random.randint(1, 3)
            self.keep(Result(0, self.ident, self.random.randint(2, 4), now))
        self.ident += self.random.randint(1, 5) if self.walk and self.count else 1
        self.count += 1
        result = Result(self.count, self.ident, 1, now)
        self.keep(result)
        for client in list(self.clients):
            if 1201 in client.subscriptions:
                client.push_variable(result)
            if 60 in client.subscriptions:
                client.push(61, result.number, self.values(result))
            client.push_traces(result)

    def keep(self, result: Result) -> None:
        """Into the memory, the oldest goes; written down first."""
        stamp = int(result.made + self.offset)
        self.ledger.write(
            e="made", n=result.number, id=result.ident, station=result.station, stamp=stamp, t=result.made, m=time.monotonic(), serial=self.serial
        )
        self.memory.append(result)

    def values(self, result: Result) -> dict[str, Any]:
        """The parameters of a result."""
        raw = telegrams.derive(result.number or result.ident + 500_000, self.walk)
        own = {"id": result.ident, "time": telegrams.stamp(result.made + self.offset)}
        return {**raw, **own, "station": result.station, "station_name": f"Station {result.station}"}

    def find(self, asked: int) -> Result | None:
        """What MID 0064 gives; 0 asks for the newest."""
        if not self.memory:
            return None
        if asked == 0:
            return self.memory[-1]
        if self.walk:
            return max((result for result in self.memory if result.ident <= asked), key=lambda result: result.ident, default=None)
        return next((result for result in self.memory if result.ident == asked), None)

    def note_acked(self, number: int) -> None:
        """Written down; and where it is told to, the gateway is killed at once."""
        if not number:
            return
        self.ledger.write(e="acked", n=number, m=time.monotonic())
        self.acked.add(number)
        if self.kill:
            try:
                os.kill(self.kill, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.kill = 0

    def violation(self, text: str) -> None:
        """The gateway broke a rule."""
        self.violations += 1
        self.ledger.write(e="violation", text=text)

    def alarm_status(self) -> bytes:
        """MID 0076 revision 1."""
        return f"01{1 if self.alarm else 0}02{self.alarm or '0000':4}03104105{telegrams.stamp(self.clock())}".encode()

    # -- running

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.create_task(self.serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As the mode has it."""
        self.connections += 1
        if self.mode == "closes":
            reset(writer)
            return
        if self.mode == "flood":
            await self.flood(reader, writer)
            return
        client = Client(self, reader, writer)
        self.clients.add(client)
        self.ledger.write(e="connected", m=time.monotonic())
        await client.serve()
        self.clients.discard(client)
        self.ledger.write(e="gone", m=time.monotonic())

    async def flood(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Garbage of every kind, as fast as it is taken."""
        good = Telegram(61, 2, telegrams.last(2, {**telegrams.derive(1), "id": 1, "time": telegrams.stamp(0)})).encode()
        blocks = [self.random.randbytes(65_536), b"0" * 65_536, b"\0" * 65_536, b"9999" * 16_384, good * 150, self.liar() * 500]
        drain = asyncio.create_task(reader.read(-1))
        try:
            while self.mode == "flood" and not self.stopped.is_set():
                block = self.random.choice(blocks)
                writer.write(block)
                self.flooded += len(block)
                await writer.drain()
        except OSError:
            pass
        drain.cancel()
        writer.transport.abort()

    async def run_clock(self) -> None:
        """Makes what is due, and lets time pass for the clients."""
        while not self.stopped.is_set():
            now = time.monotonic()
            if self.rate and not self.paused and now >= self.due and not (self.limit and self.count >= self.limit):
                self.due = max(self.due + 1 / self.rate, now - 1)
                self.make()
            for client in list(self.clients):
                client.tick(now)
            self.woken.clear()
            running = self.rate and not self.paused and not (self.limit and self.count >= self.limit)
            wait = min(max(self.due - time.monotonic(), 0.001), 0.02) if running else 0.02
            try:
                await asyncio.wait_for(self.woken.wait(), wait)
            except TimeoutError:
                pass

    def stats(self) -> dict[str, Any]:
        """What happened so far."""
        waiting = sum(len(c.queue) + (c.outstanding is not None) + len(c.unlinked) + (c.waiting is not None) for c in self.clients)
        return {
            "made": self.count,
            "acked": len(self.acked),
            "showing": waiting,
            "subscribed": sum(60 in client.subscriptions or 1201 in client.subscriptions for client in self.clients),
            "clients": len(self.clients),
            "connections": self.connections,
            "link": sum(client.link for client in self.clients),
            "violations": self.violations,
            "refusals": self.refusals,
            "fetches": self.fetches,
            "flooded": self.flooded,
            "drops": self.drops,
            "heard": self.heard,
            "id": self.ident,
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
            case "make":
                for _ in range(order["count"]):
                    self.make()
            case "mode":
                self.mode = order["mode"]
                self.close()
            case "close":
                self.close()
            case "faults":
                self.faults |= {name: float(order[name]) for name in self.faults if name in order}
            case "reset_ids" | "replace":
                self.serial = order.get("serial", self.serial)
                self.memory.clear()
                self.ident = 0
                self.ledger.write(e="reset", serial=self.serial, n=self.count)
                if order["do"] == "replace":
                    self.close()
            case "alarm":
                self.set_alarm(order["code"], bool(order["on"]))
            case "vin":
                for client in self.clients:
                    client.push(52, 0, f"{order['id']:25}".encode())
            case "kill_on_ack":
                self.kill = order["pid"]
            case "stop":
                self.stopped.set()
            case unknown:
                raise ValueError(f"the controller knows no command {unknown!r}")
        self.ledger.write(e="command", **order)
        return self.stats()

    def set_alarm(self, code: str, on: bool) -> None:
        """An alarm comes or goes."""
        self.alarm = code if on else ""
        for client in self.clients:
            if on:
                client.push(71, 0, f"01{code:4}02103104{telegrams.stamp(self.clock())}".encode())
            else:
                client.push(74, 0, f"{code:4}".encode())

    def close(self) -> None:
        """Resets every connection."""
        for client in list(self.clients):
            client.closed = True
            reset(client.writer)

    async def listen_to_harness(self) -> None:
        """Reads commands until stdin ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while not self.stopped.is_set() and (line := await reader.readline()):
            print(json.dumps(self.command(line.decode())), flush=True)
        self.stopped.set()

    async def run(self, port: int) -> None:
        """Serves until told to stop."""
        server = await asyncio.start_server(self.accept, "127.0.0.1", port)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        tasks = {asyncio.create_task(self.run_clock()), asyncio.create_task(self.listen_to_harness())}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for task in tasks - done:
            task.cancel()
        server.close()
        self.close()
        if self.serving:
            await asyncio.wait(self.serving, timeout=5)


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # it is closed already
    writer.transport.abort()


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--ids", choices=["exact", "walk"], default="exact")
    parser.add_argument("--behave", choices=["good", "flood", "silent", "early", "closes"], default="good")
    parser.add_argument("--memory", type=int, default=5000, help="results that it remembers")
    parser.add_argument("--first-id", type=int, default=1)
    parser.add_argument("--rate", type=float, default=5.0, help="results a second")
    parser.add_argument("--limit", type=int, default=0, help="results in all, 0: no end")
    parser.add_argument("--paused", action="store_true")
    parser.add_argument("--start", type=int, default=6, help="highest revision of 0001")
    parser.add_argument("--results", type=int, default=7, help="highest revision of 0060")
    parser.add_argument("--recovery", type=int, default=7, help="highest revision of 0064")
    parser.add_argument("--light", action="store_true", help="knows revision 999 of 0061")
    parser.add_argument("--variable", action="store_true", help="results by MID 1201 alone, which can be subscribed from an index")
    parser.add_argument("--traces", action="store_true", help="gives traces of torque and angle")
    parser.add_argument("--refuse", default="", help="revisions of 0001 that are refused beside those above --start, with commas")
    parser.add_argument("--hang-up", action="store_true", help="ends the connection with each refusal of a revision")
    parser.add_argument("--sequences", action="store_true", help="supports acknowledgement at link level")
    parser.add_argument("--ack-timeout", type=float, default=3.0, help="seconds until an unacknowledged message is sent again")
    parser.add_argument("--clock-offset", type=float, default=0.0, help="seconds that its clock is ahead")
    parser.add_argument("--patient", action="store_true", help="does not drop a silent client")
    args = parser.parse_args()

    async def serve() -> None:
        await Controller(args).run(args.port)

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

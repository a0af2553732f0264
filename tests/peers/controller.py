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
from dataclasses import dataclass
from typing import Any

import ledger
import telegrams
from ledger import Ledger
from telegrams import Telegram

SILENCE = 15.0
TRIES = 4
# What ends each subscription; what each acknowledgement is of.
ENDS = {17: 14, 54: 51, 63: 60, 73: 70}
ACKS = {16: 15, 53: 52, 62: 61, 72: 71, 75: 74, 77: 76}
# The subscription that a data message belongs to.
PARENT = {15: 14, 52: 51, 61: 60, 71: 70, 74: 70, 76: 70, 900: 900, 1201: 1201, 1202: 1201}
SUBSCRIBED = {14: 13, 51: 6, 60: 9, 70: 11}
NOT_SUBSCRIBED = {14: 14, 51: 7, 60: 10, 70: 12, 900: 72, 1201: 72}


@dataclass(slots=True)
class Result:
    """One tightening: of this station where `number` is not 0."""

    number: int
    ident: int
    station: int
    made: float


class Client:
    """One connection: its session, its subscriptions, and what it has not acknowledged yet."""

    def __init__(self, controller: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.controller = controller
        self.reader = reader
        self.writer = writer
        self.started = 0
        self.subscriptions: dict[int, tuple[int, bool]] = {}
        self.objects = False
        self.traces: list[int] = []
        self.queue: deque[tuple[Telegram, int]] = deque()
        self.outstanding: tuple[Telegram, int] | None = None
        self.tries = 0
        self.owed = 0
        self.due = 0.0
        self.heard = time.monotonic()
        # Link level: our next number and the one expected of the client; 0 is before the first.
        self.link = False
        self.ours = 1
        self.theirs = 0
        self.unlinked: deque[tuple[Telegram, int]] = deque()
        self.waiting: tuple[Telegram, int] | None = None
        self.closed = False

    # -- sending

    def write(self, telegram: Telegram) -> None:
        """Puts a telegram on the wire."""
        if self.closed:
            return
        self.writer.write(telegram.encode(self.controller.style()))
        if self.writer.transport.get_write_buffer_size() > 1 << 20:
            self.drop("does not read")

    def send(self, mid: int, revision: int = 1, data: bytes = b"") -> None:
        """Sends a telegram; at link level, behind the one that is not acknowledged yet."""
        telegram = Telegram(mid, revision, data)
        if self.link and mid != 9999:
            self.unlinked.append((telegram, 0))
            self.pump()
        else:
            self.write(telegram)

    def pump(self) -> None:
        """Link level: one telegram at a time."""
        if self.waiting is None and self.unlinked:
            self.waiting = self.unlinked.popleft()
            self.waiting[0].sequence = self.ours
            self.tries = 0
            self.again()

    def refuse(self, mid: int, code: int) -> None:
        """MID 0004."""
        self.controller.ledger.write(e="refused", mid=mid, code=code)
        self.send(4, 1, f"{mid:04}{code:02}".encode())

    def accept(self, mid: int) -> None:
        """MID 0005."""
        self.send(5, 1, f"{mid:04}".encode())

    def drop(self, why: str) -> None:
        """Ends the connection."""
        if not self.closed:
            self.closed = True
            self.controller.ledger.write(e="dropped", why=why, m=time.monotonic())
            self.controller.drops[why] = self.controller.drops.get(why, 0) + 1
            self.writer.transport.abort()

    # -- data messages

    def push(self, mid: int, number: int, values: dict[str, Any] | bytes) -> None:
        """Queues a data message for a client that subscribed to it."""
        subscription = self.subscriptions.get(PARENT[mid])
        if subscription is None:
            return
        revision, no_ack = subscription
        data = values if isinstance(values, bytes) else telegrams.last(revision, values)
        if self.link:
            self.unlinked.append((Telegram(mid, revision, data), number))
            self.pump()
        elif no_ack:
            self.note_sent(number, 1)
            self.write(Telegram(mid, revision, data))
        else:
            self.queue.append((Telegram(mid, revision, data), number))
            self.advance()

    def advance(self) -> None:
        """Sends the next data message where none is unacknowledged."""
        if self.outstanding is None and self.queue:
            self.outstanding = self.queue.popleft()
            self.tries = 0
            self.again()

    def again(self) -> None:
        """Sends what is not acknowledged, for the first time or once more."""
        telegram, number = self.waiting or self.outstanding
        self.tries += 1
        self.owed += self.waiting is None
        self.due = time.monotonic() + self.controller.timeout
        self.note_sent(number, self.tries)
        if number and not self.closed and self.controller.chance("rough"):
            self.controller.ledger.write(e="rough", n=number)
            self.writer.write(self.controller.liar())
        self.write(telegram)

    def note_sent(self, number: int, attempt: int) -> None:
        """A result: written down before it is on the wire."""
        if number:
            self.controller.ledger.write(e="sent", n=number, attempt=attempt, m=time.monotonic())

    def acknowledged(self, mid: int) -> None:
        """The client says that it has the data message."""
        if self.owed == 0:
            self.controller.violation(f"MID {mid:04} was acknowledged, and nothing was owed an acknowledgement")
            return
        self.owed -= 1
        if self.outstanding is None:
            return  # the answer to one that was sent again
        telegram, number = self.outstanding
        if telegram.mid != mid:
            self.controller.violation(f"MID {mid:04} was acknowledged while {telegram.mid:04} was sent")
            return
        if number and self.controller.chance("deaf"):
            self.controller.ledger.write(e="deaf", n=number)
            return
        self.outstanding = None
        self.controller.note_acked(number)
        if telegram.note:
            self.controller.ledger.write(e="trace_acked", of=telegram.note)
        self.advance()

    def tick(self, now: float) -> None:
        """Time passes: silence, and what is not acknowledged in time."""
        if now - self.heard > SILENCE and self.controller.drops_silent:
            self.drop("silent for 15 s")
        elif (sent := self.waiting or self.outstanding) is not None and now > self.due:
            if self.tries >= TRIES:
                self.drop(f"did not acknowledge {sent[0].mid:04}")
            else:
                self.again()

    # -- receiving

    async def serve(self) -> None:
        """Reads until the client is gone."""
        buffer = bytearray()
        frame: bytes | None = None
        try:
            while not self.closed and (data := await self.reader.read(65_536)):
                buffer += data
                while not self.closed and (frame := telegrams.cut(buffer)) is not None:
                    self.heard = time.monotonic()
                    self.receive(telegrams.decode(frame))
                await self.writer.drain()
        except ValueError as error:
            self.controller.violation(f"{error} in {frame or bytes(buffer[:60])!r}")
            self.drop("sent no telegram")
        except OSError:
            pass
        self.closed = True
        self.writer.transport.abort()

    def receive(self, telegram: Telegram) -> None:
        """One telegram of the client."""
        mid = telegram.mid
        self.controller.heard[f"{mid:04}"] = self.controller.heard.get(f"{mid:04}", 0) + 1
        if mid == 9999:
            if self.link and telegram.sequence and not self.in_sequence(telegram):
                return
            # As a PF6000 mirrors it: the header is its own.
            self.writer.write(b"00209999001 0000    \0")
        elif mid == 1:
            self.start(telegram)
        elif not self.started:
            self.controller.violation(f"MID {mid:04} came before the session had started")
            self.refuse(mid, 99)
        elif mid in (9997, 9998):
            self.link_answer(telegram)
        elif telegram.sequence or self.link:
            if self.in_sequence(telegram):
                self.request(telegram)
        else:
            self.request(telegram)

    def start(self, telegram: Telegram) -> None:
        """MID 0001."""
        controller = self.controller
        if controller.mode == "silent":
            return
        if self.started:
            self.refuse(1, 96)
            return
        revision = telegram.revision
        if revision in controller.refused or revision > controller.highest["start"]:
            self.refuse(1, 97)
            controller.refusals += 1
            if controller.hang_up:
                asyncio.get_running_loop().call_soon(self.writer.close)
            return
        self.started = revision
        self.write(Telegram(2, revision, telegrams.fields(telegrams.START, revision, controller.identity())))
        controller.ledger.write(e="started", revision=revision, m=time.monotonic())

    def in_sequence(self, telegram: Telegram) -> bool:
        """Link level: whether a telegram is new. It is acknowledged in any case, and a wrong number is refused."""
        controller = self.controller
        if not (controller.sequences and self.started >= 6):
            controller.violation(f"MID {telegram.mid:04} has a sequence number, and the link level was not agreed")
            return True
        wanted = self.theirs % 99 + 1
        if not self.link and telegram.sequence == 1:
            self.link = True
        if telegram.sequence == self.theirs and self.theirs:
            self.link_ack(telegram)
            return False
        if telegram.sequence != wanted:
            controller.violation(f"MID {telegram.mid:04} has sequence number {telegram.sequence} instead of {wanted}")
            self.write(Telegram(9998, 1, f"{telegram.mid:04}0003".encode(), sequence=wanted))
            self.drop("wrong sequence number")
            return False
        self.theirs = wanted
        if controller.chance("mute"):
            controller.ledger.write(e="mute", mid=telegram.mid)
        else:
            self.link_ack(telegram)
        return True

    def link_ack(self, telegram: Telegram) -> None:
        """MID 9997: the number that is expected next."""
        self.write(Telegram(9997, 1, f"{telegram.mid:04}".encode(), sequence=telegram.sequence % 99 + 1))

    def link_answer(self, telegram: Telegram) -> None:
        """MID 9997 or 9998 of the client."""
        controller = self.controller
        if not self.link:
            controller.violation(f"MID {telegram.mid:04} came without the link level")
        elif telegram.mid == 9998:
            controller.violation(f"the client refuses telegram {telegram.text}")
            self.drop("refused by the client")
        elif self.waiting is not None and telegram.sequence == self.ours % 99 + 1:
            sent, number = self.waiting
            if telegram.text[:4] != f"{sent.mid:04}":
                controller.violation(f"MID 9997 acknowledges {telegram.text[:4]} while {sent.mid:04} was sent")
            if number and controller.chance("deaf"):
                controller.ledger.write(e="deaf", n=number)
                return
            self.ours = self.ours % 99 + 1
            self.waiting = None
            if number:
                controller.note_acked(number)
            self.pump()
        elif telegram.sequence != self.ours:
            # The one before, once more, answers a telegram that was sent again.
            controller.violation(f"MID 9997 has sequence number {telegram.sequence} and {self.ours % 99 + 1} was expected")

    def request(self, telegram: Telegram) -> None:
        """Anything else."""
        mid, controller = telegram.mid, self.controller
        if mid in SUBSCRIBED and not (mid == 60 and controller.variable):
            self.subscribe(mid, mid, telegram.revision, telegram.no_ack)
        elif mid == 8 and telegram.text[:4].isdigit():
            data = int(telegram.text[:4])
            revision = int(telegram.text[4:7]) if telegram.text[4:7].strip() else 1
            if data == 1201 and controller.variable:
                self.subscribe_variable(telegram, revision)
            elif data == 900 and controller.traces:
                self.subscribe_traces(telegram, revision)
            elif data in (61, 52, 15, 71):
                self.subscribe(PARENT[data], data, revision, telegram.no_ack, generic=True)
            else:
                self.refuse(data, 73)
        elif mid in ENDS or (mid == 9 and int(telegram.text[:4]) in PARENT):
            quoted = mid if mid in ENDS else int(telegram.text[:4])
            parent = ENDS.get(mid) or PARENT[quoted]
            if self.subscriptions.pop(parent, None) is None:
                self.refuse(quoted, NOT_SUBSCRIBED[parent])
            else:
                self.queue = deque(entry for entry in self.queue if PARENT[entry[0].mid] != parent)
                self.unlinked = deque(entry for entry in self.unlinked if PARENT.get(entry[0].mid) != parent)
                if self.outstanding and PARENT[self.outstanding[0].mid] == parent:
                    self.outstanding = None
                self.accept(quoted)
        elif mid in ACKS or mid in (5, 1203):
            data = ACKS.get(mid) or (int(telegram.text[:4]) if mid == 5 else self.outstanding[0].mid if self.outstanding else 1201)
            if self.link:
                controller.violation(f"MID {mid:04} acknowledges at application level, though the link level does")
            else:
                self.acknowledged(data)
        elif mid == 64 and not controller.variable:
            self.recover(telegram)
        elif mid == 3:
            self.accept(3)
            self.started = 0
            self.subscriptions.clear()
        elif mid == 40:
            self.send(41, 1, f"01{'C0761275':14}02{controller.count:010}03{telegrams.stamp(0)}04{controller.serial:10}".encode())
        else:
            self.refuse(mid, 99)

    def subscribe(self, parent: int, quoted: int, revision: int, no_ack: bool, generic: bool = False) -> None:
        """A subscription; what it brings at once comes behind its acceptance."""
        controller = self.controller
        highest = controller.highest["results"] if parent == 60 else 1
        light = parent == 60 and revision == 999 and controller.highest["light"]
        if revision > highest and not light:
            self.refuse(quoted, 74 if generic else 97)
            controller.refusals += 1
            if controller.hang_up:
                asyncio.get_running_loop().call_soon(self.writer.close)
        elif parent in self.subscriptions:
            self.refuse(quoted, 71 if generic else SUBSCRIBED[parent])
        else:
            self.subscriptions[parent] = (revision, no_ack)
            if controller.mode == "early" and parent == 60:
                controller.make()
            self.accept(quoted)
            if parent == 60:
                controller.ledger.write(e="subscribed", revision=revision, no_ack=no_ack, link=self.link, m=time.monotonic())
            elif parent == 14:
                self.push(15, 0, f"001{telegrams.stamp(controller.clock())}".encode())
            elif parent == 70:
                self.push(76, 0, controller.alarm_status())

    def subscribe_variable(self, telegram: Telegram, revision: int) -> None:
        """MID 0008 of 1201: from now on, from an index, or from a time; the newest is pushed in any case."""
        controller = self.controller
        extra = telegram.text[9 : 9 + int(telegram.text[7:9] or 0)]
        if revision > 1:
            self.refuse(1201, 74)
        elif 1201 in self.subscriptions:
            self.refuse(1201, 71)
        elif len(extra) < 31:
            self.refuse(1201, 1)
        else:
            self.subscriptions[1201] = (1, telegram.no_ack)
            self.objects = extra[30] == "1"
            self.accept(1201)
            controller.ledger.write(e="subscribed", extra=extra, objects=self.objects, m=time.monotonic())
            stored = [result for result in controller.memory if result.number]
            wanted = stored[-1:]
            if extra[0] == "1":
                wanted = [result for result in stored if result.ident >= int(extra[20:30])] or wanted
            for result in wanted:
                controller.ledger.write(e="fetched", n=result.number, asked=int(extra[20:30] or 0), id=result.ident, m=time.monotonic())
                self.push_variable(result)

    def push_variable(self, result: Result) -> None:
        """A result of variable fields: in two messages, where objects are asked for."""
        messages = telegrams.variable(self.controller.values(result), self.objects)
        for place, (mid, data) in enumerate(messages, 1):
            self.push(mid, result.number if place == len(messages) else 0, data)

    def subscribe_traces(self, telegram: Telegram, revision: int) -> None:
        """MID 0008 of 0900: alternative, time, index, number of types, types."""
        extra = telegram.text[9 : 9 + int(telegram.text[7:9] or 0)]
        if revision > 1:
            self.refuse(900, 74)
        elif 900 in self.subscriptions:
            self.refuse(900, 71)
        elif extra[:1] != "0" or not extra[30:].isdigit() or len(extra) != 32 + 3 * int(extra[30:32]):
            self.controller.violation(f"MID 0008 of 0900: 0, 29 blanks, how many types and the types should come, and {extra!r} came")
            self.refuse(900, 1)
        else:
            self.traces = [int(extra[at : at + 3]) for at in range(32, 32 + 3 * int(extra[30:32]), 3)]
            self.subscriptions[900] = (1, telegram.no_ack)
            self.controller.ledger.write(e="traces", extra=extra)
            self.accept(900)

    def push_traces(self, result: Result) -> None:
        """The traces of a result, those that were asked for."""
        for kind in self.traces if 900 in self.subscriptions else []:
            if kind in (1, 2):
                data = telegrams.trace(result.number, result.ident, telegrams.stamp(result.made + self.controller.offset), kind)
                self.queue.append((Telegram(900, 1, data, binary=True, note=f"{result.number} {kind}"), 0))
                self.advance()

    def recover(self, telegram: Telegram) -> None:
        """MID 0064: an old result."""
        controller = self.controller
        if telegram.revision > controller.highest["recovery"]:
            self.refuse(64, 97)
            controller.refusals += 1
            return
        asked = int(telegram.text[:10])
        result = controller.find(asked)
        if result is None:
            self.refuse(64, 15)
            return
        controller.fetches += 1
        controller.ledger.write(e="fetched", n=result.number, asked=asked, id=result.ident, m=time.monotonic())
        self.send(65, telegram.revision, telegrams.old(telegram.revision, controller.values(result)))


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
        body = self.random.randbytes(self.random.randint(0, 40)).replace(b"\0", b"x")
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

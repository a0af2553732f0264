"""One client of the torque controller: its session, its subscriptions, and what it has not acknowledged yet."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import telegrams
from telegrams import Telegram

if TYPE_CHECKING:
    from controller import Controller

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
    """One connection."""

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
        # By MID: how often its data messages were sent, and acknowledged. A client may answer each copy of a message that was
        # sent again, or all of them once: an acknowledgement names no result, and a controller cannot tell.
        self.sent: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
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
        if self.waiting is None:
            self.sent[telegram.mid] += 1
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
        """The client says that it has the data message: as controllers do, that is the one that waits for it."""
        self.answered[mid] += 1
        if self.answered[mid] > self.sent[mid]:
            waits = f"{self.outstanding[0].mid:04} was sent" if self.outstanding else "nothing was owed an acknowledgement"
            self.controller.violation(f"MID {mid:04} was acknowledged {self.answered[mid]} times, sent {self.sent[mid]} times, while {waits}")
            return
        if self.outstanding is None or self.outstanding[0].mid != mid:
            return  # the answer to a copy, or to what is not wanted any more
        telegram, number = self.outstanding
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
            # With nothing subscribed a keep-alive may be the first telegram that is numbered.
            if telegram.sequence and not self.in_sequence(telegram):
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

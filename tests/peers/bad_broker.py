#!/usr/bin/env python3
"""A broker that misbehaves on command, and keeps what it acknowledged as received by the MES.

Prints {"port": N} and takes commands on stdin: {"do": "stats"}, {"do": "mode", "mode": "…"}, {"do": "stop"}. Modes:
  good      acknowledges everything                  refuse    refuses every connection with "server unavailable"
  hang_up   closes at every publish                  mute      accepts and never acknowledges
  throttle  takes 3 unacknowledged at most (MQTT 5), acknowledges slowly, and refuses every other one with "quota exceeded"
  nobody    MQTT 5: acknowledges with "no matching subscribers"
  garbage   answers with bytes that are no MQTT      slow      sends its answers one byte at a time
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter, deque
from typing import Any

from ledger import Ledger

MODES = ["good", "refuse", "hang_up", "mute", "throttle", "nobody", "garbage", "slow"]
CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 10, 12, 14
QUOTA_EXCEEDED, NO_SUBSCRIBERS, UNAVAILABLE = 0x97, 0x10, 0x88
RECEIVE_MAXIMUM = 3


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An MQTT variable byte integer and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def encode(kind: int, body: bytes) -> bytes:
    """A packet with its fixed header."""
    length = len(body)
    header = bytearray([kind])
    while True:
        header.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes(header) + body


class BadBroker:
    """All connections of it share the mode."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.received = Ledger(args.received)
        self.mode = "good"
        self.ids: set[str] = set()
        self.types: Counter[str] = Counter()
        self.messages = 0
        self.publishes: Counter[str] = Counter()
        self.connections: Counter[str] = Counter()
        self.violations: list[str] = []
        self.open: set[asyncio.StreamWriter] = set()
        self.stopped = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, under the mode in which it began."""
        self.open.add(writer)
        self.connections[self.mode] += 1
        try:
            await Session(self, reader, writer, self.mode).run()
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass  # the gateway went, as it may
        finally:
            self.open.discard(writer)
            writer.transport.abort()

    def keep(self, topic: str, payload: bytes, qos: int, retain: bool, content_type: str | None) -> None:
        """Writes down a message that is about to be acknowledged."""
        text = payload.decode("utf-8", "replace")
        self.received.write(topic=topic, p=text, qos=qos, retain=retain, content_type=content_type)
        self.messages += 1
        kind = topic.rsplit("/", 1)[-1]
        if kind != "status":
            event = json.loads(text)
            if event["id"] not in self.ids:
                self.ids.add(event["id"])
                self.types[kind] += 1

    def command(self, line: str) -> dict[str, Any]:
        """One command of the harness."""
        order = json.loads(line)
        if order["do"] == "mode":
            if order["mode"] not in MODES:
                raise ValueError(f"no mode {order['mode']!r}")
            self.mode = order["mode"]
            for writer in list(self.open):
                writer.transport.abort()
        elif order["do"] == "stop":
            self.stopped.set()
        return {
            "messages": self.messages,
            "types": dict(self.types),
            "connected": bool(self.open),
            "publishes": dict(self.publishes),
            "connections": dict(self.connections),
            "violations": self.violations,
        }

    async def obey(self) -> None:
        """Reads commands until stdin ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while not self.stopped.is_set() and (line := await reader.readline()):
            print(json.dumps(self.command(line.decode())), flush=True)

    async def run(self) -> None:
        """Listens on a free port."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await self.obey()
        for writer in list(self.open):
            writer.transport.abort()
        server.close()


class Session:
    """One client."""

    def __init__(self, broker: BadBroker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mode: str) -> None:
        self.broker = broker
        self.reader = reader
        self.writer = writer
        self.mode = mode
        self.five = False
        self.owed: deque[tuple[int, str, bytes, bool, str | None]] = deque()
        self.count = 0

    async def send(self, packet: bytes) -> None:
        """Writes a packet; a slow broker one byte at a time."""
        if self.mode == "slow":
            for byte in packet:
                self.writer.write(bytes([byte]))
                await self.writer.drain()
                await asyncio.sleep(0.01)
        else:
            self.writer.write(packet)
            await self.writer.drain()

    async def run(self) -> None:
        """Reads packets until the connection ends."""
        acknowledging = asyncio.create_task(self.acknowledge())
        try:
            while True:
                first = (await self.reader.readexactly(1))[0]
                length = shift = 0
                while True:
                    byte = (await self.reader.readexactly(1))[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                if not await self.packet(first, await self.reader.readexactly(length)):
                    return
        finally:
            acknowledging.cancel()

    async def packet(self, first: int, body: bytes) -> bool:
        """One packet; false ends the connection."""
        kind = first >> 4
        if kind == CONNECT:
            return await self.connect(body)
        if kind == PUBLISH:
            return await self.publish(first, body)
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            at = 2
            if self.five:
                length, at = varint(body, at)
                at += length
            filters = 0
            while at < len(body):
                at += 2 + int.from_bytes(body[at : at + 2], "big") + (1 if kind == SUBSCRIBE else 0)
                filters += 1
            none = b"\0" if self.five else b""
            granted = bytes([1 if kind == SUBSCRIBE else 0] * filters) if self.five or kind == SUBSCRIBE else b""
            await self.send(encode(0x90 if kind == SUBSCRIBE else 0xB0, body[:2] + none + granted))
        elif kind == PINGREQ:
            await self.send(b"\xd0\x00")
        return kind != DISCONNECT

    async def connect(self, body: bytes) -> bool:
        """Accepts, refuses, or says something that is no MQTT."""
        self.five = body[6] == 5
        if self.mode == "garbage":
            await self.send(b"\x20\xff\xff\xff\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n")
            return False
        if self.mode == "refuse":
            await self.send(encode(0x20, bytes([0, UNAVAILABLE, 0]) if self.five else bytes([0, 3])))
            return False
        properties = b""
        if self.five and self.mode == "throttle":
            properties = b"\x21" + RECEIVE_MAXIMUM.to_bytes(2, "big")
        await self.send(encode(0x20, b"\0\0" + (bytes([len(properties)]) + properties if self.five else b"")))
        return True

    async def publish(self, first: int, body: bytes) -> bool:
        """A message; what becomes of it depends on the mode."""
        qos, retain = (first >> 1) & 3, bool(first & 1)
        end = 2 + int.from_bytes(body[:2], "big")
        topic, at, content_type = body[2:end].decode(), end, None
        number = 0
        if qos:
            number = int.from_bytes(body[at : at + 2], "big")
            at += 2
        if self.five:
            length, at = varint(body, at)
            content_type = find_content_type(body[at : at + length])
            at += length
        self.broker.publishes[self.mode] += 1
        if self.mode == "hang_up" and not topic.endswith("/status"):
            return False
        if not qos:
            self.broker.keep(topic, body[at:], qos, retain, content_type)
            return True
        self.owed.append((number, topic, body[at:], retain, content_type))
        if self.five and self.mode == "throttle" and len(self.owed) > RECEIVE_MAXIMUM:
            self.broker.violations.append(f"{len(self.owed)} unacknowledged publishes, though {RECEIVE_MAXIMUM} are the maximum")
        return True

    async def acknowledge(self) -> None:
        """Acknowledges in order, or does not."""
        while True:
            if self.mode == "mute":
                await asyncio.sleep(3600)
            if not self.owed:
                await asyncio.sleep(0.002)
                continue
            # It stays in the queue until it is answered, so that the queue's size is what is unacknowledged.
            number, topic, payload, retain, content_type = self.owed[0]
            status = topic.endswith("/status")
            reason = 0
            self.count += 1
            if self.mode == "throttle":
                await asyncio.sleep(0.02)
                if self.five and self.count % 2 and not status:
                    reason = QUOTA_EXCEEDED
            if self.mode == "nobody" and self.five and not status:
                reason = NO_SUBSCRIBERS
            if reason == 0:
                self.broker.keep(topic, payload, 1, retain, content_type)
            self.owed.popleft()
            await self.send(encode(0x40, number.to_bytes(2, "big") + (bytes([reason, 0]) if reason else b"")))


def find_content_type(properties: bytes) -> str | None:
    """The content type among the properties of a publish."""
    at = 0
    while at < len(properties):
        name = properties[at]
        at += 1
        if name in (0x03, 0x08, 0x09):
            length = int.from_bytes(properties[at : at + 2], "big")
            if name == 0x03:
                return properties[at + 2 : at + 2 + length].decode()
            at += 2 + length
        elif name == 0x26:
            for _ in range(2):
                at += 2 + int.from_bytes(properties[at : at + 2], "big")
        elif name == 0x0B:
            _, at = varint(properties, at)
        else:
            at += {0x01: 1, 0x02: 4, 0x23: 2}.get(name, len(properties))
    return None


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--received", required=True, help="every message that was acknowledged, one JSON object a line")
    args = parser.parse_args()

    async def serve() -> None:
        await BadBroker(args).run()

    asyncio.run(serve())


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A PLC as an OPC UA server made of open62541 (C, as the wheel `o6` brings it): a result block, odd values, plain events, a method.

Prints {"port": N} and answers commands, one JSON object a line on stdin:
  {"do": "stats"}   {"do": "resume", "rate": 20, "limit": 500}   {"do": "pause"}   {"do": "simple", "count": 1}
  {"do": "put", "node": "Odd.good", "value": 1.5}                {"do": "stop"}

Nodes, types and the handshake are those of opcua_blocks.py. Without a licence the wheel runs for ten minutes at a time, which
is longer than a test keeps one process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

# Only answers go to stdout: the wheel greets there when it is loaded, without the end of a line.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import o6  # noqa: E402
import opcua_namespace  # noqa: E402
from broker import free_port  # noqa: E402
from ledger import Ledger, read  # noqa: E402
from o6.ns import ns0  # noqa: E402
from o6.server import AccessControl, Server  # noqa: E402
from opcua_blocks import DATA, derive, expected, plain, thousandth  # noqa: E402
from opcua_files import Certificates  # noqa: E402

URI = "urn:lineside:peer:open62541"
KINDS = {
    "torque": o6.Float, "torque_min": o6.UInt16, "angle": o6.Int32, "judgement": o6.Int16, "program": o6.UInt16, "vin": o6.String,
    "stamp": o6.UInt32, "motor_temp": o6.Double, "result_count": o6.UInt32,
}  # fmt: skip


class Doors(AccessControl):
    """Who may log in."""

    def __init__(self, args: argparse.Namespace, pki: Certificates, ledger: Ledger) -> None:
        super().__init__(anonymous=args.anonymous)
        # A password is encrypted whatever the channel does.
        for name, kind in (("username", ns0.datatypes.UserTokenType.USER_NAME), ("certificate", ns0.datatypes.UserTokenType.CERTIFICATE)):
            policy = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
            self.user_token_policies.append(ns0.datatypes.UserTokenPolicy(policyId=name, tokenType=kind, securityPolicyUri=policy))
        self.passwords = dict(text.split("=", 1) for text in args.user)
        self.certificates = {pki.user(name).der.read_bytes(): name for name in args.user_cert}
        self.ledger = ledger
        self.accepted = 0
        self.refused = 0
        self.names: Counter[str] = Counter()

    def activateSession(self, endpoint: Any, remoteCertificate: bytes, session: Any, userIdentityToken: Any) -> Any:  # noqa: N802, N803
        """Every log-in, and every renewal of one."""
        kind = type(userIdentityToken).__name__.removesuffix("IdentityToken")
        who = kind
        if kind == "UserName":
            name = str(userIdentityToken.userName)
            who = f"UserName {name}"
            password = bytes(userIdentityToken.password or b"").decode()
            good = self.passwords.get(name) == password
        elif kind == "X509":
            good = bytes(userIdentityToken.certificateData) in self.certificates
        else:
            good = True
        self.names[who if good else f"{who} refused"] += 1
        self.ledger.write(e="login", good=good, who=who)
        if good:
            self.accepted += 1
            return who
        self.refused += 1
        raise o6.StatusCodeError(o6.StatusCode.BAD_USER_ACCESS_DENIED)


class Plc:
    """The server and what is in it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.ledger = Ledger(args.ledger)
        self.pki = Certificates(Path(args.pki))
        self.doors = Doors(args, self.pki, self.ledger)
        self.paused = args.paused
        self.rate, self.limit = args.rate, 0
        self.made = self.acked = self.stamp = self.simples = self.life = 0
        self.calls = 0
        self.showing = False
        self.due = 0.0
        for line in read(args.ledger):
            if line["e"] == "shown":
                self.made, self.stamp, self.showing = line["n"], line["stamp"], True
            elif line["e"] == "acked":
                self.acked, self.showing = self.acked + 1, False
            elif line["e"] == "simple":
                self.simples = line["n"]
        self.stopped = asyncio.Event()
        self.index = 0
        self.server: Any = None

    def node(self, text: str) -> str:
        """The id of a variable `Parent.name`."""
        return f"ns={self.index};s={text}"

    async def add(self, parent: str, name: str, value: Any, writable: bool = False) -> None:
        """A variable."""
        text = f"{parent}.{name}"
        await self.server.addVariable(name, self.node(parent), value, nodeId=self.node(text), writable=writable, ns=self.index)

    async def put(self, text: str, value: Any) -> None:
        """Its new value."""
        await self.server.write(self.node(text), value)

    async def begin(self) -> int:
        """Builds the address space, and listens."""
        port = self.args.port or free_port()
        pair = self.pki.make(f"open62541-{self.args.cert}", URI) if self.args.cert in ("self", "renewed") else self.pki.server(URI, self.args.cert)
        self.server = Server(
            port, certificate=pair.der.read_bytes(), privateKey=pair.key_der.read_bytes(), acceptAllCertificates=True,
            applicationUri=URI, accessControl=self.doors,
        )  # fmt: skip
        self.thumbprint = pair.thumbprint
        self.server.ns.append(opcua_namespace)
        uris = list(await self.server.read("i=2255"))
        self.index = uris.index(DATA)
        for name in ("Counter", "Odd", "Machine"):
            await self.server.addObject(name, "i=85", nodeId=self.node(name), ns=self.index)
        raw = derive(self.seed, self.made) | {"stamp": self.stamp} if self.made else {}
        for name, kind in KINDS.items():
            await self.add("Counter", name, kind(raw.get(name, "" if kind is o6.String else 0)))
        await self.add("Counter", "ack", o6.UInt32(self.made - self.showing), writable=True)
        await self.add("Odd", "good", o6.Double(12.5), writable=True)
        await self.add("Odd", "nan", o6.Double(float("nan")))
        await self.add("Odd", "text", o6.String("twelve"))
        await self.add("Machine", "life", o6.UInt32(0))
        argument = ns0.datatypes.Argument
        await self.server.addMethod(
            "reset", self.node("Machine"), self.reset, nodeId=o6.NodeId(self.node("Machine.reset")), ns=self.index,
            inputArgs=[argument(name="number", dataType=o6.NodeId("i=6"), valueRank=-1)], outputArgs=[argument(name="result", dataType=o6.NodeId("i=6"), valueRank=-1)],
        )  # fmt: skip
        self.event_type = await self.server.addObjectType(
            "PeerSimpleEventType", "i=2041", nodeId=self.node("PeerSimpleEventType"), ns=self.index
        )
        for name, value in (("Number", o6.UInt32(0)), ("Torque", o6.Double(0)), ("Angle", o6.Double(0)), ("Judgement", o6.Int32(0)), ("Vin", o6.String(""))):
            variable = await self.server.addVariable(
                name, self.node("PeerSimpleEventType"), value, nodeId=self.node(f"PeerSimpleEventType.{name}"), ns=self.index,
                typeDefinition="i=68", parentReference="i=46",
            )  # fmt: skip
            await self.server.addReference(variable, "i=37", "i=78")
        self.server.start()
        await self.server.waitReady()
        return port

    @property
    def seed(self) -> str:
        """From which values follow."""
        return f"{self.args.seed}/{self.args.slot}"

    def reset(self, _node: Any, number: Any) -> tuple[Any, ...]:
        """A method: gives back what it got, and one."""
        self.calls += 1
        return o6.StatusCode.GOOD, o6.Int32(int(number) + 1)

    async def show(self) -> None:
        """A new result; what triggers comes last."""
        self.made += 1
        self.stamp = max(int(time.time()), self.stamp)
        raw = derive(self.seed, self.made)
        self.showing = True
        self.ledger.write(e="shown", slot=self.args.slot, n=self.made, counter=self.made, stamp=self.stamp, expect=expected(raw))
        for name, value in (raw | {"stamp": self.stamp}).items():
            if name != "result_count":
                await self.put(f"Counter.{name}", KINDS[name](value))
        await self.put("Counter.result_count", o6.UInt32(self.made))

    async def simple(self) -> None:
        """An event of a plain type."""
        self.simples += 1
        raw = derive(self.seed, self.simples)
        self.ledger.write(e="simple", n=self.simples, expect=plain(raw))
        ns = self.index
        fields = {
            f"/{ns}:Number": o6.UInt32(self.simples),
            f"/{ns}:Torque": o6.Double(thousandth(raw)),
            f"/{ns}:Angle": o6.Double(raw["angle"]),
            f"/{ns}:Judgement": o6.Int32(raw["judgement"]),
            f"/{ns}:Vin": o6.String(raw["vin"]),
        }
        await self.server.createEvent(self.node("PeerSimpleEventType"), message=f"result {self.simples}", severity=100, fields=fields)

    async def clock(self) -> None:
        """The cycle of the PLC."""
        beat = 0.0
        while not self.stopped.is_set():
            now = time.monotonic()
            if self.showing and int(await self.server.read(self.node("Counter.ack"))) == self.made:
                self.ledger.write(e="acked", slot=self.args.slot, n=self.made)
                self.showing, self.acked = False, self.acked + 1
            if not self.paused and not self.showing and now >= self.due and not (self.limit and self.made >= self.limit):
                self.due = max(self.due, now - 1) + 1 / self.rate
                await self.show()
            if now >= beat:
                beat = now + 0.02
                self.life += 1
                await self.put("Machine.life", o6.UInt32(self.life))
            await asyncio.sleep(0.005)

    def stats(self) -> dict[str, Any]:
        """What was made and acknowledged, and who came."""
        return {
            "made": self.made, "acked": self.acked, "showing": int(self.showing), "simple": self.simples, "calls": self.calls,
            "accepted": self.doors.accepted, "refused": self.doors.refused, "names": self.doors.names,
        }  # fmt: skip

    async def command(self, line: str) -> dict[str, Any]:
        """One command of the harness."""
        order = json.loads(line)
        match order["do"]:
            case "stats":
                pass
            case "resume":
                self.paused = False
                self.rate = order.get("rate", self.rate)
                self.limit = order.get("limit", self.limit)
            case "pause":
                self.paused = True
            case "simple":
                for _ in range(order.get("count", 1)):
                    await self.simple()
            case "put":
                await self.put(order["node"], o6.Double(order["value"]))
            case "stop":
                self.stopped.set()
            case unknown:
                raise ValueError(f"the PLC knows no command {unknown!r}")
        if order["do"] != "stats":
            self.ledger.write(e="command", **order)
        return self.stats()

    async def listen_to_harness(self) -> None:
        """Reads commands until stdin ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while not self.stopped.is_set():
            line = await reader.readline()
            if not line:
                break
            print(json.dumps(await self.command(line.decode())), file=ANSWERS, flush=True)
        self.stopped.set()

    async def run(self) -> None:
        """Serves until told to stop."""
        port = await self.begin()
        print(json.dumps({"port": port, "thumbprint": self.thumbprint}), file=ANSWERS, flush=True)
        tasks = {asyncio.create_task(self.clock()), asyncio.create_task(self.listen_to_harness())}
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        for task in done:
            task.result()
        self.server.stop()


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--pki", required=True, help="folder of certificates")
    parser.add_argument("--cert", default="self", help="self, renewed, ca, expired, host")
    parser.add_argument("--user", action="append", default=[], help="name=password")
    parser.add_argument("--user-cert", action="append", default=[], help="the name of a user whose certificate is taken")
    parser.add_argument("--slot", default="st10.counter")
    parser.add_argument("--no-anonymous", dest="anonymous", action="store_false")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--paused", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)

    async def run() -> None:
        await Plc(args).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A PLC as an OPC UA server made of asyncua: result blocks, items, events; every policy and identity; and misbehaviour on demand.

Prints {"port": N, "thumbprint": "…"} and then answers commands, one JSON object a line on stdin:
  {"do": "stats"}    {"do": "resume", "rate": 20, "limit": 500}    {"do": "pause"}
  {"do": "items", "rate": 10}  (0: they stand still)               {"do": "events", "count": 5, "rate": 10, "without": ["torque"], "null": false}
  {"do": "publish", "on": false}   sessions and subscriptions live, and nothing is ever published, not even a keep-alive
  {"do": "simple", "count": 1}     events of plain values
  {"do": "drop"}                   resets every connection         {"do": "forget", "what": "sessions" | "subscriptions"}
  {"do": "put", "node": "Odd.good", "value": 3.5, "status": 0}     {"do": "restart_counter"}       {"do": "stop"}

To restart it otherwise (another certificate, another order of namespaces), kill it and start it with other arguments: its
blocks go on from the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.callback import CallbackType
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server import monitored_item_service
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from broker import free_port
from ledger import Ledger, read
from opcua_blocks import DATA, Block, Events, Items, Space, add_odd
from opcua_files import Certificates

URI = "urn:lineside:peer:plc"
POLICIES = {
    "None": ua.SecurityPolicyType.NoSecurity,
    "Basic256Sha256/Sign": ua.SecurityPolicyType.Basic256Sha256_Sign,
    "Basic256Sha256/SignAndEncrypt": ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    "Aes128Sha256RsaOaep/Sign": ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    "Aes128Sha256RsaOaep/SignAndEncrypt": ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    "Aes256Sha256RsaPss/Sign": ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    "Aes256Sha256RsaPss/SignAndEncrypt": ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
}
IDENTITIES = {"anonymous": ua.AnonymousIdentityToken, "user": ua.UserNameIdentityToken, "certificate": ua.X509IdentityToken}


class Doors:
    """Who may log in. Counts every log-in, and every one that was refused."""

    def __init__(self, args: argparse.Namespace, pki: Certificates, ledger: Ledger) -> None:
        self.passwords = dict(text.split("=", 1) for text in args.user)
        self.certificates = {pki.user(name).der.read_bytes(): name for name in args.user_cert}
        self.clients = {Path(path).read_bytes() for path in args.client}
        self.ledger = ledger
        self.accepted = 0
        self.refused = 0
        self.sessions = 0
        self.names: Counter[str] = Counter()

    def get_user(self, _iserver: Any, username: str | None = None, password: str | None = None, certificate: bytes | None = None) -> User | None:
        """asyncua hands the channel's certificate to it, too; `activate` took that away, so a certificate here is the user's own."""
        if username is not None:
            known = self.passwords.get(username)
            return User(role=UserRole.User, name=username) if known is not None and known == password else None
        if certificate is not None:
            name = self.certificates.get(certificate)
            return User(role=UserRole.User, name=name) if name else None
        return User(role=UserRole.User, name="anonymous")

    async def check_client(self, certificate: Any, _description: Any) -> None:
        """Takes any client, or only those that were named."""
        from cryptography.hazmat.primitives.serialization import Encoding

        if self.clients and certificate.public_bytes(Encoding.DER) not in self.clients:
            self.note(False, "application", "BadCertificateUntrusted")
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)

    def note(self, good: bool, who: str, why: str = "") -> None:
        """Writes a log-in down."""
        if good:
            self.accepted += 1
        else:
            self.refused += 1
        self.names[who if good else f"{who} refused"] += 1
        self.ledger.write(e="login", good=good, who=who, why=why)


def instrument(plc: Plc) -> None:
    """What asyncua has no switch for: log-ins are counted, limits enforced, publishing stopped."""
    activate, create = InternalSession.activate_session, InternalSession.create_session
    read_nodes, monitor = InternalSession.read, InternalSession.create_monitored_items
    publish = InternalSubscription.publish_results

    def activate_session(session: Any, params: Any, _channel_certificate: bytes | None) -> Any:
        token = params.UserIdentityToken
        who = type(token).__name__.removesuffix("IdentityToken")
        if isinstance(token, ua.UserNameIdentityToken):
            who += f" {token.UserName}"
        try:
            # Of a user's certificate asyncua takes the token's own; that of the channel says nothing about the user.
            result = activate(session, params, None)
        except (ServiceError, ua.uaerrors.UaStatusCodeError) as error:
            plc.doors.note(False, who, str(error))
            raise
        plc.doors.note(True, who)
        return result

    async def create_session(session: Any, params: Any, sockname: Any = None) -> Any:
        plc.doors.sessions += 1
        plc.ledger.write(e="session", name=params.SessionName, endpoint=params.EndpointUrl)
        return await create(session, params, sockname)

    async def read_limited(session: Any, params: Any) -> Any:
        if session.external:
            plc.counts["reads"] += 1
            plc.most["read"] = max(plc.most["read"], len(params.NodesToRead))
            if plc.args.limit and len(params.NodesToRead) > plc.args.limit:
                plc.counts["too many"] += 1
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        return await read_nodes(session, params)

    async def monitor_limited(session: Any, params: Any) -> Any:
        if session.external:
            plc.most["monitor"] = max(plc.most["monitor"], len(params.ItemsToCreate))
            if plc.args.limit and len(params.ItemsToCreate) > plc.args.limit:
                plc.counts["too many"] += 1
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        return await monitor(session, params)

    async def publish_results(subscription: Any, requestdata: Any = None) -> bool:
        return await publish(subscription, requestdata) if plc.publishing else False

    if not plc.args.predictable:
        # asyncua counts tokens from 1000 in each process: the token of before a restart would be another client's session.
        chance = random.SystemRandom()
        InternalSession._auth_counter = chance.randrange(1_000_000, 2_000_000_000)
        InternalSession._counter = chance.randrange(1_000_000, 2_000_000_000)
        plc.server.iserver.subscription_service._sub_id_counter = chance.randrange(1_000_000, 2_000_000_000)
    InternalSession.activate_session = activate_session
    InternalSession.create_session = create_session
    InternalSession.read = read_limited
    InternalSession.create_monitored_items = monitor_limited
    InternalSubscription.publish_results = publish_results
    # Every value written is a new one: there is nothing that a copy would protect, and 10,000 copies a second are too many.
    monitored_item_service.copy.deepcopy = lambda value: value


class Plc:
    """The server, what is in it, and the clock that makes results."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.ledger = Ledger(args.ledger)
        self.pki = Certificates(Path(args.pki))
        self.doors = Doors(args, self.pki, self.ledger)
        self.server = Server(user_manager=self.doors)
        self.publishing = True
        self.paused = args.paused
        self.rate = args.rate
        self.limit = 0
        self.item_rate = 0.0
        self.to_raise: dict[str, Any] = {"count": 0, "rate": 10.0, "without": (), "null": False}
        self.blocks: list[Block] = []
        self.items: Items | None = None
        self.events: Events | None = None
        self.space: Space | None = None
        self.counts: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.stopped = asyncio.Event()
        self.thumbprint = ""

    async def begin(self) -> int:
        """Builds the address space, and listens."""
        args, server = self.args, self.server
        instrument(self)
        await server.init()
        port = args.port or free_port()
        server.socket_address = ("127.0.0.1", port)
        server.set_endpoint(f"opc.tcp://{args.host}:{port}/plc")
        if args.host != "127.0.0.1":
            server.set_match_discovery_endpoint_url(False)
            server.set_match_discovery_client_ip(False)
        server.set_server_name("Peer PLC")
        await server.set_application_uri(URI)
        pair = self.pki.server(URI, args.cert)
        self.thumbprint = pair.thumbprint
        await server.load_certificate(pair.cert)
        await server.load_private_key(pair.key)
        server.set_security_policy([POLICIES[name] for name in args.policies.split(",")])
        server.set_identity_tokens([IDENTITIES[name] for name in args.identities.split(",")])
        server.set_certificate_validator(self.doors.check_client)
        index = 0
        for uri in args.namespaces.split(","):
            at = await server.register_namespace(uri)
            index = at if uri == DATA else index
        if not index:
            # A server that lost its program: the namespace of the data is not there.
            index = await server.register_namespace("http://peer.example/empty/")
        await self.limits()
        await self.fill(index)
        server.iserver.callback_service.addListener(CallbackType.PostWrite, self.written)
        await server.start()
        return port

    async def limits(self) -> None:
        """Says how much may come in one call, where it says so."""
        if self.args.limit and self.args.advertise:
            ids = ua.ObjectIds
            for name in ("MaxNodesPerRead", "MaxMonitoredItemsPerCall"):
                node = self.server.get_node(getattr(ids, f"Server_ServerCapabilities_OperationLimits_{name}"))
                await node.write_value(ua.Variant(self.args.limit, ua.VariantType.UInt32))

    async def fill(self, index: int) -> None:
        """All that is in it."""
        args, path = self.args, Path(self.args.ledger)
        self.space = Space(self.server, index)
        for kind in filter(None, args.blocks.split(",")):
            block = Block(self.space, kind, f"{args.station}.{kind}", args.seed, path, self.ledger)
            await block.begin()
            self.blocks.append(block)
        await add_odd(self.space)
        self.events = Events(self.space, f"{args.station}.event", args.seed, path, self.ledger)
        await self.events.begin()
        if args.items:
            self.items = Items(self.space, args.items, self.ledger)
            await self.items.begin(max((line["k"] for line in read(path) if line["e"] == "tick"), default=0))
        folder = await self.space.folder("Machine")
        await self.space.add(folder, "life", 0, ua.VariantType.UInt32)
        await folder.add_method(ua.NodeId("Machine.reset", index), f"{index}:reset", self.reset, [ua.VariantType.Int32], [ua.VariantType.Int32])

    def reset(self, _parent: Any, number: ua.Variant) -> list[ua.Variant]:
        """A method: gives back what it got, and one."""
        self.counts["calls"] += 1
        return [ua.Variant(number.Value + 1, ua.VariantType.Int32)]

    async def written(self, event: Any, _service: Any) -> None:
        """A client wrote."""
        if not event.is_external:
            return
        for item, status in zip(event.request_params.NodesToWrite, event.response_params, strict=True):
            self.counts["writes"] += 1
            for block in self.blocks:
                if item.NodeId == self.space.ids[f"{block.name}.ack"]:
                    if not status.is_good():
                        self.ledger.write(e="violation", slot=block.slot, text=f"a write of {item.Value} was refused: {status}")
                        continue
                    await block.written(item.Value.Value.Value)

    async def clock(self) -> None:
        """Makes what is due."""
        tick = event = beat = time.monotonic()
        while not self.stopped.is_set():
            now = time.monotonic()
            if now >= beat:
                beat = now + 0.05
                self.counts["life"] += 1
                await self.space.put("Machine.life", self.counts["life"])
            nearest = now + 0.05
            for block in self.blocks:
                if block.showing or self.paused or (self.limit and block.made >= self.limit):
                    block.due = max(block.due, now - 1)
                    continue
                if now >= block.due:
                    block.due = max(block.due, now - 1) + (1 / self.rate if self.rate else 0)
                    await block.show()
                nearest = min(nearest, max(block.due, now))
            if self.to_raise["count"]:
                if now >= event:
                    event = max(event, now - 1) + 1 / self.to_raise["rate"]
                    self.to_raise["count"] -= 1
                    await self.events.raise_one(tuple(self.to_raise["without"]), self.to_raise["null"])
                nearest = min(nearest, event)
            else:
                event = now
            if self.items and self.item_rate:
                if now >= tick:
                    self.counts["late ticks"] += now - tick > 0.5 / self.item_rate
                    tick = max(tick, now - 1) + 1 / self.item_rate
                    await self.items.tick()
                nearest = min(nearest, tick)
            else:
                tick = now
            await asyncio.sleep(max(nearest - time.monotonic(), 0.002))

    def stats(self) -> dict[str, Any]:
        """What was made and acknowledged, and who came."""
        return {
            "made": sum(block.made for block in self.blocks),
            "acked": sum(block.acked for block in self.blocks),
            "showing": sum(block.showing for block in self.blocks),
            "blocks": {block.slot: [block.made, block.acked] for block in self.blocks},
            "simple": self.events.simples if self.events else 0,
            "raised": self.events.made if self.events else 0,
            "to raise": self.to_raise["count"],
            "ticks": self.items.ticks if self.items else 0,
            "accepted": self.doors.accepted,
            "refused": self.doors.refused,
            "sessions": self.doors.sessions,
            "open": InternalSession._current_connections,
            "names": self.doors.names,
            "subscriptions": len(self.server.iserver.subscription_service.subscriptions),
            "watched": sum(len(sub.monitored_item_srv._monitored_items) for sub in self.server.iserver.subscription_service.subscriptions.values()),
            "most": self.most,
            **self.counts,
        }

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
            case "items":
                self.item_rate = float(order["rate"])
            case "events":
                self.to_raise = {"count": 1, "rate": 10.0, "without": (), "null": False} | order
            case "simple":
                for _ in range(order.get("count", 1)):
                    await self.events.raise_plain()
            case "publish":
                self.publishing = bool(order["on"])
            case "drop":
                self.drop()
            case "forget":
                await self.forget(order["what"])
            case "put":
                await self.space.put(order["node"], order["value"], order.get("status", 0))
            case "restart_counter":
                for block in self.blocks:
                    block.made = 0
            case "stop":
                self.stopped.set()
            case unknown:
                raise ValueError(f"the PLC knows no command {unknown!r}")
        if order["do"] != "stats":
            self.ledger.write(e="command", **order)
        return self.stats()

    def drop(self) -> None:
        """Resets every connection; sessions stay."""
        for protocol in list(self.server.bserver.clients):
            if protocol.transport:
                protocol.transport.abort()

    async def forget(self, what: str) -> None:
        """Loses what clients think is there."""
        service = self.server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))
        if what == "sessions":
            for session in list(self.server.iserver._external_sessions.values()):
                await session.close_session()

    async def listen_to_harness(self) -> None:
        """Reads commands until stdin ends: a harness that is gone takes its peers with it."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while not self.stopped.is_set():
            line = await reader.readline()
            if not line:
                break
            print(json.dumps(await self.command(line.decode())), flush=True)
        self.stopped.set()

    async def run(self) -> None:
        """Serves until told to stop."""
        port = await self.begin()
        print(json.dumps({"port": port, "thumbprint": self.thumbprint}), flush=True)
        tasks = {asyncio.create_task(self.clock()), asyncio.create_task(self.listen_to_harness())}
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        for task in done:
            task.result()
        await self.server.stop()


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--pki", required=True, help="folder of certificates, made where they are not there")
    parser.add_argument("--cert", default="self", help="self, renewed, ca, expired, future, host, ca-host, uri")
    parser.add_argument("--policies", default=",".join(POLICIES), help="with commas")
    parser.add_argument("--identities", default=",".join(IDENTITIES), help="with commas")
    parser.add_argument("--user", action="append", default=[], help="name=password")
    parser.add_argument("--user-cert", action="append", default=[], help="the name of a user whose certificate is taken")
    parser.add_argument("--client", action="append", default=[], help="DER of an application that is taken; none named: any")
    parser.add_argument("--host", default="127.0.0.1", help="what the server calls itself in its endpoints")
    parser.add_argument("--namespaces", default=DATA, help="URIs in their order, with commas")
    parser.add_argument("--station", default="st10")
    parser.add_argument("--blocks", default="counter,level", help="with commas; the slots are named so")
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="nodes in one read, items in one call")
    parser.add_argument("--advertise", action="store_true", help="says that limit")
    parser.add_argument("--rate", type=float, default=20.0, help="results a second of each block, 0: as fast as acknowledged")
    parser.add_argument("--paused", action="store_true")
    parser.add_argument("--predictable", action="store_true", help="tokens and subscriptions are counted from the same numbers in each life")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING)

    async def run() -> None:
        await Plc(args).run()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

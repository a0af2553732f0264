#!/usr/bin/env python3
"""Interop with three stacks of OPC UA that we did not write: asyncua, node-opcua, open62541.

For each server every security policy with every identity: read, subscribe, event, and again after the server was killed. The wrong
identities are refused, once each: a gateway that tries again locks an account. Certificates that are unknown, expired or another
host's are refused before anything is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "peers"), str(HERE.parent / "faults")]

import ledger  # noqa: E402
import opcua_profiles as profiles  # noqa: E402
from broker import free_port  # noqa: E402
from follow import Follower  # noqa: E402
from opcua_files import Certificates, Pair  # noqa: E402
from opcua_peers import JOINING_URI, MODULES, NodePeer  # noqa: E402
from processes import Peer, die_with_parent  # noqa: E402
from proxy import Proxy  # noqa: E402
from rig import ROOT, TARGET, Failure, Rig  # noqa: E402
from verify import load_schemas, look_up  # noqa: E402

PLC_URI, OPEN_URI = "urn:lineside:peer:plc", "urn:lineside:peer:open62541"
USER, PASSWORD = "joe", "screwdriver 42 ä"
IDENTITIES = ("anonymous", "user", "certificate")
STACKS = ("asyncua", "node-opcua", "open62541")
LONG = ("certificates", "many")
# Data has to come again so many seconds after the server is back.
RETURN = 5.0
# How long a wrong identity is watched for a second try.
WATCH = 20.0


def start(rig: Rig, stack: str, port: int, log: str = "server", **more: Any) -> Peer:
    """A server of a stack; killed ones are started again with the same port and go on with their ledger."""
    pki = Certificates(rig.folder / "pki")
    path, text = rig.folder / f"{log}.jsonl", rig.folder / f"{log}.log"
    users, certs = [f"{USER}={PASSWORD}"], ["eve"]
    for name in [*certs, "mallory"]:
        pki.user(name)
    if stack == "node-opcua":
        names = {"cert": more.get("cert", "self")}
        peer: Peer = NodePeer(
            pki, path, text, port=port, users={USER: PASSWORD}, userCerts=[str(pki.user(name).der) for name in certs], joining=False, **names
        )
    else:
        script = "opcua_plc.py" if stack == "asyncua" else "opcua_open62541.py"
        args = ["--ledger", str(path), "--pki", str(pki.folder), "--port", str(port), "--paused"]
        for entry in users:
            args += ["--user", entry]
        for name in certs:
            args += ["--user-cert", name]
        for key, value in more.items():
            args += [f"--{key}", str(value)]
        peer = Peer(script, args, text)
    rig.undo.append(peer.end)
    return peer


def server_pair(rig: Rig, stack: str, kind: str = "self") -> Pair:
    """The certificate that a server shows."""
    pki = Certificates(rig.folder / "pki")
    match stack:
        case "asyncua":
            return pki.server(PLC_URI, kind)
        case "node-opcua":
            return pki.make("joining-self", JOINING_URI) if kind == "self" else pki.server(JOINING_URI, kind)
        case _:
            return pki.make(f"open62541-{kind}", OPEN_URI)


def path_of(stack: str) -> str:
    """What stands behind the port in its address."""
    return {"asyncua": "/plc", "node-opcua": "/joining"}.get(stack, "")


class Seen(Follower):
    """What came of each slot: tightenings, the newest reading, statuses."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.tightenings: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.readings: dict[str, list[tuple[float, dict[str, Any]]]] = defaultdict(list)
        self.states: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
        self.other: list[str] = []
        self.ids: set[str] = set()

    def look(self) -> None:
        """Takes up what is new."""
        for parts, entry in self.entries():
            slot, kind = parts[-2], parts[-1]
            if kind == "status":
                if entry["p"] and parts[-3] != "lineside":
                    status = json.loads(entry["p"])
                    self.states[slot].append((entry["t"], status["state"], status.get("reason", "")))
                continue
            event = json.loads(entry["p"], parse_float=Decimal)
            if event["id"] in self.ids:
                continue
            self.ids.add(event["id"])
            if kind == "tightening":
                self.tightenings[slot].append(event)
            elif kind == "readings":
                self.readings[slot].append((entry["t"], event["data"]["values"]))
            elif kind not in ("alarm", "change"):
                self.other.append(f"{slot}: {kind}: {entry['p'][:300]}")

    def state(self, slot: str) -> tuple[str, str]:
        """What its status said last, and why."""
        return self.states[slot][-1][1:] if self.states[slot] else ("", "")


class Case:
    """One gateway with a slot for each way to a server."""

    def __init__(self, rig: Rig, stack: str) -> None:
        self.rig = rig
        self.stack = stack
        self.port = free_port()
        self.slots: dict[str, str] = {}
        self.links: dict[str, Proxy] = {}
        self.link: Proxy | None = None
        rig.add_broker(calm=True)
        rig.add_mes()
        self.seen = Seen(rig.received)

    def slot(self, name: str, text: str) -> None:
        """A slot with its device file."""
        self.slots[name] = text
        self.links[name] = self.link
        (self.rig.devices / f"st10.{name}.toml").write_text(text)

    def address(self, port: int = 0) -> str:
        """A way to a server of its own: at one address the gateway knows one way to connect."""
        link = Proxy(port or self.port)
        self.rig.links.append(link)
        self.link = link
        return f"opc.tcp://127.0.0.1:{link.port}{path_of(self.stack)}"

    def begin(self) -> None:
        """All configured, each slot with the events that its device file maps, and the gateway started."""
        rig = self.rig
        lines = [
            f'[gateway]\nid = "gw-test"\nstate_dir = "{rig.state}"\nprofiles = "device-profiles"\nweb = "off"',
            '[plant]\nenterprise = "acme"\nsite = "leipzig"\narea = "body"\nline = "line-3"',
            f'[mqtt]\nbroker = "mqtt://127.0.0.1:{rig.broker_link.port}"\nversion = "{rig.version}"',
            '[[station]]\nid = "st10"\nunit_from = ["mes", "device"]',
        ]
        for name, text in self.slots.items():
            delivers = [kind for kind in ("tightening", "readings") if f"[events.{kind}]" in text]
            lines.append(f'[[station.slot]]\nid = "{name}"\ndelivers = {json.dumps(delivers)}')
        rig.config.write_text("\n".join(lines) + "\n")
        rig.command("check", "--config", str(rig.config))
        rig.command("contract", "--config", str(rig.config), "--out", str(rig.folder / "contract"))
        rig.gateway.start()

    def wait(self, what: str, condition: Callable[[], bool], limit: float = 30) -> None:
        """Waits, reading on what the MES receives."""

        def looked() -> bool:
            self.seen.look()
            return condition()

        self.rig.wait(what, looked, limit, every=0.05)

    def missing(self, goal: int) -> list[str]:
        """Which slots have fewer tightenings than that."""
        self.seen.look()
        return [f"{name} ({len(self.seen.tightenings[name])}, {' '.join(self.seen.state(name))})" for name in self.slots if len(self.seen.tightenings[name]) < goal]

    def end(self) -> None:
        """The gateway stops as it should."""
        problem = self.rig.gateway.stop()
        if problem:
            raise Failure(problem)
        if self.rig.gateway.exits:
            raise Failure(f"the gateway ended by itself: {self.rig.gateway.exits[0]}; {self.rig.last_words()}")


def word(policy: str, identity: str) -> str:
    """The name of the slot."""
    return f"{policy.replace('/', '-')}-{identity}".lower()


def accepted(rig: Rig, stack: str) -> int:
    """Every policy with every identity reads, subscribes, hears events; the server is killed, and data comes again."""
    case = Case(rig, stack)
    server = start(rig, stack, case.port)
    trust = server_pair(rig, stack).trust
    eve = Certificates(rig.folder / "pki").user("eve")
    for policy in profiles.POLICIES:
        for identity in IDENTITIES:
            name = word(policy, identity)
            lines = [f'security = "{policy}"', 'publishing = "100ms"', 'timeout = "5s"']
            # A password is encrypted with the server's certificate, also where messages are not.
            if policy != "None" or identity != "anonymous":
                lines.append(trust)
            if identity == "user":
                lines += profiles.user(rig.devices, f"st10.{name}", USER, PASSWORD)
            elif identity == "certificate":
                lines += profiles.certificate(eve.cert, eve.key)
            case.slot(name, profiles.head(stack, case.address(), *lines) + profiles.SIMPLE)
    case.begin()
    faults: list[str] = []
    late(case, faults, "is online", lambda name: case.seen.state(name)[0] == "online", 40)
    rig.pass_time(0.5)
    late(case, faults, "sends readings", lambda name: bool(case.seen.readings[name]), 20)
    server.ask("simple", count=5)
    late(case, faults, "delivered five events", lambda name: len(case.seen.tightenings[name]) >= 5, 20)
    subscribed = {name: len(case.seen.tightenings[name]) for name in case.slots}
    rig.say(f"{stack}: {sum(count >= 5 for count in subscribed.values())} of {len(case.slots)} ways deliver events and readings")
    # The server dies in the middle of it, and comes back under the same address: a third of the ways at a time, the others are
    # cut off meanwhile, so that what is measured is not how fast a server logs in 21 clients at once.
    returns: dict[str, float] = {}
    for at, identity in enumerate(IDENTITIES):
        mine = [name for name in case.slots if name.endswith(identity)]
        for name, link in case.links.items():
            link.mend() if name in mine else link.cut(refuse=True)
        late(case, faults, "is online before the server is killed", lambda name: case.seen.state(name)[0] == "online", 40, mine)
        server.process.kill()
        server.process.wait()
        rig.pass_time(2)
        server = start(rig, stack, case.port)
        back = time.time()
        new = Decimal(100 + at)
        server.ask("put", node="Odd.good", value=float(new))
        late(
            case, faults, "sends what is new", lambda name, new=new: any(values.get("good") == new for _, values in case.seen.readings[name][-20:]), RETURN + 10, mine
        )
        for name in mine:
            times = [t for t, values in case.seen.readings[name] if values.get("good") == new]
            returns[name] = times[0] - back if times else float("inf")
            if returns[name] > RETURN:
                faults.append(f"{name}: data came again {returns[name]:.1f} s after the server was back; {RETURN:.0f} s are granted")
    for link in case.links.values():
        link.mend()
    late(case, faults, "is online again", lambda name: case.seen.state(name)[0] == "online", 40)
    rig.pass_time(0.5)
    server.ask("simple", count=5)
    late(case, faults, "delivered ten events", lambda name: len(case.seen.tightenings[name]) >= 10, 20)
    case.end()
    check_events(case, faults)
    check_schemas(case, faults)
    stats = server.ask("stats")
    if stats["refused"]:
        faults.append(f"{stack}: {stats['refused']} log-ins were refused: {stats['names']}")
    table(case, subscribed, returns)
    for text in case.seen.other[:5]:
        faults.append(text)
    return tell(faults)


def late(case: Case, faults: list[str], what: str, fulfilled: Callable[[str], bool], limit: float, names: list[str] | None = None) -> None:
    """Waits for all slots, or for these; those that are late are faults, and the rest goes on."""
    names = names or list(case.slots)
    try:
        case.wait(f"every way {what}", lambda: all(fulfilled(name) for name in names), limit)
    except Failure as failure:
        if "in vain" not in str(failure):
            raise
        bad = [name for name in names if not fulfilled(name)]
        for name in bad:
            faults.append(f"{name} never {what}: its status is {': '.join(case.seen.state(name))}")


def check_events(case: Case, faults: list[str]) -> None:
    """Each event once at each slot, in order, with its values."""
    wanted = {line["n"]: line["expect"] for line in ledger.read(case.rig.folder / "server.jsonl") if line["e"] == "simple"}
    for name in case.slots:
        numbers = [int(event["data"]["result_id"]) for event in case.seen.tightenings[name]]
        if numbers != sorted(set(numbers)) or set(numbers) != set(wanted):
            faults.append(f"{name}: events {sorted(wanted)} were raised and {numbers} came")
        for event in case.seen.tightenings[name]:
            for path, want in wanted.get(int(event["data"]["result_id"]), {}).items():
                got = look_up(event["data"], path)
                same = Decimal(str(got)) == Decimal(want) if path.endswith("value") and got is not None else got == want
                if not same:
                    faults.append(f"{name}: event {event['data']['result_id']}: {path} is {got!r} and should be {want!r}")


def check_schemas(case: Case, faults: list[str]) -> None:
    """The first of each as the contract has it."""
    schemas = load_schemas(case.rig.folder / "contract")
    for name in case.slots:
        for event in case.seen.tightenings[name][:1]:
            plain = json.loads(json.dumps(event, default=float))
            faults += [f"{name}: breaks its schema at {error.json_path}: {error.message[:200]}" for error in schemas["tightening"].iter_errors(plain)]


def table(case: Case, events: dict[str, int], returns: dict[str, float]) -> None:
    """For people: what worked how."""
    print(f"     {case.stack + ' ' + chr(0x2014) + ' policy':<48}{'identity':<14}{'events':>7}{'readings':>10}{'data again after':>18}", flush=True)
    for policy in profiles.POLICIES:
        for identity in IDENTITIES:
            name = word(policy, identity)
            print(f"     {policy:<48}{identity:<14}{len(case.seen.tightenings[name]):>7}{len(case.seen.readings[name]):>10}{returns[name]:>16.1f} s", flush=True)


def tell(faults: list[str]) -> int:
    """Prints the first ones."""
    for text in faults[:12]:
        print(f"     ! {text}", flush=True)
    if len(faults) > 12:
        print(f"     ! and {len(faults) - 12} more", flush=True)
    return len(faults)


def refused(rig: Rig, stack: str) -> int:
    """Wrong passwords and certificates: refused once each, for as long as nothing changes; another slot goes on."""
    case = Case(rig, stack)
    server = start(rig, stack, case.port)
    trust = server_pair(rig, stack).trust
    mallory = Certificates(rig.folder / "pki").user("mallory")
    good = word("Basic256Sha256/SignAndEncrypt", "anonymous")
    case.slot(good, profiles.head(stack, case.address(), 'security = "Basic256Sha256/SignAndEncrypt"', trust) + profiles.SIMPLE)
    wrong: dict[str, str] = {}
    for at, policy in enumerate(profiles.POLICIES):
        lines = [f'security = "{policy}"', 'timeout = "5s"', trust]
        name = word(policy, "password")
        wrong[name] = f"UserName wrong-{at} refused"
        case.slot(name, profiles.head(stack, case.address(), *lines, *profiles.user(rig.devices, f"st10.{name}", f"wrong-{at}", "guess")) + profiles.SIMPLE)
        name = word(policy, "rogue")
        wrong[name] = "X509 refused"
        case.slot(name, profiles.head(stack, case.address(), *lines, *profiles.certificate(mallory.cert, mallory.key)) + profiles.SIMPLE)
    case.begin()
    faults: list[str] = []
    try:
        case.wait("the good one is online and each wrong one was refused", lambda: server.ask("stats")["refused"] >= len(wrong) and case.seen.state(good)[0] == "online", 30)
    except Failure as failure:
        faults.append(str(failure))
    rig.pass_time(WATCH)
    server.ask("simple", count=3)
    late_one = [] if _comes(case, good, 3) else [f"{good}: does not deliver beside refused ones"]
    case.seen.look()
    names = server.ask("stats")["names"]
    certificates = sum(what == "X509 refused" for what in wrong.values())
    for name, what in wrong.items():
        count, grant = names.get(what, 0), certificates if what == "X509 refused" else 1
        if count != grant:
            faults.append(f"{name}: {what} {count} times within {WATCH:.0f} s, and should be {grant} times")
        state, reason = case.seen.state(name)
        if state != "offline" or not reason:
            faults.append(f"{name}: refused, and its status is {state}: {reason}")
    faults += late_one
    name = word("Aes256Sha256RsaPss/SignAndEncrypt", "password")
    rig.say(f"{stack}: {len(wrong)} wrong identities, {server.ask('stats')['refused']} refused log-ins in {WATCH:.0f} s; a status says: {case.seen.state(name)[1]}")
    case.end()
    return tell(faults)


def _comes(case: Case, name: str, count: int) -> bool:
    try:
        case.wait(f"{name} delivers", lambda: len(case.seen.tightenings[name]) >= count, 10)
    except Failure:
        return False
    return True


def certificates(rig: Rig, _stack: str) -> int:
    """Server certificates: pinned, by an authority, unknown, expired, of another host, renewed; what the default takes; odd endpoints."""
    case = Case(rig, "asyncua")
    pki = Certificates(rig.folder / "pki")
    other = pki.make("someone-else", "urn:lineside:peer:else")
    stranger = pki.authority("stranger")
    ports = {kind: free_port() for kind in ("self", "ca", "expired", "future", "ca-host", "none", "weak", "hidden")}
    more = {kind: {"cert": kind} for kind in ("self", "ca", "expired", "future", "ca-host")}
    more |= {"none": {"policies": "None"}, "weak": {"policies": "None,Basic256Sha256/Sign"}, "hidden": {"host": "plc-7.nowhere.invalid"}}
    servers = {kind: start(rig, "asyncua", port, kind, **more[kind]) for kind, port in ports.items()}
    pair = {kind: pki.server(PLC_URI, kind if kind in ("ca", "expired", "future", "ca-host") else "self") for kind in ports}

    def slot(name: str, kind: str, *lines: str) -> None:
        case.slot(name, profiles.head(name, case.address(ports[kind]), *lines, 'timeout = "5s"') + profiles.SIMPLE)

    both = 'security = "Basic256Sha256/SignAndEncrypt"'
    good = ["pinned", "file", "authority", "strongest", "weakest", "hidden", "localhost"]
    slot("pinned", "self", both, pair["self"].trust)
    slot("file", "self", 'security = "Basic256Sha256/Sign"', f'trust_file = "{pair["self"].cert}"')
    slot("authority", "ca", both, f'trust_file = "{pki.authority().cert}"')
    slot("strongest", "self", pair["self"].trust)
    slot("weakest", "weak", pair["weak"].trust)
    slot("hidden", "hidden", both, pair["hidden"].trust)
    case.slot("localhost", profiles.head("localhost", case.address(ports["self"]).replace("127.0.0.1", "localhost"), 'security = "Aes128Sha256RsaOaep/SignAndEncrypt"', pair["self"].trust) + profiles.SIMPLE)
    # What is refused, and what the status has to name.
    bad = {
        "unknown": (pair["self"].thumbprint, "trust"),
        "other": (pair["self"].thumbprint, "trust"),
        "stranger": (pair["ca"].thumbprint, "trust"),
        "expired": ("expired",),
        "future": ("valid",),
        "renamed": ("plc-7.example",),
        "plain": ("None",),
    }
    slot("unknown", "self", both)
    slot("other", "self", 'security = "Aes256Sha256RsaPss/SignAndEncrypt"', other.trust)
    slot("stranger", "ca", 'security = "Aes256Sha256RsaPss/SignAndEncrypt"', f'trust_file = "{stranger.cert}"')
    slot("expired", "expired", both, f'trust_file = "{pair["expired"].cert}"')
    slot("future", "future", both, f'trust_file = "{pair["future"].cert}"')
    slot("renamed", "ca-host", both, f'trust_file = "{pki.authority().cert}"')
    # Nobody wrote None: a server that offers nothing else is refused.
    slot("plain", "none")
    case.begin()
    faults: list[str] = []
    for name in good:
        try:
            case.wait(f"{name} is online", lambda name=name: case.seen.state(name)[0] == "online", 20)
        except Failure:
            faults.append(f"{name}: should be online, and its status is {': '.join(case.seen.state(name))}")
    rig.pass_time(6)
    case.seen.look()
    for name, words in bad.items():
        state, reason = case.seen.state(name)
        if state != "offline":
            faults.append(f"{name}: should be refused, and its status is {state}: {reason}")
        for text in words:
            if text.lower() not in reason.lower():
                faults.append(f"{name}: its status does not name {text!r}: {reason}")
        rig.say(f"{name}: {reason}")
    for kind in ("expired", "future", "ca-host", "none"):
        stats = servers[kind].ask("stats")
        if stats["accepted"] or stats["refused"] or stats["sessions"]:
            faults.append(f"{kind}: {stats['sessions']} sessions and {stats['names']} log-ins at a server that is not trusted")
    # The certificate is renewed: refused with the new thumbprint; the line is written, and data comes.
    servers["self"].process.kill()
    servers["self"].process.wait()
    renewed = pki.server(PLC_URI, "renewed")
    servers["self"] = start(rig, "asyncua", ports["self"], "self", cert="renewed")
    try:
        case.wait("a renewed certificate is refused", lambda: renewed.thumbprint in case.seen.state("pinned")[1], 30)
    except Failure:
        faults.append(f"pinned: the certificate was renewed, and its status is {': '.join(case.seen.state('pinned'))}")
    count = len(case.seen.readings["pinned"])
    case.slots.pop("pinned")
    slot("pinned", "self", both, renewed.trust)
    if problem := rig.gateway.stop():
        faults.append(problem)
    rig.gateway.start()
    try:
        case.wait("the new line is taken up", lambda: len(case.seen.readings["pinned"]) > count + 2, 20)
    except Failure:
        faults.append(f"pinned: the new thumbprint was written, and its status is {', '.join(case.seen.state('pinned'))}")
    case.end()
    return tell(faults)


ODD = """[points]
good      = {{ node = "{data};s=Odd.good" }}
uncertain = {{ node = "{data};s=Odd.uncertain" }}
bad       = {{ node = "{data};s=Odd.bad" }}
nan       = {{ node = "{data};s=Odd.nan" }}
infinite  = {{ node = "{data};s=Odd.infinite" }}
digits    = {{ node = "{data};s=Odd.digits" }}
huge      = {{ node = "{data};s=Odd.huge" }}
[events.readings]
when   = {{ every = "500ms" }}
values = ["good", "uncertain", "bad", "nan", "infinite", "digits", "huge"]
"""
WRONG = f"""[points]
count   = {{ node = "{profiles.DATA};s=Machine.life" }}
torque  = {{ node = "{profiles.DATA};s=Odd.text", uom = "N.m" }}
judgement = {{ node = "{profiles.DATA};s=Counter.judgement", map = {{ 0 = "ok", 1 = "ok", 2 = "nok" }} }}
[events.tightening]
when   = {{ changes = "count" }}
id     = ["count"]
result = "judgement"
torque = "torque"
"""
MISSING = f"""[points]
life = {{ node = "{profiles.DATA};s=Machine.life" }}
gone = {{ node = "{profiles.DATA};s=Machine.gone" }}
[events.readings]
when   = {{ every = "500ms" }}
values = ["life", "gone"]
"""
STRANGER = """[points]
life = { node = "nsu=http://nobody.example/;s=Machine.life" }
[events.readings]
when   = { every = "500ms" }
values = ["life"]
"""


def odd(rig: Rig, _stack: str) -> int:
    """Statuses, NaN, wrong types, nodes that are not there, structures with a field missing, null fields: a sentence each; others go on."""
    case = Case(rig, "asyncua")
    server = start(rig, "asyncua", case.port)

    def slot(name: str, text: str) -> None:
        case.slot(name, profiles.head(name, case.address(), 'security = "None"', 'timeout = "5s"') + text)

    slot("odd", ODD.format(data=profiles.DATA))
    slot("wrong", WRONG)
    slot("gone", MISSING)
    slot("stranger", STRANGER)
    slot("structured", profiles.STRUCTURED)
    slot("good", profiles.SIMPLE)
    case.begin()
    faults: list[str] = []
    # A bad status is told by the slot's own: its data flow, and something of them is not right.
    for name, wanted_state in {"odd": "degraded", "structured": "online", "good": "online"}.items():
        try:
            case.wait(f"{name} is {wanted_state}", lambda name=name, state=wanted_state: case.seen.state(name)[0] == state, 30)
        except Failure:
            faults.append(f"{name}: should be {wanted_state}, and its status is {': '.join(case.seen.state(name))}")
    rig.pass_time(0.5)
    # Whole ones, then one without its torque, one without a program, one whose structure is null, and whole ones again.
    for without, null, count in (([], False, 4), (["torque"], False, 1), (["Program"], False, 1), ([], True, 1), ([], False, 2)):
        server.ask("events", count=count, rate=20, without=without, null=null)
        rig.pass_time(0.5)
    server.ask("simple", count=3)
    late_ok = _comes(case, "good", 3)
    rig.pass_time(2)
    case.seen.look()
    if not late_ok:
        faults.append("good: does not deliver beside the others")
    # What is odd is absent, and its quality says why.
    lines = [json.loads(line["p"], parse_float=Decimal) for line in ledger.read(rig.received) if line["topic"].endswith("st10/odd/readings")]
    if not lines:
        faults.append(f"odd: no reading came; its status is {': '.join(case.seen.state('odd'))}")
    else:
        data = lines[-1]["data"]
        want = {"good": Decimal("12.5"), "uncertain": Decimal("21.25"), "digits": "0012", "huge": "9007199254740993"}
        if data["values"] != want:
            faults.append(f"odd: values are {data['values']} and should be {want}")
        quality = data.get("quality", {})
        if "BadSensorFailure" not in str(quality.get("bad")) or "UncertainLastUsableValue" not in str(quality.get("uncertain")) or "good" in quality:
            faults.append(f"odd: the quality is {quality}")
    for name, words in {"gone": ("Machine.gone",), "stranger": ("nobody.example",)}.items():
        state, reason = case.seen.state(name)
        rig.say(f"{name}: {state}: {reason}")
        if state == "online" or any(word not in reason for word in words):
            faults.append(f"{name}: its status is {state} and does not name {words}: {reason}")
    quarantined = [text for text in case.seen.other if ": quarantine:" in text]
    rig.say(f"{len(quarantined)} quarantines, such as {quarantined[:1]}")
    case.seen.other = [text for text in case.seen.other if text not in quarantined]
    if not any(text.startswith("wrong") for text in quarantined):
        faults.append(f"wrong: a text where a number belongs made no quarantine; its status is {': '.join(case.seen.state('wrong'))}")
    wanted = {line["n"]: line for line in ledger.read(rig.folder / "server.jsonl") if line["e"] == "raised"}
    came = {int(event["data"]["result_id"]): event["data"] for event in case.seen.tightenings["structured"]}
    for number, line in wanted.items():
        if line["null"]:
            if number in came:
                faults.append(f"structured: event {number} was null and became a tightening")
            continue
        if number not in came:
            faults.append(f"structured: event {number} (without {line['without']}) never came; quarantined: {[text[:200] for text in quarantined if text.startswith('structured')][:2]}")
            continue
        for path, want_text in line["expect"].items():
            gone = (path.startswith("torque") and "torque" in line["without"]) or (path == "program.id" and "Program" in line["without"])
            got = look_up(came[number], path)
            want = None if gone else want_text
            same = got == want if want is None or not isinstance(got, (int, Decimal)) else got == Decimal(want)
            if not same:
                faults.append(f"structured: event {number}: {path} is {got!r} and should be {want!r}")
    faults += case.seen.other[:5]
    case.end()
    return tell(faults)


def many(rig: Rig, _stack: str) -> int:
    """10,000 items at a server that takes 100 in one call, and does not say so; beside it another slot."""
    case = Case(rig, "asyncua")
    count = 10_000
    server = start(rig, "asyncua", case.port, items=count, limit=100, blocks="counter")
    lines = ('security = "None"', 'timeout = "5s"', 'publishing = "500ms"')
    case.slot("many", profiles.head("many", case.address(), *lines) + profiles.items(count))
    case.slot("good", profiles.head("good", case.address(), *lines) + profiles.SIMPLE)
    case.begin()
    faults: list[str] = []
    begun = time.monotonic()
    try:
        case.wait("all items are watched", lambda: server.ask("stats")["watched"] >= count, 60)
        case.wait("both are online", lambda: all(case.seen.state(name)[0] == "online" for name in case.slots), 60)
    except Failure as failure:
        faults.append(f"{failure}; {server.ask('stats')['watched']} of {count} items are watched; {case.seen.states['many'][-1:]}")
    took = time.monotonic() - begun
    server.ask("items", rate=1)
    seen: set[int] = set()

    def values() -> bool:
        for _, some in case.seen.readings["many"]:
            seen.update(int(name[1:]) for name, value in some.items() if name[0] == "v" and value > 0)
        case.seen.readings["many"].clear()
        return len(seen) >= count

    try:
        case.wait("a new value of each arrives", values, 30)
    except Failure:
        faults.append(f"new values of only {len(seen)} of {count} items came")
    server.ask("items", rate=0)
    server.ask("simple", count=2)
    if not _comes(case, "good", 2):
        faults.append("good: does not deliver beside 10,000 items")
    stats = server.ask("stats")
    rig.say(f"{count} items watched after {took:.1f} s; asked for too much {stats.get('too many', 0)} times; at most {stats['most']}")
    case.end()
    return tell(faults)


SIEMENS = "http://www.siemens.com/simatic-s7-opcua"


def simulated(rig: Rig, _stack: str) -> int:
    """`lineside simulate` with a block of the catalog: clients of asyncua and node-opcua take results from it, with each policy."""
    pki = Certificates(rig.folder / "pki")
    app = pki.make("client", "urn:lineside:peer:client")
    block = ROOT / "device-profiles" / "siemens" / "s7-1500-handshake.toml"
    args = [str(rig.binary), "simulate", str(block), "--listen", "127.0.0.1:0", "--every", "100ms"]
    with open(rig.folder / "simulate.log", "ab") as log:
        device = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=rig.folder, preexec_fn=die_with_parent)
    rig.undo.append(device.kill)
    first = device.stdout.readline()
    if "listening on opc.tcp://" not in first:
        raise Failure(f"`lineside simulate` does not say where it listens: {first!r}; {(rig.folder / 'simulate.log').read_text()[-300:]}")
    address = "opc.tcp://" + first.split("opc.tcp://")[1].split()[0]
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(device.stdout), daemon=True)
    reader.start()
    faults: list[str] = []
    numbers: list[int] = []
    for policy in profiles.POLICIES:
        name, _, mode = policy.partition("/")
        for client, take in (("asyncua", take_by_asyncua), ("node-opcua", take_by_node)):
            try:
                got = take(rig, address, name, mode or "None", app)
            except (Failure, OSError, TimeoutError, ValueError) as failure:
                faults.append(f"{client}, {policy}: {failure!r}")
                continue
            numbers += [entry["number"] for entry in got]
            if len(got) != 3 or any(not entry["unit"] or entry["verdict"] not in (1, 2) for entry in got):
                faults.append(f"{client}, {policy}: took {got}")
    if len(set(numbers)) != len(numbers) or numbers != sorted(numbers):
        faults.append(f"results were taken as {numbers}")
    try:
        device.stdin.write("quit\n")
        device.stdin.flush()
        device.wait(10)
    except (OSError, subprocess.TimeoutExpired) as failure:
        faults.append(f"the virtual device did not end: {failure}")
    reader.join(5)
    rig.say(f"{len(numbers)} results taken by two clients and {len(profiles.POLICIES)} policies; the virtual device says: {said[-1].strip() if said else ''}")
    return tell(faults)


def take_by_node(rig: Rig, address: str, policy: str, mode: str, app: Pair) -> list[dict[str, Any]]:
    """Three results by node-opcua."""
    names = {"Aes128Sha256RsaOaep": "Aes128_Sha256_RsaOaep", "Aes256Sha256RsaPss": "Aes256_Sha256_RsaPss"}
    options = {
        "modules": str(MODULES), "address": address, "uri": SIEMENS, "base": '"Lineside"."*"', "count": 3, "policy": names.get(policy, policy), "mode": mode,
        "cert": str(app.cert), "key": str(app.key), "pki": str(rig.folder / "pki"),
    }  # fmt: skip
    script = HERE.parent / "peers" / "opcua_joining" / "client.mjs"
    done = subprocess.run(["node", str(script), json.dumps(options)], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failure(f"node-opcua ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def take_by_asyncua(_rig: Rig, address: str, policy: str, mode: str, app: Pair) -> list[dict[str, Any]]:
    """Three results by asyncua."""
    return asyncio.run(asyncio.wait_for(_take_by_asyncua(address, policy, mode, app), 40))


async def _take_by_asyncua(address: str, policy: str, mode: str, app: Pair) -> list[dict[str, Any]]:
    from asyncua import Client, ua
    from asyncua.crypto import security_policies

    client = Client(address, timeout=10)
    client.application_uri = app.uri
    if policy != "None":
        endpoints = await client.connect_and_get_server_endpoints()
        certificate = next(endpoint.ServerCertificate for endpoint in endpoints if endpoint.ServerCertificate)
        kind = getattr(security_policies, f"SecurityPolicy{policy}")
        await client.set_security(kind, str(app.cert), str(app.key), server_certificate=certificate, mode=getattr(ua.MessageSecurityMode, mode))
    changes: asyncio.Queue[bool] = asyncio.Queue()

    class Handler:
        """Passes on what changes."""

        def datachange_notification(self, _node: Any, value: Any, _data: Any) -> None:
            """A new value of the flag."""
            changes.put_nowait(bool(value))

    got: list[dict[str, Any]] = []
    async with client:
        index = await client.get_namespace_index(SIEMENS)
        node = {name: client.get_node(ua.NodeId(f'"Lineside"."{name}"', index)) for name in ("Ready", "Ack", "Number", "Torque", "Unit", "Verdict")}
        subscription = await client.create_subscription(50, Handler())
        await subscription.subscribe_data_change(node["Ready"])
        while len(got) < 3:
            while not await changes.get():
                pass
            values = await client.read_values([node[name] for name in ("Number", "Torque", "Unit", "Verdict")])
            got.append(dict(zip(("number", "torque", "unit", "verdict"), values, strict=True)))
            await node["Ack"].write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(True, ua.VariantType.Boolean)))
            while await changes.get():
                pass
            await node["Ack"].write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(False, ua.VariantType.Boolean)))
    return got


CASES: dict[str, Callable[[Rig, str], int]] = {"accepted": accepted, "refused": refused, "certificates": certificates, "odd": odd, "many": many, "simulated": simulated}


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--binary", type=Path, default=TARGET / "release" / "lineside")
    parser.add_argument("--only", default="", help="these stacks and cases, with commas")
    parser.add_argument("--short", action="store_true", help="wrong identities at one stack only, and without what cargo test shows, too")
    parser.add_argument("--long", action="store_true", help="all of it, as without")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    # Its client tells of every number that a server revises.
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    only = [name for name in args.only.split(",") if name]
    failed = []
    for name, case in CASES.items():
        for stack in STACKS if name in ("accepted", "refused") else ("asyncua",):
            if only and not (name in only or stack in only) or (len(only) > 1 and not {name, stack} <= set(only)):
                continue
            if args.short and not only and (name in LONG or name == "refused" and stack != STACKS[0]):
                continue
            print(f"== opcua {stack} {name} (seed {args.seed})", flush=True)
            rig = Rig(f"opcua-{stack}-{name}", args.seed, args.binary.resolve(), 60)
            begun = time.monotonic()
            try:
                faults = case(rig, stack)
            except (Failure, RuntimeError, OSError, KeyError) as failure:
                print(f"     ! {failure!r}" if isinstance(failure, KeyError) else f"     ! {failure}", flush=True)
                faults = 1
            finally:
                rig.close()
            print(f"== opcua {stack} {name}: {'held' if not faults else 'FAILED'}, {time.monotonic() - begun:.0f} s", flush=True)
            if faults:
                failed.append(f"{stack} {name}")
                print(f"     everything is kept in target/{rig.folder.relative_to(TARGET)}", flush=True)
            else:
                shutil.rmtree(rig.folder, ignore_errors=True)
    sys.exit(f"opcua: failed: {', '.join(failed)}; again with --seed {args.seed}" if failed else 0)


if __name__ == "__main__":
    main()

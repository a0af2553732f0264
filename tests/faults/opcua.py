"""OPC UA through everything: result blocks of a PLC, a thousand items, a joining system; servers, links and the gateway are killed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import ledger
import opcua_profiles as profiles
from broker import free_port
from follow import Follower
from opcua_files import Certificates
from opcua_peers import PLC_URI
from processes import Peer, die_with_parent
from proxy import Proxy
from rig import TARGET, Failure, Rig, Tool
from verify import Rules

USER, PASSWORD = "gateway", "42 screws"
# Data has to come again so many seconds after the server is back.
RETURN = 5.0
ITEMS = 1000
LIMIT = 100


class Newest(Follower):
    """Reads on in what the MES received: ticks of items, and statuses."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.states: dict[str, tuple[str, str]] = {}
        self.newest = 0
        self.newest_at = 0.0
        self.seen: dict[str, set[int]] = defaultdict(set)
        self.other: Counter[str] = Counter()
        self.repeated = 0
        self.events = 0

    def look(self) -> None:
        """Takes up what is new."""
        for parts, entry in self.entries():
            if parts[-1] == "status":
                if entry["p"] and parts[-3] != "lineside":
                    status = json.loads(entry["p"])
                    self.states[".".join(parts[-3:-1])] = (status["state"], status.get("reason", ""))
            elif parts[-1] == "readings":
                self.events += 1
                for name, value in json.loads(entry["p"])["data"]["values"].items():
                    self.repeated += value in self.seen[name]
                    self.seen[name].add(value)
                    if value > self.newest:
                        self.newest, self.newest_at = value, entry["t"]
            else:
                self.other[parts[-1]] += 1

    def state(self, slot: str) -> str:
        """What its status said last."""
        self.look()
        return self.states.get(slot, ("", ""))[0]


class Server:
    """The PLC with the link to it. Killed and started again it goes on with its ledger, under the same address."""

    def __init__(self, rig: Rig, slots: list[str], *more: str) -> None:
        self.rig = rig
        self.port = free_port()
        self.ledger = rig.folder / "tool-0.jsonl"
        self.more = more
        self.pki = Certificates(rig.folder / "pki")
        self.starts = 0
        self.pair = self.pki.server(PLC_URI)
        self.link = Proxy(self.port)
        rig.links.append(self.link)
        self.tool = Tool(self.run(), self.port, self.link, self.ledger, slots, "opcua-echo")
        rig.tools.append(self.tool)

    def run(self, *more: str) -> Peer:
        """A process."""
        self.starts += 1
        args = ["--ledger", str(self.ledger), "--pki", str(self.pki.folder), "--port", str(self.port), "--seed", str(self.rig.seed)]
        args += ["--user", f"{USER}={PASSWORD}", *self.more, *more]
        return Peer("opcua_plc.py", args, self.rig.folder / "plc.log")

    @property
    def address(self) -> str:
        """Through the link."""
        return f"opc.tcp://127.0.0.1:{self.link.port}/plc"

    def kill(self) -> None:
        """kill -9."""
        self.tool.peer.process.kill()
        self.tool.peer.process.wait()

    def back(self, *more: str) -> None:
        """It is there again."""
        self.tool.peer.process.stdin.close()
        self.tool.peer.process.stdout.close()
        self.tool.peer = self.run(*more)

    def lines(self, secure: bool = True) -> list[str]:
        """Of `[connection]`."""
        if not secure:
            return ['security = "None"', 'publishing = "50ms"', 'timeout = "2s"']
        folder = self.rig.devices
        return [
            'security = "Aes256Sha256RsaPss/SignAndEncrypt"',
            'publishing = "50ms"',
            'timeout = "2s"',
            self.pair.trust,
            *profiles.user(folder, "st10.plc", USER, PASSWORD),
        ]


class Plc:
    """Result blocks with a handshake, disturbed in every way."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self.rig = rig
        self.chance = chance
        rig.add_broker(calm=True)
        rig.add_mes()
        slots = ["st10.counter", "st10.level"]
        self.server = Server(rig, slots, "--blocks", "counter,level", "--paused", "--limit", "20")
        for slot in slots:
            text = profiles.head("PT-OPC", self.server.address, *self.server.lines())
            (rig.devices / f"{slot}.toml").write_text(text + profiles.block(slot[5:]))
        rig.configure(asks='delivers = "tightening"\nrequires = ["torque", "torque.min", "angle", "program"]')
        self.done: Counter[str] = Counter()
        self.returns: list[float] = []
        self.took: dict[str, list[float]] = defaultdict(list)

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """The server."""
        return self.server.tool.peer.ask(do, **more)

    def kill_gateway(self) -> None:
        """At any moment."""
        self.rig.gateway.kill()
        self.rig.pass_time(self.chance.choice([0, self.chance.uniform(0, 1)]))
        self.rig.gateway.start()

    def kill_server(self) -> None:
        """And a while later it is back; perhaps its namespaces have another order then."""
        self.server.kill()
        self.rig.pass_time(self.chance.uniform(0, 1.5))
        more = ["--namespaces", f"http://peer.example/first/,{profiles.DATA.removeprefix('nsu=')}"] if self.chance.random() < 0.5 else []
        self.server.back(*more)
        self.resume()
        self.flows()

    def cut(self) -> None:
        """The network."""
        self.server.link.cut(refuse=self.chance.random() < 0.5)
        self.rig.pass_time(self.chance.uniform(0.1, 1))
        self.server.link.mend()

    def black_hole(self) -> None:
        """Nothing comes through, and nobody says so."""
        self.server.link.black_hole()
        self.rig.pass_time(self.chance.uniform(0.5, 5))
        self.server.link.mend()
        if self.chance.random() < 0.5:
            self.server.link.cut()

    def silence(self) -> None:
        """The server answers, and publishes nothing."""
        self.ask("publish", on=False)
        self.rig.pass_time(self.chance.uniform(0.5, 4))
        self.ask("publish", on=True)

    def forget(self) -> None:
        """Sessions or subscriptions are lost."""
        self.ask("forget", what=self.chance.choice(["sessions", "subscriptions"]))

    def drop(self) -> None:
        """Connections are reset; sessions live on."""
        self.ask("drop")

    def resume(self) -> None:
        """Results are made."""
        self.ask("resume", rate=20)

    def flows(self) -> None:
        """Results are acknowledged again within the time that is granted after a server's return."""
        at = time.monotonic()
        goal = {slot: acked + 1 for slot, (_, acked) in self.ask("stats")["blocks"].items()}
        self.rig.wait(
            "both blocks are acknowledged again", lambda: all(acked >= goal[slot] for slot, (_, acked) in self.ask("stats")["blocks"].items()), 30, every=0.05
        )
        self.returns.append(time.monotonic() - at)

    def run(self, times: int) -> int:
        """All of it."""
        rig = self.rig
        rig.gateway.start()
        self.resume()
        rig.flow(20, 40)
        rig.say("results flow")
        steps: list[Callable[[], None]] = [self.kill_gateway, self.kill_server, self.cut, self.black_hole, self.silence, self.forget, self.drop]
        for at in range(times):
            step = steps[at % len(steps)] if at < len(steps) else self.chance.choice(steps)
            self.done[step.__name__] += 1
            step()
            ended = time.monotonic()
            rig.pass_time(self.chance.uniform(0.2, 1))
            try:
                rig.flow(4, 40)
            except Failure as failure:
                raise Failure(f"after {step.__name__}: {failure}") from None
            self.took[step.__name__].append(time.monotonic() - ended)
        rig.say(f"{times} disturbances; {rig.tool_stats()}")
        rig.drain()
        rules = Rules(everything=True, check_units=False, schema_every=20)
        if stats := self.ask("stats"):
            rig.say(f"{stats['sessions']} sessions in the last life of the server, {stats['open']} of them open")
        report = rig.verdict(rules)
        for seconds in self.returns:
            if seconds > RETURN:
                report.fault(f"results were taken again {seconds:.1f} s after the server was back; {RETURN:.0f} s are granted")
                print(f"     ! {report.faults[-1]}", flush=True)
        print(f"     {'what was done':<20}{'times':>6}{'four results behind it, s':>30}", flush=True)
        for what, count in self.done.items():
            print(f"     {what:<20}{count:>6}     {', '.join(f'{seconds:.1f}' for seconds in self.took[what])}", flush=True)
        print(f"     server back to first result: {', '.join(f'{seconds:.1f}' for seconds in self.returns)} s", flush=True)
        return report.fault_count


def opcua_plc(rig: Rig, chance: random.Random, options: Any) -> int:
    """Handshakes over OPC UA: every result once, by id, in order, through kills of both sides and a network that fails in every way."""
    return Plc(rig, chance).run(60 if options.long else 21)


class Measured:
    """What a process uses, from outside."""

    def __init__(self, pid: int) -> None:
        self.folder = Path(f"/proc/{pid}")
        self.begun = time.monotonic()
        self.cpu_before = self.cpu()

    def cpu(self) -> float:
        """Seconds of processor so far."""
        import os

        fields = (self.folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> int:
        """Resident memory, KiB."""
        for line in (self.folder / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def said(self, name: str) -> str:
        """A line for the table."""
        took = time.monotonic() - self.begun
        return f"     {name:<28}{(self.cpu() - self.cpu_before) / took * 100:>10.1f} %{self.rss():>12} KiB"


def minimal_client(rig: Rig, address: str, seconds: float) -> str:
    """The same subscription by a program that does nothing else, made of the same crate: `examples/opcua_minimal`, where it is built.

    usage: opcua_minimal ADDRESS COUNT   prints one line when all are subscribed, and how many values came when its stdin ends."""
    binary = rig.binary.parent / "examples" / "opcua_minimal"
    if not binary.exists():
        return "     (no examples/opcua_minimal is built to compare with)"
    with open(rig.folder / "minimal.log", "ab") as log:
        process = subprocess.Popen(
            [str(binary), address, str(ITEMS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=die_with_parent
        )
    try:
        process.stdout.readline()
        measured = Measured(process.pid)
        time.sleep(seconds)
        line = measured.said("minimal client")
        said = process.communicate("\n", timeout=20)[0].strip()
        return f"{line}   {said}"
    finally:
        process.kill()
        process.wait()


def opcua_items(rig: Rig, chance: random.Random, options: Any) -> int:
    """A thousand items that change ten times a second: none lost, by the ledger of each; then the server is killed ten times."""
    del chance
    seconds = 60
    rig.add_broker(calm=True)
    rig.add_mes()
    server = Server(rig, ["st10.items"], "--blocks", "", "--items", str(ITEMS), "--limit", str(LIMIT), "--paused")
    text = profiles.head("items", server.address, *server.lines(secure=False))
    (rig.devices / "st10.items.toml").write_text(text + profiles.items(ITEMS))
    rig.configure(asks='delivers = "readings"')
    newest = Newest(rig.received)
    rig.gateway.start()
    rig.wait("the slot is online", lambda: newest.state("st10.items") == "online", 60)
    rig.wait(f"{ITEMS} items are watched", lambda: server.tool.peer.ask("stats")["watched"] >= ITEMS, 30)
    rig.pass_time(1)
    first = server.tool.peer.ask("stats")["ticks"] + 1
    measured, at_server = Measured(rig.gateway.process.pid), Measured(server.tool.peer.process.pid)
    server.tool.peer.ask("items", rate=10)
    rig.pass_time(seconds)
    faults: list[str] = []
    lines = [measured.said("gateway"), at_server.said("asyncua, the server")]
    stats = server.tool.peer.ask("items", rate=0)
    # Reads and monitored items: 1000, 500, 250 and 125 at a time are too many for a server that takes 100 and does not say so.
    if stats.get("too many", 0) > 8:
        faults.append(f"the server was asked for too much {stats['too many']} times: {stats['most']}, though it takes {LIMIT}")
    last = server.tool.peer.ask("stats")["ticks"]
    try:
        rig.wait("the last change arrives", lambda: newest.look() or newest.newest >= last, 30)  # type: ignore[func-returns-value]
    except Failure as failure:
        faults.append(str(failure))
    rig.quiet()
    newest.look()
    wanted = set(range(first, last + 1))
    lost = {name: sorted(wanted - newest.seen[name]) for name in (f"v{at:05}" for at in range(ITEMS))}
    lost = {name: ticks for name, ticks in lost.items() if ticks}
    if lost:
        name, ticks = next(iter(lost.items()))
        faults.append(f"{len(lost)} items lost {sum(map(len, lost.values()))} of {ITEMS * len(wanted)} values, first {name}: {ticks[:8]} of {first} to {last}")
    if len(wanted) < seconds * 9:
        faults.append(f"the server made only {len(wanted)} changes in {seconds} s ({stats.get('late ticks', 0)} late): nothing was proved of 10 Hz")
    print(f"     {ITEMS} items, {len(wanted)} changes of each in {seconds} s, {newest.events} events, {sum(map(len, lost.values()))} values lost", flush=True)
    print(f"     {'process':<28}{'processor':>12}{'memory':>16}", flush=True)
    server.tool.peer.ask("items", rate=10)
    lines.append(minimal_client(rig, server.address, 10))
    for line in lines:
        print(line, flush=True)
    returns = []
    for _ in range(10):
        server.kill()
        rig.pass_time(1)
        server.back("--advertise")
        back = time.monotonic()
        after = server.tool.peer.ask("items", rate=10)["ticks"]
        try:
            rig.wait("data comes again", lambda after=after: newest.look() or newest.newest > after + 1, 30, every=0.02)  # type: ignore[func-returns-value]
        except Failure as failure:
            faults.append(f"{failure}; status: {newest.states}")
            break
        returns.append(time.monotonic() - back)
        stats = server.tool.peer.ask("stats")
        if stats.get("too many"):
            faults.append(f"the server says that it takes {LIMIT} at a time, and was asked for {stats['most']}")
        if stats["sessions"] > 3:
            faults.append(f"{stats['sessions']} sessions were made at a server that just came back")
    print(f"     the server was killed {len(returns)} times; data again after {', '.join(f'{seconds:.1f}' for seconds in returns)} s", flush=True)
    faults += [f"data came again {seconds:.1f} s after the server was back; {RETURN:.0f} s are granted" for seconds in returns if seconds > RETURN]
    if stop := rig.gateway.stop():
        faults.append(stop)
    faults += rig.gateway.exits
    for what, count in newest.other.items():
        if what not in ("alarm", "change"):
            faults.append(f"nobody expected {count} events of type {what}")
    for fault in faults:
        print(f"     ! {fault}", flush=True)
    return len(faults)

"""Torque controllers of many kinds by Open Protocol, with links cut and the gateway killed: every result once, in order, exact.

What was missed is fetched and marked so, and only that; what a controller has forgotten is told by gaps that know what they
say; ids that begin anew are no gap.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from follow import Follower
from ports import SerialLink
from processes import Peer
from proxy import Proxy
from rig import Failure, Rig, Tool
from torque_kinds import ASKS_MORE, BEFORE, CURVES, ECHO, KINDS, RATE, TELLS, profile
from torque_verify import TorqueVerifier
from verify import Rules


class Seen(Follower):
    """Reads on in what the MES received: the newest result and the statuses of each slot."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.last: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.told: Counter[tuple[str, str, bool | None]] = Counter()
        self.ids: set[str] = set()
        self.states: dict[str, list[tuple[float, str, str]]] = defaultdict(list)

    def look(self) -> None:
        """Takes up what is new."""
        for parts, entry in self.entries():
            slot = ".".join(parts[-3:-1])
            if parts[-1] == "tightening":
                name = json.loads(entry["p"])["data"].get("unit", {}).get("id", "0")
                self.last[slot] = max(self.last[slot], int(name[-6:]))
                self.received[slot] += 1
            elif parts[-1] in ("alarm", "identification"):
                event = json.loads(entry["p"])
                if event["id"] not in self.ids:
                    self.ids.add(event["id"])
                    self.told[slot, event["data"]["code"], event["data"].get("active")] += 1
            elif parts[-1] == "status" and entry["p"]:
                status = json.loads(entry["p"])
                self.states[slot].append((entry["t"], status["state"], status.get("reason", "")))

    def state(self, slot: str) -> tuple[str, str]:
        """What its status said last, and why."""
        self.look()
        return self.states[slot][-1][1:] if self.states[slot] else ("", "")


class Run:
    """All controllers, and the gateway."""

    def __init__(self, rig: Rig, chance: random.Random, names: list[str], outbox: str = "") -> None:
        self.rig = rig
        self.chance = chance
        rig.add_broker(calm=True)
        rig.add_mes()
        self.tools = {name: self.add(name) for name in names}
        rig.configure(asks=ASKS_MORE, outbox=outbox)
        if "traces" in names:
            # Only this one draws curves.
            text = rig.config.read_text()
            slot = f'id = "traces"\n{ASKS_MORE}'
            rig.config.write_text(text.replace(slot, slot.replace('"identification"', '"identification", "curve"')))
            rig.command("check", "--config", str(rig.config))
            rig.command("contract", "--config", str(rig.config), "--out", str(rig.folder / "contract"))
        self.seen = Seen(rig.received)
        self.done: Counter[str] = Counter()
        self.complaints: list[str] = []

    def add(self, name: str) -> Tool:
        """A controller, the link to it, and its device file."""
        rig, kind, slot = self.rig, KINDS[name], f"st10.{name}"
        path = rig.folder / f"controller-{name}.jsonl"
        args = ["--ledger", str(path), "--paused", "--seed", f"{rig.seed}/{name}", "--ids", "walk" if kind.walk else "exact", *kind.args]
        peer = Peer("controller.py", args, rig.folder / f"controller-{name}.log")
        link: Proxy | SerialLink
        if kind.serial:
            args = ["--ledger", str(rig.folder / f"line-{name}.jsonl"), "--controller", str(peer.hello["port"]), "--seed", f"{rig.seed}/line"]
            line = Peer("ascii_line.py", args, rig.folder / f"line-{name}.log")
            rig.undo.append(line.end)
            line.ask("noise", chance=0.05)
            link = SerialLink(rig, name, line)
            address = str(link.near)
        else:
            link = Proxy(peer.hello["port"])
            rig.links.append(link)
            address = f"127.0.0.1:{link.port}"
        # The name says that results name their unit: the station then listens to devices.
        tool = Tool(peer, peer.hello["port"], link, path, [slot], "open-protocol-echo")
        rig.tools.append(tool)
        recover = "walk-back" if kind.walk else "from-index" if kind.variable else "by-id"
        (rig.devices / f"{slot}.toml").write_text(profile(name, address, recover, kind.more, kind.variable) + ECHO + TELLS + (CURVES if kind.traces else ""))
        return tool

    def stats(self, name: str) -> dict[str, Any]:
        """Of one controller."""
        return self.tools[name].peer.ask("stats")

    def ready(self, names: list[str] | None = None) -> bool:
        """Whether slots are online and subscribed."""
        return all(self.seen.state(f"st10.{name}")[0] == "online" and self.stats(name)["subscribed"] for name in names or self.tools)

    def behind(self, goals: dict[str, int]) -> dict[str, tuple[int, int]]:
        """Of whom the newest result at the MES is older than so: that, and what it should be."""
        self.seen.look()
        return {name: (self.seen.last[f"st10.{name}"], goal) for name, goal in goals.items() if self.seen.last[f"st10.{name}"] < goal}

    def wait_ready(self, names: list[str] | None = None) -> None:
        """Waits for it, and says who is not."""
        try:
            self.rig.wait("slots are online and subscribed", lambda: self.ready(names), 40)
        except Failure as failure:
            bad = [f"{name}: {self.seen.state(f'st10.{name}')}, {self.stats(name)}" for name in names or self.tools if not self.ready([name])]
            raise Failure(f"{failure}; not: {'; '.join(bad)}") from None

    def wait_caught_up(self, names: list[str] | None = None, limit: float = 40) -> None:
        """Waits until all that was made by now has arrived, and says who is behind."""
        goals = {name: self.stats(name)["made"] for name in names or self.tools}
        try:
            self.rig.wait("the newest result of each arrives", lambda: not self.behind(goals), limit)
        except Failure as failure:
            raise Failure(f"{failure}; behind (has, made): {self.behind(goals)}") from None

    def resume(self) -> None:
        """All make results."""
        for tool in self.tools.values():
            tool.peer.ask("resume", rate=RATE)

    def pause(self, names: list[str] | None = None) -> None:
        """None does."""
        for name in names or self.tools:
            self.tools[name].peer.ask("pause")

    def begin(self) -> None:
        """Some results before the first start; then the gateway, and results."""
        for tool in self.tools.values():
            tool.peer.ask("make", count=BEFORE)
        self.rig.gateway.start()
        self.wait_ready()
        for name, tool in self.tools.items():
            tool.peer.ask("faults", **dict(KINDS[name].faults))
        self.resume()
        self.wait_caught_up()
        self.rig.say("results flow")

    def cut(self) -> None:
        """All links, in one way or another."""
        kind = self.chance.choice(["cut", "cut", "cut", "refuse", "black hole"])
        self.done[kind] += 1
        for tool in self.tools.values():
            if kind == "black hole":
                tool.link.black_hole()
            else:
                tool.link.cut(refuse=kind == "refuse")
        if kind != "cut":
            self.rig.pass_time(self.chance.uniform(0.1, 1.5))
            for tool in self.tools.values():
                tool.link.mend()
                if kind == "black hole" and self.chance.random() < 0.5:
                    tool.link.cut()

    def kill(self) -> None:
        """kill -9, at any moment or at an acknowledgement."""
        rig = self.rig
        process = rig.gateway.process
        if self.chance.random() < 0.5 and process is not None:
            self.done["kill on ack"] += 1
            tool = self.tools[self.chance.choice(list(self.tools))]
            tool.peer.ask("kill_on_ack", pid=process.pid)
            deadline = time.monotonic() + 2
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            tool.peer.ask("kill_on_ack", pid=0)
        else:
            self.done["kill"] += 1
        rig.gateway.kill()
        rig.pass_time(self.chance.choice([0, 0, self.chance.uniform(0, 1)]))
        rig.gateway.start()

    def disturb(self, seconds: float, cuts: int, kills: int) -> None:
        """So many cuts and kills at random moments of these seconds."""
        steps = [self.cut] * cuts + [self.kill] * kills
        self.chance.shuffle(steps)
        begun = time.monotonic()
        times = sorted(self.chance.uniform(0, seconds) for _ in steps)
        for at, step in zip(times, steps, strict=True):
            self.rig.pass_time(max(begun + at - time.monotonic(), 0.05))
            step()
        self.rig.pass_time(max(begun + seconds - time.monotonic(), 0))
        self.rig.say(f"{cuts} cuts, {kills} kills; {self.rig.tool_stats()}")

    def away(self, seconds: float) -> None:
        """All links are gone for so long that a small memory forgets; then results must flow again."""
        self.done["away"] += 1
        for tool in self.tools.values():
            tool.link.cut(refuse=True)
        self.rig.pass_time(seconds)
        for tool in self.tools.values():
            tool.link.mend()
        self.wait_ready()
        self.wait_caught_up()
        self.rig.say(f"links were gone for {seconds:.0f} s")

    def reset(self, how: str) -> None:
        """Ids begin at 1: in the middle of results, or by another controller, or while the gateway is away."""
        names = [name for name in self.tools if KINDS[name].resets]
        if not names:
            return
        self.done[f"reset: {how}"] += 1
        self.wait_ready(names)
        if how != "running":
            self.pause(names)
            self.wait_caught_up(names)
        if how == "away":
            self.rig.gateway.kill()
        before = {name: self.stats(name)["fetches"] for name in names}
        for name in names:
            if how == "replaced":
                self.tools[name].peer.ask("replace", serial=f"{self.chance.randrange(10**10):010}")
            else:
                self.tools[name].peer.ask("reset_ids")
        if how == "away":
            self.rig.gateway.start()
        if how != "running":
            self.rig.pass_time(0.5)
            self.wait_ready(names)
        for name in names:
            self.tools[name].peer.ask("resume", rate=RATE)
        made = {name: self.stats(name)["made"] for name in names}
        self.rig.wait("eight more are made", lambda: all(self.stats(name)["made"] >= made[name] + 8 for name in names), 20)
        self.wait_caught_up(names)
        for name in names:
            fetched = self.stats(name)["fetches"] - before[name]
            # Of global ids each live one is asked for what is before it, other stations' included.
            if fetched > (40 if KINDS[name].walk else 12):
                self.complaints.append(f"st10.{name}: {fetched} results were fetched behind a reset ({how}), and nothing was missed")
        self.rig.say(f"ids began anew ({how})")

    def tell(self) -> None:
        """Alarms come and go, and identifiers are scanned, while nothing else happens: each is told once, and acknowledged."""
        for name in self.tools:
            self.tools[name].peer.ask("faults", deaf=0, mute=0, rough=0)
        self.wait_ready()
        names = [name for name in self.tools if not KINDS[name].variable]
        steps: list[tuple[str, dict[str, Any], tuple[str, bool | None]]] = [
            ("alarm", {"code": "E404", "on": True}, ("E404", True)),
            ("alarm", {"code": "E404", "on": False}, ("E404", False)),
            ("vin", {"id": "WVWZZZ3HZPE000001"}, ("WVWZZZ3HZPE000001", None)),
        ]

        def count(name: str, what: tuple[str, bool | None]) -> int:
            self.seen.look()
            return self.seen.told[f"st10.{name}", *what]

        for order, more, what in steps:
            for name in names:
                self.tools[name].peer.ask(order, **more)
            try:
                self.rig.wait(f"{what[0]} is told", lambda what=what: all(count(name, what) for name in names), 15)
            except Failure as failure:
                silent = [name for name in names if not count(name, what)]
                self.complaints.append(f"{order} {more} was not told by {silent}: {failure}")
        self.rig.pass_time(1)
        for name in names:
            for _, _, what in steps:
                if count(name, what) > 1:
                    self.complaints.append(f"st10.{name}: {what} was told {count(name, what)} times")
            heard = self.stats(name)["heard"]
            silent = [mid for mid in ("0072", "0075", "0053") if not heard.get(mid)]
            if silent and not KINDS[name].link and name != "generic":
                self.complaints.append(f"st10.{name}: never acknowledged an alarm or identifier by {silent}")
        self.rig.say("alarms and identifiers are told")

    def end(self) -> int:
        """All is delivered, and the ledgers agree."""
        rig = self.rig
        for tool in self.tools.values():
            tool.peer.ask("faults", deaf=0, mute=0, rough=0)
            tool.link.mend()
        for step in (self.wait_ready, self.pause, self.wait_caught_up):
            try:
                step()
            except Failure as failure:
                rig.say(f"{failure}")
                rig.late = rig.late or str(failure)
        rig.quiet()
        return self.verdict()

    def verdict(self) -> int:
        """Stops everything and holds the ledgers against each other."""
        rig = self.rig
        stop = rig.gateway.stop()
        rig.quiet()
        rig.mes.ask("stop")
        rig.mes.end()
        rules = Rules(check_units=False, content_type=rig.version == "5", schema_every=20, allowed=("alarm", "change", "gap", "identification", "curve"))
        slots = {f"st10.{name}": (KINDS[name], tool.ledger) for name, tool in self.tools.items()}
        verifier = TorqueVerifier(rules, slots, rig.mes_ledger, rig.folder / "contract")
        verifier.read_received(rig.received)
        report = verifier.finish()
        for name, tool in self.tools.items():
            stats = self.stats(name)
            if name in ("kept", "closed") and stats["refusals"] < 4:
                report.fault(f"st10.{name}: revisions were refused only {stats['refusals']} times: nothing was proved")
            if KINDS[name].link and not tool.peer.ask("stats")["heard"].get("9997"):
                report.fault(f"st10.{name}: the link level was never used: nothing was proved")
        for fault in filter(None, [stop, rig.late, *self.complaints]):
            report.fault(fault)
        killed = sum("exit -9" in text for text in rig.gateway.exits)
        if len(rig.gateway.exits) > killed:
            report.fault(f"the gateway ended by itself {len(rig.gateway.exits) - killed} times, first: {rig.gateway.exits[0]}")
        report.counts["gateway starts"] = rig.gateway.starts
        report.counts["gateway peak memory KiB"] = rig.gateway.peak_kib
        report.counts |= {f"fault: {kind}": count for kind, count in self.done.items()}
        report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
        return report.fault_count


def torque(rig: Rig, chance: random.Random, options: Any) -> int:
    """Ten cuts and five kills while each controller makes five results a second; an outage; ids that begin anew."""
    names = options.only.split(",") if options.only else list(KINDS)
    run = Run(rig, chance, names)
    run.begin()
    for _ in range(3 if options.long else 1):
        run.disturb(60 if options.long else 20, 10, 5)
    run.wait_ready()
    run.wait_caught_up()
    run.away(8 if options.long else 5)
    for how in ("running", "replaced", "away"):
        run.reset(how)
    run.disturb(10 if options.long else 4, 2, 1)
    run.tell()
    return run.end()


def hold(rig: Rig, _chance: random.Random, options: Any) -> int:
    """The outbox is full and the broker away: nothing is acknowledged, the session goes on, and what was missed is fetched."""
    names = options.only.split(",") if options.only else ["walk", "exact", "link", "serial"]
    run = Run(rig, _chance, names, outbox='max_bytes = "1MiB"\nkeep_sent = "0"')
    run.begin()
    begin = time.time()
    rig.broker_link.cut(refuse=True)
    for name in names:
        run.tools[name].peer.ask("resume", rate=40)
    rig.wait("no result is taken any more", lambda: still(run, names), 90, every=1)
    before = {name: run.stats(name) for name in names}
    taken = {name: stats["acked"] for name, stats in before.items()}
    for name in names:
        run.tools[name].peer.ask("resume", rate=RATE)
    # Long enough that a controller drops a client that says nothing, or that owes it an acknowledgement.
    rig.pass_time(40 if options.long else 20)
    for name in names:
        stats = run.stats(name)
        # On the link layer nothing is answered while a result is not acknowledged, not even the end of its subscription: the
        # connection is made anew once, without one.
        renewed = stats["connections"] - before[name]["connections"]
        if renewed > int(KINDS[name].link) or not stats["clients"]:
            run.complaints.append(f"st10.{name}: the session did not live through the hold: {stats['drops']}")
        if stats["subscribed"]:
            run.complaints.append(f"st10.{name}: is subscribed though nothing can be stored")
    rig.say(f"held: acknowledged {taken}")
    rig.broker_link.mend()
    rig.away.append((begin, time.time()))
    run.wait_ready()
    run.wait_caught_up(limit=60)
    rig.say("what was missed is there")
    return run.end()


def still(run: Run, names: list[str]) -> bool:
    """Whether no controller was acknowledged for a second."""
    before = {name: run.stats(name)["acked"] for name in names}
    run.rig.pass_time(1.5)
    return all(run.stats(name)["acked"] == before[name] for name in names)

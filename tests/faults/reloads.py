"""Device files change while the gateway runs: good ones are taken up, bad ones are not, and nothing of either is lost.

Ten thousand events wait with the broker down while profiles, the catalog and the set of files change; files are spoilt in every way,
once together with kill -9; saves come one upon another; and with require_lock nothing changes that was not approved.
"""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections.abc import Callable
from typing import Any

from layout import resolve
from rig import Failure, Rig, Tool, toml
from swaps import Watch, put
from verify import Rules

WAITING = 10_000
# Of each spindle before that.
SHARED = 60
SPINDLES = 8
FIRST, SECOND, NEVER = "st20.first", "st20.second", "st30.never"
SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "a typo": lambda good: good.replace(b"[events.tightening]", b"[events.tightning]").replace(b"[connection]", b"[conection]"),
    "half a file": lambda good: good[: len(good) // 2],
    "binary": lambda good: bytes(range(256)) * 4,
    "empty": lambda good: b"",
    "five megabytes": lambda good: good + b"# a log that was written into the wrong file\n" * 120_000,
}


class Reloads:
    """The line and its files."""

    def __init__(self, rig: Rig, chance: random.Random, long: bool) -> None:
        self.rig = rig
        self.chance = chance
        self.long = long
        self.faults: list[str] = []
        rig.add_broker(calm=True)
        rig.add_mes()
        self.watch = Watch(rig.received)
        self.many = rig.add_tool("peer/torque-a", [f"st10.spindle-{number + 1}" for number in range(SPINDLES)], rate=0)
        self.first = rig.add_tool("peer/torque-a", [FIRST], link=True, rate=10)
        self.second = rig.add_tool("peer/torque-b", [SECOND], link=True, rate=10)
        self.never = rig.add_tool("peer/torque-a", [NEVER], rate=10)
        self.slots = [slot for tool in rig.tools for slot in tool.slots]
        for tool in (self.first, self.second, self.never):
            rig.install(tool)
        points = resolve("peer/torque-a")["points"]
        for at, slot in enumerate(self.many.slots):
            lines = [f'profile = 1\nextends = "peer/torque-a"\n[connection]\naddress = "127.0.0.1:{self.many.port}"\npoll = "5ms"\n[points]']
            for name, point in points.items():
                table, _, number = point["at"].partition(":")
                lines.append(f"{name} = {toml({**point, 'at': f'{table}:{int(number) + 40 * at}'})}")
            (rig.devices / f"{slot}.toml").write_text("\n".join(lines) + "\n")
        rig.configure()
        self.good = {slot: (rig.devices / f"{slot}.toml").read_bytes() for slot in self.slots}

    # -- helpers

    def fault(self, text: str) -> None:
        """Goes on, and fails at the end."""
        self.faults.append(text)
        self.rig.say(f"! {text}")

    def write(self, slot: str, data: str | bytes, manner: str = "rename") -> None:
        """Its device file."""
        put(self.rig, self.rig.devices / f"{slot}.toml", data, manner)

    def timed(self, slot: str, milliseconds: int) -> bytes:
        """Its file with another time to wait for an answer."""
        lines = [line for line in self.good[slot].splitlines() if not line.startswith(b"timeout")]
        return b"\n".join([*lines, f'timeout = "{milliseconds}ms"'.encode(), b""])

    def state(self, slot: str, *wanted: str, limit: float = 15) -> str:
        """Waits for a state; returns the reason that the status gives."""
        try:
            self.rig.wait(f"{slot} is {' or '.join(wanted)}", lambda: self.watch.state(slot)[0] in wanted, limit, every=0.02)
        except Failure as failure:
            raise Failure(f"{failure}; its status: {self.watch.state(slot)}") from None
        return self.watch.state(slot)[2]

    def changed(self, slot: str) -> int:
        """Changes of a slot that the MES was told."""
        self.watch.look()
        return sum(change["slot"] == slot for change in self.watch.changes.values())

    def await_changes(self, goals: dict[str, int], what: str, limit: float = 15) -> None:
        """Waits until the MES was told of so many changes of each slot, and sees that there are no more."""
        try:
            self.rig.wait(f"the MES is told of {what}", lambda: all(self.changed(slot) >= goal for slot, goal in goals.items()), limit, every=0.02)
        except Failure as failure:
            raise Failure(f"{failure}: {({slot: self.changed(slot) for slot in goals})} of {goals}") from None
        for slot, goal in goals.items():
            if self.changed(slot) != goal:
                self.fault(f"{what}: {self.changed(slot)} changes of {slot} were told, and there were {goal}")

    def flows(self, tool: Tool, more: int = 10) -> None:
        """Its results go on being acknowledged."""
        goal = tool.peer.ask("stats")["acked"] + more
        self.rig.wait(f"{more} more results of {tool.slots[0]} are acknowledged", lambda: tool.peer.ask("stats")["acked"] >= goal, 20, every=0.02)

    def names(self, reason: str, slot: str, what: str) -> None:
        """A reason has to say which file, and where in it."""
        if not re.search(rf"{re.escape(slot)}\.toml(:\d+:\d+|\b.*\bline \d+)", reason) and not (what == "five megabytes" and f"{slot}.toml" in reason):
            self.fault(f"{what}: the status of {slot} names no file and line: {reason!r}")

    def alarmed(self, slot: str, active: bool) -> bool:
        """Whether the newest alarm of a slot by the gateway is on, or off."""
        self.watch.look()
        ours = [data for of, data in self.watch.alarms.values() if of == slot and data.get("category") == "gateway" and "file" in data["code"]]
        return bool(ours) and ours[-1]["active"] is active

    def waiting(self) -> int:
        """Tightenings in the outbox."""
        stats = json.loads(self.rig.command("outbox", "stats", "--config", str(self.rig.config), "--json"))
        return sum(topic["waiting"] for name, topic in stats["topics"].items() if name.endswith("/tightening"))

    # -- what happens

    def begin(self) -> None:
        """One file was bad from the first start on: that slot is offline, the others run. Then it is good."""
        rig = self.rig
        self.write(NEVER, self.good[NEVER].replace(b"extends", b"extend"))
        rig.gateway.start()
        for slot in self.slots:
            if slot != NEVER:
                self.state(slot, "online", limit=30)
        self.names(self.state(NEVER, "offline"), NEVER, "a typo from the first start on")
        for tool in (self.first, self.second):
            tool.peer.ask("resume")
            self.flows(tool)
        rig.say("one slot never had a good file, the others run")
        self.write(NEVER, self.good[NEVER])
        self.state(NEVER, "online")
        self.never.peer.ask("resume")
        self.flows(self.never)

    def spoil(self) -> None:
        """A bad file while results flow: the old link goes on; then the good one again, which is no change."""
        told = self.changed(FIRST)
        for what, make in SPOILT.items():
            self.write(FIRST, make(self.good[FIRST]), self.chance.choice(["rename", "truncate", "backup"]))
            reason = self.state(FIRST, "degraded")
            self.names(reason, FIRST, what)
            self.rig.wait("an alarm is raised", lambda: self.alarmed(FIRST, True), 5)
            self.flows(self.first)
            self.rig.say(f"{what}: {reason}")
            self.write(FIRST, self.good[FIRST])
            self.state(FIRST, "online")
            self.rig.wait("the alarm is taken back", lambda: self.alarmed(FIRST, False), 5)
        self.await_changes({FIRST: told}, "no change by bad files")
        if self.first.link.asked != 1:
            self.fault(f"{FIRST} was connected to {self.first.link.asked} times while its file was bad")

    def share(self) -> None:
        """One of eight spindles on a link is edited while all of them work: the others stay online."""
        slot = self.many.slots[1]
        told, seen = self.changed(slot), {other: len(self.watch.states[other]) for other in self.many.slots}
        self.many.peer.ask("resume", rate=20, limit=SHARED)
        self.flows(self.many, SPINDLES * 10)
        self.edit_profile(slot)
        self.await_changes({slot: told + 1}, "the edit of one of eight")
        self.rig.wait("all spindles are done", lambda: self.many.peer.ask("stats")["acked"] >= SPINDLES * SHARED, 20)
        for other in self.many.slots:
            left = [status for status in self.watch.states[other][seen[other] :] if status["state"] != "online"]
            if left and other != slot:
                self.fault(f"{other} was {left[0]['state']} ({left[0].get('reason', '')}) when {slot} was edited")
        self.rig.say("one of eight on a link was edited")

    def kill(self) -> None:
        """A bad file and kill -9 together: the line goes on with the last text that was accepted."""
        rig = self.rig
        for what, settle in (("half a file", True), ("binary", False)):
            self.write(SECOND, SPOILT[what](self.good[SECOND]))
            if settle:
                self.state(SECOND, "degraded")
            rig.gateway.kill()
            seen = len(self.watch.sessions)
            rig.gateway.start()
            self.flows(self.second)
            rig.wait("a new session is told", lambda seen=seen: self.watch.look() is None and len(self.watch.sessions) > seen, 10)
            self.names(self.state(SECOND, "degraded"), SECOND, what)
            for slot in self.slots:
                if slot != SECOND:
                    self.state(slot, "online")
            rig.say(f"{what} and kill -9: {self.watch.state(SECOND)}")
        self.write(SECOND, self.good[SECOND])
        self.state(SECOND, "online")

    def storm(self) -> None:
        """Saves one upon another are one change, of the last of them."""
        told = {slot: self.changed(slot) for slot in (FIRST, SECOND)}
        # What is written last is otherwise than after the storm before.
        first = 1001 if b"1030ms" not in self.good[SECOND] else 1101
        for at in range(30):
            self.write(SECOND, self.timed(SECOND, first + at), self.chance.choice(["rename", "direct"]))
            self.rig.pass_time(0.1)
        if self.changed(SECOND) != told[SECOND]:
            self.fault("a file that had not come to rest was taken up")
        self.await_changes({FIRST: told[FIRST], SECOND: told[SECOND] + 1}, "thirty saves in three seconds")
        self.flows(self.second)
        self.good[SECOND] = self.timed(SECOND, first + 29)
        self.rig.say("thirty saves in three seconds: one change")

    def hang_up(self) -> None:
        """SIGHUP reads at once, and says what needs a restart."""
        rig, process = self.rig, self.rig.gateway.process
        told = self.changed(FIRST)
        self.good[FIRST] = self.timed(FIRST, self.chance.randint(1100, 1900))
        self.write(FIRST, self.good[FIRST])
        process.send_signal(signal.SIGHUP)
        begun = time.monotonic()
        self.await_changes({FIRST: told + 1}, "the change by SIGHUP")
        rig.say(f"SIGHUP: taken up after {time.monotonic() - begun:.2f} s")
        text = rig.config.read_text()
        at = rig.gateway.log.stat().st_size
        rig.config.write_text(text.replace('id = "gw-test"', 'id = "gw-other"'))
        process.send_signal(signal.SIGHUP)

        def says_so() -> bool:
            said = rig.gateway.log.read_bytes()[at:].decode(errors="replace")
            return "gateway.toml" in said and "restart" in said

        rig.wait("the gateway says that gateway.toml needs a restart", says_so, 5)
        rig.config.write_text(text)
        self.flows(self.first)

    def kill_at_edits(self, times: int) -> None:
        """Good edits while results flow, and kill -9 at any moment of half of them."""
        rig, singles = self.rig, (self.first, self.second, self.never)
        for _ in range(times):
            tool = self.chance.choice(singles)
            slot = tool.slots[0]
            self.good[slot] = self.timed(slot, self.chance.randint(1100, 1900))
            self.write(slot, self.good[slot], self.chance.choice(["direct", "rename", "truncate", "backup"]))
            rig.pass_time(self.chance.uniform(0, 1.2))
            if self.chance.random() < 0.5:
                rig.gateway.kill()
                rig.gateway.start()
        for tool in singles:
            self.flows(tool)
            self.state(tool.slots[0], "online")
        rig.say(f"{times} edits; {rig.gateway.kills} kills so far")

    def remove(self) -> None:
        """A file goes while results flow, and comes back: its slot is offline meanwhile, and nothing is lost."""
        path = self.rig.devices / f"{SECOND}.toml"
        told = self.changed(SECOND)
        path.unlink()
        reason = self.state(SECOND, "offline")
        if f"{SECOND}.toml" not in reason:
            self.fault(f"the status of {SECOND} does not say that its file is gone: {reason!r}")
        shown = self.second.peer.ask("stats")["acked"]
        self.flows(self.first)
        if (now := self.second.peer.ask("stats")["acked"]) != shown:
            self.fault(f"{SECOND} was acknowledged {now - shown} results while it had no device file")
        self.write(SECOND, self.good[SECOND])
        self.state(SECOND, "online")
        self.flows(self.second)
        self.await_changes({SECOND: told + 2}, "a file that went and came back")

    def outage(self) -> None:
        """Ten thousand events wait; files change; as many wait as came."""
        rig = self.rig
        singles = (self.first, self.second, self.never)
        for tool in singles:
            tool.peer.ask("pause")
        rig.wait("nothing is shown", lambda: rig.tool_stats()["showing"] == 0)
        rig.wait("the MES has all", lambda: rig.received_results() >= rig.tool_stats()["acked"])
        rig.quiet()
        before, start = rig.tool_stats()["acked"], time.time()
        rig.broker_link.cut(refuse=True)
        self.many.peer.ask("resume", rate=0, limit=SHARED + WAITING // SPINDLES)
        begun = time.monotonic()
        rig.wait("half of them are acknowledged", lambda: rig.tool_stats()["acked"] - before >= WAITING // 2, 120)
        # One of the spindles on the link that is so busy; the others do not notice, and neither does the count.
        self.edit_profile(self.many.slots[5])
        rig.wait(f"{WAITING} results are acknowledged", lambda: rig.tool_stats()["acked"] - before >= WAITING, 120)
        rig.say(f"{WAITING} events wait after {time.monotonic() - begun:.0f} s")
        self.count(WAITING, "before any change")
        edited = {self.many.slots[at] for at in (1, 3, 5)}
        edits: list[tuple[str, Callable[[], None], list[str]]] = [
            ("a profile", lambda: self.edit_profile(self.many.slots[3]), [self.many.slots[3]]),
            # Those that have been edited say themselves what the catalog now says otherwise.
            ("the catalog", self.edit_catalog, [*(slot for slot in self.many.slots if slot not in edited), FIRST, NEVER]),
            ("a file was removed", lambda: (rig.devices / f"{SECOND}.toml").unlink(), [SECOND]),
            ("and put back", lambda: self.write(SECOND, self.good[SECOND]), [SECOND]),
            ("an address", self.edit_address, [NEVER]),
        ]
        for what, edit, slots in edits:
            log = self.changes()
            edit()
            rig.wait(f"the log tells of {what}", lambda log=log, slots=slots: all(self.changes().get(slot, 0) > log.get(slot, 0) for slot in slots), 15)
            others = {slot for slot, count in self.changes().items() if slot not in slots and count != log.get(slot, 0)}
            if others:
                self.fault(f"{what}: changes of {sorted(others)} stand in the log")
            rig.pass_time(0.5)
            self.count(WAITING, what)
        came = rig.tool_stats()["acked"]
        self.never.peer.ask("resume")
        self.first.peer.ask("resume")
        self.second.peer.ask("resume")
        for tool in singles:
            self.flows(tool, 20)
        for tool in rig.tools:
            tool.peer.ask("pause")
        self.many.peer.ask("resume", limit=SHARED + WAITING // SPINDLES + 10)
        rig.wait("all spindles go on", lambda: self.many.peer.ask("stats")["acked"] >= WAITING + (SHARED + 10) * SPINDLES, 20)
        rig.wait("nothing is shown", lambda: rig.tool_stats()["showing"] == 0)
        came = rig.tool_stats()["acked"] - came
        self.count(WAITING + came, f"{came} more came")
        rig.broker_link.mend()
        rig.away.append((start, time.time()))
        rig.wait("all is drained", lambda: rig.received_results() >= rig.tool_stats()["acked"], 120)
        rig.say("all is drained")

    def changes(self) -> dict[str, int]:
        """Lines of `lineside changes` of each slot."""
        listed = json.loads(self.rig.command("changes", "--config", str(self.rig.config), "--last", "1000", "--json"))
        slots = [entry["slot"] for entry in listed]
        return {slot: slots.count(slot) for slot in slots}

    def count(self, wanted: int, what: str) -> None:
        """As many wait as came."""
        if (found := self.waiting()) != wanted:
            self.fault(f"{what}: {found} events wait, and {wanted} came")

    def edit_profile(self, slot: str) -> None:
        """Of one of the spindles that share a link."""
        self.good[slot] = self.good[slot] + b'[events.tightening]\nextra = ["motor_temp", "stamp"]\n'
        self.write(slot, self.good[slot])

    def edit_catalog(self) -> None:
        """What ten slots inherit."""
        path = self.rig.devices / "peer" / "torque-a.toml"
        put(self.rig, path, path.read_text().replace('extra   = ["motor_temp"]', 'extra   = ["motor_temp", "program"]'), "truncate")

    def edit_address(self) -> None:
        """A name in place of a number: another link to the same device."""
        self.good[NEVER] = self.good[NEVER].replace(b"127.0.0.1", b"localhost")
        self.write(NEVER, self.good[NEVER])

    def lock(self) -> None:
        """With require_lock nothing changes that was not approved."""
        rig = self.rig
        if problem := rig.gateway.stop():
            raise Failure(problem)
        rig.config.write_text(rig.config.read_text().replace("[gateway]\n", "[gateway]\nrequire_lock = true\n"))
        rig.command("lock", "--config", str(rig.config))
        if not (rig.etc / "gateway.lock").exists():
            self.fault("`lineside lock` wrote no gateway.lock")
        sessions = len(self.watch.sessions)
        rig.gateway.start()
        rig.wait("a new session is told", lambda: self.watch.look() is None and len(self.watch.sessions) > sessions, 10)
        for slot in self.slots:
            self.state(slot, "online")
        self.first.peer.ask("resume")
        told = self.changed(FIRST)
        self.good[FIRST] += b'[events.tightening]\nextra = ["stamp"]\n'
        self.write(FIRST, self.good[FIRST])
        reason = self.state(FIRST, "degraded")
        if "lineside lock" not in reason:
            self.fault(f"a change that was not approved: {reason!r} does not say how to approve it")
        self.flows(self.first)
        self.await_changes({FIRST: told}, "no change without approval")
        rig.say(f"not approved: {reason}")
        rig.command("lock", "--config", str(rig.config))
        self.await_changes({FIRST: told + 1}, "the change that was approved")
        self.state(FIRST, "online")
        self.flows(self.first)

    def run(self) -> int:
        """All of it."""
        rig = self.rig
        self.begin()
        for _ in range(3 if self.long else 1):
            self.spoil()
            self.storm()
            self.hang_up()
            self.first.link.asked = 1
        self.share()
        self.remove()
        self.kill()
        self.kill_at_edits(40 if self.long else 6)
        self.outage()
        self.lock()
        rig.drain()
        rig.say(f"{self.changes()}")
        report = rig.verdict(Rules(check_units=False, everything=True, schema_every=50))
        for text in self.faults:
            report.fault(text)
            print(f"     ! {text}", flush=True)
        return report.fault_count


def reload(rig: Rig, chance: random.Random, options: Any) -> int:
    """Files change, well and badly."""
    return Reloads(rig, chance, options.long).run()

"""The scenarios: what goes wrong, and what has to hold all the same. Each returns the number of discrepancies."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from processes import Peer
from rig import Failure, Rig
from verify import Report, Rules


@dataclass
class Options:
    """Counts and limits."""

    seed: int
    version: str
    patience: float
    long: bool
    times: int
    events: int
    seconds: float
    results: int = 0
    only: str = ""
    registers: int = 0


def plant(rig: Rig, profile: str = "peer/torque-a", *, link: bool = False, mode: str = "copy", rate: float = 20) -> None:
    """The usual plant: one station, one tool, a new unit every second."""
    rig.add_broker()
    rig.add_mes()
    # The counter wraps within the first seconds.
    tool = rig.add_tool(profile, ["st10.spindle-1"], link=link, mode=mode, rate=rate, first_counter=65_500)
    rig.install(tool)
    rig.configure()


def begin(rig: Rig, unit_every: float = 1.0) -> None:
    """Everything runs: units move and results flow."""
    rig.gateway.start()
    rig.units(unit_every)
    rig.resume()
    rig.flow(10, 30)
    rig.say("results flow")


def end(rig: Rig, rules: Rules) -> int:
    """All is delivered, and the ledgers agree."""
    rig.drain()
    rig.units(0)
    return rig.verdict(rules).fault_count


def steady(rig: Rig, _random: random.Random, options: Options) -> int:
    """Nothing goes wrong: every result is there, and each has its unit."""
    plant(rig)
    rig.gateway.start()
    rig.units(1.0)
    rig.pass_time(1.5)
    rig.wait("the gateway is online", lambda: rig.mes.ask("stats")["messages"] > 0, 30)
    rig.resume()
    rig.flow(10, 30)
    rig.pass_time(options.seconds)
    rig.drain()
    rig.units(0)
    report = rig.verdict(Rules(everything=True, always_bound=True))
    expected = int(options.seconds * 20 * 0.9)
    if report.counts["results received"] < expected:
        report.fault(f"only {report.counts['results received']} results in {options.seconds:.0f} s: the tool offers 20 a second")
        print(f"     ! {report.faults[-1]}", flush=True)
    return report.fault_count


def steady_kill(rig: Rig, chance: random.Random, options: Options) -> int:
    """kill -9 every 5 s for a minute, and the broker away for 20 s in the middle of it."""
    plant(rig)
    begin(rig)
    away = None
    for round_number in range(12):
        rig.pass_time(5)
        if round_number == 4:
            away = time.time()
            rig.broker_link.cut(refuse=True)
            rig.quiet()
            rig.broker.end()
            rig.say("broker away")
        if round_number == 8 and away is not None:
            rig.away.append((away, time.time()))
            rig.broker.start()
            rig.broker_link.mend()
            rig.say(f"broker back after {time.time() - away:.0f} s")
        rig.gateway.kill()
        rig.pass_time(chance.uniform(0, 0.3))
        rig.gateway.start()
        rig.say(f"kill {round_number + 1} of 12")
    return end(rig, Rules(everything=True))


def kill_at_random(rig: Rig, chance: random.Random, times: int) -> None:
    """kill -9 at any moment, start-up included; now and then it stays down for a while."""
    for kill in range(1, times + 1):
        rig.pass_time(chance.choice([chance.uniform(0, 0.08), chance.uniform(0.05, 0.5), chance.uniform(0.4, 1.8)]))
        rig.gateway.kill()
        if chance.random() < 0.2:
            rig.pass_time(chance.uniform(0, 1.5))
        rig.gateway.start()
        if kill % 10 == 0:
            rig.say(f"{kill} of {times} kills, tools {rig.tool_stats()}")
            rig.flow(5)


def kills(rig: Rig, chance: random.Random, options: Options) -> int:
    """kill -9 at random moments."""
    plant(rig)
    begin(rig)
    kill_at_random(rig, chance, options.times)
    rig.flow(20)
    return end(rig, Rules(everything=True))


def level(rig: Rig, chance: random.Random, options: Options) -> int:
    """The same with ready and acknowledge bits instead of an echoed counter."""
    plant(rig, "peer/torque-level", mode="level", rate=10)
    begin(rig)
    kill_at_random(rig, chance, max(options.times // 3, 10))
    rig.flow(20)
    return end(rig, Rules(everything=True))


def free(rig: Rig, chance: random.Random, options: Options) -> int:
    """A tool without a handshake: what was overwritten while the gateway was down is told by gaps, to the last one."""
    plant(rig, "peer/torque-free", mode="free", rate=10)
    rig.gateway.start()
    rig.units(1.0)
    rig.resume()
    rig.wait("results flow", lambda: rig.received_results() >= 10, 30)
    for _ in range(max(options.times // 6, 5)):
        rig.pass_time(chance.uniform(0.5, 2))
        rig.gateway.kill()
        rig.pass_time(chance.uniform(0, 1.5))
        rig.gateway.start()
    seen = rig.received_results()
    rig.wait("results flow again", lambda: rig.received_results() >= seen + 10)
    for tool in rig.tools:
        tool.peer.ask("pause")
    rig.quiet()
    rig.units(0)
    return rig.verdict(Rules(gaps_tell=True)).fault_count


def echo(rig: Rig, _chance: random.Random, _options: Options) -> int:
    """A tool that says back which unit it worked on: agreement is bound, disagreement is a conflict."""
    plant(rig, "peer/torque-echo")
    rig.gateway.start()
    tool = rig.tools[0].peer
    states = {}
    for told, echoed in [("WVWZZZ1JZXW900001", "WVWZZZ1JZXW900001"), ("WVWZZZ1JZXW900002", "WVWZZZ1JZXW900003")]:
        rig.mes.ask("unit", station="st10", id=told)
        tool.ask("unit", id=echoed)
        rig.pass_time(1)
        goal = rig.received_results() + 20
        tool.ask("resume", limit=tool.ask("stats")["made"] + 20)
        rig.wait("20 results came", lambda: rig.received_results() >= goal)
        states[told] = echoed
    rig.drain()
    report = rig.verdict(Rules(everything=True))
    for state in ("bound", "conflict"):
        if report.counts[f"unit {state}"] != 20:
            report.fault(f"20 results should be {state} by their echo, and {report.counts[f'unit {state}']} are")
            print(f"     ! {report.faults[-1]}", flush=True)
    return report.fault_count


def broker(rig: Rig, _chance: random.Random, options: Options) -> int:
    """The broker is killed and stopped while results flow on."""
    plant(rig)
    begin(rig)
    for seconds, kill in [(20.0, True), (4.0, False)] * (3 if options.long else 1):
        before = rig.tool_stats()["acked"]
        rig.broker_away(seconds, kill)
        if rig.tool_stats()["acked"] - before < seconds * 10:
            raise Failure("the tool was hardly acknowledged while the broker was away, though there is room to store")
        rig.flow(20)
    return end(rig, Rules(everything=True))


def bad_broker(rig: Rig, chance: random.Random, options: Options) -> int:
    """A broker that refuses, hangs up at every publish, never acknowledges, throttles, has no subscriber, or speaks no MQTT."""
    rig.mes = Peer("bad_broker.py", ["--received", str(rig.received)], rig.folder / "bad-broker.log")
    tool = rig.add_tool("peer/torque-a", ["st10.spindle-1"], rate=20, first_counter=65_500)
    rig.install(tool)
    rig.configure(port=rig.mes.hello["port"])
    rig.gateway.start()
    rig.resume()
    rig.wait("results flow", lambda: rig.received_results() >= 10, 30)
    modes = ["refuse", "hang_up", "mute", "throttle", "garbage", "slow"] + (["nobody"] if options.version == "5" else [])
    chance.shuffle(modes)
    for mode in modes:
        rig.say(mode)
        rig.mes.ask("mode", mode=mode)
        before = rig.received_results()
        rig.pass_time(5 if options.long else 2.5)
        rig.flow(10)
        between = rig.received_results()
        if between > before and mode in ("refuse", "hang_up", "mute", "garbage", "nobody"):
            raise Failure(f"the bad broker took {between - before} events while it was to take none")
        stats = rig.mes.ask("mode", mode="good")
        attempts = stats["connections"].get(mode, 0)
        if attempts > 100:
            raise Failure(f"{attempts} connections in some seconds to a broker in mode {mode}: no back-off")
        goal = rig.tool_stats()["acked"]
        rig.wait("what waited has arrived", lambda goal=goal: rig.received_results() >= goal, 60)
    rig.drain()
    violations = rig.mes.ask("stats")["violations"]
    report = rig.verdict(Rules(everything=True, check_units=False))
    for violation in violations[:3]:
        report.fault(violation)
        print(f"     ! {violation}", flush=True)
    return report.fault_count


def link(rig: Rig, chance: random.Random, options: Options) -> int:
    """The device and the link to it fail in every way."""
    plant(rig, link=True)
    begin(rig)
    tool = rig.tools[0]

    def silent() -> None:
        tool.peer.ask("silence", on=True)
        rig.pass_time(2.5)
        tool.peer.ask("silence", on=False)

    def exceptions() -> None:
        tool.peer.ask("exceptions", code=chance.choice([4, 6, 10]))
        rig.pass_time(1.5)
        tool.peer.ask("exceptions", code=0)

    def refused() -> None:
        tool.link.cut(refuse=True)
        rig.pass_time(2)
        tool.link.mend()

    def black_hole() -> None:
        tool.link.black_hole()
        rig.pass_time(3)
        tool.link.mend()

    def crawling() -> None:
        tool.link.slow(1)
        rig.pass_time(4)
        tool.link.mend()
        tool.link.cut()

    faults = [tool.link.cut, refused, black_hole, crawling, silent, exceptions]
    faults += [lambda: tool.peer.ask("close"), lambda: tool.peer.ask("restart_counter")]
    names = ["cut", "refused", "black hole", "one byte a second", "silence", "exceptions", "closed by the tool", "counter restarted"]
    order = list(range(len(faults))) * (4 if options.long else 1)
    chance.shuffle(order)
    for at in order:
        rig.say(names[at])
        faults[at]()
        rig.flow(10)
    return end(rig, Rules(everything=True, allowed=("alarm", "change")))


def small_disk(rig: Rig, mebibytes: int) -> Path:
    """A file system of its own for the state: ext4 in a file, or memory where loop devices are not to be had."""
    place = rig.folder / "disk"
    place.mkdir()
    image = rig.folder / "disk.img"
    with open(image, "wb") as file:
        file.truncate(mebibytes << 20)
    steps = [["mkfs.ext4", "-q", "-m", "0", str(image)], ["mount", "-o", "loop", str(image), str(place)]]
    done = None
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            break
    if done.returncode:
        rig.say(f"no loop mount ({done.stderr.strip()}), trying tmpfs")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(place)], capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"no file system can be mounted here ({done.stderr.strip()}): run as root")
    rig.undo.append(lambda: subprocess.run(["umount", "-l", str(place)], check=True))
    return place


def fill(place: Path) -> None:
    """Takes the last free block."""
    with open(place / "ballast", "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 512):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                pass
        try:
            os.fsync(file.fileno())
        except OSError:
            pass


def disk(rig: Rig, chance: random.Random, options: Options) -> int:
    """The disk is full to the last block, once while running and once at a start; then it is freed."""
    place = small_disk(rig, 512)
    rig.state = place / "state"
    rig.exits_allowed = True
    plant(rig)
    begin(rig)
    for round_number in range(6 if options.long else 2):
        fill(place)
        rig.say(f"disk full: {os.statvfs(place).f_bavail} blocks free; tools {rig.tool_stats()}")
        rig.pass_time(2.5)
        if round_number % 2:
            rig.gateway.kill()
            rig.gateway.start()
            rig.say("killed and started on the full disk")
            rig.pass_time(chance.uniform(2, 4))
        before = rig.tool_stats()
        (place / "ballast").unlink()
        rig.say(f"disk freed; tools {before}")
        rig.flow(40)
    return end(rig, Rules(everything=True))


def mixed(rig: Rig, chance: random.Random, options: Options) -> int:
    """Everything at random."""
    plant(rig, link=True)
    begin(rig)
    tool = rig.tools[0]

    def kill() -> None:
        rig.gateway.kill()
        rig.pass_time(chance.uniform(0, 1))
        rig.gateway.start()

    def cut_broker() -> None:
        start = time.time()
        rig.broker_link.cut(refuse=True)
        rig.pass_time(chance.uniform(0.1, 3))
        rig.broker_link.mend()
        rig.away.append((start, time.time()))

    def kill_during_outage() -> None:
        start = time.time()
        rig.broker_link.cut(refuse=True)
        rig.pass_time(chance.uniform(0.1, 1))
        kill()
        rig.pass_time(chance.uniform(0.1, 2))
        rig.broker_link.mend()
        rig.away.append((start, time.time()))

    def black_hole_broker() -> None:
        start = time.time()
        rig.broker_link.black_hole()
        rig.pass_time(chance.uniform(0.5, 3))
        rig.broker_link.mend()
        rig.broker_link.cut()
        # Until the gateway has noticed and heard the units again, nobody can hold it to them.
        rig.unknowable.append((start - 0.5, time.time() + 2))

    def black_hole_tool() -> None:
        tool.link.black_hole()
        rig.pass_time(chance.uniform(0.2, 2))
        tool.link.mend()

    for step in range(40 if options.long else 10):
        fault = chance.choice([kill, kill, cut_broker, kill_during_outage, black_hole_broker, black_hole_tool, tool.link.cut])
        rig.say(f"{step + 1}: {getattr(fault, '__name__', 'cut')}")
        fault()
        rig.pass_time(chance.uniform(0, 1.5))
        if step % 3 == 2:
            rig.flow(5)
    rig.flow(20)
    return end(rig, Rules(everything=True))


def digests(folder: Path) -> dict[str, str]:
    """What every file of a configuration holds."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def swap(rig: Rig, _chance: random.Random, _options: Options) -> int:
    """Another maker's tool in the slot: one file is edited, and the MES sees a difference in `origin` and `extra` alone."""
    plant(rig)
    begin(rig)
    rig.flow(100)
    rig.drain()
    stopped = rig.gateway.stop()
    if stopped:
        raise Failure(stopped)
    old = rig.tools[0]
    old.last = old.peer.ask("stats")
    old.peer.end()
    before = digests(rig.etc)
    new = rig.add_tool("peer/torque-b", ["st10.spindle-1"], rate=20)
    rig.install(new)
    after = digests(rig.etc)
    changed = [name for name in after if before.get(name) != after[name]]
    if changed != ["device-profiles/st10.spindle-1.toml"] or before.keys() != after.keys():
        raise Failure(f"the swap was to edit one file, and these changed: {changed}")
    rig.say("swapped; gateway starts again")
    rig.gateway.start()
    new.peer.ask("resume")
    rig.flow(100)
    rig.drain()
    rig.units(0)
    report = rig.verdict(Rules(everything=True))
    compare(report)
    return report.fault_count


def compare(report: Report) -> None:
    """The members that the MES sees of both tools."""
    first, second = report.shapes.get("tool-0", set()), report.shapes.get("tool-1", set())
    for path in sorted(first ^ second):
        report.fault(f"after the swap the MES sees a difference: {path.lstrip('.')} comes from the {'old' if path in first else 'new'} tool only")
        print(f"     ! {report.faults[-1]}", flush=True)
    print(f"     members that the MES sees of both tools: {len(first & second)}, of one alone: {len(first ^ second)}", flush=True)


def outage(rig: Rig, _chance: random.Random, options: Options) -> int:
    """The broker is away while tools deliver as fast as they can; then everything is drained."""
    spindles, tools = 8, 2
    rig.add_broker(calm=True)
    rig.add_mes()
    for at in range(tools):
        slots = [f"st10.spindle-{at * spindles + number + 1}" for number in range(spindles)]
        rig.install(rig.add_tool("peer/torque-a", slots, rate=0), poll="5ms")
    rig.configure(outbox='max_bytes = "16GiB"')
    rig.gateway.start()
    rig.mes.ask("unit", station="st10", id="WVWZZZ1JZXW900001")
    each = max(options.events // (spindles * tools), 1)
    rig.resume(limit=20)
    rig.wait("the first results came", lambda: rig.received_results() >= 20 * spindles * tools, 60)
    rig.gateway.measure()
    rig.say(f"memory before the outage {rig.gateway.rss_kib()} KiB")
    start = time.time()
    written, cpu = rig.gateway.written, rig.gateway.cpu
    rig.broker_link.cut(refuse=True)
    rig.quiet()
    rig.broker.end()
    rig.resume(limit=20 + each)
    total = (20 + each) * spindles * tools
    limit = max(300.0, options.events / 150)
    begun = time.monotonic()
    rig.wait(f"{total} results are acknowledged", lambda: rig.tool_stats()["acked"] >= total, limit, every=0.5)
    took = time.monotonic() - begun
    rig.gateway.measure()
    waiting = each * spindles * tools
    rig.say(
        f"{waiting} events wait, {waiting / took:.0f}/s; memory {rig.gateway.rss_kib()} KiB, peak {rig.gateway.peak_kib} KiB; "
        f"{(rig.gateway.written - written) / waiting:.0f} bytes written and {(rig.gateway.cpu - cpu) / waiting * 1e6:.0f} us of CPU an event; "
        f"state directory {folder_bytes(rig.state) >> 20} MiB"
    )
    rig.broker.start()
    rig.broker_link.mend()
    rig.away.append((start, time.time()))
    begun = time.monotonic()
    rig.wait(f"the MES has all {total}", lambda: rig.received_results() >= total, limit, every=0.5)
    took = time.monotonic() - begun
    rig.gateway.measure()
    rig.say(f"drained in {took:.0f} s, {waiting / took:.0f}/s; peak memory {rig.gateway.peak_kib} KiB; wrote {rig.gateway.written >> 20} MiB in all")
    return rig.verdict(Rules(everything=True, schema_every=200)).fault_count


def folder_bytes(folder: Path) -> int:
    """What a directory takes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

"""A Modbus slot at full rate beside torque controllers that misbehave: it keeps its latency, and nobody else notices."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import ledger
from processes import Peer
from rig import Rig, Tool
from torque import Seen
from torque_kinds import ECHO, profile
from verify import Rules, Verifier

BAD = ("flood", "silent", "closes")
SLOT = "st10.spindle-1"


class FloodVerifier(Verifier):
    """The Modbus slot's results; those of the controllers are judged elsewhere."""

    def check_result(self, topic: str, event: dict[str, Any], received: float) -> None:
        if topic.endswith("/spindle-1/tightening"):
            super().check_result(topic, event, received)


def delays(path: Path, start: float, end: float) -> list[float]:
    """Seconds from a result's showing to its acknowledgement, of those shown in this span."""
    shown: dict[int, float] = {}
    found = []
    for line in ledger.read(path):
        if line["e"] == "shown":
            shown[line["n"]] = line["t"]
        elif line["e"] == "acked" and start <= shown[line["n"]] <= end:
            found.append(line["t"] - shown[line["n"]])
    return sorted(found)


def at(values: list[float], share: float) -> float:
    """Milliseconds at this share."""
    return values[min(int(len(values) * share), len(values) - 1)] * 1000 if values else 0.0


def flood(rig: Rig, _chance: random.Random, options: Any) -> int:
    """The same gateway, the same slot: some seconds with well-behaved controllers, some with bad ones."""
    rig.add_broker(calm=True)
    rig.add_mes()
    tool = rig.add_tool("peer/torque-a", [SLOT], rate=0, first_counter=65_000)
    rig.install(tool, poll="5ms")
    bad = {}
    for name in BAD:
        args = ["--ledger", str(rig.folder / f"{name}.jsonl"), "--paused", "--seed", f"{rig.seed}/{name}"]
        bad[name] = Peer("controller.py", args, rig.folder / f"{name}.log")
        rig.undo.append(bad[name].end)
        port = bad[name].hello["port"]
        (rig.devices / f"st10.{name}.toml").write_text(profile(name, f"127.0.0.1:{port}", "by-id") + ECHO)
        rig.tools.append(Tool(bad[name], port, None, rig.folder / "none", [f"st10.{name}"], "open-protocol"))
    rig.configure(asks='delivers = "tightening"')
    del rig.tools[1:]
    seen = Seen(rig.received)
    slots = {name: f"st10.{name}" for name in BAD}
    rig.gateway.start()
    rig.wait("all slots are online", lambda: all(seen.state(slot)[0] == "online" for slot in (SLOT, *slots.values())), 40)
    rig.resume()
    rig.flow(50, 30)
    seconds = 30 if options.long else 10
    spans = {}
    for phase in ("calm", "flood"):
        if phase == "flood":
            for name, peer in bad.items():
                peer.ask("mode", mode=name)
            rig.pass_time(1)
        rig.gateway.measure()
        begin, cpu = time.time(), rig.gateway.cpu
        rig.pass_time(seconds)
        rig.gateway.measure()
        spans[phase] = (begin, time.time(), rig.gateway.cpu - cpu)
    stats = {name: peer.ask("stats") for name, peer in bad.items()}
    for peer in bad.values():
        peer.ask("mode", mode="good")
    rig.wait("the controllers are taken up again", lambda: all(peer.ask("stats")["subscribed"] for peer in bad.values()), 90)
    for peer in bad.values():
        peer.ask("make", count=1)

    def arrived() -> bool:
        seen.look()
        return all(seen.received[slot] for slot in slots.values())

    rig.wait("their results arrive", arrived, 30)
    rig.tools[0].peer.ask("pause")
    rig.wait("every shown result is acknowledged", lambda: rig.tool_stats()["showing"] == 0)
    rig.quiet()
    seen.look()
    faults = []
    left = [(state, reason) for _, state, reason in seen.states[SLOT]]
    if any(state != "online" for state, _ in left[1:]):
        faults.append(f"{SLOT} left online while others were flooded: {left}")
    if not stats["flood"]["flooded"]:
        faults.append("no garbage was taken: nothing was proved")
    for name, slot in slots.items():
        if not any(state != "online" for at_, state, _ in seen.states[slot] if at_ > spans["flood"][0] - 1):
            faults.append(f"{slot} stayed online all the while its controller was {name}")
    return verdict(rig, tool, spans, stats, faults)


def verdict(rig: Rig, tool: Tool, spans: dict[str, tuple[float, float, float]], stats: dict[str, Any], faults: list[str]) -> int:
    """The Modbus slot's ledger against the MES, and how long it waited."""
    stop = rig.gateway.stop()
    rig.quiet()
    rig.mes.ask("stop")
    rig.mes.end()
    rules = Rules(everything=True, check_units=False, content_type=rig.version == "5", schema_every=50)
    rules.allowed = ("alarm", "change", "quarantine", "gap")
    (rig.folder / "rules.json").write_text(json.dumps(rules.__dict__))
    verifier = FloodVerifier(rules, [tool.ledger], rig.mes_ledger, rig.folder / "contract")
    verifier.read_received(rig.received)
    report = verifier.finish()
    found = {phase: delays(tool.ledger, begin, end) for phase, (begin, end, _) in spans.items()}
    for phase, values in found.items():
        begin, end, cpu = spans[phase]
        took = end - begin
        print(
            f"     {phase:<6}{len(values) / took:>7.0f} results/s; shown to acknowledged p50 {at(values, 0.5):.1f}, p99 {at(values, 0.99):.1f}, "
            f"max {at(values, 1):.1f} ms; gateway {cpu / took * 100:.0f} % CPU",
            flush=True,
        )
    ratio = at(found["flood"], 0.99) / max(at(found["calm"], 0.99), 0.001)
    print(f"     p99 with the flood is {ratio:.2f} times p99 without it", flush=True)
    garbage = f"{stats['flood']['flooded'] >> 20} MiB of garbage in {stats['flood']['connections']} connections"
    print(f"     {garbage}; silent: {stats['silent']['connections']}, closed at once: {stats['closes']['connections']} connections", flush=True)
    if not found["flood"]:
        faults.append(f"{SLOT}: no result was taken while others were flooded")
    report.counts["gateway peak memory KiB"] = rig.gateway.peak_kib
    for fault in filter(None, [stop, *faults, *rig.gateway.exits]):
        report.fault(fault)
    report.print(f"{rig.name}, seed {rig.seed}, {time.monotonic() - rig.begun:.0f} s")
    return report.fault_count

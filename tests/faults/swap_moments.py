"""Swaps at bad moments: the gateway is killed at each, or the outbox is full."""

from __future__ import annotations

import random
import time
from typing import Any

from rig import Failure, Rig
from scenarios import begin, plant
from swaps import SLOT
from verify import Rules


def swap_kills(rig: Rig, chance: random.Random, options: Any) -> int:
    """One tool after another in the slot, and kill -9 at any moment of each swap: what was acknowledged has come, once and in order."""
    plant(rig)
    begin(rig)
    for at in range(25 if options.long else 5):
        old = rig.tools[-1]
        new = rig.add_tool(chance.choice(["peer/torque-a", "peer/torque-b"]), [SLOT], rate=20, first_counter=1000 * (at + 1))
        rig.install(new)
        # Two of a model are two devices by their serial numbers.
        file = rig.devices / f"{SLOT}.toml"
        file.write_text(file.read_text().replace("profile = 1\n", f'profile = 1\nserial = "{at}"\n'))
        rig.pass_time(chance.uniform(0, 1.4))
        rig.gateway.kill()
        rig.pass_time(chance.choice([0, chance.uniform(0, 1)]))
        rig.gateway.start()
        new.peer.ask("resume")
        rig.wait("the new tool is acknowledged", lambda new=new: new.peer.ask("stats")["acked"] >= 1, 20)
        left = old.peer.ask("stats")
        rig.wait("results of the new tool flow", lambda new=new: new.peer.ask("stats")["acked"] >= 20, 20)
        old.last = old.peer.ask("stats")
        if old.last["acked"] != left["acked"]:
            raise Failure(f"the old tool was acknowledged {old.last['acked'] - left['acked']} results after the new one had begun")
        # What it still shows stays with it.
        old.last["showing"] = 0
        old.peer.end()
    rig.say(f"{rig.gateway.kills} swaps, each with a kill")
    rig.drain()
    rig.units(0)
    return rig.verdict(Rules()).fault_count


def swap_full(rig: Rig, chance: random.Random, options: Any) -> int:
    """A swap while the outbox is full and the broker away: it is made when there is room again, at the latest, and nothing is lost by it."""
    del options
    rig.add_broker(calm=True)
    rig.add_mes()
    old = rig.add_tool("peer/torque-a", [SLOT], rate=0)
    rig.install(old)
    rig.configure(outbox='max_bytes = "1MiB"\nkeep_sent = "0"')
    begin(rig)
    start = time.time()
    rig.broker_link.cut(refuse=True)

    def still() -> bool:
        before = rig.tool_stats()["acked"]
        rig.pass_time(1)
        return rig.tool_stats()["acked"] == before

    rig.wait("no result is taken any more", still, 60)
    rig.say(f"the outbox is full: {rig.tool_stats()}")
    new = rig.add_tool("peer/torque-b", [SLOT], rate=20, first_counter=20_000)
    rig.install(new)
    new.peer.ask("resume")
    rig.pass_time(3)
    if chance.random() < 0.5:
        if problem := rig.gateway.stop():
            raise Failure(problem)
        rig.gateway.start()
        rig.pass_time(1)
        rig.say("stopped and started meanwhile")
    rig.broker_link.mend()
    rig.away.append((start, time.time()))
    rig.wait("results of the new tool flow", lambda: new.peer.ask("stats")["acked"] >= 20, 30)
    old.last = old.peer.ask("stats") | {"showing": 0}
    old.peer.end()
    rig.drain()
    rig.units(0)
    return rig.verdict(Rules(check_units=False, schema_every=20)).fault_count

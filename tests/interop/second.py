"""Other implementations of Open Protocol: the crate `open-protocol` as controller and client, node-nutrunner-open-library as client.

Each is first held against the controller of tests/peers, so that a fault is known to be the gateway's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from processes import Peer, die_with_parent
from rig import TARGET, Failure, Rig, Tool
from telegrams import derive
from torque_kinds import ASKS, ECHO, profile
from verify import look_up

HERE = Path(__file__).resolve().parent
NODE = TARGET / "peers" / "node" / "node_modules"
CRATE = TARGET / "peers" / "codec" / "debug" / "lineside-interop"
RESULTS = 12
HEADER = {"made": 0, "acked": 0, "showing": 0}


def start(args: list[str], log: Path, **more: Any) -> subprocess.Popen[str]:
    """A process that talks in lines, and ends with its stdin."""
    with open(log, "ab") as errors:
        return subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, preexec_fn=die_with_parent, **more
        )


def lines(rig: Rig, process: subprocess.Popen[str], limit: float = 40) -> list[dict[str, Any]]:
    """What it says until it ends by itself."""
    # Its stdin stays open: it ends with it.
    timer = threading.Timer(limit, process.kill)
    timer.start()
    said = process.stdout.read()
    process.wait()
    timer.cancel()
    process.stdin.close()
    if process.returncode:
        name = Path(str(process.args[0])).name
        raise Failure(f"{name} ended with {process.returncode} within {limit:.0f} s; it said: {said[-500:]}; see the logs in {rig.folder.name}")
    return [json.loads(line) for line in said.splitlines()]


def node(rig: Rig, port: int) -> list[dict[str, Any]]:
    """What the library makes of results: each with its values as hundredths, as the wire has them."""
    args = ["node", str(HERE / "node" / "client.js"), str(port), str(RESULTS)]
    said = lines(rig, start(args, rig.folder / "node.log", env={**os.environ, "NODE_PATH": str(NODE)}))
    trouble = [entry for entry in said if entry["event"] == "trouble"]
    if trouble:
        raise Failure(f"node-nutrunner-open-library had trouble: {trouble[:3]}")
    return [
        {
            "id": int(entry["result"]["tighteningId"]),
            "vin": entry["result"]["vin"],
            "status": int(entry["result"]["ok"]),
            "torque": round(entry["result"]["torque"] * 100),
            "min": round(entry["result"]["torqueMin"] * 100),
            "max": round(entry["result"]["torqueMax"] * 100),
            "angle": entry["result"]["angle"],
            "time": entry["result"]["timestamp"],
        }
        for entry in said
        if entry["event"] == "result"
    ]


def crate(rig: Rig, port: int, revision: int) -> list[dict[str, Any]]:
    """The same by the crate."""
    said = lines(rig, start([str(CRATE), "client", str(port), str(RESULTS), str(revision)], rig.folder / "crate.log"))
    if not any(entry.get("alive") for entry in said) or not any(entry.get("accepted") == 63 for entry in said):
        raise Failure("the keep-alive or the end of the subscription was not answered")
    return [entry for entry in said if "id" in entry or "undecoded" in entry]


CLIENTS = {
    "node-nutrunner-open-library, revision 1": node,
    "crate open-protocol, revision 1": lambda rig, port: crate(rig, port, 1),
    "crate open-protocol, revision 2": lambda rig, port: crate(rig, port, 2),
}


def against_peer(rig: Rig) -> int:
    """The clients against the controller of tests/peers: every value, and every acknowledgement."""
    wrong = 0
    for at, (name, run) in enumerate(CLIENTS.items()):
        peer = Peer("controller.py", ["--ledger", str(rig.folder / f"peer-{at}.jsonl"), "--paused"], rig.folder / "peer.log")
        rig.undo.append(peer.end)
        got = with_results(peer, lambda run=run, peer=peer: run(rig, peer.hello["port"]))
        for entry in got:
            raw = derive(entry["id"])
            want = {key: raw[key] for key in ("vin", "status", "torque", "angle")} | {"min": raw["torque_min"], "max": raw["torque_max"]}
            bad = {key: (entry[key], value) for key, value in want.items() if entry[key] != value}
            wrong += bool(bad)
            if bad:
                print(f"     ! {name}: result {entry['id']}: {bad}", flush=True)
        stats = peer.ask("stats")
        if len(got) != RESULTS or stats["acked"] < RESULTS - 1 or stats["violations"]:
            raise Failure(f"{name} against tests/peers/controller.py: {len(got)} results, {stats}")
        rig.say(f"{name} took {len(got)} results of the peer, {stats['acked']} acknowledged")
    return wrong


def with_results(peer: Peer, run: Any) -> Any:
    """Runs a client while the peer makes results as soon as somebody has subscribed."""
    done = threading.Event()

    def feed() -> None:
        while not done.is_set():
            if peer.ask("stats")["subscribed"]:
                peer.ask("resume", rate=20, limit=10 * RESULTS)
                return
            time.sleep(0.05)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        return run()
    finally:
        done.set()
        feeder.join(10)
        peer.ask("pause")


def against_simulator(rig: Rig) -> int:
    """The clients against `lineside simulate`."""
    device_file = rig.folder / "simulated.toml"
    device_file.write_text(profile("simulated", "127.0.0.1:4545", "by-id") + ECHO)
    wrong = 0
    for name, run in CLIENTS.items():
        args = [str(rig.binary), "simulate", str(device_file), "--listen", "127.0.0.1:0", "--every", "200ms"]
        device = start(args, rig.folder / "simulate.log")
        rig.undo.append(device.kill)
        first = device.stdout.readline()
        found = re.search(r"listening on \S*?:(\d+)", first)
        if not found:
            raise Failure(f"`lineside simulate` does not say where it listens: {first!r}")
        got = run(rig, int(found.group(1)))
        said = device.communicate("quit\n", timeout=10)[0]
        (rig.folder / "simulate.out").write_text(first + said)
        taken = re.search(r"(\d+) telegrams acknowledged", said)
        if not taken or int(taken.group(1)) < RESULTS - 1:
            raise Failure(f"{name} took {RESULTS} results, and the simulator says: {said.splitlines()[-1]}")
        # The crate decodes no blanks, and what a device does not have is blank: then it went through the session alone.
        ids = [entry["id"] for entry in got if "id" in entry]
        if len(got) != RESULTS or ids != sorted(set(ids)):
            raise Failure(f"{name} took results {ids} of the simulator")
        for entry in got:
            if "id" not in entry:
                continue
            try:
                time.strptime(entry["time"], "%Y-%m-%d:%H:%M:%S")
            except ValueError:
                wrong += 1
                print(f"     ! {name}: result {entry['id']} of the simulator has the time {entry['time']!r}", flush=True)
        rig.say(f"{name} took {len(got)} results of the simulator, {len(ids)} decoded; it says: {said.splitlines()[-1]}")
    return wrong


def against_gateway(rig: Rig) -> int:
    """The gateway against a controller made of the crate: revisions refused, results acknowledged, every value."""
    controller = start([str(CRATE), "controller", str(RESULTS)], rig.folder / "crate.log")
    rig.undo.append(controller.kill)
    port = json.loads(controller.stdout.readline())["port"]
    rig.add_broker()
    rig.add_mes()
    server = Peer("values.py", [], rig.folder / "values.log")
    rig.undo.append(server.end)
    rig.tools.append(Tool(server, port, None, rig.folder / "none", ["st10.crate"], "open-protocol-echo", dict(HEADER)))
    (rig.devices / "st10.crate.toml").write_text(profile("crate", f"127.0.0.1:{port}", "none") + ECHO)
    rig.configure(asks=ASKS)
    rig.tools.clear()
    rig.gateway.start()
    rig.wait("the results of the crate's controller arrive", lambda: rig.received_results() >= RESULTS, 40)
    problem = rig.gateway.stop()
    if problem:
        raise Failure(problem)
    rig.quiet()
    controller.stdin.close()
    acked = [json.loads(line)["acked"] for line in controller.stdout]
    events = [json.loads(line["p"]) for line in map(json.loads, rig.received.read_text().splitlines()) if line["topic"].endswith("/tightening")]
    wrong = []
    for number, event in enumerate(events, 1):
        for path, want in crate_result(number).items():
            got = look_up(event["data"], path)
            if (Decimal(str(got)) if isinstance(want, Decimal) and got is not None else got) != want:
                wrong.append(f"result {number} of the crate's controller: {path} is {got!r} and should be {want}")
    if acked != list(range(1, RESULTS + 1)) or len(events) != RESULTS:
        wrong.append(f"of {RESULTS} results of the crate's controller {len(events)} came and {acked} were acknowledged")
    for text in wrong[:10]:
        print(f"     ! {text}", flush=True)
    rig.say(f"the gateway took {len(events)} results of a controller made of the crate, {len(wrong)} values wrong")
    return len(wrong)


def crate_result(number: int) -> dict[str, Any]:
    """What the MES has to receive of a result of the crate's controller."""
    good = number % 5 != 0
    return {
        "result": "ok" if good else "nok",
        "result_id": str(number),
        "torque.value": Decimal(1000 + number) / 100,
        "torque.min": Decimal(9),
        "torque.max": Decimal("999.99"),
        "torque.target": Decimal("12.01"),
        "torque.result": "ok",
        "angle.value": Decimal(number * 3),
        "angle.result": "high" if good else "low",
        "program.id": "7",
        "batch.count": Decimal(number % 9 + 1),
        "batch.size": Decimal(9),
        "unit.id": f"WVWZZZ1JZXW{number:06}",
    }


def run(rig: Rig) -> int:
    """All of it."""
    if not CRATE.exists() or not NODE.exists():
        sys.exit("interop: the other implementations are not installed: `tests/run` does that")
    return against_peer(rig) + against_simulator(rig) + against_gateway(rig)

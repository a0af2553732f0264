#!/usr/bin/env python3
"""What an MES says of events, against a real mosquitto: it rejects one, asks for some again while the broker is restarted, and
gets a quarantine as an event once its profile was mended. Ids, sequences and bytes of what was sent stay what they are."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "peers"), str(HERE.parent / "faults")]

import ledger  # noqa: E402
from rig import TARGET, Failure, Rig  # noqa: E402

BASE = "acme/leipzig/body/line-3"
SLOT = f"{BASE}/st10/gun"
# Results before the resend; one of them is a quarantine.
LAST = 800
PROFILE = """
profile = 1
vendor = "Peer"
model = "line-gun"
maturity = "document"
[connection]
protocol = "tcp"
address = "127.0.0.1:{port}"
[frame]
end = "\\r\\n"
pattern = '^(?<seq>\\d+),(?<torque>[\\d.]+),(?<judge>\\w+)$'
[points]
seq = {{ type = "u32" }}
torque = {{ type = "decimal", uom = "N.m" }}
judge = {{ map = {{ OK = "ok", NG = "nok"{more} }} }}
[events.tightening]
when = "frame"
id = ["seq"]
result = "judge"
torque = "torque"
"""


class Gun:
    """A tool that says a line for each result, to whoever listens."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.client: socket.socket | None = None
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """The newest connection counts."""
        while True:
            try:
                self.client, _ = self.server.accept()
            except OSError:
                return

    def results(self, first: int, last: int, judge: str = "OK") -> None:
        """Says these results."""
        lines = "".join(f"{number},{number % 50}.5,{judge}\r\n" for number in range(first, last + 1))
        self.client.sendall(lines.encode())

    def close(self) -> None:
        """Ends it."""
        self.server.close()


class Seen:
    """What the MES received, in order, read on as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.lines: list[dict[str, Any]] = []
        self.sequences: dict[int, list[str]] = {}

    def read(self) -> None:
        """Takes what came since."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                self.offset += len(text)
                line = json.loads(text)
                self.lines.append(line)
                if line["topic"] == f"{SLOT}/tightening":
                    self.sequences.setdefault(int(json.loads(line["p"])["sequence"]), []).append(line["p"])

    def all(self, last: str) -> list[dict[str, Any]]:
        """Every message of this slot on a topic that ends so, duplicates among them."""
        self.read()
        return [line for line in self.lines if line["topic"] == f"{SLOT}/{last}"]

    def events(self, last: str) -> list[dict[str, Any]]:
        """Their payloads."""
        return [json.loads(line["p"]) for line in self.all(last) if line["p"]]

    def by_sequence(self) -> dict[int, list[str]]:
        """The payloads of tightenings by their number, as they came."""
        self.read()
        return self.sequences

    def alarms(self, code: str) -> list[dict[str, Any]]:
        """Alarms of the gateway with this code."""
        return [event["data"] for event in self.events("alarm") if event["data"]["code"] == code]


def lineside(rig: Rig, *args: str) -> tuple[int, Any]:
    """A command's exit code and what it says as JSON."""
    done = subprocess.run([str(rig.binary), *args, "--config", str(rig.config), "--json"], capture_output=True, text=True, timeout=60)
    if not done.stdout:
        raise Failure(f"`lineside {' '.join(args)}` says nothing: {done.stderr}")
    return done.returncode, json.loads(done.stdout)


def expect(holds: bool, what: str) -> None:
    """Something that has to hold."""
    if not holds:
        raise Failure(what)


def install(rig: Rig, gun: Gun, more: str = "") -> None:
    """The device file."""
    (rig.devices / "st10.gun.toml").write_text(PROFILE.format(port=gun.port, more=more))


def begin(rig: Rig, gun: Gun) -> Seen:
    """Broker, MES, the gun and the gateway."""
    rig.add_broker()
    rig.add_mes()
    install(rig, gun)
    rig.config.write_text(
        f'[gateway]\nid = "gw-test"\nstate_dir = "{rig.state}"\nprofiles = "device-profiles"\nweb = "off"\n'
        '[plant]\nenterprise = "acme"\nsite = "leipzig"\narea = "body"\nline = "line-3"\n'
        f'[mqtt]\nbroker = "mqtt://127.0.0.1:{rig.broker_link.port}"\nversion = "{rig.version}"\n'
        '[[station]]\nid = "st10"\nunit_from = ["mes"]\n[[station.slot]]\nid = "gun"\ndelivers = "tightening"\nrequires = ["torque"]\n'
    )
    rig.command("check", "--config", str(rig.config))
    rig.command("contract", "--config", str(rig.config), "--out", str(rig.folder / "contract"))
    seen = Seen(rig.received)
    rig.gateway.start()
    online(rig, seen, gun)
    return seen


def online(rig: Rig, seen: Seen, gun: Gun) -> None:
    """Waits until the newest start of the gateway hears the gun."""
    session = lambda: [json.loads(line["p"])["session"] for line in ledger.read(rig.received) if line["topic"].endswith("gw-test/status")]  # noqa: E731
    rig.wait(
        "the slot is online",
        lambda: bool(gun.client) and bool(session()) and any(
            status["state"] != "offline" and status["session"] == session()[-1] for status in seen.events("status")[-1:]
        ),
        30,
    )


def publish(rig: Rig, last: str, payload: Any) -> None:
    """The MES says something of the slot's events."""
    rig.mes.ask("publish", topic=f"{SLOT}/{last}", payload=json.dumps(payload))


def rejections(rig: Rig, seen: Seen, gun: Gun) -> None:
    """The MES rejects one event, and says something that cannot be obeyed."""
    gun.results(1, 10)
    gun.results(11, 11, "XX")
    gun.results(12, 16)
    rig.wait("15 results and a quarantine arrive", lambda: len(seen.by_sequence()) == 15 and len(seen.events("quarantine")) == 1)
    fifth = json.loads(seen.by_sequence()[5][0])
    publish(rig, "response", {"id": fifth["id"], "accepted": False, "reason": "no operation is open"})
    rig.wait("the rejection is told", lambda: bool(seen.alarms("rejected_by_mes")))
    text = seen.alarms("rejected_by_mes")[0]["text"]
    expect(fifth["id"] in text and "no operation is open" in text, f"the alarm says {text!r}")
    rig.wait("the status says so", lambda: "the MES rejected 1 event" in seen.events("status")[-1]["reason"])
    publish(rig, "response", {"id": "nobody", "accepted": False, "reason": "x"})
    rig.mes.ask("publish", topic=f"{SLOT}/response", payload="{no json")
    rig.mes.ask("publish", topic=f"{BASE}/st10/another/response", payload="{no json")
    rig.wait("what cannot be obeyed is told", lambda: bool(seen.alarms("response_refused")))
    _, listed = lineside(rig, "outbox", "list", "--limit", "1000")
    rejected = [entry for entry in listed if entry["standing"] == "rejected"]
    expect([(entry["id"], entry["by"], entry["reason"]) for entry in rejected] == [(fifth["id"], "mes", "no operation is open")], f"listed: {rejected}")
    expect(rejected[0]["event"] == fifth, "a rejected event is another one")
    lineside(rig, "outbox", "seen", "--slot", "st10.gun")
    rig.wait("the status says it no longer", lambda: "rejected" not in seen.events("status")[-1]["reason"])
    publish(rig, "response", {"id": fifth["id"], "accepted": True})
    rig.wait("it is accepted after all", lambda: lineside(rig, "outbox", "stats")[1]["rejected_by_mes"]["events"] == 0)
    rig.say("an event was rejected, looked at, and accepted after all")


def resend(rig: Rig, seen: Seen, gun: Gun) -> None:
    """Asks for what was delivered, while more is, and restarts the broker meanwhile."""
    gun.results(17, LAST)
    rig.wait("all results arrive", lambda: len(seen.by_sequence()) == LAST - 1, 60)
    first = {number: payloads[0] for number, payloads in seen.by_sequence().items()}
    publish(rig, "resend", {"type": "tightening", "from": 3, "to": f"{LAST - 100:020d}"})
    again = lambda: sum(len(payloads) > 1 for payloads in seen.by_sequence().values())  # noqa: E731
    rig.wait("some come again", lambda: again() > 50, 30, every=0.02)
    gun.results(LAST + 1, LAST + 100)
    rig.broker_away(1, kill=True)
    expect(again() < LAST - 102, "the broker went away when all had come again: nothing was interrupted")
    rig.wait("all that were asked for came again", lambda: again() >= LAST - 102, 60)
    rig.wait("what was made meanwhile arrives", lambda: len(seen.by_sequence()) == LAST + 99, 30)
    found = seen.by_sequence()
    for number, payloads in found.items():
        expect(len(set(payloads)) == 1, f"{number} came as {len(set(payloads))} different events")
        expect(number not in first or payloads[0] == first[number], f"{number} is another event now")
    expect(sorted(found) == list(range(1, LAST + 100)), "there is a hole in the sequence")
    expect(len({json.loads(payloads[0])["id"] for payloads in found.values()}) == LAST + 99, "an id came under two numbers")
    again_of = [number for number, payloads in found.items() if len(payloads) > 1 and number <= LAST - 1]
    expect(set(again_of) >= set(range(3, LAST - 99)), "some did not come again")
    expect(not {1, 2} & set(again_of), "what nobody asked for came again")
    firsts = list(dict.fromkeys(int(json.loads(line["p"])["sequence"]) for line in seen.all("tightening")))
    expect(firsts == sorted(firsts), "first deliveries are out of order")
    publish(rig, "resend", {"type": "tightening", "form": 3})
    rig.wait("a misspelled wish is refused", lambda: bool(seen.alarms("resend_refused")))
    expect("`form`" in seen.alarms("resend_refused")[0]["text"], "the refusal does not say why")
    expect(not seen.alarms("resend_incomplete"), "something was not held")
    rig.say(f"{LAST - 102} results came again over a restart of the broker, byte for byte")


def quarantine(rig: Rig, seen: Seen, gun: Gun) -> None:
    """Mends the profile and tries the quarantine again."""
    _, held = lineside(rig, "quarantine", "list")
    expect(len(held) == 1 and "unknown code XX" in held[0]["reasons"][0], f"held: {held}")
    code, tried = lineside(rig, "quarantine", "retry", "--all")
    expect(code == 3 and tried["tried"][0]["outcome"] == "still", f"exit {code}: {tried}")
    before = len(seen.by_sequence())
    problem = rig.gateway.stop()
    expect(not problem, f"{problem}")
    gun.client = None
    install(rig, gun, ', XX = "nok"')
    rig.gateway.start()
    online(rig, seen, gun)
    code, tried = lineside(rig, "quarantine", "retry", "--slot", "st10.gun")
    expect(code == 0 and tried["tried"][0]["outcome"] == "made", f"exit {code}: {tried}")
    made = tried["tried"][0]["events"][0]
    rig.wait("it arrives", lambda: len(seen.by_sequence()) == before + 1)
    event = json.loads(seen.by_sequence()[before + 1][0])
    data = event["data"]
    expect(event["id"] == made["id"] and data["result"] == "nok" and data["result_id"] == "11", f"it is {event}")
    expect(data.get("backfill") is True and event["time"] == seen.events("quarantine")[0]["time"], "it is not of its time")
    # Told once more by the tool, and tried once more by a person: the same result.
    gun.results(11, 11, "XX")
    gun.results(LAST + 101, LAST + 101)
    code, tried = lineside(rig, "quarantine", "retry", "--id", held[0]["id"])
    expect(code == 0 and tried["tried"][0]["outcome"] == "solved_before", f"exit {code}: {tried}")
    rig.wait("the next result arrives", lambda: len(seen.by_sequence()) == before + 2)
    results = [json.loads(payloads[0])["data"]["result_id"] for payloads in seen.by_sequence().values()]
    expect(results.count("11") == 1, "result 11 came twice")
    expect(lineside(rig, "quarantine", "list")[1] == [], "it is still listed")
    # Without a gateway the store itself is asked.
    rig.gateway.stop()
    code, tried = lineside(rig, "quarantine", "retry", "--id", held[0]["id"])
    expect(code == 0 and tried["tried"][0]["outcome"] == "solved_before", f"without a gateway, exit {code}: {tried}")
    rig.say("a quarantine is an event since its profile was mended, and only once")


def contract(rig: Rig) -> None:
    """AsyncAPI's own parser takes the document, and every message that the MES received fits one of its channels."""
    # What was said on purpose beside the contract, by the MES itself, to a slot that there is not.
    lines = [line for line in rig.received.read_text().splitlines() if "/st10/another/" not in line]
    rig.received.write_text("\n".join(lines) + "\n")
    # The check itself finds what is wrong.
    strange = rig.folder / "strange.jsonl"
    wrong = [{"topic": f"{SLOT}/tightening", "p": '{"id": 7}'}, {"topic": f"{SLOT}/torque", "p": "{}"}]
    strange.write_text("".join(json.dumps(line) + "\n" for line in wrong))
    done = subprocess.run(
        ["node", str(HERE / "node" / "asyncapi.js"), str(rig.folder / "contract" / "asyncapi.json"), str(rig.received), str(strange)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NODE_PATH": str(TARGET / "peers" / "node" / "node_modules")},
    )
    if not done.stdout:
        raise Failure(f"asyncapi.js says nothing: {done.stderr}")
    said = json.loads(done.stdout)
    for fault in said["faults"]:
        print(f"     ! {fault}", flush=True)
    expect(done.returncode == 0 and said["messages"] > 2 * LAST - 300, f"{said.get('fault_count')} faults in {said.get('messages')} messages")
    expect(said["strange"] == len(wrong), "strange messages are taken")
    rig.say(f"{said['messages']} messages fit the {said['channels']} channels of a document that AsyncAPI's parser takes")


def run(rig: Rig) -> None:
    """All of it."""
    gun = Gun()
    rig.undo.append(gun.close)
    seen = begin(rig, gun)
    steps: list[Callable[[Rig, Seen, Gun], None]] = [rejections, resend, quarantine]
    for step in steps:
        step(rig, seen, gun)
    rig.quiet()
    contract(rig)


def main() -> None:
    """Once for each version of MQTT; the second is shorter where nothing else differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", type=Path, default=TARGET / "release" / "lineside")
    parser.add_argument("--version", choices=["5", "3.1.1"], default="5")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
    rig = Rig(f"interop-mes-{args.version}", args.seed, args.binary.resolve(), 30, args.version)
    begun = time.monotonic()
    failed = None
    try:
        run(rig)
    except (Failure, RuntimeError, OSError, KeyError, ValueError) as failure:
        failed = failure
        print(f"     ! {failure!r}", flush=True)
    finally:
        rig.close()
    print(f"== interop mes (MQTT {args.version}): {'FAILED' if failed else 'held'}, {time.monotonic() - begun:.0f} s", flush=True)
    if failed:
        sys.exit(f"everything is kept in target/{rig.folder.relative_to(TARGET)}")
    shutil.rmtree(rig.folder, ignore_errors=True)


if __name__ == "__main__":
    main()

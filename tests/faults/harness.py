#!/usr/bin/env python3
"""The fault harness: real processes, random faults from a printed seed, and the proof that nothing is lost.

  harness.py SCENARIO... | all [--short | --long] [--seed N] [--binary target/release/lineside]
  harness.py kills --times 30          harness.py outage --events 100000        harness.py steady --version 3.1.1

Each scenario keeps its directory under target/faults/ when it fails, with the ledgers, the logs and the seed.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

import buses  # noqa: E402
import floods  # noqa: E402
import handshakes  # noqa: E402
import kolver_runs  # noqa: E402
import scenarios  # noqa: E402
from opcua import opcua_items, opcua_plc  # noqa: E402
from opcua_joining import opcua_joining, opcua_same  # noqa: E402
from reloads import reload  # noqa: E402
from rig import TARGET, Failure, Rig  # noqa: E402
from scenarios import Options  # noqa: E402
from swap_moments import swap_full, swap_kills  # noqa: E402
from swaps import swaps  # noqa: E402
from tls import tls  # noqa: E402
from torque import hold, torque  # noqa: E402
from wires import wires  # noqa: E402

SCENARIOS: dict[str, Callable[[Rig, random.Random, Options], int]] = {
    "steady": scenarios.steady,
    "steady_kill": scenarios.steady_kill,
    "kills": scenarios.kills,
    "level": scenarios.level,
    "free": scenarios.free,
    "echo": scenarios.echo,
    "broker": scenarios.broker,
    "bad_broker": scenarios.bad_broker,
    "link": scenarios.link,
    "disk": scenarios.disk,
    "mixed": scenarios.mixed,
    "swap": scenarios.swap,
    "outage": scenarios.outage,
    "handshakes": handshakes.handshakes,
    "kolver": kolver_runs.kolver,
    "bus": buses.bus,
    "bus_tcp": buses.bus_tcp,
    "tls": tls,
    "torque": torque,
    "hold": hold,
    "wires": wires,
    "flood": floods.flood,
    "opcua_plc": opcua_plc,
    "opcua_items": opcua_items,
    "opcua_joining": opcua_joining,
    "opcua_same": opcua_same,
    "swaps": swaps,
    "swap_kills": swap_kills,
    "swap_full": swap_full,
    "reload": reload,
}


def run(name: str, options: Options, binary: Path) -> bool:
    """One scenario; whether it held."""
    random_numbers = random.Random(f"{options.seed}/{name}")
    rig = Rig(name, options.seed, binary, options.patience, options.version)
    print(f"== {name} (seed {options.seed}, MQTT {options.version})", flush=True)
    try:
        faults = SCENARIOS[name](rig, random_numbers, options)
        held = faults == 0
    except (Failure, RuntimeError, OSError) as failure:
        print(f"     ! {failure}", flush=True)
        held = False
    finally:
        rig.close()
    took = time.monotonic() - rig.begun
    if held:
        shutil.rmtree(rig.folder, ignore_errors=True)
        print(f"== {name}: held, {took:.0f} s", flush=True)
    else:
        kept = Path("target") / rig.folder.relative_to(TARGET)
        print(f"== {name}: FAILED after {took:.0f} s; seed {options.seed}; everything is kept in {kept}", flush=True)
    return held


def main() -> None:
    """Reads the arguments and runs the scenarios one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="+", choices=[*SCENARIOS, "all"])
    parser.add_argument("--short", action="store_true", help="the counts of tests/run (the default)")
    parser.add_argument("--long", action="store_true", help="the counts of tests/run --long")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--binary", type=Path, default=TARGET / "release" / "lineside")
    parser.add_argument("--version", choices=["5", "3.1.1"], default="5", help="of MQTT")
    parser.add_argument("--times", type=int, help="kills")
    parser.add_argument("--events", type=int, help="of the outage")
    parser.add_argument("--seconds", type=float, help="of steady running")
    parser.add_argument("--results", type=int, default=0, help="of each handshake")
    parser.add_argument("--only", default="", help="these handshakes, with commas")
    parser.add_argument("--registers", type=int, default=0, help="of the bus that are checked")
    parser.add_argument("--patience", type=float, default=90, help="seconds to wait for a condition")
    args = parser.parse_args()
    options = Options(
        seed=args.seed,
        version=args.version,
        patience=args.patience,
        long=args.long,
        times=args.times or (200 if args.long else 30),
        events=args.events or (1_000_000 if args.long else 100_000),
        seconds=args.seconds or (60 if args.long else 12),
        results=args.results,
        only=args.only,
        registers=args.registers,
    )

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    if not args.binary.exists():
        sys.exit(f"harness: {args.binary.name} is not built: `cargo build --release` first")
    names = list(SCENARIOS) if "all" in args.scenario else args.scenario
    try:
        failed = [name for name in names if not run(name, options, args.binary.resolve())]
    except KeyboardInterrupt:
        sys.exit("harness: interrupted")
    if failed:
        sys.exit(f"harness: failed: {', '.join(failed)}; again with --seed {options.seed}")


if __name__ == "__main__":
    main()

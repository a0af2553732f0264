"""Torque controllers of many kinds: how each behaves, and its device file."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 5.0
# Made before the gateway was ever started: none of its business.
BEFORE = 6
ASKS = 'delivers = "tightening"\nrequires = ["torque", "angle", "program"]'
ASKS_MORE = 'delivers = ["tightening", "alarm", "identification"]\nrequires = ["torque", "angle", "program"]'
PROFILE = """profile = 1
vendor = "Peer"
model = "{kind}"
maturity = "document"
[connection]
protocol = "open-protocol"
address = "{address}"
results = "{results}"
revision = {{ start = 6, results = {revision}, recovery = 7 }}
recover = "{recover}"
{more}
[events.tightening]
when = "result"
id = ["tightening_id"]
result = "tightening_status"
torque = {{ value = "torque", min = "torque_min_limit", max = "torque_max_limit", target = "torque_final_target", result = "torque_status" }}
angle = {{ value = "angle", min = "angle_min", max = "angle_max", target = "final_angle_target", result = "angle_status" }}
program = "parameter_set_number"
batch = {{ count = "batch_counter", size = "batch_size" }}
time = {{ point = "time_stamp", format = "%Y-%m-%d:%H:%M:%S", zone = "utc" }}
"""
# Results that name their unit; alarms, and identifiers scanned at the controller.
ECHO = 'unit = "vin_number"\n'
TELLS = """[events.alarm]
when = "alarm"
code = "error_code"
active = "alarm_active"
category = { const = "device" }
[events.identification]
when = "identifier"
code = "vin_number"
"""
CURVES = """[events.curve]
when = "trace"
id = ["tightening_id"]
x = { name_from = "trace_step_name", step = "trace_step" }
y = { name_from = "trace_type", values = "trace_samples" }
"""


def profile(kind: str, address: str, recover: str = "by-id", more: str = "", variable: bool = False) -> str:
    """A device file."""
    results, revision = ("1201", 1) if variable else ("0061", 7)
    return PROFILE.format(kind=kind, address=address, recover=recover, more=more, results=results, revision=revision)


@dataclass(frozen=True)
class Kind:
    """One controller: how it behaves, and what its device file says more."""

    args: tuple[str, ...] = ()
    walk: bool = False
    more: str = ""
    faults: tuple[tuple[str, float], ...] = ()
    forgets: bool = False
    resets: bool = False
    revision: int = 7
    link: bool = False
    echoes: bool = True
    serial: bool = False
    variable: bool = False
    traces: bool = False


KINDS = {
    # A PF6000 whose clock is behind.
    "walk": Kind(("--clock-offset", "-37"), walk=True, faults=(("deaf", 0.01),)),
    "link": Kind(
        ("--sequences",), walk=True, more='acknowledge = "link"', faults=(("deaf", 0.02), ("mute", 0.003)), link=True
    ),
    "exact": Kind(("--ack-timeout", "1"), faults=(("deaf", 0.02),)),
    # 0001 and 0060 are refused twice before they agree, the socket kept; then closed.
    "kept": Kind(("--refuse", "6,5", "--results", "5", "--recovery", "5"), revision=5),
    "closed": Kind(("--refuse", "6,5", "--results", "5", "--recovery", "5", "--hang-up"), revision=5),
    # Knows only the first revision of everything.
    "old": Kind(("--start", "1", "--results", "1", "--recovery", "1"), revision=1),
    "early": Kind(("--behave", "early")),
    "rough": Kind(("--ack-timeout", "0.5"), faults=(("rough", 0.05),)),
    "small": Kind(("--memory", "8"), forgets=True),
    "smallwalk": Kind(("--memory", "16"), walk=True, forgets=True),
    # On a serial line, with noise between its frames.
    "serial": Kind(("--ack-timeout", "1"), more="baud = 115200", serial=True),
    # Results by MID 1201, from an index on.
    "variable": Kind(("--variable",), variable=True),
    # Subscribed by MID 0008, acknowledged by 0005.
    "generic": Kind(("--ack-timeout", "1"), more='generic = true\nacknowledge = "accepted"', faults=(("deaf", 0.02),)),
    "traces": Kind(("--traces",), traces=True),
    "reset": Kind(resets=True),
    "resetwalk": Kind(walk=True, resets=True),
}

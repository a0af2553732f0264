"""The results of the simulated PLCs: every value follows from the result's number, so that a mixture shows."""

from __future__ import annotations

from typing import Any

from layout import as_f32, shortest_f32


def derive(number: int) -> dict[str, Any]:
    """Raw values of result `number`, by point."""
    return {
        "number": number,
        "torque": as_f32(number % 40_000 / 100),
        "angle": number * 7 % 72_000 - 720,
        "judgement": 2 if number % 7 == 0 else 1,
        "program": number % 99 + 1,
        "check": (number * 2_654_435_761 >> 9) & 0xFFFF,
    }


def expected(number: int) -> dict[str, Any]:
    """What the MES has to receive of it: numbers as exact text."""
    raw = derive(number)
    return {
        "result": "nok" if raw["judgement"] == 2 else "ok",
        "torque.value": str(shortest_f32(raw["torque"])),
        "angle.value": str(raw["angle"]),
        "program.id": str(raw["program"]),
        "extra.number.value": str(number),
        "extra.check.value": str(raw["check"]),
    }

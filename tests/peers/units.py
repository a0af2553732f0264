"""Which unit really was at which station, from the MES's own ledger."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import ledger


class Units:
    """The stays of units at stations, in time."""

    def __init__(self, path: Path) -> None:
        self._times: dict[str, list[float]] = {}
        self._names: dict[str, list[str | None]] = {}
        self._published: set[tuple[str, str]] = set()
        for line in ledger.read(path):
            if line["e"] == "entered":
                self._times.setdefault(line["station"], []).append(line["entered"])
                self._names.setdefault(line["station"], []).append(line["id"] or None)
            elif line["e"] == "published":
                self._published.add((line["station"], line["id"]))

    def between(self, station: str, start: float, end: float) -> set[str | None]:
        """Every unit that was there at some time of this span; None where there was none."""
        times = self._times.get(station, [])
        names = self._names.get(station, [])
        first = bisect_right(times, start) - 1
        last = bisect_right(times, end) - 1
        return {names[at] if at >= 0 else None for at in range(first, last + 1)}

    def was_published(self, station: str, name: str) -> bool:
        """Whether the MES ever said so."""
        return (station, name) in self._published

"""How often an address may submit: counted in memory, for an hour, and kept nowhere. Knows no submission."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from time import monotonic

from .problems import Problem

HOUR = 3600.0
KNOWN = 10_000
"""Addresses that are remembered; those that came longest ago are forgotten first."""


class Addresses:
    """So many tries an hour for each address, given back evenly. For one thread."""

    def __init__(self, hourly: int, clock: Callable[[], float] = monotonic) -> None:
        self._hourly, self._clock = hourly, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, address: str | None) -> None:
        """Count a try; raise Problem (429) if there was none left."""
        key, now, rate = network(address), self._clock(), self._hourly / HOUR
        left, at = self._left.pop(key, (float(self._hourly), now))
        left = min(float(self._hourly), left + (now - at) * rate)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        while len(self._left) > KNOWN:
            self._left.popitem(last=False)
        if left < 1:
            wait = ceil((1 - left) / rate)
            raise Problem("too-many", "too many tries from this address", headers={"Retry-After": str(wait)})


def network(address: str | None) -> str:
    """What counts as one address: an IPv4 address, 64 bits of an IPv6 one."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)

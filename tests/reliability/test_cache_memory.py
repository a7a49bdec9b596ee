"""A cache takes the memory it was given, by what the system says, not by its own books."""

import json
import subprocess
import sys

import pytest

from tests.reliability.trials import sized

TENTH_MORE = 1.1

# In a process of its own: what others took and gave back would be counted, too.
_FILLING = """
import json, os, sys
from datetime import timedelta
from pathlib import Path

from angle_reco.adapters.ttl_cache import TtlCache
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.ports.cache import Entry
from angle_reco.testing import ManualClock

KEYS, MOST, WHAT = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
LIMITS, TICK = FreshnessLimits(), timedelta(milliseconds=1)
SHARED = tuple(f"item-{number}" for number in range(20))

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def size_of(*parts):
    # As memory is given out: in sixteens, and a tuple has a header for the collector.
    sizes = (sys.getsizeof(part) + 16 * isinstance(part, tuple) for part in parts)
    return sum(-(-size // 16) * 16 for size in sizes)

def value_of(number):
    match WHAT:
        case "shared":
            packed = tuple(bytes(20 * width) for width in (4, 2, 1))
            value = (SHARED, packed)
            return value, size_of(value, packed, *packed)
        case "fresh":
            items = tuple(f"item-{number}-{place}" for place in range(20))
            packed = tuple(bytes(20 * width) for width in (4, 2, 1))
            value = (items, packed)
            return value, size_of(value, items, *items, packed, *packed)

clock = ManualClock()
cache = TtlCache(clock, most_bytes=MOST)
before, most_resident, most_bytes = resident(), 0, 0
for number in range(KEYS):
    user = f"user-{number}"
    value, size = value_of(number)
    size += size_of(user)
    clock.advance(TICK)
    flight, _ = cache.join(("personal", user))
    assert cache.land(flight, Entry(value, size=size, age=timedelta(0), limits=LIMITS))
    if number % 1_000 == 999:
        most_resident = max(most_resident, resident() - before)
        most_bytes = max(most_bytes, cache.stats().bytes)
full = cache.stats()
clock.advance(LIMITS.kept_for + TICK)
gone = cache.evict()
empty = cache.stats()
print(json.dumps({
    "resident": most_resident, "bytes": most_bytes, "kept": full.entries, "gone": gone.entries,
    "evictions": full.evictions, "entries_after": empty.entries, "bytes_after": empty.bytes,
    "resident_after": resident() - before,
}))
"""


@pytest.mark.parametrize("what", ["shared", "fresh"])
def test_it_takes_no_more_memory_than_it_was_given(what: str) -> None:
    keys, most = sized(200_000, 1_000_000), sized(20_000_000, 100_000_000)

    said = subprocess.run(
        [sys.executable, "-c", _FILLING, str(keys), str(most), what],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )

    figures = json.loads(said.stdout)
    print(what, figures, figures["resident"] / most)
    assert figures["bytes"] <= most
    assert figures["resident"] <= TENTH_MORE * most
    # It was full.
    assert figures["bytes"] >= 0.9 * most
    assert figures["kept"] + figures["evictions"] == keys
    # What is too old goes without anything being written.
    assert figures["gone"] == figures["kept"] > 0
    assert (figures["entries_after"], figures["bytes_after"]) == (0, 0)

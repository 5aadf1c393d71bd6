#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of bench_result (tests/lib/bench.sh) as one table, and as JSON.

usage: bench-table.py RESULTS [JSON]

Behind each peer's figure stands how many times better ours is: 2.0x is twice the rate, or
half the time; below 1 the peer is better.
"""
import json
import statistics
import sys

OURS = "rootstock"


def number(text):
    """(figure, is it the least that it can be); None where it failed."""
    return (float(text.lstrip(">")), text.startswith(">")) if text != "-" else None


def median(figures):
    """Of one thing's figures; a failure counts as one only if nothing else is there."""
    good = [f for f in figures if f]
    if not good:
        return None
    return statistics.median(f[0] for f in good), any(f[1] for f in good)


def better(unit, ours, peer):
    """How many times better ours is, as text."""
    if not ours or not peer or not ours[0] or not peer[0]:
        return "-"
    rate = unit.endswith("/s")
    times = ours[0] / peer[0] if rate else peer[0] / ours[0]
    if ours[1] and peer[1]:
        return "-"
    sign = "" if not (ours[1] or peer[1]) else ">" if rate == ours[1] else "<"
    return "%s%.2fx" % (sign, times)


def show(figure):
    if not figure:
        return "failed"
    value = figure[0]
    text = "%.0f" % value if value >= 1000 else "%.4g" % value
    return "unfinished at " + text if figure[1] else text


def main():
    rows = {}
    for line in open(sys.argv[1]):
        area, what, unit, server, value = line.rstrip("\n").split("\t")
        row = rows.setdefault((area, what, unit), {})
        row.setdefault(server, []).append(number(value))
    out = []
    last = None
    print("%-6s %-34s %-10s %12s   %s" % ("", "", "unit", "rootstock", "peers (how many times better ours is)"))
    for (area, what, unit), row in rows.items():
        figures = {server: median(all) for server, all in row.items()}
        ours = figures.get(OURS)
        peers = {s: f for s, f in figures.items() if s != OURS}
        print("%-6s %-34s %-10s %12s   %s" % (
            area if area != last else "", what, unit, show(ours) if OURS in figures else "",
            ", ".join("%s %s (%s)" % (s, show(f), better(unit, ours, f)) for s, f in peers.items())))
        last = area
        out.append({"area": area, "what": what, "unit": unit, "figures": {
            s: f and {"value": f[0], "unfinished": f[1]} for s, f in figures.items()},
            "better": {s: better(unit, ours, f) for s, f in peers.items()}})
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as f:
            json.dump(out, f, indent=1)
            f.write("\n")


main()

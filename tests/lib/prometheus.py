#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A strict reader of Prometheus' text format, version 0.0.4, for tests.

    prometheus.py < TEXT            checks it
    prometheus.py NAME{LABELS} ...  prints the values of these samples, a line each

What it insists on: a HELP and a TYPE before the samples of each family, a family once and
in one piece, no sample twice, counters that end in _total and are not negative, histograms
whose buckets grow, end with +Inf and agree with their count.
"""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)\}})? (\S+)")


def check(condition, line, why):
    if not condition:
        sys.exit(f"prometheus.py: {why}: {line}")


def read(text):
    samples, kinds, family, helped = {}, {}, None, None
    check(text.endswith("\n"), text[-40:], "no end of line at the end")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            check(len(line.split(" ", 3)) == 4, line, "no words")
            continue
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            check(helped == family, line, "TYPE without its HELP")
            check(family not in kinds, line, "a family twice")
            check(kind in ("counter", "gauge", "histogram"), line, "unknown type")
            check(kind != "counter" or family.endswith("_total"), line, "a counter's name")
            kinds[family] = kind
            continue
        match = SAMPLE.fullmatch(line)
        check(match, line, "not a sample")
        name, labels, value = match[1], match[2] or "", float(match[match.lastindex])
        ends = ("_bucket", "_sum", "_count") if kinds.get(family) == "histogram" else ("",)
        check(any(name == (family or "") + end for end in ends), line, "not of the family above")
        check(f"{name}{{{labels}}}" not in samples, line, "a sample twice")
        check(kinds[family] == "gauge" or value >= 0, line, "negative")
        samples[f"{name}{{{labels}}}"] = value
    for family, kind in kinds.items():
        if kind == "histogram":
            histogram(family, samples)
    return samples


def histogram(family, samples):
    rows = {}
    for key, value in samples.items():
        match = re.fullmatch(rf"{family}_bucket\{{(.*),?le=\"([^\"]*)\"\}}", key)
        if match:
            rows.setdefault(match[1].rstrip(","), []).append((float(match[2]), value))
    check(rows, family, "a histogram without buckets")
    for labels, row in rows.items():
        check(row == sorted(row), labels, "buckets out of order")
        check([n for _, n in row] == sorted(n for _, n in row), labels, "buckets shrink")
        check(row[-1][0] == float("inf"), labels, "no bucket +Inf")
        check(samples[f"{family}_count{{{labels}}}"] == row[-1][1], labels, "its count")
        check(f"{family}_sum{{{labels}}}" in samples, labels, "no sum")


if __name__ == "__main__":
    all_samples = read(sys.stdin.read())
    for asked in sys.argv[1:]:
        print(f"{all_samples[asked if '{' in asked else asked + '{}']:.10g}")

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges the page of a boot by the same boot as JSON: timeline.py PAGE BOOT.

What it insists on: one shape a stage, in the order in which they were told, where its times
say and as long; an axis that ascends; a row an event, told one after another; the bytes.
"""
import html.parser
import json
import re
import sys

LEFT, WIDTH, SHORTEST = 108, 1000 - 108 - 245, 3


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.within, self.shapes, self.texts, self.rows = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "svg":
            self.within.append(tag)
        elif tag == "rect":
            assert self.within, "a shape outside the drawing"
            self.shapes.append(attributes)
        elif tag == "text":
            self.texts.append([attributes, ""])
            self.within.append(tag)
        elif tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")
            self.within.append(tag)

    def handle_endtag(self, tag):
        if tag == "tr":
            self.within = []
        elif tag in ("svg", "text"):
            assert self.within.pop() == tag, tag

    def handle_data(self, data):
        if self.within[-1:] == ["text"]:
            self.texts[-1][1] += data
        elif self.within[-1:] == ["td"]:
            self.rows[-1][-1] += data

    def texts_of(self, kind):
        return [(a, text) for a, text in self.texts if kind in a["class"].split()]


def near(have, want, what):
    assert abs(float(have) - want) < 0.11, f"{what}: at {have}, not {want:.2f}"


def size(count):
    units = ["B", "KiB", "MiB", "GiB"]
    while count >= 1024:
        count /= 1024
        units.pop(0)
    return f"{count:.1f} {units[0]}" if units[0] != "B" and count < 10 else f"{count:.0f} {units[0]}"


def main():
    page = Page(open(sys.argv[1], encoding="utf-8").read())
    events = json.load(open(sys.argv[2], encoding="utf-8"))["events"]
    stages = {}
    for e in events:
        stages.setdefault(e["stage"], []).append(e)
    mounts = [e["ns"] for e in events if e["event"] == "mount"]
    total = max(e["ns"] + e["ms"] * 10**6 for e in events)
    assert len(stages) > 4 and total > 0, events

    assert [text for _, text in page.texts_of("name")] == list(stages), page.texts_of("name")
    notes = page.texts_of("note")
    assert len(page.shapes) == len(notes) == len(stages), (len(page.shapes), len(notes))
    below = 0
    for shape, (_, note), (name, of) in zip(page.shapes, notes, stages.items()):
        begin = min(e["ns"] for e in of)
        end = max(e["ns"] + e["ms"] * 10**6 for e in of)
        if name == "init":  # it is looked for since the mount
            begin = min([begin, *mounts])
        near(shape["x"], LEFT + begin / total * WIDTH, name)
        near(shape["width"], max(SHORTEST, (end - begin) / total * WIDTH), f"the length of {name}")
        assert int(shape["y"]) > below, f"{name} is not below the one before"
        below = int(shape["y"]) + int(shape["height"])
        sent = sum(e["bytes"] for e in of)
        if shape["class"] == "tftp" and sent:
            assert note.endswith(size(sent)), (name, note, sent)
    near(page.shapes[0]["x"], LEFT, "the first")

    ticks = [(float(a["x"]), float(text.removesuffix(" s"))) for a, text in page.texts_of("tick")]
    assert 3 < len(ticks) < 13 and ticks[0] == (LEFT, 0) and ticks == sorted(set(ticks)), ticks
    for x, secs in ticks:
        near(x, LEFT + secs * 1e9 / total * WIDTH, f"{secs} s")

    rows = [row for row in page.rows if row]
    assert len(rows) == len(events), (len(rows), len(events))
    told = [e["ns"] + e["ms"] * 10**6 for e in events]
    assert told == sorted(told), told
    for row, e in zip(rows, events):
        assert abs(float(row[0]) - e["ns"] / 1e9) < 0.00051, (row, e)
        assert row[2] == e["stage"] and row[3] == e["event"], row
        assert row[5] == (str(e["bytes"]) if e["bytes"] else ""), row
        assert re.sub(r"\s+", " ", row[7]) == e["what"], (row, e)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines and functions that were run, by folder: from the summary that llvm-cov exports."""
import collections
import json
import os
import sys

FOLDERS = ("cli", "nfs", "tftp", "dhcp", "fsd", "common")

with open(sys.argv[1], encoding="utf-8") as file:
    files = json.load(file)["data"][0]["files"]
sums = collections.defaultdict(lambda: [0, 0, 0, 0])
for entry in files:
    folder = os.path.basename(os.path.dirname(entry["filename"]))
    if folder not in FOLDERS:
        continue
    for at, kind in ((0, "lines"), (2, "functions")):
        for to in (folder, "all"):
            sums[to][at] += entry["summary"][kind]["covered"]
            sums[to][at + 1] += entry["summary"][kind]["count"]
if not sums:
    sys.exit("coverage: no file of ours in " + sys.argv[1])
print("     coverage      lines              functions")
for folder in (*FOLDERS, "all"):
    lines, of_lines, functions, of_functions = sums[folder]
    print("     %-8s %6d of %6d %3.0f%%   %5d of %5d %3.0f%%" % (
        folder, lines, of_lines, 100 * lines / max(1, of_lines),
        functions, of_functions, 100 * functions / max(1, of_functions)))

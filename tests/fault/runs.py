# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of many operations at once: they wait more than they work."""
import multiprocessing
import traceback

from operations import BY_NAME, OPERATIONS
from places import Place

WORKERS = 4


def worker(place, act, words, results):
    place.enter()
    for word in iter(words.get, None):
        name, *only = word.split(":")
        runs = bad = 0
        try:
            for problem in act(place, BY_NAME[name], only):
                runs += 1
                if problem:
                    bad += 1
                    results.put("%s:%s" % (name, problem))
        except Exception:
            bad += 1
            results.put("%s: %s" % (name, traceback.format_exc()))
        results.put((name, runs, bad))
    results.put(None)


def all_runs(act, wanted, what):
    """`act(place, operation, only)` yields None for each run that went well, else words.
    Returns the exit of the program."""
    words, results = multiprocessing.Queue(), multiprocessing.Queue()
    wanted = wanted or [o.name for o in OPERATIONS]
    # The long ones first.
    for word in sorted(wanted, key=lambda w: not w.startswith(("add", "fill"))):
        words.put(word)
    place = Place()
    try:
        for name in {BY_NAME[w.split(":")[0]].base for w in wanted}:
            place.base(name)
        for _ in range(WORKERS):
            words.put(None)
            multiprocessing.Process(target=worker, args=(place, act, words, results)).start()
        return gather(results, len(wanted), what)
    finally:
        place.clear()


def gather(results, operations, what):
    left, runs, bad = WORKERS, 0, 0
    while left:
        result = results.get()
        if result is None:
            left -= 1
        elif isinstance(result, str):
            print(result, flush=True)
        else:
            print("%-16s %4d %s, %d bad" % (*result[:2], what, result[2]), flush=True)
            runs += result[1]
            bad += result[2]
    print("%d %s of %d operations, %d bad" % (runs, what, operations, bad))
    return bool(bad or not runs)

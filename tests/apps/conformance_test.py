#!/usr/bin/env python3
"""Runs the conformance program on the kernel and under a preloaded library and compares what it tells.

Usage: conformance_test.py PROGRAM LIBRARY [--known FILE] [NAME...]
LIBRARY may also be a second build of the program with the shim linked into it.
FILE names steps (behaviour.step, or behaviour alone) where a difference is known, one a line with the
reason after '#'; a step that is listed there and does not differ is an error as well.
"""

import argparse
import os
import subprocess
import sys
import tempfile


def tell(program, names, environment):
    """The lines that the program tells, over as many runs as it takes to get past hangs."""
    todo = names or subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    lines = []
    while todo:
        run = subprocess.run([program] + todo, env=environment, stdout=subprocess.PIPE, text=True, timeout=500,
                             errors="replace")
        told = run.stdout.splitlines()
        lines += told
        if run.returncode == 0:
            break
        # A behaviour that hung or crashed is told of, and the rest goes on after it.
        begun = [line.partition(":")[0] for line in told if line.endswith(": begins")]
        last = begun[-1] if begun else todo[0]
        if run.returncode != 3:
            lines.append(f"{last}: ENDS with status {run.returncode}")
        todo = todo[todo.index(last) + 1:]
    return lines


def table(lines):
    steps = {}
    for line in lines:
        step, _, value = line.partition(": ")
        steps.setdefault(step, []).append(value)
    return {step: " / ".join(sorted(values)) for step, values in steps.items()}


def known_steps(path):
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        lines = [line.partition("#") for line in file]
    return {step.strip(): reason.strip() for step, _, reason in lines if step.strip()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("library")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--known")
    parser.add_argument("--skip", default="", help="a prefix of behaviours to leave out")
    options = parser.parse_args()
    known = known_steps(options.known)
    if options.skip:
        names = subprocess.run([options.program, "--list"], capture_output=True, text=True, check=True).stdout.split()
        options.names = [name for name in names if not name.startswith(tuple(options.skip.split(",")))]
    with tempfile.TemporaryDirectory(prefix="ringway-conformance-") as directory:
        plain = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        shimmed = dict(plain, RINGWAY_DIR=directory)
        preloaded = options.library.endswith(".so")
        if preloaded:
            shimmed["LD_PRELOAD"] = options.library
        kernel = table(tell(options.program, options.names, plain))
        ringway = table(tell(options.program if preloaded else options.library, options.names, shimmed))
    failures, differing = 0, set()
    for step in sorted(set(kernel) | set(ringway)):
        a, b = kernel.get(step, "(nothing)"), ringway.get(step, "(nothing)")
        if a == b:
            continue
        behaviour = step.split(".")[0]
        differing |= {step, behaviour}
        if step in known or behaviour in known:
            continue
        failures += 1
        print(f"{step}: kernel {a!r}, ringway {b!r}")
    for step, reason in known.items():
        if step not in differing and not options.names:
            failures += 1
            print(f"{step}: no longer differs (known as: {reason})")
    print(f"{len(kernel)} steps, {failures} unexpected, {len(known)} known differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

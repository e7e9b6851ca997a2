#!/usr/bin/env python3
"""Counts instructions of the hot paths under callgrind and compares them with the kept figures.

instructions.py PROGRAM FILE          fails when a subject needs more than 5 % above its kept figure
instructions.py PROGRAM FILE --keep   writes the figures instead
instructions.py PROGRAM FILE --prove  makes one subject slow on purpose, and fails when that is not noticed

PROGRAM is the bench `instructions`. A figure is the difference of a run with many times and one with few, divided by
the difference of times: neither start nor preparation counts. Callgrind's processor has no SHA instructions: hashes
run as plain code there, on every machine the same.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

FEW, MANY, MORE = 20, 1020, 0.05


def instructions(program, subject, times):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, subject, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"{subject}: callgrind ended with {done.returncode}\n{done.stderr[-2000:]}")
    return int(found.group(1))


def measure(program, listed=None):
    listed = listed or subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {s: [pool.submit(instructions, program, s, n) for n in (FEW, MANY)] for s in listed}
        return {s: round((many.result() - few.result()) / (MANY - FEW)) for s, (few, many) in runs.items()}


def kept_in(path):
    with open(path, encoding="utf-8") as kept_file:
        lines = [line.split() for line in kept_file if line.strip() and not line.startswith("#")]
    return {subject: int(count) for subject, count in lines}


def prove(program, path):
    subject, before = min(kept_in(path).items(), key=lambda one: one[1])
    os.environ["KEYLINE_SLOW"] = subject
    slow = measure(program, [subject])[subject]
    noticed = slow / before - 1 > MORE
    print(f"{subject} made slow on purpose: {slow} for {before}, {'noticed' if noticed else 'NOT NOTICED'}")
    sys.exit(0 if noticed else 1)


def main():
    program, path = sys.argv[1:3]
    if "--prove" in sys.argv:
        prove(program, path)
    now = measure(program)
    if "--keep" in sys.argv:
        with open(path, "w", encoding="utf-8") as out:
            out.write("# instructions of one operation under callgrind; make bench-instructions KEEP=1\n")
            out.writelines(f"{subject} {count}\n" for subject, count in now.items())
    kept, failed = kept_in(path), []
    for subject, count in now.items():
        before = kept.get(subject)
        if before is None:
            failed.append(subject)
            print(f"{subject:<24}{count:>10}   not kept yet: KEEP=1")
            continue
        change = count / before - 1
        worse = change > MORE
        word = "MORE THAN 5 % ABOVE" if worse else "keep it: KEEP=1" if change < -MORE else ""
        print(f"{subject:<24}{count:>10}{before:>10}{change:>+9.1%}  {word}".rstrip())
        failed += [subject] if worse else []
    gone = sorted(set(kept) - set(now))
    for subject in gone:
        print(f"{subject:<24} kept, and no subject any more")
    sys.exit(1 if failed or gone else 0)


main()

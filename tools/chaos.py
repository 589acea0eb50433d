#!/usr/bin/env python3
"""Kills leave no trace: every command that goes on after a stop is killed again and again, and in the end its folder must be that of an
undisturbed run: the same files, byte for byte, and no temporary one.

  tools/chaos.py build/release/steerlm [--kills 200] [--seed 1] [--stages sft,score] [--folder DIR]
  tools/chaos.py build/release/steerlm --records 1000000 [--kills 20]

Signals are KILL, TERM and USR1. Moments are random, or those at which something is being saved, or a file gets its name: the kernel reports
it (inotify) when a file of the kinds in SAVING is made, written, renamed or removed, or one in NAMED is renamed. A run may end with 0,
75 (stopped on request) or by KILL. It may end by TERM or USR1 only where the program had not yet asked the kernel for them (SigCgt in /proc/PID/status). What
is killed goes on with one thread or two. A signal counts when it has ended a run.
"""
import argparse
import collections
import ctypes
import itertools
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from chaos_jobs import HAS_STEPS, JOBS, MANY, RECIPES, TWO_THREADS, make_data, make_many

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
SAVING = re.compile(r"\.part(\.|$)|/ledger\.jsonl$|/\.steerlm-run/|\.new$")
# The files that say that something is whole, or are it; others of a run directory follow each other all the time.
NAMED = re.compile(r"/(done\.json|model|(evaluation|crossvalidation|seeds)\.json|[^/]*(?<!/ledger)\.jsonl(\.gz|\.zst)?)$")
MADE, WRITTEN, RENAMED_FROM, RENAMED_TO, REMOVED, IS_FOLDER = 0x100, 0x2, 0x40, 0x80, 0x200, 0x40000000
LONGEST_STOP = 60  # seconds


# Their content says when, where, by how many processes and in which pieces it was made.
NAME_ONLY = re.compile(r"(^|/)(log\.txt|environment\.json|report\.html|ledger\.jsonl|inputs\.json)$|(^|/)\.steerlm-run/")


def comparable(path, content):
    """Without clock, speed and number of threads."""
    if path.name == "metrics.jsonl":
        lines = [json.loads(line) for line in content.splitlines()]
        return json.dumps([{key: value for key, value in line.items() if key != "time" and not key.endswith("_per_second")} for line in lines],
                          indent=0).encode()
    if path.match("checkpoints/*/state.json"):
        return json.dumps({key: value for key, value in json.loads(content).items() if key != "threads"}).encode()
    if path.match("checkpoints/*/manifest.json"):
        return json.dumps({key: value for key, value in json.loads(content)["files"].items() if key != "state.json"}).encode()
    return content


def contents(folder):
    """{name: bytes}, of folders and links None."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = pathlib.Path(place, name)
            key = str(path.relative_to(folder))
            if path.is_symlink() or path.is_dir():
                found[key + "/"] = None
            else:
                found[key] = None if NAME_ONLY.search(key) else comparable(path, path.read_bytes())
    # A stop saves a checkpoint of its own, and so another one is no longer kept. `staging` is made where it is needed.
    latest = {key.removesuffix("LATEST") + value.decode().strip() + "/" for key, value in found.items() if key.endswith("checkpoints/LATEST")}
    older = re.compile(r"^(.*checkpoints/step-\d+/)")
    return {key: value for key, value in found.items() if not key.endswith(".steerlm-run/staging/") and
            (not (match := older.match(key)) or match[1] in latest)}


def first_difference(expected, found):
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is left, which an undisturbed run does not have"
        if expected[name] != found[name]:
            a, b = expected[name], found[name]
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            return f"{name} differs from byte {at} on ({len(a)} and {len(b)} bytes): {a[at:at + 60]!r} and {b[at:at + 60]!r}"
    return None


class Watch:
    """Tells what happens to the files of a folder and of those below."""
    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, folder):
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.folders = {}
        self.counts = collections.Counter()
        self.add(str(folder))

    def close(self):
        os.close(self.descriptor)

    def add(self, folder):
        number = self.libc.inotify_add_watch(self.descriptor, os.fsencode(folder), MADE | WRITTEN | RENAMED_FROM | RENAMED_TO | REMOVED)
        if number < 0:  # removed already
            return
        self.folders[number] = folder
        for entry in os.scandir(folder) if os.path.isdir(folder) else []:
            if entry.is_dir(follow_symlinks=False):
                self.add(entry.path)

    def look(self, timeout):
        """Counts at how many moments something was being saved, and at how many a file got its name, as soon as there are any."""
        if not select.select([self.descriptor], [], [], timeout)[0]:
            return
        events, at = os.read(self.descriptor, 1 << 16), 0
        while at < len(events):
            number, mask, _, length = struct.unpack_from("iIII", events, at)
            name = os.fsdecode(events[at + 16:at + 16 + length].rstrip(b"\0"))
            at += 16 + length
            path = f"{self.folders.get(number, '')}/{name}"
            if SAVING.search(path):
                self.counts["saving"] += 1
            elif mask & RENAMED_TO and NAMED.search(path):
                self.counts["naming"] += 1
            if mask & IS_FOLDER and mask & (MADE | RENAMED_TO):
                self.add(path)


Kill = collections.namedtuple("Kill", "signal when moment delay step threads")
End = collections.namedtuple("End", "code landed seconds counts stop_seconds")


class Finding(Exception):
    pass


def catches(process, number):
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return bool(int(re.search(r"^SigCgt:\s*(\w+)$", status, re.M)[1], 16) >> (number - 1) & 1)


def step_of(process):
    children = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(children[0]) if children else process


def run(program, command, folder, threads, kill=None, span=0.0, expected=None, observe=None):
    """One run of a command, killed at `kill`'s moment: a share of `span` seconds, or of the `expected` moments of its kind."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}
    watch = Watch(folder)
    with open(folder.with_suffix(".errors"), "wb") as errors:
        process = subprocess.Popen([program, *command.split()], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=errors)
    begin, sent, caught, target = time.monotonic(), None, False, process.pid
    timed = kill is not None and kill.when == "random"
    due = 1 + int(kill.moment ** 2 * expected[kill.when]) if kill and not timed else None  # what goes on has fewer of them left
    try:
        while process.poll() is None:
            left = span * kill.moment - (time.monotonic() - begin) if timed and sent is None else 0.02
            watch.look(min(max(left, 0), 0.02))
            if observe is not None:
                observe(process.pid)
            if sent is not None and time.monotonic() - sent > LONGEST_STOP:
                process.kill()
                raise Finding(f"went on for {LONGEST_STOP} s after {kill.signal.name}")
            if kill is None or sent is not None or (left > 0 if timed else watch.counts[kill.when] < due):
                continue
            if not timed:
                time.sleep(kill.delay)
            try:
                target = step_of(process.pid) if kill.step else process.pid
                caught = catches(target, kill.signal)
                os.kill(target, kill.signal)
                sent = time.monotonic()
            except (ProcessLookupError, FileNotFoundError):  # it has just ended
                continue
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        watch.close()
    code, end = process.returncode, time.monotonic()
    accepted = {0}
    if sent is not None:
        accepted.add(75 if kill.signal != signal.SIGKILL else -signal.SIGKILL)
        if not caught:
            accepted.add(-kill.signal)
        if target != process.pid and b"ended the process (signal 9)" in folder.with_suffix(".errors").read_bytes():
            accepted.add(5)  # contracts.md section 3: what the pipeline says of a step that the system has killed
    if code not in accepted:
        raise Finding(f"ended with {code}" + (f" after {kill.signal.name}{'' if caught else ', not yet caught'}" if sent else ""))
    return End(code, sent is not None and code != 0, end - begin, watch.counts, end - sent if sent else 0)


def draw_kills(draw, number, first=0, steps=False):
    """`number` kills: each signal as often as the others, in random order, at moments of each kind. What gets its name last is done after it:
    only KILL comes in time."""
    kinds = {each: itertools.cycle(("random", "saving", "naming") if each == signal.SIGKILL else ("saving", "random")) for each in SIGNALS}
    signals = [SIGNALS[(first + i) % len(SIGNALS)] for i in range(number)]
    draw.shuffle(signals)
    return [Kill(each, next(kinds[each]), draw.random(), draw.choice((0, 0.003 * draw.random())), steps and draw.random() < 0.5, draw.choice((1, 2)))
            for each in signals]


def is_whole(folder, command):
    """Whether a command without a run directory had done all of its work when it was killed: given again it says that the output exists."""
    output = re.search(r"--(?:output|merge) (\S+)", command)
    return bool(output) and (folder / output[1]).exists() and not (folder / f"{output[1]}.part.ledger").exists()


class Job:
    def __init__(self, program, folder, name, draw, first, kills):
        self.program, self.folder, self.name, self.draw = program, folder / name, name, draw
        commands = JOBS[name]
        drawn = draw_kills(draw, kills, first, name in HAS_STEPS)
        self.kills = [drawn[kills * i // len(commands):kills * (i + 1) // len(commands)] for i in range(len(commands))]
        self.landed, self.when = collections.Counter(), collections.Counter()
        self.early, self.rounds, self.longest_stop = 0, 0, 0.0
        self.equal = False

    def reference(self):
        folder = self.folder / "reference"
        folder.mkdir(parents=True)
        for name, text in RECIPES.items():
            if any(f"../{name}.yaml" in command for command in JOBS[self.name]):
                (self.folder / f"{name}.yaml").write_text(text)
        self.undisturbed = [run(self.program, command, folder, 2) for command in JOBS[self.name]]
        for command, end in zip(JOBS[self.name], self.undisturbed):
            if end.code != 0:
                raise Finding(f"{command} ended with {end.code}")
        self.expected = contents(folder)

    def round(self):
        """All commands from the beginning to the end, each killed as often as it has kills left or can be."""
        self.rounds += 1
        folder = self.folder / f"round-{self.rounds}"
        folder.mkdir()
        for command, kills, undisturbed in zip(JOBS[self.name], self.kills, self.undisturbed):
            code = None
            while code != 0:
                kill = kills[-1] if kills else None
                threads = 2 if self.name in TWO_THREADS else kill.threads if kill else self.draw.choice((1, 2))
                end = run(self.program, command, folder, threads, kill,
                          0.7 * undisturbed.seconds, undisturbed.counts)
                code = end.code
                if end.landed:
                    kills.pop()
                    self.landed[kill.signal] += 1
                    self.when[kill.when] += 1
                    self.early += code == -kill.signal and kill.signal != signal.SIGKILL
                    self.longest_stop = max(self.longest_stop, end.stop_seconds)
                    if kill.signal == signal.SIGKILL and is_whole(folder, command):
                        break
                elif code == 0 and kill:  # too late to stop it: in the next round at another moment
                    kills[-1] = kill._replace(moment=0.7 * self.draw.random(), when=self.draw.choice(("random", "saving")))
        difference = first_difference(self.expected, contents(folder))
        if difference:
            raise Finding(difference)
        shutil.rmtree(folder)

    def finish(self):
        most = 3 + 2 * sum(map(len, self.kills))
        while any(self.kills):
            self.round()
            if self.rounds > most:
                raise Finding(f"{sum(map(len, self.kills))} kills never hit a process that ran, in {self.rounds} rounds")
        self.equal = True


def failure(job, seed, finding):
    last = job.folder / ("reference" if job.rounds == 0 else f"round-{job.rounds}")
    errors = last.with_suffix(".errors")
    said = errors.read_text(errors="replace")[-1000:] if errors.exists() else ""
    return f"{job.name}, seed {seed}: {finding}\nThe last command said:\n{said}\nThe files are in {last}"


def all_jobs(program, folder, names, kills, seed):
    """A row for each job; the text of the first finding, if there is one."""
    make_data(program, folder / "data")
    rows, done = [], 0
    for name in JOBS:
        if name not in names and name != "pipeline":  # whose models the others need
            continue
        first = kills * done // len(names)
        done += name in names
        share = kills * done // len(names) - first
        job = Job(program, folder, name, random.Random(f"{seed} {name}"), first, share)
        begin = time.monotonic()
        if name in names:
            rows.append(job)
        try:
            job.reference()
            job.finish()
        except Finding as finding:
            return rows, failure(job, seed, finding)
        if name in names:
            print(f"{name}: {share} kills, {job.rounds} rounds, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return rows, None


def print_table(jobs):
    print("| job | KILL | TERM | USR1 | of these while saving | when a file got its name | before signals are caught | longest stop | rounds | "
          "as undisturbed |")
    print("|" + " --- |" * 10)
    for job in jobs:
        print(f"| {job.name} | {' | '.join(str(job.landed[each]) for each in SIGNALS)} | {job.when['saving']} | {job.when['naming']} | {job.early} | "
              f"{job.longest_stop:.1f} s | {job.rounds} | {'yes' if job.equal else 'NO'} |")
    at_files = sum(job.when["saving"] + job.when["naming"] for job in jobs)
    print(f"{sum(job.landed.total() for job in jobs)} kills ended a run, {at_files} of them while something was saved or got its name")


def memory_at(samples, whole):
    """The peak of the process that worked when a tenth, half and all of the output was written, in MiB."""
    return [next((peak for size, peak in samples if size >= share * whole), samples[-1][1]) for share in (0.1, 0.5, 0.99)]


def many_records(program, folder, records, kills, seed):
    """Annotation of many records: undisturbed, then killed. Returns the text of a finding, if there is one."""
    make_many(program, folder, records)
    draw, samples, last = random.Random(seed), [], 0.0

    def observe(process):
        nonlocal last
        if time.monotonic() - last < 0.2:
            return
        last = time.monotonic()
        part, status = work / "annotated.jsonl.part", pathlib.Path(f"/proc/{process}/status").read_text()
        peak = re.search(r"^VmHWM:\s*(\d+)", status, re.M)  # none of a process that has ended
        if peak and part.exists():
            samples.append((part.stat().st_size, int(peak[1]) / 1024))

    outputs, landed, saving, tables = [], 0, 0, []
    for name in ("reference", "killed"):
        work = folder / name
        work.mkdir()
        samples.clear()
        left, span, expected = [], 0.0, None
        if name == "killed":  # spread over the job, whose output gets its name once
            left = [kill._replace(when="random") if kill.when == "naming" else kill for kill in draw_kills(draw, kills)]
            span, expected = 1.6 * whole.seconds / kills, {"saving": 1.6 * whole.counts["saving"] / kills}
        begin, code = time.monotonic(), None
        while code != 0:
            kill = left[-1] if left else None
            end = run(program, MANY, work, kill.threads if kill else 2, kill, span, expected, observe)
            code = end.code
            if end.landed:
                left.pop()
                landed, saving = landed + 1, saving + (kill.when != "random")
        whole = end
        outputs.append(work / "annotated.jsonl")
        tables.append(memory_at(samples, outputs[-1].stat().st_size))
        print(f"{name}: {records} records in {time.monotonic() - begin:.0f} s, {landed} kills, {saving} of them while something was saved; "
              f"peak memory at 10, 50 and 100 %: {', '.join(f'{peak:.0f}' for peak in tables[-1])} MiB", flush=True)
    with open(outputs[1]) as lines:
        count = 0
        for line in lines:
            if json.loads(line)["id"] != count:
                return f"record {count} is not where it should be: {line[:200]}"
            count += 1
    if count != records:
        return f"{count} records were annotated, not {records}"
    if landed < kills:
        return f"only {landed} of {kills} kills hit a process that ran"
    difference = first_difference(contents(outputs[0].parent), contents(outputs[1].parent))
    if difference:
        return difference
    if max(peak for table in tables for peak in table) > 1.1 * min(tables[0][0], tables[1][0]):
        return "memory grows with the records"
    print(f"each of the {records} records is there once, in its place; the bytes are those of the undisturbed run")
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, help="200; 20 with --records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", default=",".join(JOBS), help="of " + ", ".join(JOBS))
    parser.add_argument("--records", type=int, help="annotate so many records instead")
    parser.add_argument("--folder", help="where to work, new; removed at the end where nothing was found")
    arguments = parser.parse_args()
    names = arguments.stages.split(",")
    if not set(names) <= set(JOBS):
        parser.error(f"unknown stages: {', '.join(sorted(set(names) - set(JOBS)))}")
    program = str(pathlib.Path(arguments.program).resolve(strict=True))
    folder = pathlib.Path(arguments.folder or tempfile.mkdtemp(prefix="chaos-")).resolve()
    folder.mkdir(parents=True, exist_ok=not arguments.folder)
    begin = time.monotonic()
    if arguments.records:
        finding = many_records(program, folder, arguments.records, arguments.kills or 20, arguments.seed)
    else:
        jobs, finding = all_jobs(program, folder, names, arguments.kills or 200, arguments.seed)
        print_table(jobs)
    print(f"seed {arguments.seed}, {time.monotonic() - begin:.0f} s")
    if finding:
        print(f"FOUND: {finding}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

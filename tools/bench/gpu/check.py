#!/usr/bin/env python3
"""The one check on a card: GPU tests, kernel bench, the program beside its rivals, the toy pipeline. tools/gpu_check.sh calls it.

    gpu_check.sh --prepare            makes what needs no card (folders without weights, texts, ids, the program's libraries), to carry
    gpu_check.sh [--parts a,b,c,d] [--quick] [--minutes 6] [--output gpu_check.json]
    gpu_check.sh --device cpu --tiny  everything on a CPU with tiny shapes: proves this script, measures nothing

Parts: a the tests named Cuda*; b the kernel bench; c training, decoding, scoring and LoRA against Transformers, Liger and PEFT;
d the toy pipeline, in what is left of the time. Every command has a limit of its own and none begins after --minutes; one that fails is
a row of the table, and the others go on. Prints the table; --output is a JSON file with every figure, the card, driver and versions; beside it
are the table (.md) and what all commands printed (.log), written anew after each part. Exit 1 if a command failed or ran out of time; a
figure that does not reach its goal is no failure. Model folders and data stay in --work and are used again.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import time

import compare

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# What every machine has, or what comes with torch: not carried.
NOT_CARRIED = ("libc.so", "libm.so", "ld-linux", "libpthread", "libdl.so", "librt.so", "libutil.so", "libgcc_s", "libstdc++", "libgomp",
               "libtorch", "libc10", "libcu", "libnv", "linux-vdso")
TEST_BINARIES = ("kernels_test", "stages_test", "infer_test")


class Failed(Exception):
    """A command that failed or ran out of time: the text of its row."""


class Check:
    """Runs commands within limits, and keeps rows of the table and raw figures."""

    def __init__(self, arguments):
        self.device, self.tiny, self.quick = arguments.device, arguments.tiny, arguments.quick
        self.on_card = arguments.device.startswith("cuda")
        self.base = arguments.work.resolve()
        self.work = self.base / ("tiny" if self.tiny else "full")
        self.deadline = time.monotonic() + 60 * arguments.minutes
        self.build = arguments.build.resolve()
        self.program = self.build / "steerlm"
        self.rows, self.raw, self.failures, self.environment = [], {}, 0, dict(os.environ)
        shutil.rmtree(self.work / "logs", ignore_errors=True)
        for folder in ("data", "logs", "recipes", "results", "models"):
            (self.work / folder).mkdir(parents=True, exist_ok=True)

    def left(self):
        return self.deadline - time.monotonic()

    def row(self, work, steerlm, rival="", ratio="", reach="", note=""):
        self.rows.append([work, steerlm, rival, ratio, reach, note])
        print("  " + " | ".join(str(cell) for cell in self.rows[-1]), flush=True)

    def failed(self, work, error):
        self.failures += 1
        self.row(work, "FAILED", note=str(error))

    def start(self, name, command, environment=None, cwd=None):
        """A process with a group of its own; its output goes to logs/NAME.txt."""
        log = open(self.work / "logs" / f"{name}.txt", "w", encoding="utf-8")
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   env=environment or dict(os.environ), cwd=cwd, start_new_session=True)
        process.log_file = self.work / "logs" / f"{name}.txt"
        log.close()
        return process

    def stop(self, process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def wait(self, name, process, limit):
        """Its output; Failed with the last line that says something if it fails or does not end in time."""
        try:
            code = process.wait(timeout=max(1, min(limit, self.left())))
        except subprocess.TimeoutExpired:
            self.stop(process)
            raise Failed(f"{name}: out of time") from None
        text = process.log_file.read_text(encoding="utf-8", errors="replace")
        if code != 0:
            lines = [line for line in text.splitlines() if line.strip()]
            errors = [line for line in lines if "error" in line.lower()]
            raise Failed(f"{name}: exit {code}: {(errors or lines or ['no output'])[-1][:200]}")
        return text

    def run(self, name, command, limit, environment=None, cwd=None):
        if self.left() < 5:
            raise Failed(f"{name}: no time left")
        begin = time.monotonic()
        text = self.wait(name, self.start(name, command, environment, cwd), limit)
        return text, time.monotonic() - begin

    def steerlm(self, name, *command, limit=60, cwd=None):
        return self.run(name, [self.program, *command], limit, self.environment, cwd)

    def python(self, name, script, *command, limit=60):
        """Runs a rival and reads what it wrote, even if it was stopped on the way."""
        output = self.work / "results" / f"{name}.json"
        output.unlink(missing_ok=True)
        try:
            self.run(name, [sys.executable, HERE / script, *command, "--device", self.device, "--output", output], limit)
        except Failed as error:
            if not output.exists():
                raise
            self.failed(f"{script}, after some of its cases", error)
        return json.loads(output.read_text())


# ----- the machine ------------------------------------------------------------------------------------------------------------------

def torch_libraries():
    """Folders of libtorch and of CUDA in the Python that runs this, found without importing torch."""
    folders = []
    torch = importlib.util.find_spec("torch")
    nvidia = importlib.util.find_spec("nvidia")
    if torch and torch.origin:
        folders.append(pathlib.Path(torch.origin).parent / "lib")
    for place in (nvidia.submodule_search_locations or []) if nvidia else []:
        folders += sorted(path for path in pathlib.Path(place).glob("*/lib") if path.is_dir())
    return [str(folder) for folder in folders]


def runs(program, environment):
    result = subprocess.run([program, "--version"], capture_output=True, text=True, env=environment, timeout=60)
    return result.stdout if result.returncode == 0 else None


def find_libraries(check):
    """The program as it is, else with the libraries that were carried and those of Python's torch."""
    if not check.program.exists():
        sys.exit(f"gpu_check: no program at {check.program}; build it, or name its folder with --build")
    version = runs(check.program, check.environment)
    if version is None:
        # cu*/lib first among NVIDIA's: the runtime, cuBLAS and the others that libtorch_cuda asks for.
        folders = [str(check.base / "lib"), *torch_libraries()]
        check.environment["LD_LIBRARY_PATH"] = ":".join(folders + [os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")
        version = runs(check.program, check.environment)
        if version is None:
            ldd = subprocess.run(["ldd", check.program], capture_output=True, text=True, env=check.environment).stdout
            sys.exit("gpu_check: the program does not start here:\n" + "\n".join(line for line in ldd.splitlines() if "not found" in line))
    check.raw["program"] = dict(line.split(" ", 1) for line in version.strip().splitlines() if " " in line)


def describe_machine(check):
    check.raw |= {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "device": check.device, "tiny": check.tiny,
                  "quick": check.quick, "kernel": platform.release(), "cores": os.cpu_count(), "python": platform.python_version(),
                  "commit": subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()}
    if check.on_card:
        query = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit"
        try:
            result = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, timeout=30)
            check.raw["nvidia_smi"] = dict(zip(query.split(","), (cell.strip() for cell in result.stdout.splitlines()[0].split(","))))
        except (OSError, IndexError, subprocess.TimeoutExpired) as error:
            check.raw["nvidia_smi"] = str(error)


def carry_libraries(check):
    """Copies the libraries of the program and of its tests that another machine may lack into WORK/lib."""
    folder = check.base / "lib"
    folder.mkdir(parents=True, exist_ok=True)
    binaries = [check.program, check.build / "lib/libsteerlm_compute.so", *(check.build / "tests" / name for name in TEST_BINARIES)]
    for binary in (path for path in binaries if path.exists()):
        for line in subprocess.run(["ldd", binary], capture_output=True, text=True).stdout.splitlines():
            name, _, rest = line.strip().partition(" => ")
            place = rest.split(" (")[0]
            if place.startswith("/") and not pathlib.Path(name).name.startswith(NOT_CARRIED):
                shutil.copy(place, folder / name)


# ----- parts a, b, d ----------------------------------------------------------------------------------------------------------------

def tests(check):
    for name in TEST_BINARIES:
        binary = check.build / "tests" / name
        if not binary.exists():
            check.row(f"{name} Cuda*", "not built", reach="all pass")
            continue
        report = check.work / "results" / f"{name}.json"
        report.unlink(missing_ok=True)
        error = None
        try:
            _, seconds = check.run(name, [binary, "--gtest_filter=*Cuda*:-Cuda*Bench.*", f"--gtest_output=json:{report}"], 100, check.environment)
        except Failed as failed:
            error, seconds = failed, None
        cases = []
        if report.exists():
            cases = [case for suite in json.loads(report.read_text())["testsuites"] for case in suite["testsuite"]]
        bad = [f"{case['classname']}.{case['name']}" for case in cases if case.get("failures")]
        skipped = sum(case.get("result") == "SKIPPED" for case in cases)
        check.raw[name] = {"tests": len(cases), "failed": bad, "skipped": skipped, "seconds": seconds}
        if error and not bad:
            check.failed(f"{name} Cuda*", error)
        elif bad or (check.on_card and len(cases) == skipped):
            check.failed(f"{name} Cuda*", f"{len(bad)} of {len(cases)} failed: {', '.join(bad[:8])}" if bad else "no test ran")
        else:
            check.row(f"{name} Cuda*", f"{len(cases) - skipped} pass, {skipped} skipped", reach="all pass")


def bench(check):
    binary = check.build / "tests" / "kernels_test"
    try:
        text, _ = check.run("bench", [binary, "--gtest_filter=Cuda*Bench.*"], 100, check.environment | {"STEERLM_BENCH": "1"})
    except (Failed, OSError) as error:
        check.failed("kernel bench", error)
        log = check.work / "logs" / "bench.txt"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""  # what it printed before
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("[", "Note:", "Running main"))]
    check.raw["bench"] = lines
    print("\n".join(lines), flush=True)
    if lines or not check.on_card:
        check.row("kernel bench", f"{len(lines)} lines above")
    else:
        check.failed("kernel bench", "it printed nothing")


def toy(check):
    if check.left() < 30:
        check.row("toy pipeline", "not run", note="no time left")
        return
    folder = check.work / "toy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    recipe = ROOT / "configs/toy/pipeline.yaml"
    try:
        check.steerlm("toy-data", "data", "make-toy", "--output", "data/toy", *(["--count", "600"] if check.tiny else []), cwd=folder)
        _, seconds = check.steerlm("toy", "pipeline", recipe, f"device={check.device}", limit=max(30, check.left()), cwd=folder)
    except Failed as error:
        check.failed("toy pipeline", error)
        return
    results = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("runs/toy/*/evaluation.json")}
    check.raw["toy"] = {"seconds": seconds, "evaluations": results}
    for path in sorted(folder.glob("runs/toy/*/evaluation.txt")):
        print(f"\n{path.parent.name}\n{path.read_text()}", flush=True)
    check.row("toy pipeline, all stages", f"{seconds:.0f} s", reach="the CPU's table within its intervals")


# ----- the whole --------------------------------------------------------------------------------------------------------------------

def table(rows):
    lines = ["| work | steerlm | rival | ratio | reach | note |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join(lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows])


def save(check, output, seconds):
    check.raw |= {"seconds": seconds, "failures": check.failures, "rows": check.rows}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(check.raw, indent=1, default=str) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(table(check.rows) + "\n", encoding="utf-8")
    most = 300_000  # of one command
    logs = [f"===== {path.stem}\n{path.read_text(encoding='utf-8', errors='replace')[-most:]}\n"
            for path in sorted((check.work / "logs").glob("*.txt"))]
    output.with_suffix(".log").write_text("".join(logs), encoding="utf-8")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="folder of steerlm and tests/ (build/release)")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/gpu_check", help="folder for models, data, logs (build/gpu_check)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("gpu_check.json"),
                        help="JSON of all figures (gpu_check.json); .md and .log are beside it")
    parser.add_argument("--parts", default="a,b,c,d")
    parser.add_argument("--works", default="", help="of part c only these: " + ",".join(compare.WORKS))
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--quick", action="store_true", help="half the repeats")
    parser.add_argument("--prepare", action="store_true", help="make what needs no card, and end")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, for a run without a card")
    arguments = parser.parse_args()
    unknown = (set(arguments.parts.split(",")) - set("abcd")) | ({*filter(None, arguments.works.split(","))} - set(compare.WORKS))
    if unknown:
        parser.error("unknown: " + ", ".join(sorted(unknown)))
    return arguments


def main():
    arguments = parse_arguments()
    check = Check(arguments)
    parts = arguments.parts.split(",")
    find_libraries(check)
    if arguments.prepare:
        compare.prepare(check)
        carry_libraries(check)
        carried = [check.base / "lib", check.work]
        size = sum(path.stat().st_size for folder in carried for path in folder.rglob("*") if path.is_file())
        print(f"gpu_check: {' and '.join(map(str, carried))} are ready, {size / 2**20:.0f} MiB")
        return 0
    describe_machine(check)
    weights = compare.start_weights(check) if "c" in parts else []  # they are made while the tests run
    begin = time.monotonic()
    for part, work in (("a", tests), ("b", bench), ("c", lambda c: compare.compare(c, weights, arguments.works)), ("d", toy)):
        if part not in parts:
            continue
        print(f"== {part}: {check.left():.0f} s left", flush=True)
        if part != "a":
            compare.finish_weights(check, weights)  # the bench wants the card for itself
        try:
            work(check)
        except Exception as error:  # a mistake of this script must not cost the other parts
            check.failed(f"part {part}", f"{type(error).__name__}: {error}")
        save(check, arguments.output, time.monotonic() - begin)
    for _, process in weights:
        check.stop(process)
    save(check, arguments.output, time.monotonic() - begin)
    print(f"\n{table(check.rows)}\n\n{check.raw['seconds']:.0f} s, {check.failures} failed; {arguments.output}")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())

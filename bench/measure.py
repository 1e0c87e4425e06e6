"""What every benchmark command needs: the build, the machine, CPU time of a program, a record of what was measured."""

import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "bench/record"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
HDRCAP = Path(os.environ.get("HDRCAP_BIN", TARGET / "release/hdrcap"))
MEMORY_FOLDER = Path("/dev/shm")


def use_python_with_modules():
    """Goes on in the Python that `scripts/setup` prepared, where this one lacks DuckDB."""
    if importlib.util.find_spec("duckdb"):
        return
    lines = (TARGET / "setup.env").read_text().splitlines() if (TARGET / "setup.env").is_file() else []
    prepared = os.environ.get("HDRCAP_PYTHON") or next(
        (shlex.split(line.partition("=")[2])[0] for line in lines if line.startswith("export HDRCAP_PYTHON=")), None)
    if not prepared or os.environ.get("HDRCAP_BENCH_PYTHON"):
        raise SystemExit(f"{Path(sys.argv[0]).name}: this Python has no duckdb: run scripts/setup bench first")
    os.environ["HDRCAP_BENCH_PYTHON"] = prepared
    os.execv(prepared, [prepared, *sys.argv])


def say(text):
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def build():
    """Builds hdrcap as a user would get it, unless HDRCAP_BIN names one."""
    if "HDRCAP_BIN" not in os.environ:
        say("building hdrcap (release)")
        subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "capture"], cwd=ROOT, check=True)


def helper(name):
    """A program of bench/ that makes traffic: any build of it makes the same."""
    made = [TARGET / build / name for build in ("debug", "release")]
    if not any(path.is_file() for path in made):
        subprocess.run(["cargo", "build", "--quiet", "-p", "bench", "--bin", name], cwd=ROOT, check=True)
    return next(path for path in made if path.is_file())


def example(name):
    """An example of bench/, built as hdrcap is; where HDRCAP_BIN names a binary, one that is there is taken as it is."""
    path = TARGET / "release/examples" / name
    if "HDRCAP_BIN" not in os.environ or not path.is_file():
        say(f"building {name} (release)")
        subprocess.run(["cargo", "build", "--quiet", "--release", "-p", "bench", "--example", name], cwd=ROOT, check=True)
    return path


def workload(folder, profile, size, *, seed=1, transactions=False):
    """A seeded workload as a capture file in `folder`, with the truth beside it; returns its path and summary."""
    pcap = folder / f"{profile}.pcap"
    unit = "--transactions" if transactions else "--bytes"
    made = subprocess.run(
        [helper("workload"), profile, pcap, unit, str(size), "--seed", str(seed), "--truth", f"{pcap}.truth"],
        check=True, stdout=subprocess.PIPE)
    return pcap, json.loads(made.stdout)


def scratch():
    """A folder in memory, removed at the end of a `with`."""
    folder = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    return tempfile.TemporaryDirectory(prefix="hdrcap-bench-", dir=folder)


class Cost:
    """What one run of a program took."""

    def __init__(self, cpu, wall, memory):
        self.cpu_seconds, self.wall_seconds, self.memory_bytes = cpu, wall, memory


def run(command, *, core=None, out=subprocess.DEVNULL, env=None, ok=(0,)):
    """Runs a program, pinned to a core where one is named, and returns its cost: CPU is user and system of all threads."""
    pin = ["taskset", "-c", str(core)] if core is not None else []
    with tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        child = subprocess.Popen([*pin, *map(str, command)], stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
                                 env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - begun
        if child.returncode not in ok:
            errors.seek(0)
            tail = errors.read()[-2000:].decode(errors="replace")
            raise SystemExit(f"{' '.join(map(str, command))}: ended with {child.returncode}\n{tail}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024)


def said(*command):
    """First line a program says, or nothing."""
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (answer.stdout or answer.stderr).strip().splitlines()[0] if answer.stdout or answer.stderr else ""


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    changed = " and changes" if said("git", "status", "--porcelain", "--untracked-files=no") else ""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20),
        "kernel": platform.release(),
        "compiler": said("rustc", "--version"),
        "commit": said("git", "rev-parse", "--short", "HEAD") + changed,
        "load_before": round(os.getloadavg()[0], 2),
    }


def table(columns, rows):
    """A Markdown table; the first column is text."""
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def record(name, title, command, where, figures, text):
    """Prints a table and keeps it, as JSON for programs and Markdown for people."""
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{name}.json").write_text(
        json.dumps({"command": command, "machine": where, "figures": figures}, indent=1) + "\n")
    facts = "; ".join(f"{key} {value}" for key, value in where.items())
    (RECORDS / f"{name}.md").write_text(f"# {title}\n\n    {command}\n\n{facts}\n\n{text}")
    print(text)
    say(f"kept as bench/record/{name}.json and .md")

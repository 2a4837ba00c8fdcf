"""Times of a single client: to the first byte, to 226, beside others who are slow, after the start, with durability."""

import statistics
import subprocess
import sys
import time

from . import machine
from .ours import DEFAULT, NONE, USERS
from .place import MIB, clear, make_entries
from .scenarios import WARM_SMALL, digits
from .servers import Failed, Running

DURABILITIES = (NONE, "file", DEFAULT)
STARTS = 7
SLOW = 100
# One core's worth of work that has nothing to do with the server.
COMPUTES = (sys.executable, "-c", "while True: pass")
LISTED = 100_000


def transfers(bench):
    """One connection, small files and whole ones, nothing else going on. Uploads replace nothing."""
    server = bench.portcullis.server("latency", bench.portcullis.defaults)
    bare = bench.portcullis.server("latency-bare", [USERS])
    rows = []
    for name, chosen in (("portcullis", server), ("portcullis-bare", bare)):
        clear(chosen.home / "up")
        with Running(chosen) as running:
            common = ["-n", 1, "-t", bench.secs]
            get = bench.client.must(running.port, ["small-get", *common])
            large = bench.client.must(running.port, ["download", "--file", "m1.bin", "--size", MIB, *common])
            put = bench.client.must(running.port, ["upload", "--size", 4096, "--new", *common])
        clear(chosen.home / "up")
        rows.append({
            "server": name,
            "retr_to_byte": get["command_to_byte"], "begun_to_byte": get["ready_to_byte"],
            "get_byte_to_226": get["byte_to_reply"], "large_byte_to_226": large["byte_to_reply"],
            "put_byte_to_226": put["byte_to_reply"], "errors": get["errors"] + large["errors"] + put["errors"],
        })  # fmt: skip
        bench.say(f"latency of {name}: RETR to first byte {get['command_to_byte']['p50_ms']} ms")
    return rows


def beside(bench):
    """The p99 of one session's small downloads, alone and beside others. The other client has the lower priority, so
    that what is seen is the server's doing."""
    server = bench.portcullis.server("growth-directories", bench.portcullis.defaults)
    place, entries = f"entries-{LISTED}", LISTED
    make_entries(server.home / place, entries)
    others = [
        ("alone", None),
        # What the machine does to it, without any work for the server.
        ("a process that computes", COMPUTES),
        (f"{SLOW} slow readers, 64 KiB/s each", ["slow", "-n", SLOW, "-t", 600]),
        (
            f"a listing of {entries:,}, read at 4 MiB/s",
            ["slow", "--transfer", f"MLSD {place}", "--rate", 4 * MIB, "-n", 1, "-t", 600],
        ),
        (
            f"a listing of {entries:,}, read as fast as it comes",
            ["list", "--dir", place, "--entries", entries, "-n", 1, "-t", 600],
        ),
        ("alone again", None),
    ]
    rows = []
    for name, words in others:
        with Running(server) as running:
            if words is None:
                get = measured(bench, running)
            elif words is COMPUTES:
                computing = subprocess.Popen(COMPUTES, stdin=subprocess.DEVNULL)
                try:
                    get = measured(bench, running)
                finally:
                    computing.kill()
                    computing.wait()
            else:
                with bench.client.begin(running.port, words, nice=19) as load:
                    load.event()
                    load.go()
                    time.sleep(0.5)
                    get = measured(bench, running)
        rows.append({"beside": name, "p50_ms": get["p50_ms"], "p99_ms": get["p99_ms"], "errors": get["errors"]})
        bench.say(f"small downloads {name if words is None else 'beside ' + name}: p99 {get['p99_ms']} ms")
    # Two measurements of the same say how much chance there is; the larger is what others are held against.
    alone = max(row["p99_ms"] for row in rows if row["beside"].startswith("alone"))
    for row in rows:
        row["times"] = digits(row["p99_ms"] / alone)
    return rows


def measured(bench, running):
    return bench.client.must(running.port, ["small-get", "-n", 1, "-t", max(bench.secs, 2)])


def start(bench):
    """From the start of the process to the end of the first login, compiled plugins in the cache."""
    rows = []
    for server in (bench.portcullis.ours(), bench.portcullis.bare()):
        times, resident, cpu = [], [], []
        with Running(server):
            pass
        for _ in range(STARTS):
            clients = []

            def begin(port, clients=clients):
                words = [bench.client.program, "first", *bench.client.words(port), "-t", 30]
                command = [str(word) for word in words]
                clients.append(subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True))
                # Until it tries.
                time.sleep(0.05)

            try:
                with Running(server, begin=begin) as running:
                    out, _ = clients[-1].communicate(timeout=60)
                    if not out:
                        raise Failed("the first login failed")
                    times.append(1000 * (float(out.split(":")[1].strip(" }\n")) - running.started))
                    resident.append(machine.resident(running.process.pid))
                    cpu.append(1000 * running.meter.seconds())
            finally:
                for client in clients:
                    if client.poll() is None:
                        client.kill()
                    client.wait()
        rows.append({
            "server": server.name, "login_ms": digits(statistics.median(times)), "least_ms": digits(min(times)),
            "most_ms": digits(max(times)), "cpu_ms": digits(min(cpu)),
            "resident_mib": digits(statistics.median(resident)),
        })  # fmt: skip
        bench.say(
            f"start of {server.name}: first login after {rows[-1]['login_ms']} ms, {rows[-1]['resident_mib']} MiB"
        )
    return rows


def durability(bench):
    """From the last byte to 226: uploads to new names, one session, and a hundred at once."""
    rows = []
    sizes = [
        ("1 KiB", 1024, 1, 200),
        ("1 MiB", MIB, 1, 50),
        ("256 MiB", 256 * MIB, 1, 3),
        ("4 KiB, 100 sessions", 4096, 100, 10),
    ]
    for name, size, connections, turns in sizes:
        row = {"size": name}
        for level in DURABILITIES:
            server = bench.portcullis.server(f"durability-{level}", bench.portcullis.defaults, level)
            clear(server.home / "up")
            machine.warm_memory(WARM_SMALL)
            with Running(server) as running:
                words = [
                    "upload",
                    "--size",
                    size,
                    "--new",
                    "-n",
                    connections,
                    "--max-ops",
                    turns,
                    "-t",
                    max(4 * bench.secs, 10),
                ]
                result = bench.client.must(running.port, words)
            clear(server.home / "up")
            row[level] = result["byte_to_reply"] | {"rate": digits(result["ops_s"]), "errors": result["errors"]}
            bench.say(f"durability {level}, {name}: {row[level]['p50_ms']} ms from the last byte to 226")
        rows.append(row)
    return rows

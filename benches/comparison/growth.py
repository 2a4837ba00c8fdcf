"""How Portcullis grows: sessions, entries of a directory, size of a file, plugins, cores."""

import contextlib
import shutil
import time

from . import machine
from .ours import USERS, Plugin
from .place import GIB, make_entries
from .plugins import SMALL, authenticators, rules
from .scenarios import Scenario, digits, table, window
from .servers import Failed, Running

# Files that the server has open for a session that is held: the connection, and the home.
FILES_OF_A_SESSION = 2
# Its own, those of the sessions that work beside, and the thousand that it keeps free, refusing sessions.
OTHER_FILES = 1500


def measure(bench):
    parts = (
        ("sessions", sessions),
        ("directories", directories),
        ("files", files),
        ("plugins", plugins),
        ("cores", cores),
    )
    found = {}
    for name, part in parts:
        try:
            found[name] = part(bench)
        except (Failed, OSError) as error:
            found[name] = {"rows": [], "skipped": [str(error)]}
            bench.say(f"growth, {name}: {error}")
    return found


def sessions(bench):
    """Sessions that are held; beside them one that fetches small files, and logins."""
    counts = (10, 100, 1000) if bench.quick else (10, 100, 1000, 3000, 10_000)
    limit = machine.open_files(FILES_OF_A_SESSION * counts[-1] + OTHER_FILES)
    most = (limit - OTHER_FILES) // FILES_OF_A_SESSION // 500 * 500
    rows, skipped = [], []
    all_scenarios = table(bench.place.big)
    one = Scenario("small-get", "", ("small-get",), 1, "1000")
    for count in counts:
        if count > most:
            skipped.append(
                f"{count:,} sessions, {most:,} in their place: {limit:,} files may be open (RLIMIT_NOFILE), "
                f"and each session has {FILES_OF_A_SESSION}"
            )
            bench.say(f"growth: {skipped[-1]}")
            count = most
        server = bench.portcullis.server("growth-sessions", bench.portcullis.defaults)
        with Running(server) as running:
            before = running.pss()
            with bench.client.begin(running.port, ["idle", "-n", count, "--ramp", 64]) as held:
                opened = held.event()["sessions"]
                memory = running.pss()
                get = window(running, one, bench.client, bench.secs)
                logins = window(running, all_scenarios["logins"], bench.client, bench.secs)
                held.go()
                held.event()
                held.go()
                result = held.result()
        rows.append({
            "sessions": count, "opened": opened, "alive": result["alive"], "pss_mib": digits(memory),
            "kib_per_session": digits((memory - before) * 1024 / max(opened, 1)),
            "p50_ms": get["p50_ms"], "p99_ms": get["p99_ms"], "get_cpu": digits(get["cpu"]),
            "logins_s": digits(logins["ops_s"]), "login_cpu": digits(logins["cpu"]), "login_p99_ms": logins["p99_ms"],
            "errors": get["errors"] + logins["errors"] + result["errors"],
        })  # fmt: skip
        bench.say(
            f"growth, {count:,} sessions: {memory:.0f} MiB, p99 {get['p99_ms']} ms, {logins['ops_s']:.0f} logins a second"
        )
    return {"rows": rows, "skipped": skipped}


def directories(bench):
    """MLSD, one at a time."""
    counts = (10, 1000, 100_000) if bench.quick else (10, 1000, 100_000, 1_000_000)
    server = bench.portcullis.server("growth-directories", bench.portcullis.defaults)
    rows, skipped = [], []
    for count in counts:
        directory = server.home / f"entries-{count}"
        begun = time.monotonic()
        make_entries(directory, count)
        if count >= 100_000:
            bench.say(f"growth, a directory of {count:,} entries is there after {time.monotonic() - begun:.0f} s")
        turns = max(3, min(300, 300_000 // count))
        words = [
            "list",
            "--dir",
            directory.name,
            "--entries",
            count,
            "-n",
            1,
            "--max-ops",
            turns,
            "-t",
            600,
            "--op-timeout",
            300,
        ]
        with Running(server) as running:
            before = machine.peak(running.process.pid)
            # The first one warms names and inodes.
            bench.client.run(running.port, first(words))
            machine.forget_peak(running.process.pid)
            calm, cpu = machine.resident(running.process.pid), running.meter.seconds()
            result = bench.client.must(running.port, words)
            cpu, peak = running.meter.seconds() - cpu, machine.peak(running.process.pid)
        if result["errors"]:
            skipped.append(f"{count:,} entries: {result['error_kinds']}")
            continue
        rows.append({
            "entries": count, "p50_ms": result["p50_ms"], "us_per_entry": digits(1000 * result["p50_ms"] / count),
            "cpu_us_per_entry": digits(1e6 * cpu / count / result["ops"]), "first_byte_ms": result["command_to_byte"]["p50_ms"],
            "started_mib": digits(before), "resident_mib": digits(calm), "peak_mib": digits(peak),
        })  # fmt: skip
        bench.say(f"growth, {count:,} entries: MLSD in {result['p50_ms']} ms, memory {peak:.0f} MiB")
    return {"rows": rows, "skipped": skipped}


def first(words):
    """The same, once."""
    at = words.index("--max-ops")
    return [*words[: at + 1], 1, *words[at + 2 :]]


def files(bench):
    """Sparse ones: SIZE, MLST, and the last 4 KiB after REST."""
    server = bench.portcullis.server("growth-files", bench.portcullis.defaults)
    rows, skipped = [], []
    for size in (1, 10, 100):
        path = server.home / f"sparse-{size}.bin"
        try:
            with open(path, "wb") as file:
                file.truncate(size * GIB)
            with Running(server) as running:
                words = ["tail", "--file", path.name, "--size", size * GIB, "-n", 1, "-t", bench.secs]
                result = bench.client.run(running.port, words)
        except OSError as error:
            skipped.append(f"{size} GiB: {error.strerror}")
            continue
        finally:
            path.unlink(missing_ok=True)
        if not result["ops"]:
            skipped.append(f"{size} GiB: {result['error_kinds']}")
            continue
        rows.append({
            "gib": size, "size_ms": result["size"]["p50_ms"], "mlst_ms": result["mlst"]["p50_ms"],
            "first_byte_ms": result["command_to_byte"]["p50_ms"], "first_byte_p99_ms": result["command_to_byte"]["p99_ms"],
        })  # fmt: skip
        bench.say(f"growth, a file of {size} GiB: first byte of its end after {rows[-1]['first_byte_ms']} ms")
    return {"rows": rows, "skipped": skipped}


def plugins(bench):
    """So many path guards (`rules`) for small downloads, inspectors (`upload-guard`) for small uploads, authenticators
    before the one that knows the user for logins."""
    rows = []
    guard, scenarios = rules(bench), table(bench.place.big)
    for count in (0, 2, 8) if bench.quick else (0, 1, 2, 4, 8):
        sets = {
            "get": (scenarios["small-get"], [USERS, *several(guard, count)]),
            "put": (SMALL, [USERS, *several(Plugin("upload-guard", "builtin:upload-guard"), count)]),
            "logins": (scenarios["logins"], authenticators(count + 1)),
        }
        row = {"plugins": count}
        for key, (scenario, chosen) in sets.items():
            result = bench.least(bench.portcullis.server(f"growth-{count}-{key}", chosen), scenario)
            row[key] = {"cpu": digits(result["cpu"]), "rate": digits(result["ops_s"]), "p99_ms": result["p99_ms"]}
        rows.append(row)
        bench.say(f"growth, {count} more plugins: " + ", ".join(f"{key} {row[key]['cpu']} s" for key in sets))
    return {"rows": rows, "skipped": []}


def several(plugin, count):
    return [Plugin(f"{plugin.name}-{number}", plugin.component, plugin.more) for number in range(count)]


def cores(bench):
    """The server may use one core or two; the client all of them."""
    all_cores = machine.cores()
    if len(all_cores) < 2:
        return {"rows": [], "skipped": ["the machine has one core"]}
    rows, scenarios = [], table(bench.place.big)
    for count in (1, 2):
        server = bench.portcullis.server(f"growth-cores-{count}", bench.portcullis.defaults, threads=count)
        row = {"cores": count}
        for key in ("download", "small-get", "logins"):
            result = bench.least(server, scenarios[key], set(all_cores[-count:]))
            row[key] = {
                "cpu": digits(result["cpu"]),
                "rate": digits(result[scenarios[key].rate]),
                "p99_ms": result["p99_ms"],
            }
        rows.append(row)
        bench.say(f"growth, {count} cores: " + ", ".join(f"{key} {row[key]['rate']}" for key in row if key != "cores"))
    return {"rows": rows, "skipped": []}


def clean(place):
    """Removes what is large and made anew in a minute."""
    for directory in place.path.glob("homes/*/entries-*"):
        with contextlib.suppress(OSError):
            shutil.rmtree(directory)

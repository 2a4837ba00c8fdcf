"""The work that all servers are given, and one run of it."""

import dataclasses
import json
import statistics

from . import machine, place
from .place import MIB
from .servers import Failed, Running

GIB, THOUSAND = "GiB", "1000"
# Memory that is written and freed before a run with uploads.
WARM_LARGE, WARM_SMALL = 2 << 30, 256 << 20


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    # For the page.
    work: str
    words: tuple
    connections: int
    # Processor time is told for so much of it.
    unit: str
    # Files are stored, of this size; 0: of any.
    stores: int | None = None
    # Names for each connection that have a file before the run.
    existing: int = 0
    # Sessions are opened and held: the window begins before they log in.
    holds: bool = False

    @property
    def rate(self):
        return "mib_s" if self.unit == GIB else "ops_s"


def table(big):
    """All of them, by name."""
    download = ("download", "--cut", "--size", big)
    upload = ("upload", "--cut", "--size", 256 * MIB)
    small = ("upload", "--size", 4096)
    found = [
        Scenario("download", "RETR of a large file", download, 4, GIB),
        Scenario("download-1", "RETR of a large file", download, 1, GIB),
        Scenario("upload", "STOR of 256 MiB over a file that is there", upload, 4, GIB, 0, 1),
        Scenario("upload-new", "STOR of 256 MiB to a new name", (*upload, "--new"), 4, GIB, 0),
        Scenario("small-get", "RETR of 4 KiB", ("small-get",), 4, THOUSAND),
        Scenario(
            "small-put", "STOR of 4 KiB over a file that is there", (*small, "--names", 100), 4, THOUSAND, 4096, 100
        ),
        Scenario("small-put-new", "STOR of 4 KiB to a new name", (*small, "--new"), 4, THOUSAND, 4096),
        Scenario("logins", "connect, full TLS handshake, USER, PASS, QUIT", ("logins",), 8, THOUSAND),
        Scenario("list", "MLSD of 10,000 entries (LIST where unknown)", ("list",), 2, THOUSAND),
    ]
    for count in (1, 10, 100, 500):
        words = ("download", "--file", "m1.bin", "--size", MIB)
        found.append(Scenario(f"scale-{count}", "RETR of 1 MiB", words, count, GIB))
    for count in (1000, 5000):
        found.append(Scenario(f"idle-{count}", "sessions that log in and stay", ("idle",), count, THOUSAND, holds=True))
    return {scenario.name: scenario for scenario in found}


def run(server, scenario, client, secs, cores=None, beside=None):
    """One run against a server that is started for it. `beside` is a Meter whose time counts as well."""
    prepare(server, scenario, client)
    with Running(server, cores) as running:
        result = window(running, scenario, client, secs, beside)
        if running.ended_early():
            result["error_kinds"]["the server has ended"] = 1
    if scenario.stores is not None:
        check_stored(server, scenario, client, result)
        place.clear(server.home / "up")
    result["errors"] = sum(result["error_kinds"].values())
    return result


def prepare(server, scenario, client):
    if scenario.stores is None:
        return
    place.clear(server.home / "up")
    if scenario.existing:
        size = scenario.stores or 256 * MIB
        place.existing(server, client, scenario.connections, scenario.existing, size)
    machine.warm_memory(WARM_LARGE if scenario.unit == GIB else WARM_SMALL)


def window(running, scenario, client, secs, beside=None):
    """The client's window, with the server's processor time and memory at its borders."""
    meters = [running.meter] + ([beside] if beside else [])

    def seconds():
        return sum(meter.seconds() for meter in meters)

    words = [*scenario.words, "-n", scenario.connections, "-t", secs]
    before, memory_before = seconds(), running.pss()
    with client.begin(running.port, words) as load:
        load.event()
        memory_ready, ready, busy_ready = running.pss(), seconds(), machine.busy()
        load.go()
        load.event()
        memory_done, done, busy_done = running.pss(), seconds(), machine.busy()
        processes = len(running.meter.pids())
        load.go()
        result = load.result()
    span = max(result["open_s"] if scenario.holds else result["seconds"], 1e-9)
    if scenario.holds:
        result["ops"] = result["sessions"]
        result["ops_s"] = result["sessions"] / span
        result["kib_per_session"] = (memory_ready - memory_before) * 1024 / max(result["sessions"], 1)
        result["processes"] = processes
        missing = scenario.connections - result["alive"]
        if missing:
            result["error_kinds"]["sessions that did not open, or did not answer"] = missing
        cpu = ready - before
    else:
        cpu = done - ready
        result["server_cores"] = cpu / span
        result["client_cores"] = result["client_cpu_s"] / span
        result["other_cores"] = max((busy_done - busy_ready - cpu - result["client_cpu_s"]) / span, 0)
    units = result["bytes"] / (1 << 30) if scenario.unit == GIB else result["ops"] / 1000
    result["cpu"] = cpu / units if units else None
    result["pss_mib"] = max(memory_ready, memory_done)
    return result


def check_stored(server, scenario, client, result):
    """The files on the disk are those that were sent."""
    files = sorted(path for path in (server.home / "up").iterdir() if path.is_file())
    bad, first = 0, None if files else "nothing was stored"
    # Reading all of many gigabytes would take longer than the run; some do.
    files = files[:: max(len(files) // 1000, 1)] if scenario.stores else files[:2]
    words = ["--size", scenario.stores] if scenario.stores else []
    if files:
        out, _ = client.plain("check", *words, *files)
        checked = json.loads(out)
        bad, first = checked["bad"], checked["first_bad"]
    if bad or first:
        result["error_kinds"][f"stored: {first}"] = max(bad, 1)


def self_test(server, client):
    """The content of transfers in both directions, before anything is timed. The faults."""
    place.clear(server.home / "up")
    faults = []
    tests = (
        ("download", "--file", "m1.bin", "--size", MIB, "--verify", "-n", 2, "--max-ops", 5),
        ("small-get", "--verify", "-n", 2, "--max-ops", 10),
        ("upload", "--size", 4096, "--names", 10, "-n", 2, "--max-ops", 20),
        ("upload", "--size", 5_000_001, "--new", "-n", 2, "--max-ops", 2),
        ("list", "-n", 1, "--max-ops", 1),
        ("logins", "-n", 2, "--max-ops", 2),
    )
    with Running(server) as running:
        for words in tests:
            result = client.run(running.port, (*words, "-t", 30))
            faults += [f"{words[0]}: {kind}" for kind in result["error_kinds"]]
    out, _ = client.plain("check", *(server.home / "up").iterdir())
    if json.loads(out)["bad"] or json.loads(out)["good"] != 20:
        faults.append(f"stored: {out.strip()}")
    place.clear(server.home / "up")
    return faults


SHARES = ("server_cores", "client_cores", "other_cores")


def summary(runs, scenario):
    """Medians, and of processor time the minimum too: other work on the machine only ever adds to it."""
    kinds = {}
    for result in runs:
        for kind, count in result["error_kinds"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    row = {key: median(runs, key) for key in ("p50_ms", "p99_ms", "pss_mib", *SHARES)}
    if scenario.holds:
        row |= {key: median(runs, key) for key in ("kib_per_session", "processes")}
    cpu = [result["cpu"] for result in runs if result["cpu"] is not None]
    data = sum(result["data_resumed"] + result["data_full"] for result in runs)
    return row | {
        "rate": median(runs, scenario.rate),
        "cpu": digits(statistics.median(cpu)) if cpu else None,
        "cpu_least": digits(min(cpu)) if cpu else None,
        "resumed": digits(sum(result["data_resumed"] for result in runs) / data) if data else None,
        "operations": sum(max(result["ops"], result["partial"]) for result in runs),
        "errors": sum(kinds.values()),
        "error_kinds": kinds,
        "no_close_notify": sum(result["no_close_notify"] for result in runs),
        "runs": [[digits(result.get(key)) for key in ("cpu", scenario.rate, "p99_ms")] for result in runs],
    }


def median(runs, key):
    values = [result[key] for result in runs if result.get(key) is not None]
    return digits(statistics.median(values)) if values else None


def digits(value):
    """Four of them: more say nothing."""
    return None if value is None else float(f"{value:.4g}")


def rounds(servers, scenarios, client, count, secs, say, faults):
    """All of them in turns, so that a change of the machine meets all. The rows of each scenario by server."""
    found = {}
    for scenario in scenarios:
        runs = {}
        turns = 1 if scenario.holds or scenario.name.startswith("scale-") else count
        for turn in range(turns):
            for server in servers:
                if faults.get(server.name) or not server.takes_part(scenario.name):
                    continue
                try:
                    result = run(server, scenario, client, secs)
                except (Failed, OSError, ValueError) as error:
                    say(f"{scenario.name} {turn + 1}/{turns} {server.name}: {error}")
                    faults[server.name] = [f"{scenario.name}: {error}"]
                    continue
                runs.setdefault(server.name, []).append(result)
                cpu = "-" if result["cpu"] is None else f"{result['cpu']:.3f}"
                unit = "MiB/s" if scenario.unit == GIB else "a second"
                say(
                    f"{scenario.name} {turn + 1}/{turns} {server.name}: {cpu} s of processor, "
                    f"{result[scenario.rate]:.0f} {unit}, {result['errors']} errors"
                )
        rows = {name: summary(results, scenario) for name, results in runs.items()}
        found[scenario.name] = {
            "work": scenario.work, "connections": scenario.connections, "unit": scenario.unit, "holds": scenario.holds,
            "rows": rows,
        }  # fmt: skip
    return found

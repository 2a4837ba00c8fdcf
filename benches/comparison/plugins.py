"""What plugins cost: logins through several, decisions about paths, uploads through inspectors."""

import contextlib
import dataclasses
import hashlib
import pathlib
import shutil
import socket
import subprocess
import time

from . import machine
from .ours import NOBODY_HERE, USERS, Plugin
from .place import MIB
from .scenarios import GIB, THOUSAND, Scenario, digits, run, table
from .servers import Failed, free_port

LANGUAGES = ("rust", "c", "go", "javascript", "python")
# The interpreters' instances take more than the default.
ROOMY = 'limits.cpu-time = "10s"\nlimits.wall-time = "60s"\nlimits.memory = "256MiB"'
FILE = 16 * MIB
LARGE = Scenario("upload", "STOR of 16 MiB", ("upload", "--size", FILE, "--new"), 4, GIB, FILE)
SMALL = Scenario("small-put", "STOR of 4 KiB", ("upload", "--size", 4096, "--new"), 4, THOUSAND, 4096)
SIZE = Scenario("size", "SIZE", ("size",), 4, THOUSAND)


@dataclasses.dataclass
class Bench:
    """What every measurement needs."""

    place: object
    portcullis: object
    client: object
    secs: float
    rounds: int
    quick: bool
    say: object
    examples: pathlib.Path

    def least(self, server, scenario, cores=None, beside=None):
        """The run that took the least processor time."""
        best = None
        for _ in range(self.rounds):
            result = run(server, scenario, self.client, self.secs, cores, beside)
            if result["errors"]:
                raise Failed(f"{scenario.name}: {result['error_kinds']}")
            if best is None or (result["cpu"] or 1e9) < (best["cpu"] or 1e9):
                best = result
        return best


def measure(bench):
    return {
        "logins": logins(bench, (1, 3, 5)),
        "policy": policy(bench),
        "uploads": uploads(bench),
    }


def authenticators(count):
    """The last one knows the user; those before it keep a count of failures, and abstain."""
    return [Plugin(f"lockout-{number}", "builtin:lockout") for number in range(count - 1)] + [USERS]


def logins(bench, counts):
    chains = [(f"{count}", authenticators(count)) for count in counts]
    # Whether a name is known must not show in the time that a refusal takes.
    stranger = Plugin("strangers", "builtin:users", NOBODY_HERE)
    chains.append(
        ("2: another file of users first, which computes a hash for a name that it does not know", [stranger, USERS])
    )
    rows = []
    for name, chain in chains:
        server = bench.portcullis.server(f"logins-{len(chain)}", chain)
        result = bench.least(server, table(bench.place.big)["logins"])
        rows.append(
            {"plugins": name, "cpu": digits(result["cpu"]), "rate": digits(result["ops_s"]), "p99_ms": result["p99_ms"]}
        )
        bench.say(f"logins through {len(chain)} authenticators: {result['cpu']:.3f} s of processor for 1000")
    return rows


def rules(bench):
    return next(plugin for plugin in bench.portcullis.defaults if plugin.component == "builtin:rules")


def policy(bench):
    """Differences between a server with `rules`, set as by default, and one without."""
    without = bench.portcullis.server("policy-none", [USERS])
    guarded = bench.portcullis.server("policy-rules", [USERS, rules(bench)])
    found = {}
    for key, scenario, count in (("decision", SIZE, 1), ("entry", table(bench.place.big)["list"], 10_000)):
        least = [bench.least(server, scenario)["cpu"] for server in (without, guarded)]
        # Seconds for a thousand are milliseconds each.
        each = [1000 * cpu / count for cpu in least]
        found[key] = {
            "without_us": digits(each[0]),
            "rules_us": digits(each[1]),
            "difference_us": digits(each[1] - each[0]),
        }
        bench.say(f"rules, {key}: {each[1] - each[0]:.2f} µs more than {each[0]:.2f} µs")
    return found


def uploads(bench):
    rows = []
    through = [
        ("nothing", None),
        ("upload-guard", "builtin:upload-guard"),
        ("upload-content", "builtin:upload-content"),
    ]
    for name, component in through:
        rows.append(inspected(bench, name, [Plugin("inspector", component)] if component else []))
    rows.append(scanned(bench))
    for language in LANGUAGES:
        component = bench.examples / f"{language}-upload-inspector.wasm"
        name = f"example in {language}"
        if component.exists():
            rows.append(inspected(bench, name, [Plugin("inspector", str(component), ROOMY)]))
        else:
            rows.append({"through": name, "missing": "it is not built: examples/build"})
            bench.say(f"uploads through {name}: left out, there is no {component}")
    return rows


def inspected(bench, name, plugins, beside=None):
    server = bench.portcullis.server(f"inspector-{name.replace(' ', '-')}", [USERS, *plugins])
    row = {"through": name}
    try:
        for key, scenario in (("large", LARGE), ("small", SMALL)):
            result = bench.least(server, scenario, beside=beside)
            row[key] = {"cpu": digits(result["cpu"]), "rate": digits(result[scenario.rate]), "p50_ms": result["p50_ms"]}
    except (Failed, OSError) as error:
        row = {"through": name, "missing": str(error)}
        bench.say(f"uploads through {name}: {error}")
        return row
    bench.say(
        f"uploads through {name}: {row['large']['cpu']} s of processor for a GiB, {row['small']['cpu']} s for 1000 small ones"
    )
    return row


def scanned(bench):
    """A real clamd, whose only signature is that of a file that nobody sends: the cost is that of the way, of its copy and
    of its parsers, and not of a large database."""
    name = "clamd (one signature)"
    program = shutil.which("clamd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if not program:
        return {"through": name, "missing": "clamd is not installed: apt-get install clamav-daemon"}
    try:
        with Clamd(program, bench.place) as clamd:
            address = f"127.0.0.1:{clamd.port}"
            more = f'settings.address = "{address}"\ngrants.tcp = ["{address}"]\nlimits.wall-time = "65s"'
            return inspected(bench, name, [Plugin("inspector", "builtin:upload-clamav", more)], clamd.meter)
    except (Failed, OSError) as error:
        return {"through": name, "missing": str(error)}


class Clamd:
    def __init__(self, program, place):
        directory = place.path / "clamd"
        (directory / "database").mkdir(parents=True, exist_ok=True)
        (directory / "temporary").mkdir(exist_ok=True)
        digest = hashlib.sha256(b"nobody sends this").hexdigest()
        (directory / "database" / "one.hsb").write_text(f"{digest}:17:Bench.Nothing:73\n")
        self.port = free_port()
        config = directory / "clamd.conf"
        config.write_text(
            f"Foreground yes\nTCPAddr 127.0.0.1\nTCPSocket {self.port}\nDatabaseDirectory {directory}/database\n"
            f"TemporaryDirectory {directory}/temporary\nStreamMaxLength 64M\nMaxFileSize 64M\nMaxScanSize 200M\n"
            "SelfCheck 0\nAlertExceedsMax yes\nMaxThreads 12\n"
        )
        self.meter = machine.Meter("clamd")
        with open(place.log("clamd"), "ab") as log:
            self.process = subprocess.Popen(
                [program, "--config-file", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self.meter.enter,
            )
        self.meter.root = self.process.pid
        deadline = time.monotonic() + 30
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise Failed(f"clamd does not start; see {log.name}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.meter.close()

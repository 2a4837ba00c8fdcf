"""The figures: requests of each operation, memory of idle sessions, processor time of one node and of several."""

import collections
import concurrent.futures
import os
import pathlib
import resource
import subprocess
import time

from comparison.servers import PASSWORD, Failed

from . import client
from .service import until

SMALL = 4096
FIRST_LOGIN = "first login of a user, whose home is made"
LARGE = (20 << 20) + 5
# The engine tells of a request a moment later.
SETTLE = 0.3


def digits(value):
    return float(f"{value:.4g}")


def counted(before, after):
    counts = collections.Counter(after)
    counts.subtract(before)
    return {name: count for name, count in sorted(counts.items()) if count}


def least(one, other):
    return {name: min(count, other[name]) for name, count in one.items() if name in other}


def requests(nodes, certificate, say):
    """The requests of each operation of a client to the engine."""
    rows = {}
    for resume in ("node", "anywhere"):
        with nodes.run(1, resume) as [node]:
            time.sleep(2)
            found = operations(node, certificate, nodes.engine.requests)
            rows[resume] = [{"operation": name, "engine": asked} for name, asked in found]
        say(f"requests, resume = {resume}: {len(rows[resume])} operations")
    return rows


def operations(node, certificate, count, directory="d"):
    """Each operation, and what `count` counts more than before it."""
    tls, small, large = client.context(certificate), os.urandom(SMALL), os.urandom(LARGE)
    held = []

    def session():
        return held[-1]

    steps = (
        (FIRST_LOGIN, lambda: held.append(client.Session(node.port, tls))),
        ("QUIT", lambda: held.pop().quit()),
        ("login", lambda: held.append(client.Session(node.port, tls))),
        ("MKD", lambda: session().send(f"MKD {directory}", "257")),
        ("CWD", lambda: session().send(f"CWD {directory}", "250")),
        ("STOR of 4 KiB, new", lambda: session().store("new", small)),
        ("STOR of 4 KiB over a file", lambda: session().store("new", small)),
        (f"STOR of {LARGE / 2**20:.0f} MiB, new", lambda: session().store("large", large)),
        ("RETR of 4 KiB", lambda: session().retrieve("RETR new")),
        (f"RETR of {LARGE / 2**20:.0f} MiB", lambda: session().retrieve("RETR large")),
        ("SIZE", lambda: session().send("SIZE new", "213")),
        ("MLSD of 2 files", lambda: session().retrieve("MLSD")),
        ("RNFR, RNTO of 4 KiB", lambda: (session().send("RNFR new", "350"), session().send("RNTO newer", "250"))),
        ("DELE", lambda: session().send("DELE newer", "250")),
    )
    for name, step in steps:
        before = count()
        step()
        time.sleep(SETTLE)
        yield name, counted(before, count())
    held.pop().quit()


def shared(nodes, certificate, redis, logins, say):
    """The requests of operations to Redis, with `lockout` and a limit of a user's sessions, and the cost of logins."""

    def behind_a_look():
        """The counts right behind a node's question for bans, which comes once a second: one operation has time until the
        next."""
        if behind_a_look.next:
            quiet = redis.commands()
            until("a question for bans", lambda: redis.commands() != quiet)
            time.sleep(0.05)
        behind_a_look.next = not behind_a_look.next
        return redis.commands()

    behind_a_look.next = True
    with nodes.run(1, redis=redis) as [node]:
        # Twice: the renewals of the node, every ten seconds, are no operation's.
        both = [list(operations(node, certificate, behind_a_look, directory)) for directory in ("d", "e")]
        rows = [
            {"operation": name, "redis": common}
            for (name, one), (_, other) in zip(*both, strict=True)
            if (common := least(one, other)) and name != FIRST_LOGIN
        ]
        tls, before = client.context(certificate), redis.cpu()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: client.Session(node.port, tls).quit(), range(logins)))
        cpu = digits((redis.cpu() - before) * 1000 / logins)
    say(f"Redis: {cpu} s for 1000 logins; {[row['operation'] for row in rows]}")
    return {"requests": rows, "cpu_per_1000": cpu}


def kernel_memory():
    """MiB: buffers and structures of sockets, of all processes."""
    page, kib = resource.getpagesize(), 0
    for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            kib += int(words[words.index("mem") + 1]) * page / 1024
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("SUnreclaim:"):
            kib += int(line.split()[1])
    return kib / 1024


def sessions(nodes, certificate, counts, say):
    """Sessions that are logged in and idle, at one node."""
    rows, held = [], []
    tls = client.context(certificate)
    with nodes.run(1) as [node], concurrent.futures.ThreadPoolExecutor(8) as pool:
        # The memory that the first ones bring along is no session's.
        held += pool.map(lambda _: client.Session(node.port, tls), range(50))
        time.sleep(11)
        first, kernel, files = node.pss(), kernel_memory(), node.files()
        for count in counts:
            more = count - len(held) + 50
            held += pool.map(lambda _: client.Session(node.port, tls), range(more))
            # Path guards go after ten idle seconds.
            time.sleep(12)
            rows.append({
                "sessions": count, "pss_mib": digits(node.pss()), "kib_per_session": digits((node.pss() - first) * 1024 / count),
                "kernel_kib_per_session": digits((kernel_memory() - kernel) * 1024 / count),
                "files_per_session": digits((node.files() - files) / count),
            })  # fmt: skip
            say(f"sessions: {rows[-1]}")
        for session in held:
            session.control.close()
    return rows


def shares(nodes, certificate, counts, files, rounds, say):
    """The same work by one node and by several: files that are stored and fetched, and logins. The least of some rounds, in
    turns, since other work of the machine adds to all of them."""
    rows = {count: {"nodes": count} for count in counts}
    workers = range(2 * max(counts))
    for number in range(rounds):
        for count in counts:
            found = share(nodes, client.context(certificate), count, workers, files // len(workers), f"{count}-{number}")
            for key, figures in found.items():
                best = rows[count].setdefault(key, figures)
                rows[count][key] = min(best, figures, key=lambda one: one["cpu_per_1000"])
            say(f"nodes: {count}, {found}")
    return list(rows.values())


def share(nodes, tls, count, workers, each, directory):
    found, content = {}, os.urandom(SMALL)
    with nodes.run(count) as running, concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:

        def session(number):
            return client.Session(running[number % count].port, tls)

        def work(number):
            one = session(number)
            # New names each time: a file over another one is more work.
            one.send(f"CWD {directory}", "250")
            for file in range(each):
                one.store(f"{number}-{file}", content)
                if one.retrieve(f"RETR {number}-{file}") != content:
                    raise Failed("a file has come back as another one")
            one.quit()

        def login(number):
            for _ in range(each):
                session(number).quit()

        # Nodes compile and connect before the measured time.
        one = session(0)
        one.send(f"MKD {directory}", "257")
        one.quit()
        for number in range(10 * count):
            one = session(number)
            one.store(f"warm-{number}", content)
            one.quit()
        for key, job in (("files", work), ("logins", login)):
            before, engine, begun = sum(node.cpu() for node in running), nodes.engine.cpu(), time.monotonic()
            list(pool.map(job, workers))
            done = each * len(workers)
            found[key] = {
                "cpu_per_1000": digits((sum(node.cpu() for node in running) - before) * 1000 / done),
                "engine_cpu_per_1000": digits((nodes.engine.cpu() - engine) * 1000 / done),
                "rate": digits(done / (time.monotonic() - begun)),
            }
    return found


def hashing(nodes, certificate, say):
    """Processor time of a login with the hash that `portcullis user add` makes, which is not remembered."""
    place = nodes.place / "hashing"
    (place / "state").mkdir(parents=True, mode=0o700)
    (place / "state").chmod(0o700)
    (place / "config.toml").write_text(
        f'[server]\nstate = "{place}/state"\n[[plugin]]\nname = "users"\ncomponent = "builtin:users"\n'
        'settings.users = { file = "users.toml" }\n'
    )
    words = ["user", "add", "bench", "--password-stdin", "--config", place / "config.toml"]
    done = subprocess.run(
        [str(word) for word in (nodes.program, *words)], input=f"{PASSWORD}\n", text=True, capture_output=True, check=False
    )
    lines = (place / "state/users.toml").read_text().splitlines() if done.returncode == 0 else []
    hashed = next((line.split("=", 1)[1].strip().strip("\"'") for line in lines if line.startswith("password")), None)
    if not hashed:
        raise Failed(f"user add: {done.stderr or done.stdout}")
    tls, count = client.context(certificate), 100
    with nodes.run(1, password=hashed) as [node]:
        client.Session(node.port, tls).quit()
        before = node.cpu()
        for _ in range(count):
            client.Session(node.port, tls).quit()
        cpu = (node.cpu() - before) * 1000 / count
    say(f"hashing: {cpu:.1f} s for 1000 logins by {hashed.split('$')[1]}")
    return {"hash": hashed.rsplit("$", 2)[0], "cpu_per_1000": digits(cpu)}

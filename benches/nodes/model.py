"""A calculation: the figures that were measured, times as many sessions and nodes as nobody has measured here."""

# A session, and a node. Assumptions, which the page tells.
LOGIN_SECONDS = 600
FILE_SECONDS = 60
FILE_BYTES = 1 << 20
LISTING_SECONDS = 600
NODE_CORES, NODE_GIB, NODE_GBIT, USED = 4, 8, 10, 0.5
MONTH = 30 * 24 * 3600
# USD for a million requests, assumed on 2026-11-28.
PRICE_WRITE, PRICE_READ = 5.0, 0.4
WRITES = ("PUT", "PUT part", "LIST", "LIST uploads", "begin", "complete", "COPY")
# A node looks for what is left over so often, and a balancer asks each node so often whether it is ready, in seconds.
EXPIRY_SECONDS, CHECK_SECONDS = 600, 1

SESSIONS = (1000, 10_000, 100_000, 1_000_000)
NODES = (1, 3, 10, 100, 1000)


def price(requests):
    """USD of these counts of requests; removing and giving up cost nothing."""
    writes = sum(count for name, count in requests.items() if name in WRITES)
    reads = sum(count for name, count in requests.items() if name in ("GET", "HEAD"))
    return (writes * PRICE_WRITE + reads * PRICE_READ) / 1e6


class Model:
    def __init__(self, results):
        self.results = results
        held = results["sessions"][-1]
        self.kib, self.kernel, self.files = (
            held[key] for key in ("kib_per_session", "kernel_kib_per_session", "files_per_session")
        )
        compare = results["compare"]
        self.login = compare["logins"] / 1000
        self.hashed = results["hashing"]["cpu_per_1000"] / 1000
        # A store and a fetch of a small file from a bucket, and their bytes.
        gib = FILE_BYTES / 2**30
        self.pair = results["nodes"][0]["files"]["cpu_per_1000"] / 1000 + gib * (compare["upload"] + compare["download"])
        self.redis = results.get("shared", {}).get("cpu_per_1000", 0) / 1000
        self.rows = {row["operation"]: row for row in results["requests"]["node"]}

    def engine(self, operation):
        return self.rows[operation]["engine"]

    def of_sessions(self, count):
        """The needs of so many sessions, all nodes together."""
        logins, files, listings = count / LOGIN_SECONDS, count / FILE_SECONDS, count / LISTING_SECONDS
        requests = {}
        for operation, rate in (
            ("login", logins), ("QUIT", logins), ("MLSD of 2 files", listings),
            ("STOR of 4 KiB, new", files / 2), ("RETR of 4 KiB", files / 2),
        ):  # fmt: skip
            for name, each in self.engine(operation).items():
                requests[name] = requests.get(name, 0) + each * rate
        cores = logins * self.login + files / 2 * self.pair
        memory = count * (self.kib + self.kernel) / 2**20
        gbit = files * FILE_BYTES * 8 / 1e9
        nodes = max(cores / NODE_CORES, memory / NODE_GIB, 2 * gbit / NODE_GBIT) / USED
        return {
            "sessions": count, "gib": memory, "kernel_gib": count * self.kernel / 2**20, "files": count * self.files,
            "logins_s": logins, "login_cores": logins * self.login, "hash_cores": logins * self.hashed,
            "files_s": files, "file_cores": files / 2 * self.pair, "gbit": gbit, "nodes": int(nodes) + 2,
            "requests_s": sum(requests.values()), "redis_cores": logins * self.redis,
            "usd_month": price({name: rate * MONTH for name, rate in requests.items()}),
        }  # fmt: skip


def of_nodes(count):
    """The needs of so many nodes when nobody is there."""
    looks = count * MONTH / EXPIRY_SECONDS
    return {
        "nodes": count,
        "looks_month": looks,
        "usd_month": price({"LIST": looks}),
        "checks_s": count / CHECK_SECONDS,
        "ports": count,
    }

"""What the figures say: the best peer, where ours loses, what bends first."""

# Of a hundred operations of a peer that counts as the best of a scenario.
ERRORS = 0.001
BEND = 1.5
# What grows, and the figures that should stay level; from which row on, as the first ones have costs of their own.
LEVEL = {
    "sessions": (
        "sessions",
        ("kib_per_session", "KiB a session", 2),
        ("p99_ms", "p99 of a download", 0),
        ("login_cpu", "CPU of a login", 0),
    ),
    "directories": (
        "entries",
        ("cpu_us_per_entry", "CPU of an entry", 1),
        ("us_per_entry", "time of an entry", 1),
        ("peak_mib", "memory", 0),
        ("first_byte_ms", "first byte", 1),
    ),
    "files": ("gib", ("first_byte_ms", "first byte", 0), ("size_ms", "SIZE", 0), ("mlst_ms", "MLST", 0)),
    "plugins": (
        "plugins",
        ("get.cpu", "CPU of a download", 0),
        ("put.cpu", "CPU of an upload", 0),
        ("logins.cpu", "CPU of a login", 0),
    ),
    "cores": (
        "cores",
        ("download.cpu", "CPU of a download", 0),
        ("small-get.cpu", "CPU of a small download", 0),
        ("logins.cpu", "CPU of a login", 0),
    ),
}


def at(row, name):
    for key in name.split("."):
        row = row[key]
    return row


def best(compare, scenario, key, most=False):
    """The best peer and its figure; the least, or the most."""
    peers = [server["name"] for server in compare["servers"] if server["kind"] == "peer"]
    found = []
    for name in peers:
        row = scenario["rows"].get(name)
        if row and row[key] is not None and row["errors"] <= ERRORS * row["operations"]:
            found.append((row[key], name))
    if not found:
        return None
    figure, name = max(found) if most else min(found)
    return name, figure


def losses(compare):
    """Work, figure, ours, the best peer's, its name, the ratio: above 1 is worse. Of processor time, of rates, and of
    memory where sessions are held."""
    lines = []
    for name, scenario in compare["scenarios"].items():
        mine = scenario["rows"].get("portcullis")
        if not mine:
            continue
        rate = "MiB/s" if scenario["unit"] == "GiB" else "a second"
        unit = "GiB" if scenario["unit"] == "GiB" else "1000"
        figures = [("cpu_least", f"CPU-s/{unit}", False), ("rate", rate, True)]
        if scenario["holds"]:
            figures.append(("kib_per_session", "KiB a session", False))
        for key, text, most in figures:
            peer = best(compare, scenario, key, most)
            if not peer or not mine[key] or not peer[1]:
                continue
            ratio = peer[1] / mine[key] if most else mine[key] / peer[1]
            if ratio >= 1:
                lines.append((name, text, mine[key], peer[1], peer[0], ratio))
    return lines


def bends(growth):
    """Of each that grows, the figures that leave the level of the first row that counts by half of it."""
    lines = []
    for key, (x, *figures) in LEVEL.items():
        rows = growth.get(key, {}).get("rows", [])
        found = []
        for name, text, first in figures:
            usable = rows[first:]
            if len(usable) < 2 or not at(usable[0], name):
                continue
            level = at(usable[0], name)
            for row in usable[1:]:
                ratio = (at(row, name) or 0) / level
                if ratio >= BEND:
                    found.append((row[x], text, ratio))
                    break
        if found:
            where, text, ratio = min(found, key=lambda one: (one[0], -one[2]))
            lines.append((key, text, "level", f"{where:,}", f"{ratio:.1f} times as large"))
        elif rows:
            lines.append((key, "none", "level", "–", f"level up to {rows[-1][x]:,}"))
    return lines

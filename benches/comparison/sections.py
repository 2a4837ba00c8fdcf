"""The sections of the page about Portcullis alone."""

from . import findings
from .markdown import number, rows

DURABILITIES = ("none", "file", "file-and-directory")


def plugins(part):
    heads = ("authenticators", "CPU-s/1000 logins", "logins a second", "p99 ms")
    out = (
        "### Plugins\n\n"
        "Logins through a chain of authenticators: `lockout` as often as needed, and `users`, which knows the "
        "user.\n\n"
    )
    out += rows(
        heads,
        [(row["plugins"], number(row["cpu"]), number(row["rate"]), number(row["p99_ms"])) for row in part["logins"]],
    )
    names = {"decision": "a command about one path (SIZE)", "entry": "an entry of a listing (MLSD of 10,000)"}
    out += "\nThe policy of `config.toml` (`rules`), in processor time of the whole server:\n\n"
    lines = [
        (names[key], *(number(row[f"{what}_us"]) for what in ("without", "rules", "difference")))
        for key, row in part["policy"].items()
    ]
    out += rows(("", "without, µs", "with it, µs", "the difference, µs"), lines)
    out += (
        "\nUploads through one inspector, 4 connections; clamd's own processor time counts, too. Its only signature "
        "is one that nothing has: a real database costs more.\n\n"
        "![Uploads through inspectors](performance/inspectors.svg)\n\n"
    )
    lines = []
    for row in part["uploads"]:
        if "missing" in row:
            lines.append((row["through"], f"left out: {row['missing']}", "", "", "", ""))
            continue
        base = part["uploads"][0].get("large")
        ratio = f"{row['large']['cpu'] / base['cpu']:.2f}" if base else "–"
        large, small = row["large"], row["small"]
        lines.append(
            (
                row["through"],
                number(large["cpu"]),
                ratio,
                number(large["rate"]),
                number(small["cpu"]),
                number(small["p50_ms"]),
            )
        )
    return out + rows(
        ("through", "CPU-s/GiB (16 MiB)", "times nothing", "MiB/s", "CPU-s/1000 (4 KiB)", "p50 ms (4 KiB)"), lines
    )


def growth(part):
    out = "### How it grows\n\nPortcullis alone, with the plugins of `config.toml` where nothing else is said.\n\n"
    bends = findings.bends(part)
    out += "The first figure of each that bends: leaves what would be level, or in proportion, by half of it.\n\n"
    out += rows(("what grows", "figure", "it should be", "it bends at", "and is"), bends) + "\n"
    sections = (
        (
            "sessions",
            "Sessions that are held, while one more fetches 4 KiB files and 8 clients log in and out",
            (
                ("sessions", "sessions"),
                ("pss_mib", "memory, MiB"),
                ("kib_per_session", "KiB a session"),
                ("p99_ms", "p99 of a download, ms"),
                ("logins_s", "logins a second"),
                ("login_cpu", "CPU-s/1000 logins"),
                ("errors", "errors"),
            ),
        ),
        (
            "directories",
            "MLSD, one at a time; memory is the most while it lists",
            (
                ("entries", "entries"),
                ("p50_ms", "ms"),
                ("us_per_entry", "µs an entry"),
                ("cpu_us_per_entry", "of processor"),
                ("first_byte_ms", "first byte, ms"),
                ("peak_mib", "memory, MiB"),
            ),
        ),
        (
            "files",
            "The last 4 KiB of a sparse file, by REST and RETR",
            (
                ("gib", "GiB"),
                ("size_ms", "SIZE, ms"),
                ("mlst_ms", "MLST, ms"),
                ("first_byte_ms", "first byte, ms"),
                ("first_byte_p99_ms", "its p99"),
            ),
        ),
        (
            "plugins",
            "More plugins besides `users`: so many `rules` for downloads of 4 KiB, `upload-guard` for uploads of 4 "
            "KiB, `lockout` for "
            "logins. CPU-s/1000",
            (("plugins", "plugins"), ("get.cpu", "downloads"), ("put.cpu", "uploads"), ("logins.cpu", "logins")),
        ),
        (
            "cores",
            "Cores that the server may use; the client uses all of them",
            (
                ("cores", "cores"),
                ("download.rate", "download, MiB/s"),
                ("download.cpu", "CPU-s/GiB"),
                ("small-get.rate", "4 KiB downloads a second"),
                ("small-get.cpu", "CPU-s/1000"),
                ("logins.rate", "logins a second"),
                ("logins.cpu", "CPU-s/1000"),
            ),
        ),
    )
    for key, text, columns in sections:
        if key not in part:
            continue
        out += f"**{key.capitalize()}.** {text}.\n\n"
        if part[key]["rows"]:
            out += f"![How Portcullis grows: {key}](performance/growth-{key}.svg)\n\n"
            lines = [[count(findings.at(row, name)) for name, _ in columns] for row in part[key]["rows"]]
            out += rows([head for _, head in columns], lines) + "\n"
        for reason in part[key]["skipped"]:
            out += f"Left out: {reason}.\n\n"
    return out.rstrip("\n") + "\n"


def count(value):
    """Whole numbers as they are."""
    return f"{value:,}" if isinstance(value, int) else number(value)


def verdict(right):
    return "yes" if right else "**no**"


def latency(part):
    names = (
        ("retr_to_byte", "RETR to the first byte, with the handshake of the data connection (4 KiB)"),
        ("begun_to_byte", "150 and the end of that handshake to the first byte"),
        ("get_byte_to_226", "last byte to 226, download of 4 KiB"),
        ("large_byte_to_226", "last byte to 226, download of 1 MiB"),
        ("put_byte_to_226", "last byte to 226, upload of 4 KiB"),
    )
    lines = []
    for key, text in names:
        for row in part["transfers"]:
            wait = row[key]
            lines.append(
                (text, row["server"], number(wait["p50_ms"]), number(wait["p99_ms"]), verdict(wait["p50_ms"] < 1))
            )
    out = '### Latency\n\nOne client, one connection, durability "none".\n\n'
    out += rows(("from and to", "server", "p50 ms", "p99 ms", "median below 1 ms"), lines)
    out += (
        "\nDownloads of 4 KiB by one session beside others, whose client has the lowest priority. A process that "
        "computes shows what a busy core alone does to it.\n\n"
    )
    lines = [
        (row["beside"], number(row["p50_ms"]), number(row["p99_ms"]), f"{row['times']:.1f}", verdict(row["times"] <= 3))
        for row in part["beside"]
    ]
    return out + rows(("beside", "p50 ms", "p99 ms", "times alone", "3 at most"), lines)


def start(part):
    lines = []
    for row in part:
        right = row["login_ms"] < 50 and row["resident_mib"] < 60
        keys = ("login_ms", "least_ms", "most_ms", "cpu_ms", "resident_mib")
        lines.append((row["server"], *(number(row[key]) for key in keys), verdict(right)))
    text = (
        "### The start\n\n"
        "From the start of the process to the end of the first login, the compiled plugins in the cache; and the "
        "least processor time of the server until then.\n\n"
    )
    heads = ("server", "median ms", "least", "most", "of processor, ms", "resident MiB", "below 50 ms and 60 MiB")
    return text + rows(heads, lines)


def durability(part):
    lines = []
    for row in part:
        lines.append(
            (
                row["size"],
                *(f"{number(row[level]['p50_ms'])} / {number(row[level]['p99_ms'])}" for level in DURABILITIES),
            )
        )
    return (
        "### Durability\n\n"
        "From the last byte to 226, p50 / p99 in ms, uploads to new names. With a hundred sessions that begin the "
        "next upload at once, most of it is waiting for each other.\n\n"
        "![From the last byte to 226](performance/durability.svg)\n\n" + rows(("upload", *DURABILITIES), lines)
    )

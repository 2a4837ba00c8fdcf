"""The page: tables of saved results between two marks, and whether they are there."""

import json
import re

from . import findings

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
FORMAT = 1
DURABILITIES = ("none", "file", "file-and-directory")


def saved(results):
    """Rows on lines of their own, so that changes can be read."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    # Lists of numbers on one line.
    flat = re.sub(r"\[\s+((?:[-\d.e+]+|null)(?:,\s+(?:[-\d.e+]+|null))*)\s+\]", lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text)
    return flat + "\n"


def into_page(page, results):
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs the marks {BEGIN} and {END}, once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(results)}\n{END}{rest.split(END)[1]}"


def faults(page, results, directory):
    """Why the page is not that of the results."""
    found = []
    if into_page(page, results) != page:
        found.append("its tables are not those of results.json: benches/compare --from docs/performance/results.json")
    for chart in re.findall(r"!\[[^\]]*\]\((performance/[^)]+)\)", page):
        if not (directory / chart).exists():
            found.append(f"there is no {chart}: benches/compare --from docs/performance/results.json")
    return found


def tables(results):
    if results["format"] != FORMAT:
        raise ValueError(f"results of format {results['format']}, not {FORMAT}")
    parts = [machine(results)]
    if "compare" in results:
        parts += [losing(results), processor(results), scenarios(results), settings(results)]
    for name, part in (
        ("plugins", plugins), ("growth", growth), ("latency", latency), ("start", start), ("durability", durability),
    ):  # fmt: skip
        if name in results:
            parts.append(part(results[name]))
    return "\n".join(parts)


def number(value, digits=3):
    """So many digits that count; more say nothing."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return f"{float(text):.10f}".rstrip("0").rstrip(".") if "e" in text else text


def rows(heads, lines):
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    out += ["| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines]
    return "\n".join(out) + "\n"


def machine(results):
    about, how = results["machine"], results["settings"]
    text = (
        f"Measured on {results['date']} with {about['cores']} cores ({about['processor']}), {number(about['memory_gib'])} GiB of memory, "
        f"{about['system']}, Linux {about['kernel']}; revision {results['commit']}. {how['rounds']} rounds of {how['secs']:g} s, the "
        f"servers in turns; the client has {how['threads']} thread and runs on the same machine, over 127.0.0.1.\n"
    )
    if results["quick"]:
        text = f"**These figures are of a short run (`--quick`): they show the form of the tables, and no more.**\n\n{text}"
    return text


def losing(results):
    lines = findings.losses(results["compare"])
    out = "### Where Portcullis loses\n\nEvery row in which a peer is as good or better, for Portcullis with the plugins of `config.toml`:\n\n"
    if not lines:
        return out + "There is none.\n"
    heads = ("work", "figure", "Portcullis", "the best peer", "", "ratio")
    return out + rows(heads, [(w, f, number(a), number(b), who, f"{ratio:.2f}") for w, f, a, b, who, ratio in lines])


def processor(results):
    compare = results["compare"]
    names = [server["name"] for server in compare["servers"] if not server["faults"]]
    lines = []
    for key, scenario in compare["scenarios"].items():
        best = findings.best(compare, scenario, "cpu_least")
        mine = scenario["rows"].get("portcullis")
        cells = []
        for name in names:
            row = scenario["rows"].get(name)
            cell = number(row["cpu_least"]) if row else ""
            if row and row["errors"]:
                cell += " (errors)"
            cells.append(f"**{cell}**" if best and best[0] == name else cell)
        ratio = f"{mine['cpu_least'] / best[1]:.2f}" if mine and mine["cpu_least"] and best else "–"
        lines.append((key, *cells, ratio))
    return (
        "### Processor time\n\nSeconds of processor of the server with all its processes, for a GiB or for 1000 operations: the least of all "
        "rounds, as other work on the machine only ever adds to it. Bold is the best peer; the last column is Portcullis "
        "as a part of it.\n\n![Processor time of each server for the same work](performance/processor.svg)\n\n"
        + rows(("work", *names, "ratio"), lines)
    )


def scenarios(results):
    out = (
        "### The same work in detail\n\nRates are medians: MiB or operations a second. p99 is of whole operations. Cores are those that the "
        "server, the client, and everything else used: where they add up to all there are, the rate is the machine's. Memory is PSS, where "
        "pages that processes share are split among them.\n"
    )
    for key, scenario in results["compare"]["scenarios"].items():
        unit = "GiB" if scenario["unit"] == "GiB" else "1000"
        rate = "MiB/s" if unit == "GiB" else "a second"
        held = ("KiB a session", "processes") if scenario["holds"] else ("cores", "resumed")
        heads = ("server", f"CPU-s/{unit}, median", "least", rate, "p50 ms", "p99 ms", "MiB", *held, "errors")
        lines = []
        for name, row in scenario["rows"].items():
            if scenario["holds"]:
                last = (number(row["kib_per_session"]), number(row["processes"]))
            else:
                cores = " / ".join(f"{row[f'{who}_cores'] or 0:.1f}" for who in ("server", "client", "other"))
                last = (cores, "–" if row["resumed"] is None else f"{row['resumed']:.0%}")
            wrong = "; ".join(f"{count} {kind}" for kind, count in row["error_kinds"].items()) or "0"
            times = (number(row["p50_ms"]), number(row["p99_ms"]))
            lines.append((name, number(row["cpu"]), number(row["cpu_least"]), number(row["rate"]), *times, number(row["pss_mib"]), *last, wrong))
        out += f"\n**{key}**: {scenario['work']}; {scenario['connections']:,} connections.\n\n{rows(heads, lines)}"
    if any(scenario["holds"] for scenario in results["compare"]["scenarios"].values()):
        out += "\n![Memory of a session that is logged in](performance/memory.svg)\n"
    if sum(key.startswith("scale-") for key in results["compare"]["scenarios"]) > 1:
        out += "\n![Processor time by the number of connections](performance/connections.svg)\n"
    return out


def settings(results):
    compare, how = results["compare"], results["settings"]
    lines = [
        ("certificate", "ECDSA P-256, self-signed, the same for all", "so that handshakes cost the same"),
        ("TLS", "both kinds of connections; the client offers 1.3, AES-256-GCM, X25519 before P-256", "so that all ciphers are one"),
        ("data connections", "the client resumes its control connection's session; nobody requires it", "as common clients do"),
        ("passwords", "MD5-crypt where there are hashes, else compared in the clear", "a login is to show the server and not the hash"),
        ("durability", '`"none"`, but for portcullis-durable', "no peer waits for the disk before 226"),
        ("limits", "none of sessions, addresses or rates", "a thousand clients come from one address"),
        ("logs", "no transfers; Portcullis at `warn`", "as the peers"),
        ("passive ports", "10000 to 30000", "Portcullis' default, for all"),
        ("user", "Portcullis, pyftpdlib and libunftp run as the user of the run; Debian's servers change to `daemon`", "each as it is made"),
        ("files", f"links to one copy, in the page cache; the large one has {how['big_mib']:,} MiB", "the disk is not measured"),
        ("memory", "2 GiB are written and freed before each run with large uploads, 256 MiB before one with small ones", "on a virtual machine the first use of a freed page may cost a fault in the host"),
        ("start", "a fresh process for each run; after a test of contents in both directions", "nobody profits by the run before"),
    ]  # fmt: skip
    about = [(s["name"], s["version"], s["password_check"], s["notes"], "; ".join(s["faults"]) or "passed") for s in compare["servers"]]
    about += [(name, "–", "–", "–", f"left out: {reason}") for name, reason in compare["missing"].items()]
    return (
        "### Servers and settings\n\n" + rows(("server", "version", "check of passwords", "set otherwise than by default, and form", "test"), about)
        + "\n" + rows(("setting", "", "reason"), lines)
    )  # fmt: skip


def plugins(part):
    heads = ("authenticators", "CPU-s/1000 logins", "logins a second", "p99 ms")
    out = "### Plugins\n\nLogins through a chain of authenticators: `lockout` as often as needed, and `users`, which knows the user.\n\n"
    out += rows(heads, [(row["plugins"], number(row["cpu"]), number(row["rate"]), number(row["p99_ms"])) for row in part["logins"]])
    names = {"decision": "a command about one path (SIZE)", "entry": "an entry of a listing (MLSD of 10,000)"}
    out += "\nThe policy of `config.toml` (`rules`), in processor time of the whole server:\n\n"
    lines = [(names[key], *(number(row[f"{what}_us"]) for what in ("without", "rules", "difference"))) for key, row in part["policy"].items()]
    out += rows(("", "without, µs", "with it, µs", "the difference, µs"), lines)
    out += (
        "\nUploads through one inspector, 4 connections; clamd's own processor time counts, too. Its only signature is one that nothing has: a "
        "real database costs more.\n\n![Uploads through inspectors](performance/inspectors.svg)\n\n"
    )
    lines = []
    for row in part["uploads"]:
        if "missing" in row:
            lines.append((row["through"], f"left out: {row['missing']}", "", "", "", ""))
            continue
        base = part["uploads"][0].get("large")
        ratio = f"{row['large']['cpu'] / base['cpu']:.2f}" if base else "–"
        large, small = row["large"], row["small"]
        lines.append((row["through"], number(large["cpu"]), ratio, number(large["rate"]), number(small["cpu"]), number(small["p50_ms"])))
    return out + rows(("through", "CPU-s/GiB (16 MiB)", "times nothing", "MiB/s", "CPU-s/1000 (4 KiB)", "p50 ms (4 KiB)"), lines)


def growth(part):
    out = "### How it grows\n\nPortcullis alone, with the plugins of `config.toml` where nothing else is said.\n\n"
    bends = findings.bends(part)
    out += "The first figure of each that bends: leaves what would be level, or in proportion, by half of it.\n\n"
    out += rows(("what grows", "figure", "it should be", "it bends at", "and is"), bends) + "\n"
    sections = (
        ("sessions", "Sessions that are held, while one more fetches 4 KiB files and 8 clients log in and out", (
            ("sessions", "sessions"), ("pss_mib", "memory, MiB"), ("kib_per_session", "KiB a session"), ("p99_ms", "p99 of a download, ms"),
            ("logins_s", "logins a second"), ("login_cpu", "CPU-s/1000 logins"), ("errors", "errors"))),
        ("directories", "MLSD, one at a time; memory is the most while it lists", (
            ("entries", "entries"), ("p50_ms", "ms"), ("us_per_entry", "µs an entry"), ("cpu_us_per_entry", "of processor"),
            ("first_byte_ms", "first byte, ms"), ("peak_mib", "memory, MiB"))),
        ("files", "The last 4 KiB of a sparse file, by REST and RETR", (
            ("gib", "GiB"), ("size_ms", "SIZE, ms"), ("mlst_ms", "MLST, ms"), ("first_byte_ms", "first byte, ms"),
            ("first_byte_p99_ms", "its p99"))),
        ("plugins", "More plugins besides `users`: so many `rules` for downloads of 4 KiB, `upload-guard` for uploads of 4 KiB, `lockout` for "
            "logins. CPU-s/1000", (("plugins", "plugins"), ("get.cpu", "downloads"), ("put.cpu", "uploads"), ("logins.cpu", "logins"))),
        ("cores", "Cores that the server may use; the client uses all of them", (
            ("cores", "cores"), ("download.rate", "download, MiB/s"), ("download.cpu", "CPU-s/GiB"), ("small-get.rate", "4 KiB downloads a second"),
            ("small-get.cpu", "CPU-s/1000"), ("logins.rate", "logins a second"), ("logins.cpu", "CPU-s/1000"))),
    )  # fmt: skip
    for key, text, columns in sections:
        if key not in part:
            continue
        out += f"**{key.capitalize()}.** {text}.\n\n"
        if part[key]["rows"]:
            out += f"![{text.split('.')[0]}](performance/growth-{key}.svg)\n\n"
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
        ("get_byte_to_226", "last byte to 226, download of 4 KiB"), ("large_byte_to_226", "last byte to 226, download of 1 MiB"),
        ("put_byte_to_226", "last byte to 226, upload of 4 KiB"),
    )  # fmt: skip
    lines = []
    for key, text in names:
        for row in part["transfers"]:
            wait = row[key]
            lines.append((text, row["server"], number(wait["p50_ms"]), number(wait["p99_ms"]), verdict(wait["p50_ms"] < 1)))
    out = '### Latency\n\nOne client, one connection, durability "none".\n\n'
    out += rows(("from and to", "server", "p50 ms", "p99 ms", "median below 1 ms"), lines)
    out += (
        "\nDownloads of 4 KiB by one session beside others, whose client has the lowest priority. A process that computes shows what a busy "
        "core alone does to it.\n\n"
    )
    lines = [
        (row["beside"], number(row["p50_ms"]), number(row["p99_ms"]), f"{row['times']:.1f}", verdict(row["times"] <= 3)) for row in part["beside"]
    ]
    return out + rows(("beside", "p50 ms", "p99 ms", "times alone", "3 at most"), lines)


def start(part):
    lines = []
    for row in part:
        right = row["login_ms"] < 50 and row["resident_mib"] < 60
        times = (row["login_ms"], row["least_ms"], row["most_ms"], row["resident_mib"])
        lines.append((row["server"], *map(number, times), verdict(right)))
    return "### The start\n\nFrom the start of the process to the end of the first login, the compiled plugins in the cache.\n\n" + rows(
        ("server", "median ms", "least", "most", "resident MiB", "below 50 ms and 60 MiB"), lines
    )


def durability(part):
    lines = []
    for row in part:
        lines.append((row["size"], *(f"{number(row[level]['p50_ms'])} / {number(row[level]['p99_ms'])}" for level in DURABILITIES)))
    return (
        "### Durability\n\nFrom the last byte to 226, p50 / p99 in ms, uploads to new names. With a hundred sessions that begin the next upload "
        "at once, most of it is waiting for each other.\n\n![From the last byte to 226](performance/durability.svg)\n\n"
        + rows(("upload", *DURABILITIES), lines)
    )

"""The page: tables of saved results between two marks, and whether they are there."""

import json
import re
import textwrap

from . import findings, sections
from .markdown import number, plural, rows

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
FORMAT = 1
SECTIONS = {
    "plugins": sections.plugins,
    "growth": sections.growth,
    "latency": sections.latency,
    "start": sections.start,
    "durability": sections.durability,
}


def saved(results):
    """Rows on lines of their own, so that changes can be read."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    # Lists of numbers on one line.
    flat = re.sub(
        r"\[\s+((?:[-\d.e+]+|null)(?:,\s+(?:[-\d.e+]+|null))*)\s+\]",
        lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]",
        text,
    )
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
    for name, section in SECTIONS.items():
        if name in results:
            parts.append(section(results[name]))
    return wrapped("\n".join(parts))


def wrapped(text):
    """Prose in lines as the rest of the page has them; tables, headings and pictures as they are."""
    lines = []
    for line in text.split("\n"):
        prose = line and not line.startswith(("|", "#", "!"))
        lines += textwrap.wrap(line, 118, break_long_words=False, break_on_hyphens=False) if prose else [line]
    return "\n".join(lines)


def machine(results):
    about, how = results["machine"], results["settings"]
    text = (
        f"Measured on {results['date']} with {about['cores']} cores ({about['processor']}), "
        f"{number(about['memory_gib'])} GiB of memory, "
        f"{about['system']}, Linux {about['kernel']}; revision {results['commit']}. {plural(how['rounds'], 'round')} of "
        f"{how['secs']:g} s, the "
        f"servers in turns; the client has {plural(how['threads'], 'thread')} and runs on the same machine, over 127.0.0.1.\n"
    )
    if "kept" in results:
        kept = results["kept"]
        text = text.rstrip("\n") + (
            f" What was not measured then is of {kept['date']}, revision {kept['commit']}, "
            f"{plural(kept['settings']['rounds'], 'round')} of {kept['settings']['secs']:g} s.\n"
        )
    if results["quick"]:
        short = "**These figures are of a short run (`--quick`): they show the form of the tables, and no more.**"
        text = f"{short}\n\n{text}"
    return text


def losing(results):
    lines = findings.losses(results["compare"])
    out = (
        "### Where Portcullis loses\n\n"
        "Every row in which a peer is as good or better, for Portcullis with the plugins of `config.toml`:\n\n"
    )
    if not lines:
        return out + "There is none.\n"
    heads = ("work", "figure", "Portcullis", "the best peer", "", "ratio")
    out += rows(heads, [(w, f, number(a), number(b), who, f"{ratio:.2f}") for w, f, a, b, who, ratio in lines])
    if any(line[0].startswith(("logins", "idle")) for line in lines):
        out += (
            "\npyftpdlib and libunftp compare passwords in the clear, and so are without the hash of each login: the "
            "row of portcullis-light is the one to hold against theirs.\n"
        )
    return out


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
        "### Processor time\n\n"
        "Seconds of processor of the server with all its processes, for a GiB or for 1000 operations: the least of "
        "all rounds, as other work on the machine only ever adds to it. Bold is the best peer, of those with no more "
        "than one error in a thousand operations; the last column is Portcullis divided by it.\n\n"
        "![Processor time of each server for the same work](performance/processor.svg)\n\n"
        + rows(("work", *names, "ratio"), lines)
    )


def scenarios(results):
    out = (
        "### The same work in detail\n\n"
        "Rates are medians: MiB or operations a second. p99 is of whole operations. Cores are those that the server, "
        "the client, and everything else used: where they add up to all there are, the rate is the machine's. Memory "
        "is PSS, where pages that processes share are split among them.\n"
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
            lines.append(
                (
                    name,
                    number(row["cpu"]),
                    number(row["cpu_least"]),
                    number(row["rate"]),
                    *times,
                    number(row["pss_mib"]),
                    *last,
                    wrong,
                )
            )
        out += (
            f"\n**{key}**: {scenario['work']}; {plural(scenario['connections'], 'connection')}.\n\n{rows(heads, lines)}"
        )
    if any(scenario["holds"] for scenario in results["compare"]["scenarios"].values()):
        out += "\n![Memory of a session that is logged in](performance/memory.svg)\n"
    if sum(key.startswith("scale-") for key in results["compare"]["scenarios"]) > 1:
        out += "\n![Processor time by the number of connections](performance/connections.svg)\n"
    return out


def settings(results):
    compare, how = results["compare"], results["settings"]
    lines = [
        ("certificate", "ECDSA P-256, self-signed, the same for all", "so that handshakes cost the same"),
        (
            "TLS",
            "both kinds of connections; the client offers 1.3, AES-256-GCM, X25519 before P-256",
            "so that all ciphers are one",
        ),
        (
            "data connections",
            "the client resumes its control connection's session; nobody requires it",
            "as common clients do",
        ),
        (
            "passwords",
            "MD5-crypt where there are hashes, else compared in the clear",
            "a login is to show the server and not the hash",
        ),
        ("durability", '`"none"`, but for portcullis-durable', "no peer waits for the disk before 226"),
        ("limits", "none of sessions, addresses or rates", "a thousand clients come from one address"),
        ("logs", "no transfers; Portcullis at `warn`", "as the peers"),
        ("passive ports", "10000 to 30000", "Portcullis' default, for all"),
        (
            "user",
            "Portcullis, pyftpdlib and libunftp run as the user of the run; Debian's servers change to `daemon`",
            "each as it is made",
        ),
        (
            "files",
            f"links to one copy, in the page cache; the large one has {how['big_mib']:,} MiB",
            "the disk is not measured",
        ),
        (
            "memory",
            "2 GiB are written and freed before each run with large uploads, 256 MiB before one with small ones",
            "on a virtual machine the first use of a freed page may cost a fault in the host",
        ),
        (
            "start",
            "a fresh process for each run; after a test of contents in both directions",
            "nobody profits by the run before",
        ),
    ]
    about = [
        (s["name"], s["version"], s["password_check"], s["notes"], "; ".join(s["faults"]) or "passed")
        for s in compare["servers"]
    ]
    about += [(name, "–", "–", "–", f"left out: {reason}") for name, reason in compare["missing"].items()]
    return (
        "### Servers and settings\n\n"
        + rows(("server", "version", "check of passwords", "set otherwise than by default, and form", "test"), about)
        + "\n"
        + rows(("setting", "", "reason"), lines)
    )

"""The tables of docs/growth.md between its marks, and the chart beside it."""

from comparison.markdown import number, rows
from comparison.report import wrapped

from . import model

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def into(page, results):
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page needs the marks {BEGIN} and {END}, once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(results)}\n{END}{rest.split(END)[1]}"


def tables(results):
    parts = [
        machine(results), "### Requests\n", requests(results), "### Memory of a session\n", sessions(results),
        "### One node and several\n", nodes(results), "### Calculated: sessions\n",
        calculated(model.Model(results)), "### Calculated: nodes that idle\n", idle(),
    ]  # fmt: skip
    return wrapped("\n".join(parts))


def machine(results):
    about = results["machine"]
    slow = " Its own code is not optimised: a release build takes less processor time." if results["profile"] == "dev" else ""
    return (
        f"Measured on {results['date']} with {about['cores']} cores ({about['processor']}), {about['memory_gib']} GiB of "
        f"memory, {about['system']}, Linux {about['kernel']}; revision {results['commit']}, a build of the profile "
        f"`{results['profile']}`. Nodes, engine and clients share the machine, over 127.0.0.1.{slow}\n"
    )


def counts(found):
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "–"


def requests(results):
    heads = ["", '`resume = "node"`', '`resume = "anywhere"`']
    both = zip(results["requests"]["node"], results["requests"]["anywhere"], strict=True)
    lines = [[one["operation"], counts(one["engine"]), counts(other["engine"])] for one, other in both]
    return rows(heads, lines) + "\n" + redis(results)


def redis(results):
    if "shared" not in results:
        return "Redis was not measured.\n"
    found, of = results["shared"], ""
    if found["commit"] != results["commit"]:
        of = f" These are of revision {found['commit']}."
    lines = [[row["operation"], row["redis"].get("evalsha", 0), sum(row["redis"].values())] for row in found["requests"]]
    return (
        "Of Redis, where `lockout` counts and users have a limit of sessions; without these nobody asks it at a login, and "
        f"operations that are not named never do.{of} 1000 logins take {number(found['cpu_per_1000'])} s of its one thread.\n\n"
    ) + rows(["", "scripts", "commands, those within scripts included"], lines)


def sessions(results):
    keys = ("kib_per_session", "kernel_kib_per_session", "files_per_session")
    lines = [[f"{row['sessions']:,}", number(row["pss_mib"]), *(number(row[key]) for key in keys)] for row in results["sessions"]]
    heads = ["sessions", "MiB of the server", "KiB a session", "KiB a session in the kernel, its client's included", "files"]
    return rows(heads, lines)


def nodes(results):
    heads = ["nodes", "CPU s of all nodes for 1000 files", "of the engine", "CPU s of all nodes for 1000 logins"]
    lines = [
        [row["nodes"], *(number(row["files"][key]) for key in ("cpu_per_1000", "engine_cpu_per_1000")),
         number(row["logins"]["cpu_per_1000"])]
        for row in results["nodes"]
    ]  # fmt: skip
    hashing = results["hashing"]
    return rows(heads, lines) + (
        "\nA file is stored and fetched, 4 KiB, each time over a new data connection. Logins have a hash that costs nothing; one "
        f"of `portcullis user add` (`{hashing['hash']}`) that is not remembered makes it {number(hashing['cpu_per_1000'])} s "
        "for 1000.\n"
    )


def calculated(made):
    found = [made.of_sessions(count) for count in model.SESSIONS]

    def line(text, key, unit=""):
        return [text, *(small(each[key]) + unit for each in found)]

    lines = [
        line("memory of sessions, with the kernel's", "gib", " GiB"),
        line("files open", "files"),
        line("logins a second", "logins_s"),
        line("cores for them: TLS, plugins", "login_cores"),
        line("cores with a hash that is computed each time", "hash_cores"),
        line("files a second", "files_s"),
        line("cores for them", "file_cores"),
        line("from and to clients; the same again to the bucket", "gbit", " Gbit/s"),
        line("requests a second to the engine", "requests_s"),
        line("their price a month", "usd_month", " USD"),
    ]
    if "shared" in made.results:
        lines.append(line("of one core of Redis, if all have `lockout` and a limit", "redis_cores"))
    lines.append(line("nodes, one of them to spare", "nodes"))
    return rows(["sessions", *(f"{count:,}" for count in model.SESSIONS)], lines)


def small(value):
    return number(value) if value >= 0.01 else "< 0.01"


def idle():
    found = [model.of_nodes(count) for count in model.NODES]
    lines = [
        ["looks for what is left over: LIST a month", *(f"{each['looks_month']:,.0f}" for each in found)],
        ["their price a month", *(f"{each['usd_month']:,.2f} USD" for each in found)],
        ["questions for `/readyz` a second, by each balancer", *(f"{each['checks_s']:,.0f}" for each in found)],
        ["ports for data, one for each node", *(f"{each['ports']:,}" for each in found)],
    ]
    return rows(["nodes", *(f"{count:,}" for count in model.NODES)], lines)


def chart(results, directory):
    """Imports matplotlib, which nothing else here needs."""
    from comparison.charts import OURS, PEER, VARIANT, bars, plot, save

    figure, (left, middle, right) = plot.subplots(1, 3, figsize=(9.6, 2.6))
    held = results["sessions"]
    left.plot([row["sessions"] for row in held], [row["kib_per_session"] for row in held], color=OURS, marker="o")
    left.set_title("KiB of memory of an idle session")
    left.set_xlabel("sessions")
    left.set_xlim(left=0)
    left.set_ylim(bottom=0)
    left.grid(True)
    counts = [row["nodes"] for row in results["nodes"]]
    for key, colour, text in (("files", OURS, "files"), ("logins", PEER, "logins")):
        middle.plot(counts, [row[key]["cpu_per_1000"] for row in results["nodes"]], color=colour, marker="o", label=text)
    middle.set_title("CPU seconds of all nodes for 1000")
    middle.set_xlabel("nodes")
    middle.set_xticks(counts)
    middle.set_ylim(bottom=0)
    middle.grid(True)
    middle.legend(frameon=False, fontsize=8)
    chosen = ("STOR of 4 KiB, new", "STOR of 4 KiB over a file", "RETR of 4 KiB", "STOR of 20 MiB, new", "MLSD of 2 files")
    of_operation = {row["operation"]: sum(row["engine"].values()) for row in results["requests"]["node"]}
    bars(right, chosen, [of_operation[name] for name in chosen], [OURS, VARIANT, OURS, VARIANT, OURS], "Requests to the engine")
    figure.tight_layout()
    directory.mkdir(exist_ok=True)
    save(figure, directory / "growth.svg")

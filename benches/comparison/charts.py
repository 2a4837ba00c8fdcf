"""The charts of saved results: `python -m comparison.charts RESULTS DIRECTORY`. The same results give the same bytes by the
same matplotlib."""

import json
import pathlib
import sys

import matplotlib
import matplotlib.ticker

matplotlib.use("svg")

import matplotlib.pyplot as plot  # noqa: E402

from . import findings  # noqa: E402

OURS, VARIANT, PEER = "#c2410c", "#f0a57a", "#8a94a3"
LINES = (OURS, "#1d6fb8", "#3f8f4f", "#7a4fb0", "#8a94a3", "#b08a00", "#444c56")
NUMBERS = matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.4g}" if value < 1000 else f"{value:,.0f}")
# White also on dark pages: grey text on a transparent ground is readable on neither.
plot.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "portcullis", "font.family": "sans-serif", "font.size": 9,
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10, "axes.titlelocation": "left",
    "axes.titleweight": "bold", "text.color": "#1f2328", "axes.labelcolor": "#1f2328", "axes.edgecolor": "#8a94a3",
    "xtick.color": "#444c56", "ytick.color": "#1f2328", "grid.color": "#e4e7eb", "lines.linewidth": 1.8, "lines.markersize": 4,
})  # fmt: skip


def main():
    results, directory = json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
    # What is not drawn again is of other results.
    for path in directory.glob("*.svg"):
        path.unlink()
    if "compare" in results:
        processor(results["compare"], directory)
        memory(results["compare"], directory)
        connections(results["compare"], directory)
    if "plugins" in results:
        inspectors(results["plugins"]["uploads"], directory)
    if "growth" in results:
        growth(results["growth"], directory)
    if "durability" in results:
        durability(results["durability"], directory)


def save(figure, path):
    figure.savefig(path, format="svg", bbox_inches="tight", pad_inches=0.15, metadata={"Date": None, "Creator": None})
    plot.close(figure)
    # No blanks at the ends of lines, which matplotlib leaves in paths.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def bars(axes, names, values, colours, title):
    """Horizontal ones, the first name on top, each with its figure."""
    places = range(len(names))[::-1]
    axes.barh(list(places), [value or 0 for value in values], color=colours, height=0.72)
    axes.set_yticks(list(places), names)
    axes.set_title(title)
    axes.set_xlim(0, max([value or 0 for value in values], default=1) * 1.18 or 1)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    for place, value in zip(places, values, strict=True):
        text = "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        axes.text(value or 0, place, f" {text}", va="center", fontsize=8)


def colour(server):
    return {"ours": OURS, "variant": VARIANT}.get(server["kind"], PEER)


def of_servers(compare, scenario, key):
    servers = [server for server in compare["servers"] if server["name"] in scenario["rows"]]
    names, values = (
        [server["name"] for server in servers],
        [scenario["rows"][server["name"]][key] for server in servers],
    )
    return names, values, [colour(server) for server in servers]


def processor(compare, directory):
    usual = [key for key in compare["scenarios"] if not key.startswith(("scale-", "idle-"))]
    if not usual:
        return
    tall = (len(usual) + 1) // 2
    figure, all_axes = plot.subplots(tall, 2, figsize=(9, 1.9 * tall + 0.5), squeeze=False)
    for axes in all_axes.flat[len(usual) :]:
        axes.set_visible(False)
    for axes, key in zip(all_axes.flat, usual, strict=False):
        scenario = compare["scenarios"][key]
        unit = "GiB" if scenario["unit"] == "GiB" else "1000"
        bars(
            axes,
            *of_servers(compare, scenario, "cpu_least"),
            f"{key}: {scenario['work']}\nCPU seconds for {'a ' if unit == 'GiB' else ''}{unit}",
        )
    figure.suptitle("Processor time of the server for the same work: less is better", x=0.01, ha="left", fontsize=11)
    figure.tight_layout()
    save(figure, directory / "processor.svg")


def memory(compare, directory):
    held = [scenario for scenario in compare["scenarios"].values() if scenario["holds"]]
    if held:
        figure, axes = plot.subplots(figsize=(7, 2.4))
        title = f"KiB of memory for each of {held[0]['connections']:,} sessions that are logged in: less is better"
        bars(axes, *of_servers(compare, held[0], "kib_per_session"), title)
        save(figure, directory / "memory.svg")


def connections(compare, directory):
    scale = [scenario for key, scenario in compare["scenarios"].items() if key.startswith("scale-")]
    if len(scale) < 2:
        return
    figure, (left, right) = plot.subplots(1, 2, figsize=(9, 3.2))
    peers = iter(LINES[1:])
    for server in compare["servers"]:
        points = [(one["connections"], one["rows"][server["name"]]) for one in scale if server["name"] in one["rows"]]
        if not points:
            continue
        mine = server["kind"] == "ours"
        style = {"color": OURS if mine else next(peers), "linewidth": 2.6 if mine else 1.3, "marker": "o"}
        left.plot([x for x, _ in points], [row["cpu_least"] for _, row in points], label=server["name"], **style)
        right.plot([x for x, _ in points], [row["rate"] for _, row in points], **style)
    for axes, title in ((left, "CPU seconds for a GiB: less is better"), (right, "MiB a second: more is better")):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(NUMBERS)
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_title(title)
        axes.set_xlabel("connections that fetch 1 MiB files")
        axes.grid(True)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    save(figure, directory / "connections.svg")


def inspectors(rows, directory):
    rows = [row for row in rows if "missing" not in row]
    if not rows:
        return
    figure, (left, right) = plot.subplots(1, 2, figsize=(9, 2.8))
    names, colours = [row["through"] for row in rows], [PEER if row["through"] == "nothing" else OURS for row in rows]
    bars(left, names, [row["large"]["cpu"] for row in rows], colours, "CPU seconds for a GiB in files of 16 MiB")
    bars(right, names, [row["small"]["cpu"] for row in rows], colours, "CPU seconds for 1000 files of 4 KiB")
    right.set_yticks([])
    figure.tight_layout()
    save(figure, directory / "inspectors.svg")


def growth(part, directory):
    """Of each panel: its title, its figures, and whether they are many times as large in the end."""
    panels = (
        ("Memory, MiB", (("pss_mib", ""),), None),
        ("Download of 4 KiB beside them, ms", (("p50_ms", "median"), ("p99_ms", "p99")), None),
        ("Logins a second beside them", (("logins_s", ""),), None),
    )
    draw(part, "sessions", "sessions", "sessions that are held", panels, directory)
    panels = (
        ("MLSD, ms", (("p50_ms", ""),), "log"),
        ("Processor time of an entry, µs", (("cpu_us_per_entry", ""),), None),
        ("Memory, MiB", (("peak_mib", ""),), None),
    )
    draw(part, "directories", "entries", "entries", panels, directory)
    figures = (
        ("first_byte_ms", "RETR to first byte, median"),
        ("first_byte_p99_ms", "its p99"),
        ("size_ms", "SIZE"),
        ("mlst_ms", "MLST"),
    )
    draw(part, "files", "gib", "GiB of the file", (("ms", figures, None),), directory)
    figures = (
        ("get.cpu", "downloads, rules"),
        ("put.cpu", "uploads, upload-guard"),
        ("logins.cpu", "logins, lockout"),
    )
    draw(part, "plugins", "plugins", "more plugins", (("CPU seconds for 1000", figures, None),), directory, "linear")
    panels = (
        ("Download, MiB/s", (("download.rate", ""),), None),
        ("4 KiB downloads a second", (("small-get.rate", ""),), None),
        ("Logins a second", (("logins.rate", ""),), None),
    )
    draw(part, "cores", "cores", "cores", panels, directory, "linear")


def draw(part, key, x, label, panels, directory, scale="log"):
    """Lines over what grows; `scale` of a panel is that of its figures, from 0 where they are not logarithms."""
    rows = part.get(key, {}).get("rows", [])
    if not rows:
        return
    figure, all_axes = plot.subplots(
        1, len(panels), figsize=(3.2 * len(panels) + (2 if len(panels) == 1 else 0), 2.6), squeeze=False
    )
    places = [row[x] for row in rows]
    for axes, (title, figures, own) in zip(all_axes[0], panels, strict=True):
        for (name, text), line in zip(figures, LINES, strict=False):
            axes.plot(places, [findings.at(row, name) for row in rows], color=line, marker="o", label=text)
        axes.set_title(title)
        axes.set_xlabel(label)
        axes.set_xscale(scale)
        axes.xaxis.set_major_formatter(NUMBERS)
        if scale == "linear":
            axes.set_xticks(places)
        axes.grid(True)
        if own:
            axes.set_yscale(own)
            axes.yaxis.set_major_formatter(NUMBERS)
        else:
            axes.set_ylim(bottom=0)
        axes.minorticks_off()
        if any(text for _, text in figures):
            axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    save(figure, directory / f"growth-{key}.svg")


def durability(rows, directory):
    levels = ("none", "file", "file-and-directory")
    figure, all_axes = plot.subplots(1, len(rows), figsize=(2.4 * len(rows), 1.7))
    for axes, row in zip(all_axes, rows, strict=True):
        bars(axes, levels, [row[level]["p50_ms"] for level in levels], [PEER, VARIANT, OURS], row["size"])
        if axes is not all_axes[0]:
            axes.set_yticks([])
    figure.suptitle("From the last byte to 226, median in ms", x=0.01, ha="left", fontsize=11)
    figure.tight_layout()
    save(figure, directory / "durability.svg")


if __name__ == "__main__":
    main()

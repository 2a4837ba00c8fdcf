"""The machine: processor time and memory of servers, open files, cores, warm memory."""

import contextlib
import mmap
import os
import pathlib
import platform
import resource
import time

TICK = os.sysconf("SC_CLK_TCK")
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


class Meter:
    """Processor seconds of a server and all its children, ended ones included: by a control group of version 2, or by
    /proc where none can be made, which misses children whose parent has ended."""

    def __init__(self, name):
        self.directory = self.root = None
        for base in CGROUPS:
            if os.path.exists(f"{base}/cgroup.controllers"):
                with contextlib.suppress(OSError):
                    path = pathlib.Path(f"{base}/portcullis-compare-{os.getpid()}-{name}")
                    path.mkdir()
                    (path / "cpu.stat").read_text()
                    self.directory = path
                    break

    def enter(self):
        """Runs in the child, before exec."""
        if self.directory:
            (self.directory / "cgroup.procs").write_text(str(os.getpid()))

    def pids(self):
        if self.directory:
            return [int(pid) for pid in (self.directory / "cgroup.procs").read_text().split()]
        children = {}
        for pid, stat in all_stats():
            children.setdefault(int(stat[1]), []).append(pid)
        found, todo = [], [self.root] if self.root else []
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def seconds(self):
        if self.directory:
            stat = dict(line.split() for line in (self.directory / "cpu.stat").read_text().splitlines())
            return int(stat["usage_usec"]) / 1e6
        tree = set(self.pids())
        # Own time and that of children that were waited for, user and system.
        return sum(sum(map(int, stat[11:15])) for pid, stat in all_stats() if pid in tree) / TICK

    def close(self):
        if self.directory:
            for _ in range(100):
                try:
                    self.directory.rmdir()
                    return
                except OSError:
                    time.sleep(0.05)


def all_stats():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{entry}/stat").read_text()
                yield int(entry), text[text.rindex(")") + 2 :].split()


def busy():
    """Processor seconds of everything on the machine."""
    values = [int(value) for value in open("/proc/stat").readline().split()[1:]]
    return (values[0] + values[1] + values[2] + values[5] + values[6]) / TICK


def pss(pids):
    """MiB of memory, pages that processes share split among them."""
    return sum(field(pid, "smaps_rollup", "Pss:") for pid in pids)


def resident(pid):
    return field(pid, "status", "VmRSS:")


def peak(pid):
    """MiB: the most since `forget_peak`, or since the start."""
    return field(pid, "status", "VmHWM:")


def forget_peak(pid):
    with contextlib.suppress(OSError):
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def field(pid, file, key):
    with contextlib.suppress(OSError):
        for line in open(f"/proc/{pid}/{file}"):
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return 0.0


def warm_memory(size):
    """Touches free memory and gives it back. On a virtual machine that reports free pages to its host, the first use of a
    page costs a fault in the host, which a server that stores files would be charged for."""
    size = min(size, available() // 4) & ~0xFFFFF
    if size <= 0:
        return
    block = b"\1" * (1 << 20)
    with mmap.mmap(-1, size) as memory:
        for offset in range(0, size, len(block)):
            memory[offset : offset + len(block)] = block


def available():
    """Bytes of memory that can be had."""
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def read_through(path):
    """Has a file in the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(4 << 20):
            pass


def open_files(wanted):
    """Raises the number of files that may be open, for this process and those that it starts. The number that there is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
    return soft


def cores():
    return sorted(os.sched_getaffinity(0))


def about():
    """The machine, for the page."""
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    system = "Linux"
    with contextlib.suppress(OSError):
        for line in open("/etc/os-release"):
            if line.startswith("PRETTY_NAME="):
                system = line.split("=", 1)[1].strip().strip('"')
    return {
        "processor": model,
        "cores": len(cores()),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": system,
        "kernel": platform.release(),
    }

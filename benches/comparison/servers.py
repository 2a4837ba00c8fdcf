"""A server that is measured: started, waited for and ended."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable

from . import machine

USER, PASSWORD = "bench", "bench-password"
# Below the ports that Linux takes for outgoing connections, so that none of the client's is in the way.
PASSIVE = (10000, 30000)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failed(Exception):
    """A server or the client did not do what it was to do."""


@dataclasses.dataclass
class Server:
    name: str
    home: pathlib.Path
    log: pathlib.Path
    # Writes the configuration for a port, and returns the command.
    prepare: Callable[[int], list]
    version: str = ""
    password_check: str = ""
    notes: str = ""
    # "ours", "variant" (ours, set otherwise) or "peer".
    kind: str = "peer"
    # The user that files belong to.
    owner: int | None = None
    # Scenarios that it takes part in, if not in all.
    only: tuple = ()

    def takes_part(self, scenario):
        return not self.only or scenario.startswith(self.only)

    def about(self):
        keys = ("name", "version", "password_check", "notes", "kind")
        return {key: getattr(self, key) for key in keys}


class Running:
    """A started server. Ends it, and what it has forked, when it is left."""

    def __init__(self, server, cores=None, begin=None):
        """`cores` are those that it may use; `begin` is called with the port right before the start."""
        self.server = server
        last = None
        for _ in range(3):
            # Between here and the server's own listening, somebody else may get the port: then another one is tried.
            self.port = free_port()
            try:
                self.start(cores, begin)
                return
            except Failed as error:
                last = error
        raise last

    def start(self, cores, begin):
        command = self.server.prepare(self.port)
        self.meter = machine.Meter(self.server.name)
        self.log = open(self.server.log, "ab")

        read, write = os.pipe()

        def enter():
            self.meter.enter()
            if cores:
                os.sched_setaffinity(0, cores)
            # The last before the server itself: to fork, and to enter a control group, takes tens of milliseconds.
            os.write(write, f"{time.clock_gettime(time.CLOCK_MONOTONIC)}".encode())

        if begin:
            begin(self.port)
        # A bare environment: some TLS libraries read bundles of authorities that are named there, in every session.
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/"}
        words = [str(word) for word in command]
        try:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd="/", env=environment,
                start_new_session=True, preexec_fn=enter,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            self.meter.close()
            self.log.close()
            raise Failed(f"{self.server.name} does not start: {error}") from error
        finally:
            os.close(write)
            said = os.read(read, 100)
            os.close(read)
        self.started = float(said)
        self.meter.root = self.process.pid
        try:
            self.wait(120)
        except BaseException:
            self.end()
            raise

    def wait(self, patience):
        deadline = time.monotonic() + patience
        while True:
            # The process first: whoever else has the port greets, too.
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.server.name} does not start; see {self.server.log}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                if connection.recv(3) == b"220":
                    return
            time.sleep(0.02)

    def end(self):
        """Each process by its id; those of a control group are nobody else's."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for _ in range(100):
            left = self.meter.pids() if self.meter.directory else []
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        self.meter.close()
        self.log.close()

    def ended_early(self):
        return self.process.poll() is not None

    def pss(self):
        return machine.pss(self.meter.pids())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

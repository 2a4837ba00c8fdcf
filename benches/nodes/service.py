"""The nodes of a service, its engine and its Redis: started on free ports of 127.0.0.1, and ended by their ids."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

from comparison import machine, ours
from comparison.servers import USER, Failed

KEY, SECRET = "growth", "a secret of this measurement"
BUCKET, PREFIX = "bucket", "ftp"
PART = 8 << 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(text, condition, patience=120):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"after {patience} s there is still not: {text}")
        time.sleep(0.05)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    def __init__(self, name, command, log, **more):
        self.name, self.log = name, log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **more
            )

    def wait_for(self, port):
        def there():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} has ended: {self.log.read_text(errors='replace')[-2000:]}")
            return listens(port)

        until(f"{self.name} on port {port}", there)

    def cpu(self):
        """Processor seconds of its own."""
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        return sum(map(int, text[text.rindex(")") + 2 :].split()[11:13])) / machine.TICK

    def pss(self):
        return machine.pss([self.process.pid])

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Engine(Process):
    """versitygw: an S3 engine that keeps objects as files, and tells of each request."""

    def __init__(self, program, place):
        self.port, data = free_port(), place / "engine"
        (data / BUCKET).mkdir(parents=True)
        environment = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET, "PATH": os.defpath}
        words = ["--port", f"127.0.0.1:{self.port}", "--keep-alive", "posix", data]
        super().__init__("versitygw", [program, *words], place / "engine.log", env=environment)
        self.wait_for(self.port)

    def requests(self):
        """The requests so far, as words for what they ask."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            if "| vgw |" in line:
                fields = [field.strip() for field in line.split("|")]
                found.append(word(fields[5], fields[6], fields[8]))
        return found


def word(method, path, query):
    """The name of a request in S3."""
    bucket = path.strip("/") == BUCKET
    match method:
        case "GET" if bucket:
            return "LIST uploads" if query.startswith("uploads") or "&uploads" in query else "LIST"
        case "POST":
            return "begin" if "uploads" in query else "complete"
        case "PUT" if "partNumber" in query:
            return "PUT part"
        case "DELETE" if "uploadId" in query:
            return "abort"
        case _:
            return method


class Redis(Process):
    def __init__(self, program, place):
        self.port = free_port()
        words = ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", place]
        super().__init__("redis-server", [program, *words], place / "redis.log")
        self.wait_for(self.port)

    def commands(self):
        """How often each command was carried out, those within scripts included."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            answer = connection.makefile("rb")
            connection.sendall(b"INFO commandstats\r\n")
            # A bulk string: its length, and so many bytes.
            text = answer.read(int(answer.readline()[1:])).decode()
        lines = [line for line in text.splitlines() if line.startswith("cmdstat_")]
        counts = {line[8:].split(":")[0]: int(line.split("calls=")[1].split(",")[0]) for line in lines}
        return {name: count for name, count in counts.items() if not name.startswith("info")}


class Nodes:
    """Servers over one bucket."""

    def __init__(self, place, program, engine):
        self.place, self.program, self.engine = place, program, engine
        self.plugins = "".join(plugin.text() for plugin in ours.default_plugins(pathlib.Path(__file__).parents[2]))

    @contextlib.contextmanager
    def run(self, count, resume="node", password=ours.LIGHT, redis=None):
        with contextlib.ExitStack() as stack:
            started = []
            for number in range(count):
                node = self.start(f"node{number}-{resume}", resume, password, redis)
                stack.callback(node.end)
                started.append(node)
            yield started

    def start(self, name, resume, password, redis):
        port, state = free_port(), self.place / name.split("-")[0]
        state.mkdir(mode=0o700, exist_ok=True)
        (state / "users.toml").write_text(f"[{USER}]\npassword = '{password}'\nhome = '/{resume}'\n")
        config, log = self.place / f"{name}.toml", self.place / f"{name}.log"
        config.write_text(self.config(port, state, resume, redis))
        node = Process(name, [self.program, "serve", "--config", config], log)
        node.port = port
        node.wait_for(port)
        return node

    def config(self, port, state, resume, redis):
        credentials = self.place / "credentials"
        credentials.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
        shared, limit, lockout, anywhere = "", 0, "", "" if resume == "node" else f'resume = "{resume}"\n'
        if redis:
            # Nodes ask it for locks, and for the sessions of users with a limit.
            shared, limit = f'[state]\nurl = "redis://127.0.0.1:{redis.port}"\n', 100_000
            lockout = '[[plugin]]\nname = "lockout"\ncomponent = "builtin:lockout"\n'
        return f"""[server]
state = "{state}"
listen = ["127.0.0.1:{port}"]
listen-implicit = []
[tls]
certificate = "{self.place}/tls.crt"
key = "{self.place}/tls.key"
data-binding = "require"
[data]
passive-ports = "0-0"
[limits]
sessions = 100000
sessions-per-address = 0
sessions-per-user = {limit}
login-delay = "0s"
[plugin-host]
remember-passwords = 0
[log]
level = "warn"
{shared}[storage.default]
kind = "s3"
bucket = "{BUCKET}"
prefix = "{PREFIX}"
endpoint = "http://127.0.0.1:{self.engine.port}"
credentials = "{credentials}"
part-size = "{PART >> 20}MiB"
{anywhere}{lockout}{self.plugins}"""

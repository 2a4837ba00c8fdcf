"""The load generator, benches/load: built, and run with a window whose borders the server's counters are read at."""

import json
import pathlib
import subprocess
import time

from .servers import PASSWORD, USER, Failed

# No run takes so long, in seconds.
PATIENCE = 900


def build(root, profile="release"):
    """The executable of `cargo bench --no-run --bench load`."""
    command = ["cargo", "bench", "--locked", "--no-run", "--bench", "load", "--message-format=json"]
    if profile != "release":
        command += ["--profile", profile]
    done = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed("cargo could not build benches/load")
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "load":
            return pathlib.Path(message["executable"])
    raise Failed("cargo has built benches/load, and does not say where it is")


class Client:
    def __init__(self, program, certificate, threads=1):
        self.program, self.certificate, self.threads = program, certificate, threads

    def words(self, port):
        """All servers do the same work: one version of TLS, one cipher, one key exchange."""
        return [
            "--addr", f"127.0.0.1:{port}", "--user", USER, "--password", PASSWORD, "--ca", self.certificate,
            "--tls", "1.3", "--cipher", "aes256", "--kx", "x25519,p256", "--threads", self.threads,
        ]  # fmt: skip

    def plain(self, *words):
        """A run without borders, or a word that has nothing to do with a server. Its output."""
        command = [self.program, *words]
        try:
            done = subprocess.run(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{words[0]}: the client has not ended within {PATIENCE} s") from error
        return done.stdout, done.stderr

    def run(self, port, words):
        out, error = self.plain(*words, *self.words(port))
        if not out:
            raise Failed(f"the client says nothing but: {error.strip()}")
        return json.loads(out)

    def must(self, port, words):
        """The same, and some of it has to come about."""
        result = self.run(port, words)
        if not result["ops"]:
            raise Failed(f"{words[0]}: {result['error_kinds'] or 'nothing was done in time'}")
        return result

    def begin(self, port, words, nice=0):
        return Window(self, [*words, *self.words(port), "--sync"], nice)


class Window:
    """A client that stops at the borders of its window."""

    def __init__(self, client, words, nice=0):
        command = [str(word) for word in [client.program, *words]]
        if nice:
            command = ["nice", "-n", str(nice), *command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.deadline = time.monotonic() + PATIENCE

    def event(self):
        """The next line: ready, done, the result."""
        line = self.process.stdout.readline()
        if not line or time.monotonic() > self.deadline:
            raise Failed("the client has ended early")
        return json.loads(line)

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self):
        result = self.event()
        self.process.wait(60)
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

"""The work directory: certificate, hash of the password, files that are served."""

import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess

from . import machine
from .servers import PASSWORD, Failed

GIB, MIB = 1 << 30, 1 << 20
BIG = GIB
FILES = {"big.bin": BIG, "m1.bin": MIB} | {f"small/f{number}": 4096 for number in range(100)}
ENTRIES = 10_000
# Whom files belong to that the peers serve: a system user whose home is there, as vsftpd wants.
OWNER = pwd.getpwnam("daemon")


class Place:
    def __init__(self, directory, quick):
        self.path = pathlib.Path(directory).resolve()
        self.big = 256 * MIB if quick else BIG
        for name in ("", "etc", "homes", "log", "data", "run", "empty", "state"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        # The servers' own users have to come through here.
        for name in ("", "homes", "empty"):
            (self.path / name).chmod(0o755)
        self.etc = self.path / "etc"
        self.certificate, self.key, self.both = (self.etc / name for name in ("cert.pem", "key.pem", "both.pem"))
        if not shutil.which("openssl"):
            raise Failed("openssl is missing, which makes the certificate: apt-get install openssl")
        if not self.both.exists():
            self.make_certificate()
        self.hash = command("openssl", "passwd", "-1", "-salt", "portcull", PASSWORD).strip()

    def make_certificate(self):
        """Self-signed, ECDSA P-256, the same for all servers."""
        command(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", self.key, "-out", self.certificate,
        )  # fmt: skip
        self.both.touch(mode=0o600)
        self.both.write_text(self.key.read_text() + self.certificate.read_text())
        self.key.chmod(0o600)

    def home(self, name):
        return self.path / "homes" / name

    def log(self, name):
        return self.path / "log" / f"{name}.log"

    def make_files(self, client, servers):
        """The same files for all: links to one copy, so that one page cache serves them."""
        master = self.path / "data"
        (master / "small").mkdir(exist_ok=True)
        files = FILES | {"big.bin": self.big}
        for name, size in files.items():
            path = master / name
            if not path.exists() or path.stat().st_size != size:
                path.unlink(missing_ok=True)
                _, error = client.plain("mkfile", path, size)
                if error:
                    raise Failed(error.strip())
        for home, owner in {(server.home, server.owner) for server in servers}:
            for name in ("small", "list", "up"):
                (home / name).mkdir(parents=True, exist_ok=True)
            for name in files:
                link = home / name
                if not link.exists() or not link.samefile(master / name):
                    link.unlink(missing_ok=True)
                    os.link(master / name, link)
            make_entries(home / "list", ENTRIES)
            for path in (home, home / "up"):
                if owner is not None:
                    os.chown(path, owner, -1)
            (home / "up").chmod(0o777)
        self.warm_files()

    def warm_files(self):
        machine.read_through(self.path / "data" / "big.bin")


def make_entries(directory, count):
    """Empty files; those that are there stay."""
    directory.mkdir(parents=True, exist_ok=True)
    if len(os.listdir(directory)) == count:
        return
    base = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(count):
            os.close(os.open(f"file-{number:07}.dat", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=base))
    finally:
        os.close(base)


def clear(directory):
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry)
        else:
            os.unlink(entry)


def existing(server, client, count, names, size):
    """Files of the names that the client stores, so that each upload replaces one."""
    model = server.home.parent / f"model-{size}"
    if not model.exists():
        client.plain("mkfile", model, size)
    for connection in range(count):
        for number in range(names):
            path = server.home / "up" / f"c{connection}-{number}"
            shutil.copyfile(model, path)
            if server.owner is not None:
                os.chown(path, server.owner, -1)


def command(*words):
    done = subprocess.run(
        [str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"{words[0]} {words[1]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def version_of(*words):
    with contextlib.suppress(Failed, OSError):
        return command(*words).strip()
    return "?"

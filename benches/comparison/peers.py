"""The other servers: installed beneath the work directory, and configured to do the same work."""

import glob
import os
import pathlib
import shutil
import subprocess

from .place import OWNER, command, version_of
from .servers import PASSIVE, PASSWORD, USER, Failed, Server

HERE = pathlib.Path(__file__).parent / "peers"
NAMES = ("vsftpd", "proftpd", "pure-ftpd", "pyftpdlib", "libunftp")
PACKAGES = ("vsftpd", "proftpd-core", "proftpd-mod-crypto", "pure-ftpd", "pure-ftpd-common")
# Of what they are linked with; the packages themselves exclude each other, and are unpacked side by side.
LIBRARIES = (
    "db5.3-util libcap2 libpam0g libpam-modules libssl3 libwrap0 libcrypt1 libsodium23 libhiredis0.14 libmemcached11 "
    "libmemcachedutil2 libpcre2-posix3 libidn2-0 libacl1 libncursesw6"
).split()
# PAM looks for services here alone: the file is removed at the end.
PAM = pathlib.Path("/etc/pam.d/portcullis-compare")
# Both kinds of connections protected, TLS 1.2 and 1.3, one certificate, one user, no limits of addresses, no log of
# transfers, no sync after uploads: for all of them. The rest is said in the notes of each.
VSFTPD = """listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=NO
local_enable=YES
write_enable=YES
guest_enable=YES
guest_username=daemon
virtual_use_local_privs=YES
pam_service_name={pam}
local_root={home}
chroot_local_user=YES
allow_writeable_chroot=YES
secure_chroot_dir={empty}
ssl_enable=YES
ssl_tlsv1=YES
force_local_logins_ssl=YES
force_local_data_ssl=YES
require_ssl_reuse=NO
ssl_ciphers=HIGH
rsa_cert_file={certificate}
rsa_private_key_file={key}
pasv_min_port={low}
pasv_max_port={high}
max_clients=0
max_per_ip=0
xferlog_enable=NO
idle_session_timeout=600
"""
PROFTPD = """ModulePath {root}/usr/lib/proftpd
LoadModule mod_tls.c
ServerName bench
ServerType standalone
DefaultAddress 127.0.0.1
Port {port}
UseIPv6 off
UseReverseDNS off
User nobody
Group nogroup
AuthOrder mod_auth_file.c
AuthUserFile {users}
AuthPAM off
RequireValidShell off
DelayEngine off
DefaultRoot ~
MaxInstances none
PassivePorts {low} {high}
TimeoutIdle 600
WtmpLog off
TransferLog none
SystemLog {log}
PidFile {run}/proftpd.pid
ScoreboardFile {run}/proftpd.scoreboard
AllowOverwrite on
TLSEngine on
TLSProtocol TLSv1.2 TLSv1.3
TLSRequired on
TLSECCertificateFile {certificate}
TLSECCertificateKeyFile {key}
TLSOptions NoSessionReuseRequired
TLSCACertificateFile {certificate}
TLSVerifyClient off
TLSRenegotiate none
"""


class Peers:
    """Each `NAME()` returns a server that is installed, or raises Failed with the reason why it is not."""

    def __init__(self, place):
        self.place = place
        self.debian = place.path / "debian"
        self.venv = place.path / "venv"

    def all(self, wanted):
        """Those that are there, and the reasons for the others."""
        found, missing = [], {}
        for name in wanted:
            try:
                found.append(getattr(self, name.replace("-", "_"))())
            except (Failed, OSError) as error:
                missing[name] = str(error).strip().splitlines()[-1]
        return found, missing

    def clean(self):
        if os.geteuid() == 0:
            PAM.unlink(missing_ok=True)

    def server(self, name, prepare, version, check, notes, owner=OWNER.pw_uid):
        return Server(name, self.place.home(name), self.place.log(name), prepare, version, check, notes, "peer", owner)

    def unpack(self, program):
        """Debian's packages of all three, once."""
        if (self.debian / "usr/sbin" / program).exists():
            return
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Failed("it is taken from Debian's packages, which takes root and apt-get")
        packages = self.place.path / "packages"
        packages.mkdir(exist_ok=True)
        with open(self.place.log("apt"), "ab") as log:
            for words in (
                ["apt-get", "install", "-y", "--no-install-recommends", *LIBRARIES],
                ["apt-get", "-o", "APT::Sandbox::User=root", "download", *PACKAGES],
            ):
                done = subprocess.run(
                    words, cwd=packages, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
                )
                if done.returncode:
                    raise Failed(f"apt-get {words[1]} failed; see {log.name}")
        for package in packages.glob("*.deb"):
            command("dpkg", "-x", package, self.debian)

    def debian_version(self, package):
        [file] = glob.glob(f"{self.place.path}/packages/{package}_*.deb")
        return f"{version_of('dpkg-deb', '-f', file, 'Version')} ({' '.join(version_of('openssl', 'version').split()[:2])})"

    def values(self, name, port):
        place = self.place
        return {
            "port": port, "home": place.home(name), "empty": place.path / "empty", "certificate": place.certificate,
            "key": place.key, "low": PASSIVE[0], "high": PASSIVE[1], "root": self.debian, "run": place.path / "run",
            "log": place.log("proftpd-system"), "users": place.etc / "proftpd.passwd", "pam": PAM.name,
        }  # fmt: skip

    def vsftpd(self):
        self.unpack("vsftpd")
        etc = self.place.etc
        users, database, config = etc / "users.txt", etc / "users.db", etc / "vsftpd.conf"

        def prepare(port):
            users.write_text(f"{USER}\n{self.place.hash}\n")
            database.unlink(missing_ok=True)
            command("db5.3_load", "-T", "-t", "hash", "-f", users, database)
            database.chmod(0o600)
            PAM.write_text(
                f"auth required pam_userdb.so db={database.with_suffix('')} crypt=crypt\naccount required pam_permit.so\n"
            )
            config.write_text(VSFTPD.format(**self.values("vsftpd", port)))
            return [self.debian / "usr/sbin/vsftpd", config]

        notes = "two processes a session, network isolation (its default); ciphers that admit ECDSA"
        return self.server("vsftpd", prepare, self.debian_version("vsftpd"), "PAM pam_userdb, MD5-crypt", notes)

    def proftpd(self):
        self.unpack("proftpd")
        users, config = self.place.etc / "proftpd.passwd", self.place.etc / "proftpd.conf"
        owner, home = f"{OWNER.pw_uid}:{OWNER.pw_gid}", self.place.home("proftpd")

        def prepare(port):
            users.write_text(f"{USER}:{self.place.hash}:{owner}::{home}:/bin/false\n")
            users.chmod(0o600)
            config.write_text(PROFTPD.format(**self.values("proftpd", port)))
            return [self.debian / "usr/sbin/proftpd", "-n", "-c", config]

        # The named file keeps mod_tls from reading the system's authorities in every session.
        notes = (
            "a process a session; DelayEngine off, which slows logins on purpose; a file of authorities is named; whenever a "
            "session ends, the process that accepts sleeps for up to 0.2 s, which nothing turns off"
        )
        return self.server("proftpd", prepare, self.debian_version("proftpd-core"), "AuthUserFile, MD5-crypt", notes)

    def pure_ftpd(self):
        self.unpack("pure-ftpd")
        users, database = self.place.etc / "pureftpd.passwd", self.place.etc / "pureftpd.pdb"
        owner, home = f"{OWNER.pw_uid}:{OWNER.pw_gid}", self.place.home("pure-ftpd")

        def prepare(port):
            users.write_text(f"{USER}:{self.place.hash}:{owner}::{home}/./::::::::::::\n")
            users.chmod(0o600)
            command(self.debian / "usr/bin/pure-pw", "mkdb", database, "-f", users)
            return [
                self.debian / "usr/sbin/pure-ftpd", "-S", f"127.0.0.1,{port}", "-l", f"puredb:{database}", "-E", "-A", "-H",
                "-Y", "3", "-2", f"{self.place.certificate},{self.place.key}", "-p", f"{PASSIVE[0]}:{PASSIVE[1]}",
                "-c", "20000", "-L", "20000:8", "-I", "10", "-f", "none", "-u", "1",
                "-g", self.place.path / "run" / "pure-ftpd.pid",
            ]  # fmt: skip

        version = self.debian_version("pure-ftpd")
        return self.server("pure-ftpd", prepare, version, "PureDB, MD5-crypt", "a process a session")

    def pyftpdlib(self):
        python = self.venv / "bin" / "python"
        if not python.exists():
            command("python3", "-m", "venv", self.venv)
        what = "import pyftpdlib, OpenSSL; print(pyftpdlib.__ver__, f'(pyOpenSSL {OpenSSL.__version__})')"
        version = version_of(python, "-W", "ignore", "-c", what)
        if version == "?":
            command(self.venv / "bin" / "pip", "install", "-q", "pyftpdlib", "pyOpenSSL")
            version = command(python, "-W", "ignore", "-c", what).strip()
        return self.server(
            "pyftpdlib", lambda port: [python, HERE / "pyftpd.py", *self.words("pyftpdlib", port)], version,
            "comparison in the clear", "one process, one loop", owner=None,
        )  # fmt: skip

    def libunftp(self):
        target = self.place.path / "unftp"
        program = target / "release" / "unftp-peer"
        if not program.exists():
            words = [
                "cargo",
                "build",
                "--release",
                "--locked",
                "--quiet",
                "--manifest-path",
                HERE / "unftp" / "Cargo.toml",
            ]
            command(*words, "--target-dir", target)
        lock = (HERE / "unftp" / "Cargo.lock").read_text()
        version = lock.split('name = "libunftp"\nversion = "')[1].split('"')[0]
        return self.server(
            "libunftp", lambda port: [program, *self.words("libunftp", port)], f"{version} (rustls, aws-lc-rs)",
            "comparison in the clear", "tasks of one process; TLS 1.3 on, which is off by default", owner=None,
        )  # fmt: skip

    def words(self, name, port):
        home = self.place.home(name)
        return [port, home, self.place.certificate, self.place.key, USER, PASSWORD, *PASSIVE]

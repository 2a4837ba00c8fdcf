"""One session of ftplib that does everything: PORT CERTIFICATE VERSION resume|never USER PASSWORD DIRECTORY"""

import ftplib
import hashlib
import io
import os
import ssl
import sys

port, certificate, version, resume, user, password, directory = sys.argv[1:]


class Session(ftplib.FTP_TLS):
    """With `resume`, data connections take up the session of the control connection."""

    def ntransfercmd(self, cmd, rest=None):
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            session = self.sock.session if resume == "resume" else None
            connection = self.context.wrap_socket(
                connection, server_hostname=self.host, session=session
            )
            if resume == "resume":
                assert connection.session_reused, "the session was not resumed"
        return connection, size


context = ssl.create_default_context(cafile=certificate)
context.minimum_version = context.maximum_version = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}[version]

ftp = Session(context=context, timeout=30, encoding="utf-8")
ftp.connect("127.0.0.1", int(port))
ftp.login(user, password)
ftp.prot_p()
assert ftp.sock.version() == "TLSv" + version

content = hashlib.shake_256(b"content").digest(1_500_000)


def download(name, **arguments):
    received = io.BytesIO()
    ftp.retrbinary("RETR " + name, received.write, **arguments)
    return received.getvalue()


def upload(name, data, **arguments):
    ftp.storbinary("STOR " + name, io.BytesIO(data), **arguments)


# Up, down, lists.
upload("file", content)
assert download("file") == content
assert ftp.nlst() == ["file"], ftp.nlst()
lines = []
ftp.dir(lines.append)
assert len(lines) == 1 and "1500000" in lines[0], lines
facts = {name: facts for name, facts in ftp.mlsd(facts=["type", "size"]) if facts["type"] == "file"}
assert facts["file"]["size"] == "1500000", facts
ftp.voidcmd("TYPE I")
assert ftp.size("file") == 1_500_000

# Resumes both ways.
assert download("file", rest=600_000) == content[600_000:]
upload("half", content[:800_000])
upload("half", content[800_000:], rest=800_000)
assert download("half") == content
ftp.storbinary("APPE half", io.BytesIO(b"and more"))
assert ftp.size("half") == 1_500_008

# A broken upload, by a session that is lost, is taken up by the next one.
second = Session(context=context, timeout=30, encoding="utf-8")
second.connect("127.0.0.1", int(port))
second.login(user, password)
second.prot_p()
second.voidcmd("TYPE I")
connection = second.transfercmd("STOR broken")
connection.sendall(content[:300_000])
# Cut within a record: FIN between two of them may be the way in which a client ends its files.
os.write(connection.fileno(), b"\x17\x03\x03")
connection.close()
try:
    second.voidresp()
    raise AssertionError("a cut upload was taken for a whole one")
except ftplib.error_temp:
    pass
second.close()
there = ftp.size("broken")
assert 0 < there <= 300_000, there
upload("broken", content[there:], rest=there)
assert download("broken") == content
ftp.delete("broken")

# Text both ways.
ftp.storlines("STOR text", io.BytesIO(b"one\ntwo\n"))
lines = []
ftp.retrlines("RETR text", lines.append)
assert lines == ["one", "two"], lines
ftp.voidcmd("TYPE I")
assert ftp.size("text") == 8

# Renames, deletes, directories.
ftp.rename("half", "moved")
ftp.delete("moved")
ftp.delete("text")
ftp.mkd('a "quoted" name')
ftp.cwd('a "quoted" name')
assert ftp.pwd() == '/a "quoted" name', ftp.pwd()
ftp.cwd("..")
ftp.rmd('a "quoted" name')
for wrong in ["RETR none", "DELE none", "RMD none"]:
    try:
        ftp.voidcmd(wrong)
        raise AssertionError(wrong)
    except ftplib.error_perm as error:
        assert str(error).startswith("550") or str(error).startswith("425"), error
    except ftplib.error_temp as error:
        assert str(error).startswith("425"), error
ftp.delete("file")


def send(local, remote):
    ftp.mkd(remote)
    for entry in sorted(os.scandir(local), key=lambda entry: entry.name):
        if entry.is_dir():
            send(entry.path, remote + "/" + entry.name)
        else:
            with open(entry.path, "rb") as file:
                ftp.storbinary("STOR " + remote + "/" + entry.name, file)


def fetch(remote, local):
    os.mkdir(local)
    for name, facts in list(ftp.mlsd(remote)):
        if facts["type"] == "dir":
            fetch(remote + "/" + name, os.path.join(local, name))
        elif facts["type"] == "file":
            with open(os.path.join(local, name), "wb") as file:
                ftp.retrbinary("RETR " + remote + "/" + name, file.write)


# A tree there and back.
send(os.path.join(directory, "tree"), "tree")
fetch("tree", os.path.join(directory, "back"))
ftp.quit()

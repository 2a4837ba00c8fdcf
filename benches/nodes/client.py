"""A client whose data connections resume the TLS session of their control connection."""

import re
import socket
import ssl

from comparison.servers import PASSWORD, USER, Failed

PATIENCE = 120


def context(certificate):
    """One for all sessions, as a client of many has."""
    made = ssl.create_default_context(cafile=certificate)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    return made


class Session:
    """Logged in, in TYPE I and PROT P."""

    def __init__(self, port, tls):
        self.tls, self.buffer = tls, b""
        self.control = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.reply("220")
        self.send("AUTH TLS", "234")
        self.control = tls.wrap_socket(self.control, server_hostname="localhost")
        self.send(f"USER {USER}", "331")
        self.send(f"PASS {PASSWORD}", "230")
        for command in ("PBSZ 0", "PROT P", "TYPE I"):
            self.send(command, "200")

    def reply(self, *codes):
        while True:
            while b"\n" not in self.buffer:
                more = self.control.recv(65536)
                if not more:
                    raise Failed("the server has closed the connection")
                self.buffer += more
            line, self.buffer = self.buffer.split(b"\n", 1)
            text = line.decode(errors="replace").strip()
            if re.match(r"\d{3} ", text):
                if codes and not text.startswith(codes):
                    raise Failed(f"the server said: {text}")
                return text

    def send(self, command, *codes):
        self.control.sendall(f"{command}\r\n".encode())
        return self.reply(*codes)

    def data(self, command):
        port = int(self.send("EPSV", "229").split("|")[3])
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.control.sendall(f"{command}\r\n".encode())
        protected = self.tls.wrap_socket(plain, server_hostname="localhost", session=self.control.session)
        self.reply("150")
        return protected

    def store(self, name, content):
        with self.data(f"STOR {name}") as data:
            data.sendall(content)
            try:
                data.unwrap().close()
            except OSError:
                # The server does not wait for the end of TLS that it has heard of.
                pass
        self.reply("226")

    def retrieve(self, command):
        """The bytes of a file or a listing."""
        found = bytearray()
        with self.data(command) as data:
            while piece := data.recv(1 << 20):
                found += piece
        self.reply("226")
        return bytes(found)

    def quit(self):
        self.send("QUIT", "221")
        self.control.close()

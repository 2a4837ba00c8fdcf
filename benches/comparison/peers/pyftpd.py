"""pyftpdlib with TLS on both kinds of connections, one loop.

pyftpd.py PORT HOME CERTIFICATE KEY USER PASSWORD FIRST-PASSIVE-PORT LAST-PASSIVE-PORT"""

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.servers import FTPServer

port, home, certificate, key, user, password, first, last = sys.argv[1:]
# Its logger tells of every transfer otherwise.
logging.basicConfig(level=logging.WARNING)
authorizer = DummyAuthorizer()
authorizer.add_user(user, password, home, perm="elradfmwMT")


class Handler(TLS_FTPHandler):
    """The settings of all sessions."""


Handler.authorizer = authorizer
Handler.certfile, Handler.keyfile = certificate, key
Handler.tls_control_required = Handler.tls_data_required = True
Handler.passive_ports = range(int(first), int(last) + 1)
Handler.timeout = 600

server = FTPServer(("127.0.0.1", int(port)), Handler)
server.max_cons, server.max_cons_per_ip = 20_000, 0
server.serve_forever()

"""An HTTP service that the plugins ask and tell. Each request is told on standard output, as a line of
JSON; the first line is the port.

    service.py [CERTIFICATE KEY]
"""

import http.server
import json
import ssl
import sys
import threading
import time

failures = {}
lock = threading.Lock()


def login(question):
    """Status and answer. The password has to be the user's name."""
    user = question["user"]
    if user == "unknown":
        return 404, ""
    if user == "error":
        return 500, ""
    if user == "nonsense":
        return 200, "<html>"
    if user == "moved":
        return 302, ""
    if user == "silent":
        time.sleep(10)
    if user == "outside":
        return 200, {"outcome": "accept", "account": {"home": "/../.."}}
    if question["password"] != user:
        return 401, ""
    if user == "late":
        return 200, {"outcome": "deny", "reason": "not at this hour"}
    if user == "coded" and question["one-time-code"] is None:
        return 200, {"outcome": "challenge", "prompt": "The number, please"}
    if user == "coded" and question["one-time-code"] != "314159":
        return 403, ""
    account = {"home": "/alice", "groups": ["staff"], "greeting": "Hello from afar"}
    if user == "reader":
        account["permissions"] = ["read"]
    return 200, {"outcome": "accept", "account": account}


def hook(path):
    """/fail/3/503 answers 503 three times."""
    parts = path.split("/")
    if parts[1] != "fail":
        return 204
    with lock:
        failures[path] = failures.get(path, 0) + 1
        return int(parts[3]) if failures[path] <= int(parts[2]) else 204


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        with lock:
            print(json.dumps({"path": self.path, "headers": headers, "body": body}), flush=True)
        if self.path == "/login":
            status, answer = login(json.loads(body))
        else:
            status, answer = hook(self.path), ""
        if not isinstance(answer, str):
            answer = json.dumps(answer)
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/login")
        if status != 204:
            self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def body(self):
        if "content-length" in self.headers:
            return self.rfile.read(int(self.headers["content-length"])).decode()
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts).decode()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()

"""Portcullis itself: the configurations that it is measured with."""

import dataclasses
import tomllib

from .place import version_of
from .servers import PASSIVE, Server

DEFAULT, NONE = "file-and-directory", "none"
# Of "bench-password": 8 KiB, once.
LIGHT = "$argon2id$v=19$m=8,t=1,p=1$6HFjYZHZjs/+ivIU6Du+Iw$t+ZY4FWTwL/4l0WZLTsIxgJqneNTMWQ0dYL9ar7o1ck"


@dataclasses.dataclass(frozen=True)
class Plugin:
    name: str
    component: str
    # Lines of TOML.
    more: str = ""

    def text(self):
        return f'[[plugin]]\nname = "{self.name}"\ncomponent = "{self.component}"\n{self.more}\n'


# A file of users that leaves everybody to the next authenticator.
NOBODY_HERE = "settings.users = {}"
USERS = Plugin("users", "builtin:users", 'settings.users = { file = "users.toml" }')


def default_plugins(root):
    """Those of the config.toml that the repository ships, with their settings."""
    text = (root / "config.toml").read_text()
    names = {plugin["name"] for plugin in tomllib.loads(text).get("plugin", [])}
    plugins = []
    for part in text.split("\n[[plugin]]\n")[1:]:
        table = part.split("\n# Virtual hosts")[0]
        found = tomllib.loads(table)
        more = [line for line in table.splitlines() if line and not line.startswith(("#", "name =", "component ="))]
        plugins.append(Plugin(found["name"], found["component"], "\n".join(more)))
    assert names == {plugin.name for plugin in plugins}
    return plugins


class Portcullis:
    def __init__(self, place, binary, root):
        self.place, self.binary, self.root = place, binary, root
        self.version = version_of(binary, "--version").removeprefix("portcullis ")
        self.defaults = default_plugins(root)

    def server(self, name, plugins, durability=NONE, notes="", kind="variant", threads=0, light=False, only=()):
        # One directory for all, so that components are compiled once: they never run at the same time.
        state, home = self.place.path / "state", self.place.home("portcullis")
        password = LIGHT if light else self.place.hash

        def prepare(port):
            state.chmod(0o700)
            (state / "users.toml").write_text(f'[bench]\npassword = "{password}"\nhome = "/{home.name}"\n')
            config = state / f"{name}.toml"
            config.write_text(self.config(port, state, plugins, durability, threads))
            return [self.binary, "serve", "--config", config]

        check = "file of users, the least Argon2id" if light else "file of users, MD5-crypt"
        return Server(name, home, self.place.log(name), prepare, self.version, check, notes, kind, None, only)

    def config(self, port, state, plugins, durability, threads):
        return f"""[server]
state = "{state}"
listen = ["127.0.0.1:{port}"]
listen-implicit = []
threads = {threads}
[tls]
certificate = "{self.place.certificate}"
key = "{self.place.key}"
[data]
passive-ports = "{PASSIVE[0]}-{PASSIVE[1]}"
[limits]
sessions = 20000
sessions-per-address = 0
[log]
level = "warn"
[storage.default]
root = "{self.place.path / "homes"}"
durability = "{durability}"
""" + "".join(plugin.text() for plugin in plugins)

    def ours(self):
        names = ", ".join(plugin.name for plugin in self.defaults)
        return self.server("portcullis", self.defaults, notes=f"plugins of config.toml: {names}", kind="ours")

    def bare(self):
        notes = "no plugins but users, since somebody has to let the user in"
        return self.server("portcullis-bare", [USERS], notes=notes)

    def durable(self):
        notes = f'durability = "{DEFAULT}", the default: on the disk before 226'
        return self.server("portcullis-durable", self.defaults, DEFAULT, notes, only=("upload", "small-put"))

    def light(self):
        notes = "a hash that costs next to nothing, to stand beside servers that compare in the clear"
        return self.server("portcullis-light", self.defaults, notes=notes, light=True, only=("logins", "idle"))

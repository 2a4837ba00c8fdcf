//! The configuration as an operator meets it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;

mod definition;
mod grants;
mod hosts;

/// Reads this text as `config.toml` in a directory of its own.
fn read(text: &str, sets: &[&str]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, text).unwrap();
    let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
    load::load_in(
        directory.path(),
        Some(Path::new("config.toml")),
        None,
        &sets,
    )
}

/// The errors of this text, a line each.
fn complaints(text: &str, sets: &[&str]) -> Vec<String> {
    let error = read(text, sets).expect_err(text);
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn errors_name_file_line_and_key() {
    for (text, expected) in [
        (
            "[limits]\nsessions = 5\nidle-timeout = \"soon\"\n",
            "config.toml:3: limits.idle-timeout: expected a duration such as \"5m\", found \"soon\"",
        ),
        (
            "[limits]\nidle-timout = 5\n",
            "config.toml:2: limits.idle-timout: unknown key; did you mean \"idle-timeout\"?",
        ),
        (
            "[server]\nidle-timeout = 5\n",
            "config.toml:2: server.idle-timeout: unknown key here; there is limits.idle-timeout",
        ),
        (
            "[severs]\nlisten = []\n",
            "config.toml:1: severs: unknown key; did you mean \"server\"?",
        ),
        (
            "[limits]\nline-length = true\n",
            "config.toml:2: limits.line-length: expected a size such as \"10MiB\", found true",
        ),
        (
            "[limits]\nsessions = \"many\"\n",
            "config.toml:2: limits.sessions: expected an integer from 0, found \"many\"",
        ),
        (
            "[limits]\nsessions = -1\n",
            "config.toml:2: limits.sessions: expected an integer from 0, found the integer -1",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:21\"\n",
            "config.toml:2: server.listen: expected an array, found \"127.0.0.1:21\"",
        ),
        (
            "[server]\nlisten = [\n  \"127.0.0.1:21\",\n  \"localhost\",\n]\n",
            "config.toml:4: server.listen[1]: expected an address and a port such as \"127.0.0.1:2121\" or \"[::]:2121\", found \"localhost\"",
        ),
        (
            "[server]\nproxy-networks = [\"10/8\"]\n",
            "config.toml:2: server.proxy-networks[0]: expected a network such as \"10.0.0.0/8\", found \"10/8\"",
        ),
        (
            "[tls]\nrequired = \"yes\"\n",
            "config.toml:2: tls.required: expected true or false, found \"yes\"",
        ),
        (
            "[tls]\ndata-binding = \"requires\"\n",
            "config.toml:2: tls.data-binding: expected \"off\", \"prefer\" or \"require\", found \"requires\"",
        ),
        (
            "[tls]\nminimum-version = 1.3\n",
            "config.toml:2: tls.minimum-version: expected a string, found the float 1.3",
        ),
        (
            "tls = 5\n",
            "config.toml:1: tls: expected a table, found the integer 5",
        ),
        (
            "[data]\npassive-ports = \"30000-10000\"\n",
            "config.toml:2: data.passive-ports: expected a range of ports, the lower one first, such as \"10000-30000\", found \"30000-10000\"",
        ),
        (
            "[data]\nadvertise = 5\n",
            "config.toml:2: data.advertise: expected an IPv4 address or a DNS name, or an array of tables with `clients` and `address`, found the integer 5",
        ),
        (
            "[storage.\"my files\"]\nfile-mode = 644\n",
            "config.toml:2: storage.\"my files\".file-mode: expected a mode in quotes, such as \"0644\", 0777 at most, found the integer 644",
        ),
        (
            "[[plugin]]\nname = \"a\"\ncomponent = \"a.wasm\"\n\n[[plugin]]\nname = \"b\"\n",
            "config.toml:5: plugin[1]: \"component\" is missing",
        ),
        (
            "[[plugin]]\nname = \"a\"\ncomponent = \"a.wasm\"\nlimits.memory = \"64M\"\n",
            "config.toml:4: plugin[0].limits.memory: expected a size such as \"10MiB\", found \"64M\"",
        ),
        (
            "[[tls.host]]\ncertificate = 5\nkey = \"key.pem\"\n",
            "config.toml:2: tls.host[0].certificate: expected a path, or an array of paths, found the integer 5",
        ),
    ] {
        assert_eq!(complaints(text, &[]), [expected], "{text}");
    }
}

#[test]
fn several_errors_come_at_once_in_the_order_of_the_file() {
    let text = "[tls]\nrequired = 1\n[server]\nlisten = [5]\nstate = 7\n[[plugin]]\n[[plugin]]\nname = 5\ncomponent = \"x\"\n";
    let said = complaints(text, &["limits.sessions=many"]);
    let places: Vec<_> = said
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "--set limits.sessions",
            "config.toml:2",
            "config.toml:4",
            "config.toml:5",
            "config.toml:6",
            "config.toml:6",
            "config.toml:8"
        ],
        "{said:#?}"
    );
}

#[test]
fn syntax_errors_have_line_and_column() {
    let said = complaints("[server]\nstate = \"var\nthreads = = 3\n", &[]);
    assert!(said[0].starts_with("config.toml:2:"), "{said:?}");
    let said = complaints("[server]\nthreads = 1\nthreads = 2\n", &[]);
    assert!(
        said[0].starts_with("config.toml:3:1: duplicate key"),
        "{said:?}"
    );
    let said = complaints("[server]\nthreads = 99999999999999999999\n", &[]);
    assert!(said[0].starts_with("config.toml:2:"), "{said:?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    for (set, key, text) in [
        (
            "tls.certificate=a.pem",
            "tls.certificate",
            "tls.key is missing",
        ),
        ("tls.key=a.pem", "tls.key", "tls.certificate is missing"),
        (
            "tls={ certificate = ['a', 'b'], key = 'c' }",
            "tls.key",
            "one key for each certificate, in the same order: found 1 for 2",
        ),
        (
            "tls.host=[{ certificate = [], key = [] }]",
            "tls.host[0].certificate",
            "expected a path",
        ),
        (
            "tls.ocsp-response=a.ocsp",
            "tls.ocsp-response",
            "tls.certificate is missing",
        ),
        (
            "tls.client-certificates=required",
            "tls.client-certificates",
            "client-authorities",
        ),
        (
            "limits.login-attempts=0",
            "limits.login-attempts",
            "1 or more",
        ),
        (
            "limits.line-length=100",
            "limits.line-length",
            "512 to 64KiB",
        ),
        (
            "limits.idle-timeout=0",
            "limits.idle-timeout",
            "1ms or more",
        ),
        (
            "limits.queued-commands=0",
            "limits.queued-commands",
            "1 to 10000",
        ),
        (
            "data.passive-ports=80-90",
            "data.passive-ports",
            "from 1024",
        ),
        ("data.advertise='::1'", "data.advertise", "IPv4"),
        ("data.advertise=bad_name-", "data.advertise", "DNS name"),
        (
            "server.listen=['127.0.0.1:21', '127.0.0.1:21']",
            "server.listen[1]",
            "listen[0]",
        ),
        (
            "server.greeting=\"a\\r\\nb\"",
            "server.greeting",
            "one line",
        ),
        ("server.state=", "server.state", "expected a path"),
        (
            "storage.default.staging=files/.staging",
            "storage.default.staging",
            "within",
        ),
        (
            "storage.other.file-mode=0644",
            "storage.other.root",
            "already",
        ),
        (
            "storage.default.directory-mode=0600",
            "storage.default.directory-mode",
            "0700",
        ),
        ("storage={}", "storage", "at least one"),
        ("plugin.rules.name=users", "plugin[1].name", "plugin[0]"),
        ("plugin.rules.name='a b'", "plugin[1].name", "letters"),
        (
            "plugin.users.sha256=abc",
            "plugin.users.sha256",
            "64 hexadecimal",
        ),
        (
            "plugin.users.limits.cpu-time=0",
            "plugin.users.limits.cpu-time",
            "1ms",
        ),
        (
            "plugin-host.instances=0",
            "plugin-host.instances",
            "1 or more",
        ),
        ("log.level=loud=very", "log.level", "expected error, warn"),
    ] {
        let said = complaints("", &[set]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(text), "{set}: {said:?}");
        assert!(said[0].contains(key), "{set}: {said:?}");
    }
    let said = complaints("server = { listen = [], listen-implicit = [] }", &[]);
    assert!(
        said[0].starts_with("config.toml:1: server.listen: listen and"),
        "{said:?}"
    );
}

#[test]
fn what_is_dangerous_is_a_warning() {
    let text = "[tls]\nrequired = false\ndata-required = false\ndata-binding = \"off\"\n[limits]\nsessions = 0\n[uploads]\nverdict-late = \"accept\"\n";
    let loaded = read(text, &["plugin.rules.on-failure=allow"]).unwrap();
    let places: Vec<_> = loaded
        .warnings
        .iter()
        .map(|warning| warning.place.as_str())
        .collect();
    let expected = [
        "config.toml:2",
        "config.toml:3",
        "config.toml:4",
        "config.toml:6",
        "config.toml:8",
        "--set plugin.rules.on-failure",
    ];
    assert_eq!(places, expected);
    assert!(read("", &[]).unwrap().warnings.is_empty());
    let open = read("server.listen = ['0.0.0.0:21']", &[]).unwrap();
    assert_eq!(open.warnings[0].key, "tls.certificate");
}

#[test]
fn overrides_are_values_or_text_and_later_ones_win() {
    let sets = [
        "server.listen=['127.0.0.1:0', \"[::1]:0\"]",
        "tls.data-binding=off",
        "tls.data-binding=require",
        "tls.minimum-version=1.3",
        "limits.idle-timeout=10m",
        "limits.data-timeout=7",
        "limits.sessions = 5",
        "data.passive-ports=40000-40010",
        "server.greeting=a=b",
        "storage.default.root=elsewhere",
        "storage.default.file-mode=0600",
        "storage.more.root=more",
        "plugin.users.settings.anonymous.home='/pub'",
        "plugin.users.limits.memory=128MiB",
    ];
    let config = read("[limits]\nsessions = 7\nlogin-attempts = 9\n", &sets)
        .unwrap()
        .config;
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(config.tls.data_binding, Binding::Require);
    assert_eq!(config.tls.minimum_version, TlsVersion::V1_3);
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(600));
    assert_eq!(config.limits.data_timeout, Duration::from_secs(7));
    assert_eq!(
        (config.limits.sessions, config.limits.login_attempts),
        (5, 9)
    );
    assert_eq!(config.data.passive_ports, (40_000, 40_010));
    assert_eq!(config.server.greeting, "a=b");
    assert_eq!(config.storage.len(), 2);
    assert_eq!(config.storage["default"].file_mode, 0o600);
    assert_eq!(config.plugin.len(), 3);
    assert_eq!(config.plugin[0].limits.memory, 128 << 20);
    assert_eq!(
        config.plugin[0].settings["anonymous"]["home"].as_str(),
        Some("/pub")
    );
    assert_eq!(
        config.plugin[0].settings["users"]["file"].as_str(),
        Some("users.toml")
    );
}

#[test]
fn overrides_that_fail_say_so() {
    for (set, expected) in [
        (
            "limits.idle-timeout=soon",
            "--set limits.idle-timeout: expected a duration such as \"5m\", found \"soon\"",
        ),
        (
            "limits.sesions=5",
            "--set limits.sesions: unknown key; did you mean \"sessions\"?",
        ),
        (
            "limits.sessions",
            "--set limits.sessions: expected KEY=VALUE",
        ),
        (
            "server.state.x=5",
            "--set server.state.x: server.state: expected a path, found a table",
        ),
        (
            "plugin.nobody.name=x",
            "--set plugin.nobody.name: no plugin is named \"nobody\"; there are users, rules, upload-guard",
        ),
        (
            "tls.required=1",
            "--set tls.required: expected true or false, found the integer 1",
        ),
    ] {
        assert_eq!(complaints("", &[set]), [expected], "{set}");
    }
    let said = complaints("", &["server.listen=['127.0.0.1:0'"]);
    assert!(
        said[0].starts_with("--set server.listen: not a TOML value"),
        "{said:?}"
    );
    let said = complaints("server.state = 'var'", &["server.state.x=5"]);
    assert_eq!(said, ["--set server.state.x: server.state is not a table"]);
}

#[test]
fn paths_are_relative_to_what_they_belong_to() {
    let directory = tempfile::tempdir().unwrap();
    let (working, etc) = (directory.path(), directory.path().join("etc"));
    fs::create_dir(&etc).unwrap();
    let text = "server.state = '../state'\nstorage.default = { staging = '/elsewhere' }\n\
        tls = { certificate = 'c.pem', key = '/k.pem', client-revocation = ['a.crl', '/b.crl'], \
        host = [{ certificate = ['x.pem', 'y.pem'], key = ['x', 'y'], ocsp-response = 'x.ocsp' }] }\n\
        plugin = [{ name = 'a', component = 'a.wasm', grants = { authorities = 'ca.pem', \
        directories = [{ host = 'lists', guest = '/lists' }] } }, { name = 'b', component = 'builtin:users' }]\n";
    fs::write(etc.join("config.toml"), text.replace("../state", "state")).unwrap();

    let file = Path::new("etc/config.toml");
    let loaded = load::load_in(working, Some(file), None, &[]).unwrap();
    let config = &loaded.config;
    assert_eq!(
        loaded.file.as_deref(),
        Some(etc.join("config.toml").as_path())
    );
    assert_eq!(config.server.state, etc.join("state"));
    assert_eq!(config.storage["default"].root, etc.join("state/files"));
    assert_eq!(
        config.storage["default"].staging.as_deref(),
        Some(Path::new("/elsewhere"))
    );
    assert_eq!(config.tls.certificate, [etc.join("c.pem")]);
    assert_eq!(config.tls.key, [Path::new("/k.pem")]);
    let revocation = &config.tls.client_revocation;
    assert_eq!(revocation, &[etc.join("a.crl"), PathBuf::from("/b.crl")]);
    let host = &config.tls.host[0];
    assert_eq!(host.certificate, [etc.join("x.pem"), etc.join("y.pem")]);
    assert_eq!(host.ocsp_response, [etc.join("x.ocsp")]);
    assert_eq!(Path::new(&config.plugin[0].component), etc.join("a.wasm"));
    let grants = &config.plugin[0].grants;
    assert_eq!(grants.authorities, Some(etc.join("ca.pem")));
    assert_eq!(grants.directories[0].host, etc.join("lists"));
    assert_eq!(config.plugin[1].component, "builtin:users");
    assert_eq!(loaded.locate("plugin[0].component"), "etc/config.toml:4");
    assert_eq!(
        loaded.locate("plugin[1].limits.memory"),
        "etc/config.toml:4"
    );
    assert_eq!(loaded.locate("limits.sessions"), "the default");

    let sets = [
        "server.state=s",
        "tls.key=k.pem",
        "storage.default.root=r",
        "plugin.a.component=p.wasm",
        "plugin.a.grants.authorities=other.pem",
    ];
    let sets = sets.map(str::to_owned);
    let set = load::load_in(working, Some(file), None, &sets).unwrap();
    assert_eq!(set.config.server.state, working.join("s"));
    assert_eq!(set.config.tls.key, [working.join("k.pem")]);
    assert_eq!(set.config.storage["default"].root, working.join("s/r"));
    assert_eq!(
        Path::new(&set.config.plugin[0].component),
        working.join("p.wasm")
    );
    assert_eq!(
        set.config.plugin[0].grants.authorities,
        Some(working.join("other.pem"))
    );
    assert_eq!(set.locate("server.state"), "--set server.state");
    assert_eq!(set.again().unwrap().config, set.config);
}

/// The package's file is for commands without another one, and is read again as what it was.
#[test]
fn the_file_of_the_package_comes_last() {
    let directory = tempfile::tempdir().unwrap();
    let etc = directory.path().join("etc");
    fs::create_dir(&etc).unwrap();
    let system = etc.join("config.toml");
    let load = || load::load_in(directory.path(), None, Some(&system), &[]).unwrap();
    assert_eq!(load().file, None);
    fs::write(&system, "server.state = \"state\"\nserver.threads = 2").unwrap();
    let loaded = load();
    assert_eq!(loaded.file.as_deref(), Some(system.as_path()));
    assert_eq!(loaded.config.server.state, etc.join("state"));
    fs::write(directory.path().join("config.toml"), "server.threads = 3").unwrap();
    assert_eq!(load().config.server.threads, 3);
    assert_eq!(loaded.again().unwrap().config.server.threads, 2);
}

#[test]
fn without_a_file_there_are_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let loaded = load::load_in(directory.path(), None, None, &[]).unwrap();
    assert_eq!(loaded.file, None);
    assert_eq!(loaded.config.server.state, directory.path().join("var"));
    fs::write(directory.path().join("config.toml"), "server.threads = 3").unwrap();
    assert_eq!(loaded.again().unwrap().config.server.threads, 3);
    let error =
        load::load_in(directory.path(), Some(Path::new("none.toml")), None, &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("none.toml: cannot be read: "),
        "{error}"
    );
}

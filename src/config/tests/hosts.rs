//! Virtual hosts and listeners: what is inherited, and what is wrong.

use super::*;
use crate::types::{HostId, TlsStart};

/// Two hosts: one that says all, and one that says nothing.
const TWO: &str = "\
[tls]
certificate = 'top.pem'
key = 'top.key'
ocsp-response = 'top.ocsp'
close-notify = 'require'
client-authorities = 'clients.pem'
client-certificates = 'optional'
[[tls.host]]
certificate = 'more.pem'
key = 'more.key'
[limits]
idle-timeout = '1m'
upload-size = '1MiB'
[uploads]
digest = 'sha256'
[[host]]
name = 'Files.Example.Org'
aliases = ['files.example.net']
greeting = 'Files'
account-change = 'keep'
tls = { certificate = 'own.pem', key = 'own.key', client-certificates = 'required' }
limits = { idle-timeout = '2m', sessions = 7, total-upload-rate = '1MiB' }
uploads.verdict-after = '5s'
storage.default.root = 'own'
[[host.plugin]]
name = 'users'
component = 'own.wasm'
[[host]]
name = 'plain.example.org'
";

#[test]
fn a_host_has_what_it_says_and_else_what_the_top_level_says() {
    let loaded = read(TWO, &[]).unwrap();
    let (default, others) = loaded.config.hosts();
    let [own, plain] = &others[..] else { panic!() };
    assert_eq!(default.id, HostId::default());
    assert_eq!(own.id, HostId::named("files.example.org"));
    assert_eq!(own.names, ["files.example.org", "files.example.net"]);
    assert_eq!(
        (own.greeting.as_str(), own.account_change),
        ("Files", AccountChange::Keep)
    );

    // The certificates go together, and the rest of the table key by key.
    let file = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        own.tls.certificate.iter().map(file).collect::<Vec<_>>(),
        ["own.pem"]
    );
    assert!(own.tls.ocsp_response.is_empty() && own.tls.host.is_empty());
    assert_eq!(own.tls.client_certificates, ClientCertificates::Required);
    assert_eq!(own.tls.client_authorities, default.tls.client_authorities);
    assert_eq!(own.tls.close_notify, CloseNotify::Require);
    assert_eq!(own.limits.idle_timeout, Duration::from_secs(120));
    assert_eq!(own.limits.upload_size, 1 << 20);
    assert_eq!(
        (own.together.sessions, own.together.upload_rate),
        (7, 1 << 20)
    );
    // That of the server is another limit.
    assert_eq!(own.limits.sessions, default.limits.sessions);
    assert_eq!(own.uploads.verdict_after, Duration::from_secs(5));
    assert_eq!(own.uploads.digest, UploadDigest::Sha256);
    assert_eq!(own.plugin.len(), 1);
    assert!(own.storage["default"].root.ends_with("var/own"));
    assert!(Path::new(&own.plugin[0].component).is_absolute());

    assert_eq!(plain.tls, default.tls);
    assert_eq!(
        (&plain.limits, plain.uploads),
        (&default.limits, default.uploads)
    );
    assert_eq!(
        (&plain.storage, &plain.plugin),
        (&default.storage, &default.plugin)
    );
    assert_eq!(plain.greeting, default.greeting);

    let ids: Vec<_> = loaded
        .config
        .storages()
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(ids, ["default", "default@files.example.org"]);
}

#[test]
fn keys_are_told_where_they_are_said() {
    let loaded = read(TWO, &[]).unwrap();
    let (default, others) = loaded.config.hosts();
    for (key, of_own, of_plain) in [
        (
            "tls.certificate",
            "host[0].tls.certificate",
            "tls.certificate",
        ),
        (
            "tls.ocsp-response",
            "host[0].tls.ocsp-response",
            "tls.ocsp-response",
        ),
        (
            "tls.client-authorities",
            "tls.client-authorities",
            "tls.client-authorities",
        ),
        (
            "plugin[0].component",
            "host[0].plugin[0].component",
            "plugin[0].component",
        ),
        (
            "storage.default.root",
            "host[0].storage.default.root",
            "storage.default.root",
        ),
        (
            "limits.upload-size",
            "limits.upload-size",
            "limits.upload-size",
        ),
    ] {
        assert_eq!(others[0].key(key), of_own);
        assert_eq!(others[1].key(key), of_plain);
        assert_eq!(default.key(key), key);
    }
    assert_eq!(loaded.locate("host[0].tls.certificate"), "config.toml:21");
}

#[test]
fn hosts_that_make_no_sense_are_refused_with_line_and_key() {
    let own = "storage.default.root = 'own'\nplugin = [{ name = 'u', component = 'u.wasm' }]\n";
    for (text, expected) in [
        (
            "[[host]]\nname = 'a.example'\n[[host]]\nname = 'A.Example'\n",
            "config.toml:4: host[1].name: \"A.Example\" is host[0].name already",
        ),
        (
            "[[host]]\nname = 'a.example'\naliases = ['b.example']\n[[host]]\nname = 'b.example'\n",
            "config.toml:5: host[1].name: \"b.example\" is host[0].aliases[0] already",
        ),
        (
            "[server]\nhosts = ['a.example']\n[[host]]\nname = 'a.example'\n",
            "config.toml:4: host[0].name: \"a.example\" is server.hosts[0] already",
        ),
        (
            "[[host]]\nname = '192.0.2.1'\n",
            "config.toml:2: host[0].name: expected a DNS name, found \"192.0.2.1\"",
        ),
        (
            "[[host]]\ngreeting = 'x'\n",
            "config.toml:1: host[0]: \"name\" is missing",
        ),
        (
            "[[host]]\nname = 'a.example'\nlimits.idle-timeout = 'soon'\n",
            "config.toml:3: host[0].limits.idle-timeout: expected a duration such as \"5m\", found \"soon\"",
        ),
        (
            "[[host]]\nname = 'a.example'\nlimits.line-length = 4096\n",
            "config.toml:3: host[0].limits.line-length: unknown key here; there is limits.line-length",
        ),
        (
            "[[host]]\nname = 'a.example'\ntls.required = 'yes'\n",
            "config.toml:3: host[0].tls.required: expected true or false, found \"yes\"",
        ),
        (
            "[[host]]\nname = 'a.example'\nlimits.queued-commands = 0\n",
            "config.toml:3: host[0].limits.queued-commands: expected 1 to 10000, found 0",
        ),
        (
            "[[host]]\nname = 'a.example'\n[[host]]\nname = 'b.example'\n[host.tls]\ncertificate = 'c.pem'\n",
            "config.toml:6: host[1].tls.certificate: host[1].tls.key is missing: a certificate needs its key",
        ),
        (
            "[[host]]\nname = 'a.example'\n[host.tls]\nkey = 'c.key'\n",
            "config.toml:4: host[0].tls.key: host[0].tls.certificate is missing: certificates, keys and responses go together",
        ),
        (
            "[[host]]\nname = 'a.example'\n[host.tls]\nclient-certificates = 'required'\n",
            "config.toml:4: host[0].tls.client-certificates: tls.client-authorities is missing: nothing to verify client certificates against",
        ),
        (
            "[[host]]\nname = 'a.example'\n[[host.plugin]]\nname = 'u'\ncomponent = 'u.wasm'\n",
            "config.toml:3: host[0].plugin: host[0].storage is missing: users of its own plugins would have the homes of users of the same name elsewhere; share-storage = true allows that",
        ),
        (
            &format!("[[host]]\nname = 'a.example'\n{own}[[host]]\nname = 'b.example'\n{own}"),
            "config.toml:7: host[1].storage.default.root: is the directory of storage \"default@a.example\" already",
        ),
        (
            "[[host]]\nname = 'a.example'\nstorage.default.root = 'files/a'\n",
            "config.toml:3: host[0].storage.default.root: it and the root of storage \"default\", which is another host's, lie within one another",
        ),
        (
            "[storage.default]\nstaging = 's'\n[[host]]\nname = 'a.example'\nstorage.x = { root = 'a', staging = 's' }\n",
            "config.toml:5: host[0].storage.x.staging: uploads to storage \"default\" wait there already",
        ),
        (
            "[[host]]\nname = 'a.example'\nstorage.x.root = 'a'\nplugin = [{ name = 'u', component = 'u.wasm' }, { name = 'u', component = 'v.wasm' }]\n",
            "config.toml:4: host[0].plugin[1].name: \"u\" is the name of host[0].plugin[0] already",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:21'\nhost = 'a.example'\n",
            "config.toml:3: listener[0].host: no host has the name \"a.example\"",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:21'\n[[listener]]\naddress = '127.0.0.1:21'\ntls = 'implicit'\n",
            "config.toml:4: listener[1].address: 127.0.0.1:21 is in listener[0].address already",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:0'\n[[listener]]\naddress = '127.0.0.1:0'\n",
            "config.toml:4: listener[1].address: 127.0.0.1:0 is there already",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:21'\npassive-ports = 80\n",
            "config.toml:3: listener[0].passive-ports: expected ports from 1024, or 0-0, found 80-80",
        ),
        (
            "[[listener]]\ntls = 'starttls'\naddress = '127.0.0.1:21'\n",
            "config.toml:2: listener[0].tls: expected \"explicit\" or \"implicit\", found \"starttls\"",
        ),
        (
            "[data]\nadvertise = [\n  { clients = '10.0.0.0/8', address = '10.0.0.5' },\n  { clients = '10/8', address = 'b' },\n]\n",
            "config.toml:4: data.advertise[1].clients: expected a network such as \"10.0.0.0/8\", or an array of networks, found \"10/8\"",
        ),
        (
            "[data]\nadvertise = [\n  { clients = '10.0.0.0/8', address = '::1' },\n]\n",
            "config.toml:3: data.advertise[0].address: expected an IPv4 address or a DNS name, found \"::1\"",
        ),
    ] {
        assert_eq!(complaints(text, &[]), [expected], "{text}");
    }
}

#[test]
fn a_host_is_warned_of_what_it_says_itself() {
    let text = "[tls]\nrequired = false\n[[host]]\nname = 'a.example'\n[[host]]\nname = 'b.example'\n\
        tls.data-binding = 'off'\nshare-storage = true\n";
    let loaded = read(text, &[]).unwrap();
    let keys = loaded
        .warnings
        .iter()
        .map(|one| (one.place.as_str(), one.key.as_str()));
    assert_eq!(
        keys.collect::<Vec<_>>(),
        [
            ("config.toml:8", "host[1].share-storage"),
            ("config.toml:2", "tls.required"),
            ("config.toml:7", "host[1].tls.data-binding"),
        ]
    );
}

#[test]
fn hosts_and_their_plugins_go_by_their_names_on_the_command_line() {
    let set = [
        "host.\"plain.example.org\".greeting=Hello",
        "host.\"plain.example.org\".tls.minimum-version=1.3",
        "host.\"Files.Example.Org\".plugin.users.limits.memory=1MiB",
    ];
    let loaded = read(TWO, &set).unwrap();
    let (_, others) = loaded.config.hosts();
    assert_eq!(others[1].greeting, "Hello");
    assert_eq!(others[1].tls.minimum_version, TlsVersion::V1_3);
    assert_eq!(others[0].plugin[0].limits.memory, 1 << 20);
    assert_eq!(
        complaints(TWO, &["host.nobody.greeting=x"]),
        [
            "--set host.nobody.greeting: no host is named \"nobody\"; there are Files.Example.Org, plain.example.org"
        ]
    );
}

#[test]
fn a_listener_has_what_it_says_and_else_what_the_simple_form_says() {
    let text = "[server]\nproxy-networks = ['10.0.0.0/8']\n[data]\nadvertise = '192.0.2.1'\n\
        passive-ports = '40000-40010'\n[[host]]\nname = 'a.example'\n\
        [[listener]]\naddress = '127.0.0.1:21'\n\
        [[listener]]\naddress = '127.0.0.1:990'\ntls = 'implicit'\nhost = 'A.example'\nproxy-networks = []\n\
        passive-ports = '41000-41010'\nadvertise = []\ndata-proxy-networks = ['10.0.0.0/8']\n";
    let config = read(text, &[]).unwrap().config;
    // The defaults of [server] go, as nobody has said them.
    let all: Vec<_> = config.listeners().collect();
    let [plain, own] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(
        (plain.tls, plain.key.as_str()),
        (TlsStart::Explicit, "listener[0].address")
    );
    assert_eq!(
        (plain.passive_ports, plain.proxy_networks.len()),
        ((40_000, 40_010), 1)
    );
    assert_eq!(plain.passive_ports_key(), "data.passive-ports");
    assert!(plain.advertise.for_client([192, 0, 2, 9].into()).is_some());
    assert_eq!(own.tls, TlsStart::Implicit);
    assert_eq!(own.host, HostId::named("a.example"));
    assert_eq!(
        (own.passive_ports, own.proxy_networks.len()),
        ((41_000, 41_010), 0)
    );
    assert_eq!(own.passive_ports_key(), "listener[1].passive-ports");
    assert_eq!(
        own.data_proxy_networks_key(),
        "listener[1].data-proxy-networks"
    );
    assert_eq!(own.advertise.for_client([192, 0, 2, 9].into()), None);

    let said = read(text, &["server.listen=['127.0.0.1:2121']"])
        .unwrap()
        .config;
    let first = said.listeners().next().unwrap();
    assert_eq!(
        (first.key.as_str(), said.listeners().count()),
        ("server.listen[0]", 3)
    );
    let none = read("", &[]).unwrap().config;
    assert_eq!(none.listeners().count(), 2);
}

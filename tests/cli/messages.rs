//! Messages say what is wrong, and blame what is to blame; warnings come before the harm.

use std::{
    fs,
    process::Command,
    time::{Duration, SystemTime},
};

use crate::support::{Setup, eventually};

/// Of a key that is there twice, the key is named: in the configuration, in a users file, in others.
#[test]
fn a_duplicate_key_is_named() {
    let setup = Setup::new().tables("[limits]\nsessions = 1\nidle-timeout = \"1m\"\nsessions = 2");
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("config.toml:4:1: duplicate key sessions"),
        "{said}"
    );

    let (status, said) = Setup::new().run(&["check", "--set", "storage={ a = {}, a = {} }"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("duplicate key a:"), "{said}");

    let twice = "[bob]\nhome = \"/b\"\n[\"alice\"]\nhome = \"/a\"\n[alice]\nhome = \"/c\"\n";
    let setup = Setup::first();
    fs::create_dir_all(setup.state()).unwrap();
    fs::write(setup.state().join("users.toml"), twice).unwrap();
    for words in [&["check"][..], &[], &["user", "list"]] {
        let (status, said) = setup.run(words);
        assert_ne!(status, 0, "{said}");
        assert!(said.contains("duplicate key alice"), "{words:?}: {said}");
        assert!(said.contains("users.toml"), "{words:?}: {said}");
    }

    let setup = Setup::new().users_plugin();
    let rules = setup.file("rules.toml", "a = 1\nb = 2\na = 3\n");
    let file = format!(
        "settings.rules = {{ file = {:?} }}",
        rules.display().to_string()
    );
    let setup = setup.plugin("rules", "builtin:rules", &file);
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("rules.toml: line 3: duplicate key a:"),
        "{said}"
    );
}

/// The system's refusal is no fault of the component.
#[test]
fn memory_that_may_not_be_executable() {
    let number = match std::env::consts::ARCH {
        "x86_64" => 157,
        _ => 167,
    };
    // PR_SET_MDWE, which is what MemoryDenyWriteExecute= of systemd sets. Perl is on every Debian.
    let script = format!("syscall({number}, 65, 1, 0, 0, 0) and exit 77; exec @ARGV");
    let probe = Command::new("perl")
        .args(["-e", &script, "true"])
        .status()
        .unwrap();
    if probe.code() == Some(77) {
        eprintln!("LEFT OUT: this kernel has no PR_SET_MDWE (Linux 6.3)");
        return;
    }
    let setup = Setup::new();
    let plain = setup.command(&["check"]);
    let mut command = Command::new("perl");
    command.args(["-e", &script]).arg(plain.get_program());
    command.args(plain.get_args()).env("NO_COLOR", "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in ["MemoryDenyWriteExecute=", "SELinux (execmem)", "component"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("not a valid component"), "{said}");
}

/// A certificate that is valid since 2020 and ends in so many days, and its key.
fn certificate(days: i64, authority: bool) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if authority {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let distance = Duration::from_secs(days.unsigned_abs() * 86_400 + 43_200);
    let end = match days < 0 {
        true => SystemTime::now() - distance,
        false => SystemTime::now() + distance,
    };
    params.not_after = end.into();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// `check`, the start and a reload warn of what will break, or is broken for some already.
#[test]
fn warnings_come_in_time() {
    let setup = Setup::new();
    let (soon, soon_key) = certificate(12, false);
    let (over, over_key) = certificate(-100, false);
    let (long, long_key) = certificate(400, false);
    let (authority, _) = certificate(1, true);
    let (good, _) = certificate(300, true);
    for (name, content) in [
        ("soon.pem", soon),
        ("soon.key", soon_key),
        ("over.pem", over),
        ("over.key", over_key),
        ("long.pem", long),
        ("long.key", long_key),
        ("authorities.pem", authority + &good),
    ] {
        setup.file(name, content);
    }
    let text = "[tls]\ncertificate = \"soon.pem\"\nkey = \"soon.key\"\n\
        client-certificates = \"optional\"\nclient-authorities = \"authorities.pem\"\n\
        [[tls.host]]\ncertificate = \"over.pem\"\nkey = \"over.key\"\n\
        [[tls.host]]\ncertificate = \"long.pem\"\nkey = \"long.key\"\n\
        [data]\nadvertise = \"no-such-name.invalid\"\n\
        [limits]\nsessions = 5000\n";
    let setup = setup.tables(text).open_files(4096);
    let words = [
        ("config.toml:2", "tls.certificate: ", "in 12 days"),
        ("config.toml:5", "tls.client-authorities: ", "in 1 day:"),
        (
            "config.toml:7",
            "tls.host[0].certificate: ",
            "expired on 20",
        ),
        (
            "config.toml:15",
            "limits.sessions: ",
            "raise RLIMIT_NOFILE to",
        ),
        (
            "config.toml:13",
            "data.advertise: ",
            "no-such-name.invalid cannot be looked up",
        ),
    ];
    let told = |said: &str| {
        words.iter().all(|(place, key, text)| {
            said.lines()
                .any(|line| line.contains(place) && line.contains(key) && line.contains(text))
        })
    };
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    for (place, key, text) in words {
        let line = said.lines().find(|line| line.contains(key));
        let line = line.unwrap_or_else(|| panic!("no {key} in {said}"));
        assert!(line.starts_with("warning: "), "{line}");
        assert!(line.contains(place) && line.contains(text), "{line}");
    }
    assert!(!said.contains("tls.host[1]"), "{said}");
    let authorities = said.matches("tls.client-authorities").count();
    assert_eq!(authorities, 1, "{said}");

    let server = setup.start();
    eventually("the start warns of all", || told(&server.log()));
    let before = server.log().matches("WARN").count();
    assert_eq!(server.setup().run(&["reload"]).0, 0);
    eventually("the reload warns again", || {
        server.log().matches("WARN").count() >= before + words.len()
    });
}

#[test]
fn nothing_is_said_where_all_is_well() {
    let setup = Setup::new();
    let (long, key) = certificate(400, false);
    setup.file("long.pem", long);
    setup.file("long.key", key);
    let setup = setup.tables(
        "[tls]\ncertificate = \"long.pem\"\nkey = \"long.key\"\n[data]\nadvertise = \"localhost\"\n\
         [limits]\nsessions = 100\n",
    );
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    // Tests may be run by root, which is not well.
    let warnings = said.lines().filter(|line| line.contains("warning"));
    let warnings: Vec<_> = warnings
        .filter(|line| !line.contains("root serves"))
        .collect();
    assert!(warnings.is_empty(), "{said}");
}

/// Ports for data connections that others have.
#[test]
fn passive_ports_that_others_have() {
    let held: Vec<_> = (0..50)
        .find_map(|_| {
            let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = first.local_addr().unwrap().port();
            let second = std::net::TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
            Some(vec![first, second])
        })
        .unwrap();
    let port = held[0].local_addr().unwrap().port();
    let setup = Setup::new().set("data.passive-ports", &format!("\"{port}-{}\"", port + 1));
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 0, "{said}");
    let words = format!("2 of 2 ports cannot be had on 127.0.0.1, such as {port}");
    assert!(said.contains(&words), "{said}");
    let mut server = setup.start();
    server.wait_for_line(|line| line.contains(&words));
}

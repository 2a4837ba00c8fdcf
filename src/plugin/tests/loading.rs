//! Components that are loaded, and the errors of those that are not.

use std::{fs, os::unix::fs::PermissionsExt};

use data_encoding::HEXLOWER;

use super::*;
use crate::{
    plugin::{BUILTIN, LoadError, PluginKind, inspect},
    types::OnFailure,
};

async fn refused(fixture: &Fixture, plugin: config::Plugin) -> LoadError {
    let loaded = fixture
        .host
        .gates(&[plugin], fixture.directory.path())
        .await;
    let error = loaded.err().unwrap();
    assert_eq!(error.plugin.as_deref(), Some("test"));
    assert_eq!(error.index, Some(0));
    error
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let fixture = Fixture::new();
    for (name, texts) in [
        (
            "wrong-world",
            ["it exports", "portcullis:plugin/authentication@0.1.0"],
        ),
        ("wrong-version", ["is built for version", "speaks 0.1.0"]),
        ("missing", ["missing.wasm", "No such file"]),
    ] {
        let error = refused(&fixture, configured(component(name), "")).await;
        assert_eq!(error.key, "component");
        println!("{error}");
        for text in texts {
            assert!(error.text.contains(text), "{name}: {error}");
        }
    }
    fixture.still_works().await;
}

#[tokio::test]
async fn what_is_not_granted_comes_with_the_lines_to_add() {
    let fixture = Fixture::new();
    let error = refused(&fixture, configured(component("wants-http"), "")).await;
    assert_eq!(error.key, "grants");
    let lines = "\n    [plugin.grants]\n    http = [\"https://HOST\"]";
    assert!(error.text.contains("it imports wasi:http/"), "{error}");
    assert!(error.text.ends_with(lines), "{error}");
    // Of a plugin that speaks TLS over TCP the connections are what is not granted.
    let ldap = refused(&fixture, configured("builtin:auth-ldap".into(), "")).await;
    let words = "wasi:sockets/tcp@";
    assert!(
        ldap.text.contains(words) && ldap.text.contains("to connect to services by TCP"),
        "{ldap}"
    );
    let lines =
        "\n    [plugin.grants]\n    tcp = [\"HOST:PORT\"]\n    dns = true  # where HOST is a name";
    assert!(ldap.text.ends_with(lines), "{ldap}");
    // Interfaces that libraries merely import are there, and closed.
    let gates = fixture
        .gates(&[configured(component("wants-sockets"), "")])
        .await;
    let fault = login(&*gates.authenticators[0].gate, "", "").await;
    let fault = fault.unwrap_err();
    assert_eq!(fault.text, "access-denied");
}

#[tokio::test]
async fn what_is_granted_must_be_there() {
    let fixture = Fixture::new();
    let missing = fixture.directory.path().join("missing");
    let mut plugin = configured(component("faulty-authenticator"), "");
    plugin.grants.authorities = Some(missing.clone());
    let error = refused(&fixture, plugin.clone()).await;
    assert_eq!(error.key, "grants.authorities");
    let empty = fixture.directory.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    plugin.grants.authorities = Some(empty);
    let error = refused(&fixture, plugin.clone()).await;
    assert!(error.text.ends_with("no certificate in it"), "{error}");
    plugin.grants = format!("directories = [{{ host = {missing:?}, guest = '/x' }}]")
        .parse::<toml::Table>()
        .unwrap()
        .try_into()
        .unwrap();
    let error = refused(&fixture, plugin).await;
    assert_eq!(error.key, "grants.directories");
    assert!(error.text.contains("missing: No such file"), "{error}");
}

#[tokio::test]
async fn builtin_components_load_and_unknown_ones_name_those() {
    let fixture = Fixture::new();
    let settings = "users.alice.password = 'x'";
    let named = |name: &str, settings| config::Plugin {
        name: name.into(),
        ..configured(format!("builtin:{name}"), settings)
    };
    let plugins = [
        named("users", settings),
        named("rules", ""),
        named("upload-guard", ""),
        named("lockout", ""),
        named("auth-totp", settings),
    ];
    let gates = fixture.gates(&plugins).await;
    assert_eq!(gates.authenticators.len(), 3);
    assert_eq!(gates.policies.len(), 1);
    assert_eq!(gates.inspectors.len(), 1);
    assert_eq!(gates.listeners.len(), 1, "lockout hears of logins");
    let error = refused(&fixture, configured("builtin:nobody".into(), "")).await;
    assert!(
        error.text.contains("builtin:users, builtin:auth-http"),
        "{error}"
    );
}

#[tokio::test]
async fn a_pinned_digest_is_compared() {
    let fixture = Fixture::new();
    let bytes = fs::read(component("faulty-guard")).unwrap();
    let digest =
        HEXLOWER.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref());
    let mut plugin = configured(component("faulty-guard"), "");
    plugin.sha256 = Some(digest.to_uppercase());
    fixture.gates(&[plugin.clone()]).await;
    plugin.sha256 = Some("0".repeat(64));
    let error = refused(&fixture, plugin).await;
    assert_eq!(error.key, "sha256");
    assert!(error.text.contains(&digest), "{error}");
}

#[tokio::test]
async fn what_an_authenticator_may_not_be_configured_to() {
    let fixture = Fixture::new();
    let mut plugin = configured(component("faulty-authenticator"), "");
    plugin.on_failure = OnFailure::Allow;
    assert_eq!(refused(&fixture, plugin.clone()).await.key, "on-failure");
    plugin.on_failure = OnFailure::Deny;
    plugin.limits.memory = 64 << 10;
    let error = refused(&fixture, plugin).await;
    assert!(error.text.contains("limits.memory"), "{error}");
}

#[tokio::test]
async fn setting_files_are_followed() {
    let fixture = Fixture::new();
    let file = fixture.directory.path().join("users.toml");
    let plugin = configured("builtin:users".into(), "users = { file = 'users.toml' }");
    let error = refused(&fixture, plugin.clone()).await;
    assert_eq!(error.key, "settings");
    assert!(error.text.contains("users.toml"), "{error}");

    let hash = |password: &str| crate::passwords::hash(password).unwrap();
    fs::write(&file, format!("[alice]\npassword = '{}'", hash("one"))).unwrap();
    let gates = fixture.gates(&[plugin]).await;
    let gate = &*gates.authenticators[0].gate;
    let accepts =
        async |password| matches!(login(gate, "alice", password).await, Ok(Outcome::Accept(_)));
    assert!(accepts("one").await);
    fs::write(&file, format!("[alice]\npassword = '{}'", hash("two"))).unwrap();
    assert!(!accepts("one").await);
    assert!(accepts("two").await);
    fs::write(&file, "[alice").unwrap();
    assert!(accepts("two").await);
}

#[tokio::test]
async fn a_bad_cache_is_a_miss() {
    let fixture = Fixture::new();
    fixture.still_works().await;
    let cache = fixture.directory.path().join("cache");
    assert_eq!(
        fs::metadata(&cache).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let entry = || {
        fs::read_dir(&cache)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    let whole = fs::read(entry()).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    // With its digest right, but not what this engine made.
    let mut foreign = whole[..16].to_vec();
    let code = b"\x7fELF of somebody else";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, code);
    foreign.extend_from_slice(digest.as_ref());
    foreign.extend_from_slice(code);
    for bad in [
        &[][..],
        &whole[..10],
        &whole[..40],
        &whole[..whole.len() - 1],
        &damaged,
        &foreign,
    ] {
        fs::write(entry(), bad).unwrap();
        fixture.still_works().await;
        assert!(
            fs::read(entry()).unwrap() == whole,
            "the entry is not replaced"
        );
    }
    // A directory that others can look into is not trusted.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(entry(), b"not even looked at").unwrap();
    let host = Host::new(&config::PluginHost::default(), &cache, None).unwrap();
    let plugin = configured(component("faulty-authenticator"), "");
    host.gates(&[plugin], fixture.directory.path())
        .await
        .unwrap();
    assert_eq!(fs::read(entry()).unwrap(), b"not even looked at");
}

#[test]
fn inspection_tells_all() {
    for (name, bytes) in BUILTIN {
        let report = inspect(bytes).unwrap();
        assert!(report.problems.is_empty(), "{name}: {report}");
        assert_eq!(report.contract.as_deref(), Some("0.1.0"));
        assert!(report.kind.is_some());
    }
    let report = inspect(&fs::read(component("wants-http")).unwrap()).unwrap();
    assert_eq!(report.kind, Some(&PluginKind::AUTHENTICATOR));
    let report = report.to_string();
    for said in [
        "NEEDS grants.http",
        "http = [\"https://HOST\"]",
        "made by   Rust",
        "rustc 1.",
    ] {
        assert!(report.contains(said), "{said}: {report}");
    }
    let bytes = fs::read(component("wants-sockets")).unwrap();
    let report = inspect(&bytes).unwrap().to_string();
    assert!(report.contains("# tcp = [\"HOST:PORT\"]"), "{report}");
}

/// The engine of a host that is gone is gone, and the thread of its clock with it.
#[test]
fn the_clock_keeps_no_engine() {
    let (engine, _) = crate::plugin::engine::engine(16, config::Engine::Native).unwrap();
    let weak = engine.weak();
    drop(engine);
    for _ in 0..100 {
        if weak.upgrade().is_none() {
            return;
        }
        std::thread::sleep(millis(10));
    }
    panic!("somebody holds the engine");
}

/// Attempts at one host count for no other.
#[tokio::test]
async fn hosts_have_states_of_their_own() {
    let fixture = Fixture::new();
    let plugin = config::Plugin {
        name: "lockout".into(),
        ..configured("builtin:lockout".into(), "")
    };
    let place = fixture.directory.path();
    let mut other = config::Config::default().hosts().0;
    other.id = HostId::named("other");
    other.plugin = vec![plugin.clone()];
    let gates = fixture.host.gates_of(&other.id, &other.plugin, place);
    let gates = gates.await.unwrap();
    fixture.gates(&[plugin]).await;
    // It counts the attempt before anybody has decided.
    let outcome = login(&*gates.authenticators[0].gate, "alice", "wrong").await;
    assert!(matches!(outcome, Ok(Outcome::Abstain)), "{outcome:?}");
    let keys = async || {
        let states = fixture.host.states().await.unwrap().into_iter();
        states
            .map(|(name, kept)| (name, kept.keys))
            .collect::<Vec<_>>()
    };
    let kept = keys().await;
    let [(own, 0), (others, 1..)] = &kept[..] else {
        panic!("{kept:?}");
    };
    assert_eq!((&**own, &**others), ("lockout", "lockout@other"));
    fixture.host.retain([other].iter());
    assert_eq!(keys().await.len(), 1);
}

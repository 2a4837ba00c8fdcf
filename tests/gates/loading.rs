//! Components that do not fit, and the cache of compiled code.

use std::{fs, path::Path};

use crate::{
    built,
    support::{Setup, USER},
};

/// The error of a start with a component, which must be that it does not start.
#[track_caller]
fn refused(component: &str, more: &str) -> String {
    let setup = Setup::new()
        .users_plugin()
        .plugin("the-odd-one", component, more);
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("the-odd-one"), "{said}");
    let (status, started) = setup.run(&[]);
    assert_ne!(status, 0, "{started}");
    assert!(!started.contains("listening"), "{started}");
    assert!(started.contains("the-odd-one"), "{started}");
    said.to_lowercase()
}

#[test]
fn what_is_no_component_is_named() {
    let setup = Setup::new();
    let file = setup.file("text.wasm", "this is no component");
    refused(file.to_str().unwrap(), "");
    assert!(refused("nowhere.wasm", "").contains("nowhere.wasm"));
    refused("builtin:nothing", "");
}

#[test]
fn a_component_of_another_world_is_named() {
    let said = refused(&built("wrong-world"), "");
    assert!(said.contains("export"), "{said}");
}

#[test]
fn a_component_of_another_version_is_named() {
    let said = refused(&built("wrong-version"), "");
    assert!(said.contains("0."), "which version it wants: {said}");
}

/// An import that is not granted is named when the component is loaded, with what to do.
#[test]
fn what_is_not_granted_is_named() {
    let said = refused(&built("wants-http"), "");
    assert!(said.contains("wasi:http"), "{said}");
    let lines = "\n    [plugin.grants]\n    http = [\"https://host\"]\n";
    assert!(said.contains(lines), "{said}");
}

#[test]
fn the_digest_may_be_pinned() {
    let component = built("faulty-guard");
    let bytes = fs::read(&component).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let digest = crate::support::tls::hex(digest.as_ref());
    let server = Setup::new()
        .users_plugin()
        .plugin("guard", &component, &format!("sha256 = \"{digest}\""))
        .start();
    server.login();
    let said = refused(&component, &format!("sha256 = \"{}\"", "0".repeat(64)));
    assert!(said.contains("sha256") || said.contains("digest"), "{said}");
}

#[test]
fn inspect_tells_what_a_component_is() {
    let setup = Setup::new();
    for (name, words) in [
        ("faulty-authenticator", &["authenticat"][..]),
        ("faulty-guard", &["path"]),
        ("faulty-inspector", &["inspect"]),
        ("wants-http", &["wasi:http"]),
        ("wants-sockets", &["wasi:sockets"]),
    ] {
        let (status, said) = setup.run(&["plugin", "inspect", &built(name)]);
        assert_eq!(status, 0, "{name}: {said}");
        for word in words {
            assert!(said.to_lowercase().contains(word), "{name}: {said}");
        }
    }
    let (status, _) = setup.run(&["plugin", "inspect", "nowhere.wasm"]);
    assert_ne!(status, 0);
}

#[test]
fn inspect_tells_what_a_configured_plugin_is_granted() {
    let grants = "[plugin.grants]\nhttp = [\"https://auth.example.org\"]\ndns = true\n";
    let setup = Setup::new()
        .users_plugin()
        .plugin("web", &built("wants-http"), grants)
        .plugin("bare", &built("wants-http"), "")
        .plugin(
            "many",
            &built("faulty-guard"),
            "instances = \"pool\"\nlimits.instances = 7",
        )
        .plugin("guard", &built("faulty-guard"), "");
    let (status, said) = setup.run(&["plugin", "inspect", "--plugin", "web"]);
    assert_eq!(status, 0, "{said}");
    for words in [
        "plugin            web",
        "granted           http https://auth.example.org",
        "granted           dns any name",
        "limits.memory     64MiB",
        "limits.cpu-time   250ms",
        "instances         per-call",
        "limits.instances  as many as plugin-host.instances",
        "limits.pool-wait  5s",
        "kind      authenticator",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (_, said) = setup.run(&["plugin", "inspect", "--plugin", "guard"]);
    assert!(said.contains(" per-session\n"), "{said}");
    let (_, said) = setup.run(&["plugin", "inspect", "--plugin", "many"]);
    for words in [
        " pool\n",
        "limits.instances   7\n",
        "limits.pool-calls  1000\n",
        "limits.pool-age    300s\n",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (status, said) = setup.run(&["plugin", "inspect", "--plugin", "users"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("granted           none"), "{said}");
    let (status, said) = setup.run(&["plugin", "inspect", "--plugin", "bare"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("    http = [\"https://HOST\"]"), "{said}");
    let (status, said) = setup.run(&["plugin", "inspect", "--plugin", "nobody"]);
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("there are users, web, bare, many, guard"),
        "{said}"
    );
}

/// A bad entry is a miss: cut off, empty, or another's.
#[test]
fn a_broken_cache_does_no_harm() {
    let server = Setup::new().cold().start();
    let mut entries = Vec::new();
    crate::support::server::walk(&server.state(), &mut |path| {
        // Compiled code is larger than all else in a new state directory.
        if fs::metadata(path).unwrap().len() > 10_000 {
            entries.push(path.to_path_buf());
        }
    });
    let damages = ["cut", "emptied", "replaced"];
    assert!(entries.len() >= damages.len(), "{entries:?}");
    let server = server.restart(|| {
        for (path, damage) in entries.iter().zip(damages.iter().cycle()) {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            match *damage {
                "cut" => bytes.truncate(middle),
                "emptied" => bytes.clear(),
                _ => bytes = crate::support::content(bytes.len(), 5),
            }
            fs::write(path, bytes).unwrap();
        }
    });
    let mut client = server.login_as(USER, &crate::support::Tls::new());
    client.store("STOR file", b"content").expect(226);
}

#[test]
fn the_second_start_takes_the_cache() {
    let server = Setup::new().cold().start();
    let entries = || {
        std::fs::read_dir(server.state().join("cache"))
            .unwrap()
            .count()
    };
    let before = entries();
    assert!(before > 0, "nothing is cached");

    let server = server.restart(|| {});
    assert_eq!(
        std::fs::read_dir(server.state().join("cache"))
            .unwrap()
            .count(),
        before
    );
    server.login();
}

/// The components in `tests/contract` are never built again: a server that refuses one has broken
/// the contract.
#[test]
fn what_was_built_for_an_older_contract_loads_for_ever() {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let mut components = Vec::new();
    crate::support::server::walk(&contract, &mut |path| {
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            components.push(path.to_path_buf());
        }
    });
    assert!(components.len() >= 5, "{components:?}");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let mut setup = Setup::new();
    for (index, component) in components.iter().enumerate() {
        let case = text(&component.with_extension("toml"));
        let (status, said) = setup.run(&["plugin", "run", &text(component), "--case", &case]);
        assert_eq!(status, 0, "{}: {said}", component.display());
        // A plugin without settings abstains, allows, accepts or only listens.
        setup = setup.plugin(&format!("older-{index}"), &text(component), "");
    }
    let server = setup.users_plugin().start();
    let mut client = server.login();
    client.store("STOR file", b"content").expect(226);
}

/// The line is that of the very key, and a key in a file is told with the file.
#[test]
fn a_wrong_setting_is_told_with_its_place() {
    let rules = "settings.rules = [\n  { effect = \"hide\" },\n  { effect = \"forbid\" },\n]";
    let said = refused("builtin:rules", rules);
    let (status, right) = Setup::new()
        .users_plugin()
        .plugin("rules", "builtin:rules", &rules.replace("forbid", "deny"))
        .run(&["check"]);
    assert_eq!(status, 0, "{right}");
    assert!(
        said.contains("plugin[1].settings.rules[1].effect"),
        "{said}"
    );

    let setup = Setup::new();
    setup.file("more.json", r#"[{ "effect": "forbid" }]"#);
    let file = setup.file("rules.json", r#"[{ "effect": "forbid" }]"#);
    let lines = format!("settings.rules = {{ file = {file:?} }}");
    let setup = setup
        .users_plugin()
        .plugin("rules", "builtin:rules", &lines);
    let (status, said) = setup.run(&["check"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("rules.json"), "{said}");
}

#[test]
fn a_component_that_cannot_look_at_its_settings_says_so() {
    let mut server = Setup::new()
        .users_plugin()
        .plugin("guard", &built("faulty-guard"), "settings.anything = 1")
        .start();
    server.wait_for_line(|line| line.contains("settings-check") && line.contains("guard"));
    server.login();
    assert_eq!(server.log().matches("settings-check").count(), 1);
}

/// A refusal where nothing at all is granted is told once for each call, with the line to add.
#[test]
fn regression_a_forgotten_grant_is_told() {
    let mut server = Setup::new()
        .plugin("sockets", &built("wants-sockets"), "")
        .users_plugin()
        .start();
    for _ in 0..2 {
        let mut client = server.secure(&crate::support::Tls::new());
        client.send("USER bob").expect(331);
        client.send("PASS bob").expect_one_of(&[421, 530]);
        let line = server.wait_for_line(|line| line.contains("refused: a connection to"));
        assert!(line.contains("[plugin.grants] tcp = ["), "{line}");
    }
    let refusals = || server.log().matches("refused: a connection").count();
    crate::support::eventually("each call is told of", || refusals() >= 2);
    assert_eq!(refusals(), 2);

    let nowhere = "grants.http = [\"http://192.0.2.1:9\"]\ngrants.tcp = [\"192.0.2.1:9\"]";
    let mut server = Setup::new()
        .plugin("tries", &built("tries"), nowhere)
        .users_plugin()
        .start();
    for (action, what, grant) in [
        ("lookup a.example", "to look up the name", "dns = true"),
        (
            "http http://a.example/x",
            "a request to http://a.example",
            "http = [\\\"http://a.example",
        ),
    ] {
        let mut client = server.secure(&crate::support::Tls::new());
        client.send(&format!("USER {action}")).expect(331);
        client.send("PASS x").expect_one_of(&[421, 530]);
        let line = server.wait_for_line(|line| line.contains(what));
        let wanted = grant.replace("\\", "");
        assert!(line.replace('\\', "").contains(&wanted), "{line}");
    }
}

#[test]
fn a_plain_module_is_told_what_to_do_with_it() {
    let setup = Setup::new();
    let file = setup.file("module.wasm", b"\0asm\x01\0\0\0");
    let said = refused(file.to_str().unwrap(), "");
    assert!(said.contains("portcullis plugin componentize"), "{said}");
}

/// A file of 200 MB is not read, let alone compiled.
#[test]
fn a_component_that_is_too_large_is_refused_before_it_is_read() {
    let setup = Setup::new();
    let file = setup.file("large.wasm", fs::read(built("faulty-guard")).unwrap());
    let large = fs::OpenOptions::new().append(true).open(&file).unwrap();
    large.set_len(200_000_000).unwrap();
    let said = refused(file.to_str().unwrap(), "");
    assert!(
        said.contains("large.wasm: it has 200000000 bytes"),
        "{said}"
    );
    assert!(said.contains("plugin-host.component-size"), "{said}");
    let small = fs::metadata(built("faulty-guard")).unwrap().len();
    for (most, code) in [(small - 1, 2), (small, 0)] {
        let setup = Setup::new()
            .set("plugin-host.component-size", &most.to_string())
            .users_plugin()
            .plugin("guard", &built("faulty-guard"), "");
        let (status, said) = setup.run(&["check"]);
        assert_eq!(status, code, "{said}");
    }
    let (status, said) = Setup::new().run(&["plugin", "inspect", file.to_str().unwrap()]);
    assert_ne!(status, 0, "{said}");
    assert!(said.contains("200000000 bytes"), "{said}");
}

//! `check`, and what else reads the configuration.

use std::{fs, path::Path, process::Command};

use crate::support::Setup;

/// Runs `check` on a configuration file with this text.
fn check(text: &str) -> (i32, String) {
    Setup::new()
        .unset("data.passive-ports")
        .tables(text)
        .run(&["check"])
}

#[test]
fn what_is_right_is_right() {
    let (status, said) = check("");
    assert_eq!(status, 0, "{said}");
    let (status, said) = check("[limits]\nidle-timeout = \"10m\"\nline-length = \"8KiB\"\n");
    assert_eq!(status, 0, "{said}");
}

#[test]
fn every_error_names_file_line_and_key() {
    for (text, line, words) in [
        (
            "[limits]\nidle-timeuot = \"10s\"\n",
            2,
            &["idle-timeuot"][..],
        ),
        (
            "[limits]\n\nidle-timeout = \"soon\"\n",
            3,
            &["idle-timeout", "soon"],
        ),
        ("[limits]\nsessions = \"many\"\n", 2, &["sessions"]),
        ("[limits]\nsessions = -1\n", 2, &["sessions"]),
        (
            "[tls]\ndata-binding = \"perhaps\"\n",
            2,
            &["data-binding", "prefer"],
        ),
        (
            "[data]\npassive-ports = \"30000-10000\"\n",
            2,
            &["passive-ports"],
        ),
        (
            "[data]\npassive-ports = \"1-70000\"\n",
            2,
            &["passive-ports"],
        ),
        ("[sevrer]\n", 1, &["sevrer"]),
        ("[limits\n", 1, &[]),
        (
            "[storage.default]\nfile-mode = \"999\"\n",
            2,
            &["file-mode"],
        ),
        ("[[plugin]]\nname = \"x\"\n", 1, &["component"]),
    ] {
        let (status, said) = check(text);
        assert_eq!(status, 2, "{text}: {said}");
        assert!(said.contains("config.toml"), "{text}: no file in {said}");
        assert!(
            said.contains(&format!("config.toml:{line}")) || said.contains(&format!("line {line}")),
            "{text}: no line {line} in {said}"
        );
        for word in words {
            assert!(said.contains(word), "{text}: no {word} in {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn what_belongs_together_is_checked_together() {
    for (text, word) in [
        ("[tls]\ncertificate = \"nowhere.pem\"\n", "key"),
        (
            "[tls]\ncertificate = \"nowhere.pem\"\nkey = \"nowhere.key\"\n",
            "nowhere",
        ),
        (
            "[tls]\nclient-certificates = \"required\"\n",
            "client-authorities",
        ),
        (
            "[[plugin]]\nname = \"one\"\ncomponent = \"builtin:rules\"\n[[plugin]]\nname = \"one\"\ncomponent = \"builtin:rules\"\n",
            "one",
        ),
    ] {
        let (status, said) = check(text);
        assert_eq!(status, 2, "{text}: {said}");
        assert!(said.contains(word), "{text}: no {word} in {said}");
    }
}

/// Settings of plugins are the plugins' own, and are looked at all the same.
#[test]
fn regression_a_mistyped_setting_of_a_plugin_is_named() {
    let users = "[[plugin]]\nname = \"users\"\ncomponent = \"builtin:users\"\n";
    for (lines, key) in [
        (
            "component = \"builtin:rules\"\nsettings.default = \"forbid\"\n",
            "default",
        ),
        (
            "component = \"builtin:rules\"\n[plugin.settings.ruels]\n",
            "ruels",
        ),
        (
            "component = \"builtin:upload-guard\"\nsettings.actoin = \"reject\"\n",
            "actoin",
        ),
        (
            "component = \"builtin:lockout\"\nsettings.window = 0\n",
            "window",
        ),
    ] {
        let (status, said) = check(&format!("{users}[[plugin]]\nname = \"odd\"\n{lines}"));
        assert_eq!(status, 2, "{lines}: {said}");
        for word in ["config.toml:", "plugin odd", &format!("settings.{key}")] {
            assert!(said.contains(word), "{lines}: no {word} in {said}");
        }
    }
}

#[test]
fn set_overrides_any_key() {
    let setup = Setup::new().tables("[limits]\nidle-timeout = \"10s\"\n");
    for (set, status) in [
        ("limits.idle-timeout=\"20s\"", 0),
        ("limits.idle-timeout=\"soon\"", 2),
        ("limits.no-such-key=1", 2),
        ("limits.idle-timeout", 2),
        ("limits.idle-timeout=soon", 2),
        ("tls.data-binding=\"off\"", 0),
    ] {
        let (found, said) = setup.run(&["check", "--set", set]);
        let (before, _) = setup.run(&["--set", set, "check"]);
        assert_eq!((found, before), (status, status), "{set}: {said}");
        if status != 0 {
            let key = set.split('=').next().unwrap();
            let last = key.rsplit('.').next().unwrap();
            assert!(said.contains(last), "{set}: {said}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["--config", "no-such-file.toml", "check"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-file.toml"));
}

#[test]
fn version_and_help() {
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(words)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (status, text) = run(&["--version"]);
    assert_eq!(status, Some(0));
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let (status, text) = run(&["--help"]);
    assert_eq!(status, Some(0));
    for word in ["serve", "check", "user", "plugin", "--config", "--set"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    for words in [
        &["serve", "--help"][..],
        &["check", "--help"],
        &["user", "add", "--help"],
        &["user", "passwd", "--help"],
        &["user", "list", "--help"],
        &["user", "remove", "--help"],
        &["plugin", "inspect", "--help"],
    ] {
        assert_eq!(run(words).0, Some(0), "{words:?}");
    }
    assert_eq!(run(&["no-such-command"]).0, Some(2));
}

/// The documented configuration is right, and every section that there is stands in it.
#[test]
fn the_documented_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let state = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["--config", "config.toml", "--set"])
        .arg(format!("server.state={:?}", state.path()))
        .arg("check")
        .current_dir(root)
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(root.join("config.toml")).unwrap();
    for section in [
        "[server]",
        "[tls]",
        "[data]",
        "[limits]",
        "[log]",
        "[plugin-host]",
        "[[plugin]]",
    ] {
        assert!(text.contains(section), "{section}");
    }
}

/// So that the start of a new version has it.
#[test]
fn compiled_plugins_are_kept_if_that_is_wanted() {
    let server = Setup::new().cold().start();
    let cache = server.state().join("cache");
    let count = || {
        let entries = fs::read_dir(&cache).unwrap();
        let entries = entries.flatten().map(|one| one.path());
        entries
            .filter(|path| path.extension().is_some_and(|end| end == "cwasm"))
            .count()
    };
    let all = count();
    assert!(all > 0);
    for entry in fs::read_dir(&cache).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    let (status, said) = server.setup().run(&["check"]);
    assert_eq!((status, count()), (0, 0), "{said}");
    let (status, said) = server.setup().run(&["check", "--keep-compiled"]);
    assert_eq!((status, count()), (0, all), "{said}");
}

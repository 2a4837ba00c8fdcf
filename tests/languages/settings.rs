//! Every example looks at its settings when it is loaded, and says the same of them in all languages.

use std::{fs, process::Command};

use toml::{Table, Value};

use crate::built::{KINDS, PATIENT, component, example, inspect};

/// `plugin run` with the example's own case file, but for a setting: what it said.
fn with_settings(language: &str, kind: &str, change: impl Fn(&mut Table)) -> Option<String> {
    let component = component(language, kind)?;
    let case = fs::read_to_string(example(language, kind).join("case.toml")).unwrap();
    let mut case: Table = format!("{PATIENT}{case}").parse().unwrap();
    let settings = case
        .entry("settings")
        .or_insert_with(|| Value::Table(Table::new()));
    change(settings.as_table_mut().unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), case.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["plugin", "run"])
        .arg(&component)
        .arg("--case")
        .arg(file.path())
        .env("NO_COLOR", "1")
        .env("XDG_CACHE_HOME", crate::built::cache())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{language} {kind}: it was run");
    Some(said)
}

fn settings_of(language: &str) {
    for kind in KINDS {
        let Some(component) = component(language, kind) else {
            continue;
        };
        let said = inspect(&component);
        assert!(
            said.contains("settings  looked at when it is loaded"),
            "{said}"
        );
        let is_told = |change: &dyn Fn(&mut Table), words: &str| {
            let said = with_settings(language, kind, change).unwrap();
            assert!(
                said.contains(words),
                "{language} {kind}: no {words} in {said}"
            );
        };
        is_told(
            &|settings| {
                settings.insert("nonsense".into(), 1.into());
            },
            "settings.nonsense: there is no such setting",
        );
        match kind {
            "authenticator" => is_told(
                &|settings| {
                    settings.remove("password-hash").unwrap();
                },
                "settings.password-hash: needed",
            ),
            "event-listener" => {
                for events in [
                    Value::from("login"),
                    Value::Array(vec!["login".into(), 1.into()]),
                    Value::Table(Table::new()),
                    Value::from(5),
                ] {
                    is_told(
                        &|settings| {
                            settings.insert("events".into(), events.clone());
                        },
                        "settings.events: expected a list of names",
                    );
                }
            }
            _ => {}
        }
    }
}

#[test]
fn of_rust() {
    settings_of("rust");
}

#[test]
fn of_c() {
    settings_of("c");
}

#[test]
fn of_go() {
    settings_of("go");
}

#[test]
fn of_python() {
    settings_of("python");
}

#[test]
fn of_javascript() {
    settings_of("javascript");
}

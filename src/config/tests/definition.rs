//! The definition against what is written down beside it: `config.toml`, the book, the reference.

use std::{collections::BTreeSet, fs, path::PathBuf};

use regex::Regex;
use serde_json::Value;

use super::*;

const DOCUMENTED: &str = include_str!("../../../config.toml");
const REFERENCE: &str = include_str!("../../../docs/reference.md");

/// The errors of this file, as an editor would tell them by the schema.
fn wrong(text: &str) -> Vec<String> {
    let table: toml::Table = text
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut found = Vec::new();
    validate(
        &serde_json::to_value(table).unwrap(),
        schema(),
        "",
        &mut found,
    );
    found
}

/// All of JSON Schema that the definition uses.
fn validate(value: &Value, schema: &Value, place: &str, found: &mut Vec<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let amount = value.as_f64();
    let length = value.as_array().map(|array| array.len() as u64);
    let text = value.as_str();
    for (word, rule) in schema.as_object().unwrap() {
        let limit = rule.as_f64();
        let fine = match word.as_str() {
            "$schema" | "title" | "description" | "default" | "properties" | "x-form"
            | "x-restart" => true,
            "type" => {
                rule == kind
                    || rule
                        .as_array()
                        .is_some_and(|list| list.contains(&kind.into()))
            }
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" | "oneOf" => rule.as_array().unwrap().iter().any(|one| {
                let mut found = Vec::new();
                validate(value, one, place, &mut found);
                found.is_empty()
            }),
            "minimum" => amount.is_none_or(|amount| amount >= limit.unwrap()),
            "maximum" => amount.is_none_or(|amount| amount <= limit.unwrap()),
            "minItems" => length.is_none_or(|length| length >= rule.as_u64().unwrap()),
            "maxItems" => length.is_none_or(|length| length <= rule.as_u64().unwrap()),
            "minLength" => text.is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "pattern" => {
                text.is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    validate(value, rule, &format!("{place}[{index}]"), found);
                }
                true
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    let place = format!("{place}.{key}");
                    match schema.get("properties").and_then(|known| known.get(key)) {
                        Some(schema) => validate(value, schema, &place, found),
                        None if rule.is_object() => validate(value, rule, &place, found),
                        None if *rule == true => {}
                        None => found.push(format!("{place}: unknown")),
                    }
                }
                true
            }
            other => panic!("{place}: what does {other} mean?"),
        };
        if !fine {
            found.push(format!("{place}: {word} {rule}, found {value}"));
        }
    }
}

#[test]
fn the_documented_file_equals_the_defaults() {
    let documented: Config = toml::from_str(DOCUMENTED).unwrap();
    assert_eq!(documented, Config::default());
    assert_eq!(documented.plugin.len(), 3);
    assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
}

#[test]
fn the_documented_file_mentions_every_key() {
    let keys = schema::known();
    for key in [
        "limits.idle-timeout",
        "tls.host[].key",
        "storage.NAME.root",
        "plugin[].limits.log",
        "plugin[].grants.directories[].host",
        "plugin[].grants.http[].networks",
    ] {
        assert!(
            keys.iter().any(|known| known == key),
            "{key} is not among {keys:?}"
        );
    }
    for key in keys {
        let key = key
            .strip_prefix("plugin[].")
            .or(key.rsplit('.').next())
            .and_then(|key| key.split("[]").next())
            .unwrap();
        let mentioned = DOCUMENTED.lines().any(|line| {
            let line = line.strip_prefix("# ").unwrap_or(line).trim_start();
            line.strip_prefix(key)
                .is_some_and(|rest| rest.starts_with([' ', '=', '.']))
        });
        assert!(mentioned, "config.toml does not mention {key}");
    }
}

#[test]
fn the_documented_file_is_valid_by_the_schema() {
    assert_eq!(wrong(DOCUMENTED), [""; 0]);
    // And the keys that are commented out in it.
    let is_key = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        key != line && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    let text: String = DOCUMENTED
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if is_key(key) || key.starts_with("[[") => key,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(wrong(&text), [""; 0], "{text}");
}

/// Configurations in the book, each with its place.
fn blocks() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let files = docs.map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for file in files.chain([root.join("README.md")]) {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for block in text.split("\n```toml\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            let first = block.lines().find(|line| !line.starts_with('#')).unwrap();
            let section = first.trim_matches(['[', ']']).split('.').next().unwrap();
            let known = schema()["properties"].get(section).is_some();
            if first.starts_with('[') && known {
                let part = block.starts_with("[plugin.");
                let head = if part {
                    "[[plugin]]\nname = 'x'\ncomponent = 'x'\n"
                } else {
                    ""
                };
                found.push((file.display().to_string(), format!("{head}{block}")));
            }
        }
    }
    found
}

#[test]
fn configurations_in_the_book_are_valid() {
    let blocks = blocks();
    assert!(blocks.len() > 15, "{blocks:#?}");
    for (file, text) in blocks {
        assert_eq!(wrong(&text), [""; 0], "{file}: {text}");
        if let Err(error) = read(&text, &[]) {
            panic!("{file}: {error}: {text}");
        }
    }
}

#[test]
fn the_schema_takes_every_way_to_write_a_value() {
    for (key, ways) in [
        (
            "limits.idle-timeout",
            "300, '5m', '250ms', '1h 30m', ' 1h30m ', '2 hours, 5 minutes', '1.5h', '7d', '90µs', '1:30:00'",
        ),
        (
            "limits.upload-rate",
            "0, 4096, '0', '4096', ' 64KiB', '10 MiB', '2GB', '1.5 kB', '1KB', '1TiB', '7B'",
        ),
        (
            "data.passive-ports",
            "0, 40000, '40000', '10000-30000', '10000 - 30000', [10000, 30000]",
        ),
        ("storage.x.file-mode", "'0644', '750', ' 0600 '"),
        (
            "data.advertise",
            "'192.0.2.1', 'ftp.example.org', [], [{ address = '192.0.2.1' }], \
             [{ clients = '10.0.0.0/8', address = 'a.example' }, { clients = ['::/0', '10.0.0.1'], address = 'b' }]",
        ),
        ("tls.certificate", "'a.pem', ['a.pem', 'b.pem'], []"),
    ] {
        let values: toml::Table = format!("ways = [{ways}]").parse().unwrap();
        for value in values["ways"].as_array().unwrap() {
            let text = format!("{key} = {value}");
            let read = toml::from_str::<Config>(&text);
            assert_eq!((read.is_ok(), wrong(&text)), (true, vec![]), "{text}");
        }
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    for text in [
        "severs = 5",
        "[limits]\nidle-timout = 5",
        "[limits]\nidle-timeout = 'soon'",
        "[limits]\nidle-timeout = 0",
        "[limits]\nsessions = 'many'",
        "[limits]\nsessions = -1",
        "[limits]\nline-length = 100",
        "[limits]\nline-length = '64M'",
        "[server]\nlisten = '127.0.0.1:21'",
        "[server]\nstate = ''",
        "[server]\nthreads = 2000",
        "[tls]\nrequired = 'yes'",
        "[tls]\ndata-binding = 'requires'",
        "[tls]\nminimum-version = 1.3",
        "[[tls.host]]\ncertificate = 'c.pem'",
        "[tls]\ncertificate = 5",
        "[tls]\nclient-revocation = ['']",
        "[data]\nadvertise = 5",
        "[data]\npassive-ports = [1, 2, 3]",
        "[storage.x]\nfile-mode = 644",
        "[storage.x]\nrot = 'x'",
        "[[plugin]]\nname = 'x'",
        "[[plugin]]\nname = 'x'\ncomponent = 'x'\nlimits.pool-calls = 0",
        "[[plugin]]\nname = 'x'\ncomponent = 'x'\ngrants.http = [{ networks = [] }]",
        "[[plugin]]\nname = 'x'\ncomponent = 'x'\ninstances = 'many'",
    ] {
        assert_ne!(wrong(text), [""; 0], "{text}");
    }
}

#[test]
fn the_reference_is_what_the_definition_says() {
    assert!(
        REFERENCE == reference(),
        "docs/reference.md is old: `portcullis config reference > docs/reference.md`"
    );
}

#[test]
fn every_key_has_its_text_and_a_default_or_none() {
    for key in schema::keys() {
        let text = key.schema["description"].as_str().unwrap_or_default();
        assert!(
            text.ends_with('.'),
            "{} needs a sentence: {text:?}",
            key.name
        );
        let default = key.schema.get("default");
        assert!(!(key.required && default.is_some()), "{}", key.name);
        // Else the bounds of text would not be looked at.
        if key.schema.get("minimum").is_some() {
            assert!(schema::bounds(key.schema).is_some(), "{}", key.name);
        }
    }
    let sections = schema()["properties"].as_object().unwrap();
    for (name, section) in sections {
        assert!(section["description"].is_string(), "{name}");
    }
}

#[test]
fn defaults_of_the_schema_are_those_of_the_server() {
    let mut table = toml::Table::new();
    for key in schema::keys() {
        let [section, name] = key.name.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        if let Some(default) = key.schema.get("default").filter(|_| !section.contains('[')) {
            let section = table
                .entry(section)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let default = toml::Value::try_from(default).unwrap();
            section
                .as_table_mut()
                .unwrap()
                .insert(name.to_owned(), default);
        }
    }
    assert!(table.len() > 6, "{table}");
    let read: Config = toml::Value::Table(table).try_into().unwrap();
    assert_eq!(read, Config::default());
}

#[test]
fn a_configuration_is_read_as_it_is_written() {
    let text = format!(
        "{DOCUMENTED}\n[[plugin]]\nname = 'x'\ncomponent = 'x'\n[plugin.grants]\ndns = true\n\
        tcp = ['10.0.0.5:389', '[fd00::/8]:636', 'ldap:389']\n\
        http = ['https://a', {{ url = 'http://b:8080', networks = ['10.0.0.0/8'] }}]\n\
        directories = [{{ host = 'a', guest = '/a' }}]\n"
    );
    let config: Config = toml::from_str(&text).unwrap();
    let written = toml::Table::try_from(&config).unwrap();
    assert_eq!(written.try_into::<Config>().unwrap(), config);
}

#[test]
fn bounds_hold_at_both_ends_and_in_every_way_to_write_them() {
    for (set, expected) in [
        ("server.threads=1025", "expected 0 to 1024, found 1025"),
        (
            "limits.line-length=511B",
            "expected 512 to 64KiB, found 511",
        ),
        (
            "limits.line-length=65KiB",
            "expected 512 to 64KiB, found \"65KiB\"",
        ),
        (
            "limits.concurrent-logins=0",
            "expected 1 to 100000, found 0",
        ),
        (
            "limits.concurrent-logins=100001",
            "expected 1 to 100000, found 100001",
        ),
        (
            "limits.queued-commands=10001",
            "expected 1 to 10000, found 10001",
        ),
        ("limits.stall-timeout=0s", "expected 1ms or more, found 0"),
        (
            "plugin-host.event-queue=63KiB",
            "expected 64KiB or more, found \"63KiB\"",
        ),
        (
            "plugin.rules.limits.memory=5GiB",
            "expected 64KiB to 4GiB, found \"5GiB\"",
        ),
        (
            "plugin.rules.limits.pool-calls=0",
            "expected 1 or more, found 0",
        ),
        (
            "plugin.rules.limits.pool-age=999us",
            "expected 1ms or more, found \"999µs\"",
        ),
    ] {
        let said = complaints("", &[set]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].ends_with(expected), "{set}: {said:?}");
    }
    let at_the_ends = [
        "server.threads=1024",
        "limits.line-length=512",
        "limits.queued-commands=10000",
        "limits.idle-timeout=1ms",
        "plugin.rules.limits.memory=4GiB",
        "plugin-host.event-queue=64KiB",
    ];
    read("", &at_the_ends).unwrap();
}

#[test]
fn empty_paths_are_none() {
    for key in [
        "server.state",
        "tls.client-authorities",
        "storage.default.root",
        "storage.default.staging",
        "storage.default.quarantine",
        "state.file",
        "plugin.rules.grants.authorities",
    ] {
        let said = complaints("", &[&format!("{key}=''")]);
        assert_eq!(
            said,
            [format!(
                "--set {key}: {}expected a path, found \"\"",
                named(key)
            )]
        );
    }
}

#[test]
fn the_state_directory_is_known_by_itself_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let found = |text: &str, sets: &[&str]| {
        fs::write(&file, text).unwrap();
        let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
        state(Some(&file), &sets).map_err(|error| error.to_string())
    };
    let wrong_elsewhere = "server = { state = 'here', threads = 'many' }";
    assert_eq!(
        found(wrong_elsewhere, &[]),
        Ok(directory.path().join("here"))
    );
    assert_eq!(found("", &[]), Ok(directory.path().join("var")));
    let numbered = found("", &["server.state=5"]).unwrap();
    assert_eq!(numbered, std::env::current_dir().unwrap().join("5"));
    for (text, told) in [("''", "\"\""), ("5", "the integer 5"), ("[]", "an array")] {
        let said = found(&format!("[server]\nstate = {text}"), &[]).unwrap_err();
        assert!(said.contains("config.toml:2: server.state"), "{said}");
        assert!(
            said.ends_with(&format!("expected a path, found {told}")),
            "{said}"
        );
    }
}

/// The key as the loader has it, where it is not as it was given.
fn named(key: &str) -> String {
    match key.strip_prefix("plugin.rules.") {
        Some(rest) => format!("plugin[1].{rest}: "),
        None => String::new(),
    }
}

#[test]
fn keys_that_take_a_restart_are_told_when_they_change() {
    let marked = schema::keys().into_iter().filter(schema::Key::restart);
    let marked: BTreeSet<String> = marked.map(|key| key.name).collect();
    let expected = [
        "acme.challenge",
        "acme.dns-directory",
        "acme.http-listen",
        "admin.listen",
        "audit.file",
        "audit.xferlog",
        "limits.concurrent-logins",
        "limits.waiting-logins",
        "log.file",
        "log.format",
        "log.output",
        "metrics.listen",
        "plugin-host.compile-timeout",
        "plugin-host.component-size",
        "plugin-host.engine",
        "plugin-host.instances",
        "plugin-host.memory",
        "plugin-host.remember-passwords",
        "server.allow-root",
        "server.group",
        "server.landlock",
        "server.seccomp",
        "server.state",
        "server.threads",
        "server.user",
        "state.authorities",
        "state.away",
        "state.file",
        "state.password-file",
        "state.prefix",
        "state.timeout",
        "state.url",
        "traces.authorities",
        "traces.endpoint",
        "traces.share",
    ];
    assert!(marked.iter().eq(expected), "{marked:?}");
    let before = Config::default();
    let mut after = before.clone();
    assert_eq!(restart(&before, &after), [""; 0]);
    after.log.level = "debug".to_owned();
    after.state.file = Some("state.redb".into());
    after.plugin_host.memory = Some(0);
    after.limits.sessions = 5;
    after.plugin.clear();
    assert_eq!(
        restart(&before, &after),
        ["plugin-host.memory", "state.file"]
    );
    assert_eq!(restart(&after, &after.clone()), [""; 0]);
}

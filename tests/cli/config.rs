//! `config`, and the definition that it prints where a user meets it.

use std::fs;

use serde_json::Value;

use crate::support::{Server, Setup};

/// The standard output of `config WORD` beside this configuration.
fn printed(word: &str, configuration: &str) -> String {
    let setup = Setup::new().tables(configuration);
    let output = setup.command(&["config", word]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_schema_is_printed_whatever_the_configuration_says() {
    let schema = printed("schema", "[severs]\n");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let draft = "https://json-schema.org/draft/2020-12/schema";
    assert_eq!(schema["$schema"], draft);
    assert_eq!(schema["additionalProperties"], false);
    let sections = &schema["properties"];
    let threads = &sections["server"]["properties"]["threads"];
    assert_eq!(threads["x-restart"], true);
    assert_eq!(threads["maximum"], 1024);
    assert_eq!(threads["default"], 0);
    let binding = &sections["tls"]["properties"]["data-binding"];
    assert_eq!(binding["default"], "prefer");
    let words = binding["oneOf"].as_array().unwrap();
    assert!(words.iter().any(|word| word["const"] == "require"));
    let plugin = &sections["plugin"]["items"];
    assert_eq!(plugin["required"], serde_json::json!(["name", "component"]));
    let text = schema.to_string();
    assert!(!text.contains("$ref") && !text.contains("null"), "{text}");
}

#[test]
fn the_reference_is_printed() {
    let page = printed("reference", "");
    assert_eq!(page, include_str!("../../docs/reference.md"));
    assert!(page.contains("\n| `idle-timeout` | duration, 1ms or more | `\"5m\"` |"));
}

#[test]
fn a_reload_names_the_keys_that_take_a_restart() {
    let server = Server::start();
    let reload = |text: &str| {
        let mut command = server.setup().command(&["reload"]);
        // Making the command has written the configuration.
        fs::write(server.state().with_file_name("config.toml"), text).unwrap();
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = reload("[limits]\nsessions = 77\n");
    assert!(!said.contains("restart"), "{said}");
    let said = reload(
        "[limits]\nwaiting-logins = 77\nsessions = 77\n[plugin-host]\nmemory = \"3GiB\"\n[state]\nfile = \"s.redb\"\n",
    );
    let expected = "a restart is needed for limits.waiting-logins, plugin-host.memory, state.file";
    assert!(said.contains(expected), "{said}");
    let said = reload("");
    assert!(!said.contains("restart"), "{said}");
}

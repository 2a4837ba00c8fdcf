//! Settings that the plugins that ship refuse.

use super::*;

/// For each plugin that ships: settings with a key that is mistyped or a value that will not do, the
/// key that is to be named, and some of what is to be said.
const WRONG: &[(&str, &str, &str, &str)] = &[
    (
        "users",
        "settings.usres = {}",
        "settings.usres",
        "no such key",
    ),
    (
        "users",
        "settings.users = \"users.toml\"",
        "settings.users",
        "expected a table",
    ),
    (
        "users",
        "[plugin.settings.users.bob]\npassword = \"x\"\npermisions = []",
        "settings.users.bob.permisions",
        "no such key",
    ),
    (
        "users",
        "settings.anonymous = {}",
        "settings.anonymous.home",
        "needed",
    ),
    (
        "rules",
        "settings.rules = [\n  { effect = \"hide\" },\n  { effect = \"forbid\" },\n]",
        "settings.rules[1].effect",
        "forbid",
    ),
    (
        "rules",
        "settings.rule = []",
        "settings.rule",
        "no such key",
    ),
    (
        "upload-guard",
        "settings.actoin = \"reject\"",
        "settings.actoin",
        "no such key",
    ),
    (
        "upload-guard",
        "settings.action = \"keep\"",
        "settings.action",
        "keep",
    ),
    (
        "upload-content",
        "settings.archive = {}",
        "settings.archive",
        "no such key",
    ),
    (
        "upload-clamav",
        "settings.adress = \"127.0.0.1:1\"",
        "settings.",
        "",
    ),
    (
        "lockout",
        "settings.max-failures = 3",
        "settings.max-failures",
        "no such key",
    ),
    (
        "auth-totp",
        "settings.promt = \"Code\"\nsettings.users = {}",
        "settings.promt",
        "no such key",
    ),
    (
        "auth-totp",
        "[plugin.settings.users.bob]\npassword = \"x\"\ntotp = \"?\"",
        "settings.users.bob.totp",
        "",
    ),
    (
        "auth-http",
        "settings = { url = \"http://127.0.0.1:1\", timout = 3 }\n\
         grants.http = [\"http://127.0.0.1:1\"]",
        "settings.timout",
        "no such key",
    ),
    (
        "webhook",
        "settings = { url = \"ftp://127.0.0.1\" }\ngrants.http = [\"http://127.0.0.1:1\"]",
        "settings.url",
        "expected a URL",
    ),
    (
        "auth-ldap",
        "settings = { servers = [\"ldap://a\"], bind-dn = \"x\" }\ngrants.tcp = [\"127.0.0.1:1\"]",
        "settings.bind-dn",
        "{user}",
    ),
    (
        "auth-sql",
        "settings = { servers = [\"postgres://a/f\"], user = \"u\", password = \"p\", \
         query = \"select 1\" }\ngrants.tcp = [\"127.0.0.1:1\"]",
        "settings.query",
        "$1",
    ),
];

#[tokio::test]
async fn regression_a_wrong_setting_is_refused_with_its_key() {
    #[derive(serde::Deserialize)]
    struct Plugins {
        plugin: Vec<config::Plugin>,
    }
    let fixture = Fixture::new();
    for (component, lines, key, why) in WRONG {
        let text =
            format!("[[plugin]]\nname = \"test\"\ncomponent = \"builtin:{component}\"\n{lines}");
        let Plugins { plugin } = toml::from_str(&text).unwrap();
        let loaded = fixture.host.gates(&plugin, fixture.directory.path());
        let error = loaded.await.err().unwrap();
        assert!(error.key.contains(key), "{lines}: {error:?}");
        let said = error.to_string().to_lowercase();
        assert!(said.contains(&why.to_lowercase()), "{lines}: {error}");
    }
}

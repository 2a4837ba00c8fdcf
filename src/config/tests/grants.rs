//! `[plugin.grants]`.

use super::*;

/// A plugin with these grants, which begin in line 5.
fn granted(grants: &str) -> String {
    format!("[[plugin]]\nname = 'a'\ncomponent = 'a.wasm'\n[plugin.grants]\n{grants}")
}

#[test]
fn grants_that_make_no_sense_are_refused() {
    for (grants, expected) in [
        (
            "tcp = [\n\"10.0.0.5:389\",\n\"10.0.0.5\"]",
            "config.toml:7: plugin[0].grants.tcp[1]: expected host:port or network:port, such as \"10.0.0.5:389\" or \"[fd00::/8]:636\", found \"10.0.0.5\"",
        ),
        (
            "tcp = '10.0.0.5:389'",
            "config.toml:5: plugin[0].grants.tcp: expected an array, found \"10.0.0.5:389\"",
        ),
        (
            "http = ['https://host/path']",
            "config.toml:5: plugin[0].grants.http[0]: expected a URL of scheme, host and port, such as \"https://host:8443\", found \"https://host/path\"",
        ),
        (
            "http = [{ url = 'host' }]",
            "config.toml:5: plugin[0].grants.http[0].url: expected a URL of scheme, host and port, such as \"https://host:8443\", found \"host\"",
        ),
        (
            "http = [{ networks = [] }]",
            "config.toml:5: plugin[0].grants.http[0]: \"url\" is missing",
        ),
        (
            "http = [{ url = 'http://host', networks = ['10/8'] }]",
            "config.toml:5: plugin[0].grants.http[0].networks[0]: expected a network such as \"10.0.0.0/8\", found \"10/8\"",
        ),
        (
            "http = [{ url = 'http://host', network = [] }]",
            "config.toml:5: plugin[0].grants.http[0].network: unknown key; did you mean \"networks\"?",
        ),
        (
            "dns = 'yes'",
            "config.toml:5: plugin[0].grants.dns: expected true or false, found \"yes\"",
        ),
        (
            "udp = []",
            "config.toml:5: plugin[0].grants.udp: unknown key; known here: directories, tcp, http, dns, environment, authorities",
        ),
        (
            "directories = [{ guest = '/x' }]",
            "config.toml:5: plugin[0].grants.directories[0]: \"host\" is missing",
        ),
        (
            "directories = [{ host = 'x', guest = '/x', access = 'all' }]",
            "config.toml:5: plugin[0].grants.directories[0].access: expected \"read\" or \"write\", found \"all\"",
        ),
        (
            "directories = [{ host = 'x', guest = '/x/../y' }]",
            "config.toml:5: plugin[0].grants.directories[0].guest: expected an absolute path such as \"/lists\", found \"/x/../y\"",
        ),
        (
            "directories = [{ host = 'x', guest = '/x' }, { host = 'y', guest = '/x' }]",
            "config.toml:5: plugin[0].grants.directories[1].guest: \"/x\" is granted already",
        ),
        (
            "environment = ['A=B']",
            "config.toml:5: plugin[0].grants.environment[0]: expected the name of a variable, found \"A=B\"",
        ),
    ] {
        assert_eq!(complaints(&granted(grants), &[]), [expected], "{grants}");
    }
}

#[test]
fn grants_that_do_too_little_or_too_much_are_warnings() {
    for (grants, key, text) in [
        ("tcp = ['ldap:389']", "tcp[0]", "cannot look up ldap"),
        ("tcp = ['0.0.0.0/0:25']", "tcp[0]", "is every address"),
        ("authorities = 'ca.pem'", "authorities", "of no use"),
    ] {
        let warnings = read(&granted(grants), &[]).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{grants}");
        assert_eq!(warnings[0].place, "config.toml:5");
        assert_eq!(warnings[0].key, format!("plugin[0].grants.{key}"));
        assert!(warnings[0].text.contains(text), "{}", warnings[0].text);
    }
    let fine = granted("dns = true\ntcp = ['ldap:389']\nauthorities = 'ca.pem'");
    assert!(read(&fine, &[]).unwrap().warnings.is_empty());
}

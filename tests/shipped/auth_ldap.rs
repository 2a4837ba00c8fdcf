//! `auth-ldap`.

use crate::{
    attempt,
    directory::Directory,
    installed,
    support::{Server, Setup, Tls, USER, free_port, tls::Identity},
};

const BY_NAME: &str = "settings.bind-dn = \"uid={user},ou=people,dc=example,dc=org\"\n";
const BY_SEARCH: &str = "\
    settings.base = \"ou=people,dc=example,dc=org\"\n\
    settings.filter = \"(&(objectClass=inetOrgPerson)(uid={user}))\"\n\
    settings.bind-user = \"cn=portcullis,dc=example,dc=org\"\n\
    settings.bind-password = \"looks for users\"\n";
const GROUPS: &str = "settings.group-base = \"ou=groups,dc=example,dc=org\"\n";

fn setup(directory: &Directory, servers: &[String], more: &str) -> Setup {
    let ports = [directory.port, directory.tls_port];
    let granted = ports.map(|port| format!("127.0.0.1:{port}"));
    let lines = format!(
        "settings.servers = {servers:?}\n\
         grants.tcp = {granted:?}\n\
         grants.authorities = {:?}\n{more}",
        directory.certificate()
    );
    Setup::new().plugin("auth-ldap", "builtin:auth-ldap", &lines)
}

fn ldap(directory: &Directory) -> Vec<String> {
    vec![format!("ldap://127.0.0.1:{}", directory.port)]
}

fn ldaps(directory: &Directory) -> Vec<String> {
    vec![format!("ldaps://127.0.0.1:{}", directory.tls_port)]
}

fn there() -> bool {
    installed("slapd", "slapd")
}

/// The users that get in and those that do not, however users are found.
fn check(server: &Server) {
    attempt(server, "bob", "bob").expect(230);
    attempt(server, "carol", "carol").expect(230);
    attempt(server, "bob", "carol").expect(530);
    // A directory takes these for Bob; nothing else does.
    attempt(server, "BOB", "bob").expect(530);
    // To bind without a password succeeds, as nobody.
    attempt(server, "bob", "").expect_one_of(&[501, 530]);
    for user in [
        "nobody",
        "*",
        "b*",
        "bob)(uid=*",
        "bob,ou=people",
        "bob)(|(uid=bob)",
        "\\2a",
    ] {
        attempt(server, user, "bob").expect(530);
    }
}

#[test]
fn by_name_over_starttls() {
    if !there() {
        return;
    }
    let directory = Directory::start();
    check(&setup(&directory, &ldap(&directory), BY_NAME).start());
}

#[test]
fn by_search_over_tls() {
    if !there() {
        return;
    }
    let directory = Directory::start();
    let setup = setup(&directory, &ldaps(&directory), BY_SEARCH);
    let server = setup.users_plugin().start();
    check(&server);
    // Whom the directory does not know the next plugin may.
    attempt(&server, USER, USER).expect(230);
}

#[test]
fn in_the_clear_only_where_that_is_said() {
    if !there() {
        return;
    }
    let directory = Directory::start();
    let more = format!("settings.start-tls = false\n{BY_NAME}");
    check(&setup(&directory, &ldap(&directory), &more).start());
}

#[test]
fn groups_homes_and_attributes() {
    if !there() {
        return;
    }
    let directory = Directory::start();
    let rules = "settings.rules = [{ effect = \"deny\", groups = [\"readers\"], \
                 operations = [\"write\"], reason = \"Readers read\" }]\n";
    let more = format!("{BY_SEARCH}{GROUPS}settings.account = {{ home = \"/shared\" }}\n");
    let server = setup(&directory, &ldaps(&directory), &more)
        .plugin("rules", "builtin:rules", rules)
        .start();
    let mut bob = server.login_as("bob", &Tls::new());
    bob.send("MKD new").expect(257);
    let mut carol = server.login_as("carol", &Tls::new());
    carol.send("MKD other").expect(550).saying("Readers read");
    carol.send("CWD new").expect(250);

    let more = format!("{BY_NAME}settings.home-attribute = \"homeDirectory\"\n");
    let server = setup(&directory, &ldaps(&directory), &more).start();
    let mut bob = server.login_as("bob", &Tls::new());
    bob.store("STOR file", b"content").expect(226);
    assert!(server.state().join("files/homes/bob/file").exists());
    // She has none: that is not hers to put right.
    attempt(&server, "carol", "carol").expect(421);
}

#[test]
fn the_next_server_where_one_is_down() {
    if !there() {
        return;
    }
    let directory = Directory::start();
    let down = free_port();
    let mut servers = vec![format!("ldap://127.0.0.1:{down}")];
    servers.extend(ldap(&directory));
    let lines = BY_NAME.to_owned();
    let setup = setup(&directory, &servers, &lines);
    let mut server = setup.start();
    attempt(&server, "bob", "bob").expect(230);
    drop(directory);
    attempt(&server, "bob", "bob").expect(421);
    server.wait_for_line(|line| line.contains("unavailable") && line.contains("127.0.0.1"));
}

#[test]
fn no_password_goes_to_a_stranger() {
    if !there() {
        return;
    }
    let directory = Directory::start();
    for servers in [ldap(&directory), ldaps(&directory)] {
        let mut setup = setup(&directory, &servers, BY_NAME);
        let other = setup.file("other.pem", Identity::server("127.0.0.1").certificate_pem);
        setup = setup.set(
            "plugin.auth-ldap.grants.authorities",
            &format!("{:?}", other),
        );
        let mut server = setup.start();
        attempt(&server, "bob", "bob").expect(421);
        server.wait_for_line(|line| line.contains("unavailable") && line.contains("TLS"));
    }
}

#[test]
fn more_than_one_is_nobody() {
    if !there() {
        return;
    }
    let directory = Directory::start();
    let more = BY_SEARCH.replace("(uid={user})", "(|(uid={user})(mail=same@example.org))");
    let mut server = setup(&directory, &ldaps(&directory), &more).start();
    attempt(&server, "bob", "bob").expect(530);
    server.wait_for_line(|line| line.contains("more than one entry fits"));
}

//! `auth-sql`.

use std::time::{Duration, Instant};

use crate::{
    attempt,
    databases::{Database, Kind, SECRET, postgres_program},
    installed,
    support::{Server, Setup, Tls, USER, tls::Identity},
};

const COLUMNS: &str = "name, password, home, quota, disabled, expires, groups, permissions, \
                       max_sessions, department as attribute_department";

/// The settings for a database; `more` comes last.
fn setup(database: &Database, kind: Kind, more: &str) -> Setup {
    let (scheme, name, parameter) = match kind {
        Kind::Postgres => ("postgres", "postgres", "$1"),
        Kind::Mariadb => ("mysql", "ftp", "?"),
    };
    let port = database.port;
    let mut lines = format!(
        "settings.servers = [\"{scheme}://127.0.0.1:{port}/{name}\"]\n\
         grants.tcp = [\"127.0.0.1:{port}\"]\n\
         grants.authorities = {:?}\n",
        database.certificate()
    );
    if !more.contains("settings.password") {
        lines += &format!("settings.password = {SECRET:?}\n");
    }
    if !more.contains("settings.user") {
        lines += "settings.user = \"portcullis\"\n";
    }
    if !more.contains("settings.query") {
        let query = format!("select {COLUMNS} from ftp_users where name = {parameter}");
        lines += &format!("settings.query = {query:?}\n");
    }
    Setup::new().plugin("sql", "builtin:auth-sql", &(lines + more))
}

fn is_there(kind: Kind) -> bool {
    match kind {
        Kind::Postgres => {
            postgres_program("initdb").is_some()
                || installed("/usr/lib/postgresql/*/bin/initdb", "postgresql")
        }
        Kind::Mariadb => installed("mariadbd", "mariadb-server"),
    }
}

/// The users that get in and those that do not, whatever the database.
fn check(server: &mut Server) {
    for user in ["bob", "carol", "o'neill", "zoë"] {
        attempt(server, user, user).expect(230);
        attempt(server, user, "wrong").expect(530);
    }
    attempt(server, "bob", "").expect_one_of(&[501, 530]);
    // Disabled, expired, and without a password.
    for user in ["dave", "erin", "frank"] {
        attempt(server, user, user).expect(530);
    }
    for user in [
        "nobody",
        "' or 1=1 --",
        "' or '1'='1",
        "bob' --",
        "bob'; drop table ftp_users; --",
        "\\' or 1=1 -- ",
        "\" or 1=1 --",
        "$1",
        "?",
        "%",
        "b_b",
        // Some databases take these for Bob.
        "BOB",
        "bob ",
        "zoe",
    ] {
        attempt(server, user, "bob").expect(530);
    }
    let mut client = server.secure(&Tls::new());
    client.send("USER b\0ob").expect(501);
    // Two of one name are nobody, and the operator's to put right.
    attempt(server, "twin", "twin").expect(421);
    server.wait_for_line(|line| line.contains("more than one row for user"));
    // The table is still there.
    attempt(server, "bob", "bob").expect(230);
}

/// The homes, quotas and rights that come with an account.
fn accounts(server: &Server) {
    let mut bob = server.login_as("bob", &Tls::new());
    bob.store("STOR file", &[0; 800]).expect(226);
    bob.store("STOR other", &[0; 300]).expect(552);
    assert!(server.state().join("files/homes/bob/file").exists());
    bob.send("MKD new").expect(257);
    let mut carol = server.login_as("carol", &Tls::new());
    carol.send("MKD new").expect(550);
}

fn users_homes_and_rights(kind: Kind, database: &Database) {
    let rules = "settings.rules = [{ effect = \"deny\", groups = [\"staff\"], \
                 operations = [\"delete\"], reason = \"Staff keeps\" }]\n";
    let mut server = setup(database, kind, "")
        .users_plugin()
        .plugin("rules", "builtin:rules", rules)
        .start();
    check(&mut server);
    accounts(&server);
    let mut bob = server.login_as("bob", &Tls::new());
    bob.send("DELE file").expect(550).saying("Staff keeps");
    // The next plugin may know those whom the database does not.
    attempt(&server, USER, USER).expect(230);
}

#[test]
fn postgres_by_scram_over_tls() {
    if is_there(Kind::Postgres) {
        users_homes_and_rights(Kind::Postgres, &Database::postgres());
    }
}

#[test]
fn mariadb_over_tls() {
    if is_there(Kind::Mariadb) {
        users_homes_and_rights(Kind::Mariadb, &Database::mariadb());
    }
}

#[test]
fn postgres_by_other_methods() {
    if !is_there(Kind::Postgres) {
        return;
    }
    let database = Database::postgres();
    for (user, tls, code) in [
        ("old", true, 230),
        ("clear", true, 230),
        ("old", false, 230),
        ("portcullis", false, 230),
        // The password in the clear goes over TLS alone.
        ("clear", false, 421),
    ] {
        let more = format!("settings.user = {user:?}\nsettings.tls = {tls}\n");
        let mut server = setup(&database, Kind::Postgres, &more).start();
        attempt(&server, "bob", "bob").expect(code);
        if code == 421 {
            server.wait_for_line(|line| line.contains("the password in the clear"));
        }
    }
}

/// A stranger in the place of the database, and a database that offers no TLS.
fn nothing_goes_to_a_stranger(kind: Kind, with: &Database, without: &Database) {
    let setup_with = setup(with, kind, "");
    let other = setup_with.file("other.pem", Identity::server("127.0.0.1").certificate_pem);
    let authority = ("plugin.sql.grants.authorities", format!("{other:?}"));
    let mut server = setup_with.set(authority.0, &authority.1).start();
    attempt(&server, "bob", "bob").expect(421);
    server.wait_for_line(|line| line.contains("unavailable") && line.contains("TLS"));
    // A name that the certificate is not made out to.
    let mut server = setup(with, kind, "settings.tls-name = \"db.example.org\"\n").start();
    attempt(&server, "bob", "bob").expect(421);
    server.wait_for_line(|line| line.contains("unavailable") && line.contains("TLS"));

    let mut server = setup(without, kind, "").start();
    attempt(&server, "bob", "bob").expect(421);
    server.wait_for_line(|line| line.contains("it offers no TLS"));
    let server = setup(without, kind, "settings.tls = false\n").start();
    attempt(&server, "bob", "bob").expect(230);
}

#[test]
fn postgres_has_to_be_the_one() {
    if is_there(Kind::Postgres) {
        let without = Database::without_tls(Kind::Postgres);
        nothing_goes_to_a_stranger(Kind::Postgres, &Database::postgres(), &without);
    }
}

#[test]
fn mariadb_has_to_be_the_one() {
    if is_there(Kind::Mariadb) {
        let without = Database::without_tls(Kind::Mariadb);
        nothing_goes_to_a_stranger(Kind::Mariadb, &Database::mariadb(), &without);
    }
}

/// Down, up again, and there without a word.
fn while_it_is_away(kind: Kind, database: &mut Database) {
    let mut server = setup(database, kind, "settings.timeout = 2\n").start();
    attempt(&server, "bob", "bob").expect(230);
    database.end();
    attempt(&server, "bob", "bob").expect(421);
    server.wait_for_line(|line| line.contains("unavailable") && line.contains("database runs"));
    assert!(database.revive());
    attempt(&server, "bob", "bob").expect(230);
    database.hang(true);
    let start = Instant::now();
    attempt(&server, "bob", "bob").expect(421);
    assert!(start.elapsed() < Duration::from_secs(8));
    server.wait_for_line(|line| line.contains("no answer within timeout"));
    database.hang(false);
    attempt(&server, "bob", "bob").expect(230);
}

#[test]
fn postgres_that_is_away_comes_back() {
    if is_there(Kind::Postgres) {
        while_it_is_away(Kind::Postgres, &mut Database::postgres());
    }
}

#[test]
fn mariadb_that_is_away_comes_back() {
    if is_there(Kind::Mariadb) {
        while_it_is_away(Kind::Mariadb, &mut Database::mariadb());
    }
}

/// Each with the words that the operator finds in the log.
fn mistakes(kind: Kind, database: &Database) {
    let parameter = if kind == Kind::Postgres { "$1" } else { "?" };
    let query = |columns: &str, table: &str| {
        format!("settings.query = \"select {columns} from {table} where name = {parameter}\"\n")
    };
    for (more, words) in [
        (
            query("name, password, department", "ftp_users"),
            "the column \\\"department\\\" is no key of a user",
        ),
        (
            query("name, password", "ftp_user"),
            "query: the database says",
        ),
        (
            query("name, home", "ftp_users"),
            "a column password is needed",
        ),
        (
            query("name, department as password", "ftp_users"),
            "a hash of an unknown kind",
        ),
        (
            "settings.user = \"nobody\"\n".into(),
            "user \\\"nobody\\\": the database says",
        ),
        (
            "settings.password = \"wrong\"\n".into(),
            "user \\\"portcullis\\\": the database says",
        ),
    ] {
        let setup = setup(database, kind, &more).set("log.level", "\"debug\"");
        let mut server = setup.start();
        attempt(&server, "bob", "bob").expect(421);
        server.wait_for_line(|line| line.contains(words));
        assert!(!server.log().contains(SECRET));
    }
}

#[test]
fn postgres_mistakes_are_named() {
    if is_there(Kind::Postgres) {
        mistakes(Kind::Postgres, &Database::postgres());
    }
}

#[test]
fn mariadb_mistakes_are_named() {
    if is_there(Kind::Mariadb) {
        let database = Database::mariadb();
        mistakes(Kind::Mariadb, &database);
        let more = "settings.query = \"select password from ftp_users where name = ?\"\n";
        let mut server = setup(&database, Kind::Mariadb, more).start();
        attempt(&server, "bob", "bob").expect(421);
        server.wait_for_line(|line| line.contains("the column name is needed"));
    }
}

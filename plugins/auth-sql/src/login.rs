//! Decides by the row of a user, as if it stood in the table of the plugin `users`.

use crate::row::Columns;
use crate::settings::{Kind, Server, Settings};
use crate::wire::{Error, Found};
use accounts::login::{self, Outcome};

/// The network, as far as it is granted.
pub trait Network {
    /// Asks a server for the rows of a name; `left` more servers are there if it fails.
    fn look_up(&self, server: &Server, left: u32, name: &str) -> Result<Found, Error>;
}

/// Why it cannot be decided.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// No server helps.
    Unavailable(String),
    /// Something is set wrongly.
    Internal(String),
}

/// Decides about one try: by the first server that gives an answer. `client` makes of a user's entry
/// what decides about it; where there is none, as many hashes are computed as with one.
pub fn authenticate<S: login::Server>(
    settings: &Settings,
    network: &impl Network,
    user: &str,
    password: Option<&str>,
    client: impl FnOnce(Option<String>) -> S,
) -> Result<Outcome, Failure> {
    let entry = entry(settings, network, user)?;
    login::authenticate(&client(entry), user, password).map_err(Failure::Internal)
}

/// The user's entry, if there is one.
fn entry(
    settings: &Settings,
    network: &impl Network,
    user: &str,
) -> Result<Option<String>, Failure> {
    // No database has such a name, and some refuse the question.
    if user.is_empty() || user.contains('\0') {
        return Ok(None);
    }
    let (mut failures, mut unreachable) = (Vec::new(), false);
    let mut left = u32::try_from(settings.servers.len()).unwrap_or(u32::MAX);
    for server in &settings.servers {
        left = left.saturating_sub(1);
        let place = format!("{}:{}", server.host, server.port);
        match network.look_up(server, left, user) {
            Ok(found) => return read(settings, user, found).map_err(Failure::Internal),
            Err(Error::Settings(what)) => {
                return Err(Failure::Internal(format!("{place}: {what}")));
            }
            Err(error) => {
                unreachable |= matches!(error, Error::Connection(_));
                failures.push(format!("{place}: {error}"));
            }
        }
    }
    let mut what = failures.join("; ");
    if unreachable {
        what += " (see that the database runs, and that it can be reached from here)";
    }
    Err(Failure::Unavailable(what))
}

fn read(settings: &Settings, user: &str, found: Found) -> Result<Option<String>, String> {
    let columns = Columns::new(&found.columns)?;
    if settings.kind == Kind::Mysql && !columns.has_name() {
        let what = "query: the column name is needed, since MySQL takes \"BOB\" for \"bob\", and \
                    homes do not: \"select userid as name, …\"";
        return Err(what.to_owned());
    }
    let mut rows = found.rows.into_iter();
    match (rows.next(), rows.next()) {
        (Some(row), None) if columns.is_of(user, &row) => {
            columns.entry(user, row, &settings.account).map(Some)
        }
        // Another name in the database's eyes is this one.
        (Some(_), None) | (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(format!(
            "query: more than one row for user {user:?}: the name has to be unique"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounts::certificate::Shown;
    use std::cell::{Cell, RefCell};
    use std::io;

    /// A database with one table.
    #[derive(Default)]
    struct Fake {
        down: &'static [&'static str],
        wrong: bool,
        asked: RefCell<Vec<String>>,
        rows: Vec<[Option<&'static str>; 2]>,
        columns: Option<[&'static str; 2]>,
        hashed: Cell<u32>,
    }

    impl Network for Fake {
        fn look_up(&self, server: &Server, _: u32, _: &str) -> Result<Found, Error> {
            self.asked.borrow_mut().push(server.host.clone());
            if self.wrong {
                return Err(Error::Settings("query: no such table".into()));
            }
            if self.down.contains(&server.host.as_str()) {
                return Err(Error::Connection(io::ErrorKind::TimedOut.into()));
            }
            let columns = self.columns.unwrap_or(["name", "password"]);
            let rows = self.rows.iter();
            Ok(Found {
                columns: columns.map(str::to_owned).to_vec(),
                rows: rows
                    .map(|row| row.map(|value| value.map(str::to_owned)).to_vec())
                    .collect(),
            })
        }
    }

    struct Client<'a> {
        fake: &'a Fake,
        entry: Option<String>,
    }

    /// A hash is its password with a "$" before it.
    impl login::Server for Client<'_> {
        fn user(&self, _: &str) -> Option<String> {
            self.entry.clone()
        }
        fn group(&self, _: &str) -> Option<String> {
            None
        }
        fn anonymous(&self) -> Option<String> {
            None
        }
        fn verify(&self, password: &str, hash: &str) -> Result<bool, String> {
            self.fake.hashed.set(self.fake.hashed.get() + 1);
            let known = hash.strip_prefix('$').ok_or("unknown kind of hash")?;
            Ok(known == password)
        }
        fn certificate(&self) -> Shown {
            Shown::default()
        }
        fn address(&self) -> String {
            "192.0.2.1".into()
        }
        fn now(&self) -> u64 {
            1_795_824_000
        }
    }

    fn login(fake: &Fake, scheme: &str, user: &str, password: &str) -> String {
        let parameter = if scheme == "mysql" { "?" } else { "$1" };
        let json = format!(
            r#"{{"servers": ["{scheme}://one/f", "{scheme}://two/f"], "user": "u",
                "password": "p", "query": "select {parameter}"}}"#
        );
        let settings = Settings::parse(&json).unwrap();
        fake.hashed.set(0);
        let client = |entry| Client { fake, entry };
        match authenticate(&settings, fake, user, Some(password), client) {
            Ok(Outcome::Accept(grant)) => grant.home,
            Ok(other) => format!("{other:?}"),
            Err(Failure::Internal(what) | Failure::Unavailable(what)) => what,
        }
    }

    fn bob() -> Fake {
        Fake {
            rows: vec![[Some("bob"), Some("$right")]],
            ..Fake::default()
        }
    }

    #[test]
    fn as_many_hashes_whoever_asks() {
        let mut fake = bob();
        for scheme in ["postgres", "mysql"] {
            for (user, password, outcome) in [
                ("bob", "right", "/bob"),
                ("bob", "wrong", "Deny(\"wrong password\")"),
                ("BOB", "right", "Abstain"),
                ("b\0ob", "right", "Abstain"),
                ("", "right", "Abstain"),
                ("anonymous", "right", "Abstain"),
            ] {
                assert_eq!(login(&fake, scheme, user, password), outcome, "{user:?}");
                assert_eq!(fake.hashed.get(), 1, "{user:?}");
            }
        }
        fake.rows = vec![[Some("bob"), None]];
        assert!(login(&fake, "mysql", "bob", "right").starts_with("Deny"));
        assert_eq!(fake.hashed.get(), 1);
        fake.rows.clear();
        assert_eq!(login(&fake, "mysql", "bob", "right"), "Abstain");
        assert_eq!(fake.hashed.get(), 1);
    }

    #[test]
    fn more_than_one_is_nobody() {
        let mut fake = bob();
        fake.rows.push([Some("Bob"), Some("$other")]);
        let told = login(&fake, "postgres", "bob", "right");
        assert!(
            told.contains("more than one row for user \"bob\""),
            "{told}"
        );
    }

    #[test]
    fn the_next_server_where_one_is_down() {
        let mut fake = bob();
        fake.down = &["one"];
        assert_eq!(login(&fake, "postgres", "bob", "right"), "/bob");
        fake.down = &["one", "two"];
        let told = login(&fake, "mysql", "bob", "right");
        assert!(
            told.starts_with(
                "one:3306: no answer within timeout; two:3306: no answer within timeout (see"
            ),
            "{told}"
        );
        let fake = Fake {
            wrong: true,
            ..Fake::default()
        };
        let told = login(&fake, "postgres", "bob", "right");
        assert_eq!(told, "one:5432: query: no such table");
        assert_eq!(fake.asked.take(), ["one"]);
    }

    #[test]
    fn a_wrong_query_is_no_denial() {
        let mut fake = bob();
        fake.columns = Some(["name", "passwd"]);
        let told = login(&fake, "postgres", "bob", "right");
        assert!(told.contains("the column \"passwd\" is no key"), "{told}");
        // Also of a name that nobody has.
        fake.rows.clear();
        assert!(login(&fake, "postgres", "bob", "right").contains("\"passwd\""));
        fake.columns = Some(["home", "password"]);
        assert_eq!(login(&fake, "postgres", "bob", "right"), "Abstain");
        let told = login(&fake, "mysql", "bob", "right");
        assert!(told.contains("the column name is needed"), "{told}");
    }
}

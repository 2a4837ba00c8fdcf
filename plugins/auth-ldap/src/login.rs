//! Who is let in.

use crate::client::Error;
use crate::escape;
use crate::filter;
use crate::message::{Entry, Outcome as Answer, Search};
use crate::settings::{Find, Server, Settings, fill};
use sdk::Grant;

/// A conversation with a directory.
pub trait Directory {
    /// Whether this is who it says: `None` is yes, otherwise it is why not.
    fn bind(&mut self, dn: &str, password: &str) -> Result<Option<Answer>, Error>;
    /// What is found.
    fn search(&mut self, search: &Search) -> Result<Vec<Entry>, Error>;
    /// Says goodbye.
    fn end(self);
}

/// What the network has.
pub trait Network {
    /// See there.
    type Directory: Directory;
    /// Connects to a server, protected as it has to be; `left` more of them are there if it fails.
    fn connect(&self, server: &Server, left: u32) -> Result<Self::Directory, Error>;
}

/// What becomes of a login.
#[derive(Debug)]
pub enum Outcome {
    /// The user is in.
    Accept(Box<Grant>),
    /// The user stays out, and why.
    Deny(String),
    /// Another plugin may know the user.
    Abstain,
}

/// Why it cannot be decided.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// No server helps.
    Unavailable(String),
    /// Something is set wrongly.
    Internal(String),
}

/// Decides about one try: by the first server that gives an answer.
pub fn authenticate(
    settings: &Settings,
    network: &impl Network,
    user: &str,
    password: Option<&str>,
) -> Result<Outcome, Failure> {
    let Some(password) = password else {
        return Ok(Outcome::Abstain);
    };
    // To bind without a password is to bind as nobody, which succeeds: RFC 4513 §5.1.2.
    if password.is_empty() || user.is_empty() {
        return Ok(Outcome::Deny("no name or no password".into()));
    }
    let mut failures = Vec::new();
    let mut left = u32::try_from(settings.servers.len()).unwrap_or(u32::MAX);
    for server in &settings.servers {
        left = left.saturating_sub(1);
        let connected = network.connect(server, left);
        let asked = connected
            .map_err(Trouble::Server)
            .and_then(|mut directory| {
                let outcome = ask(settings, &mut directory, user, password);
                directory.end();
                outcome
            });
        match asked {
            Ok(outcome) => return Ok(outcome),
            Err(Trouble::Settings(what)) => return Err(Failure::Internal(what)),
            Err(Trouble::Server(error)) => failures.push(format!("{}: {error}", server.host)),
        }
    }
    Err(Failure::Unavailable(failures.join("; ")))
}

enum Trouble {
    /// The next one may do better.
    Server(Error),
    /// The next one will not.
    Settings(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

fn ask(
    settings: &Settings,
    directory: &mut impl Directory,
    user: &str,
    password: &str,
) -> Result<Outcome, Trouble> {
    let entry = match &settings.find {
        Find::Name(template) => {
            let dn = fill(template, user, "", escape::dn);
            if let Some(why) = directory.bind(&dn, password)? {
                return Ok(Outcome::Deny(because(&why)));
            }
            let attributes = attributes(settings);
            let filter = filter::everything();
            let mut found = directory.search(&Search {
                base: &dn,
                subtree: false,
                filter: &filter,
                at_most: 1,
                attributes: &attributes,
            })?;
            found
                .pop()
                .ok_or_else(|| Trouble::Settings(format!("{dn:?} may not read its own entry")))?
        }
        Find::Search {
            base,
            filter,
            account,
        } => {
            look(directory, account.as_ref())?;
            let filter = compile(&fill(filter, user, "", escape::filter))?;
            let attributes = attributes(settings);
            let mut found = directory.search(&Search {
                base,
                subtree: true,
                filter: &filter,
                at_most: 2,
                attributes: &attributes,
            })?;
            let Some(entry) = found.pop() else {
                return Ok(Outcome::Abstain);
            };
            if !found.is_empty() {
                return Ok(Outcome::Deny("more than one entry fits".into()));
            }
            if let Some(why) = directory.bind(&entry.dn, password)? {
                return Ok(Outcome::Deny(because(&why)));
            }
            entry
        }
    };
    // A directory does not tell "Bob" and "bob " from "bob"; homes, rules and quotas do.
    if !entry
        .values(&settings.user_attribute)
        .any(|name| name == user)
    {
        let attribute = &settings.user_attribute;
        let what = format!(
            "the name is not written as {attribute} of {:?} is",
            entry.dn
        );
        return Ok(Outcome::Deny(what));
    }
    grant(settings, directory, user, &entry).map(|grant| Outcome::Accept(Box::new(grant)))
}

fn grant(
    settings: &Settings,
    directory: &mut impl Directory,
    user: &str,
    entry: &Entry,
) -> Result<Grant, Trouble> {
    let home = match &settings.home_attribute {
        Some(attribute) => {
            let missing = || format!("{:?} has no {attribute}", entry.dn);
            let home = entry.values(attribute).next();
            Some(home.ok_or_else(missing).map_err(Trouble::Settings)?)
        }
        None => None,
    };
    let grant = settings.grant(user, home);
    let mut grant = grant.map_err(|what| Trouble::Settings(format!("{:?}: {what}", entry.dn)))?;
    for (name, attribute) in &settings.attributes {
        let value = entry.values(attribute).next();
        grant
            .attributes
            .extend(value.map(|value| (name.clone(), value.to_owned())));
    }
    if let Some(groups) = &settings.groups {
        // Users need not be allowed to see groups.
        if let Find::Search { account, .. } = &settings.find {
            look(directory, account.as_ref())?;
        }
        let filter = compile(&fill(&groups.filter, user, &entry.dn, escape::filter))?;
        let found = directory.search(&Search {
            base: &groups.base,
            subtree: true,
            filter: &filter,
            at_most: 0,
            attributes: &[&groups.attribute],
        })?;
        let names = found
            .iter()
            .flat_map(|group| group.values(&groups.attribute));
        grant.groups.extend(names.map(str::to_owned));
        grant.groups.sort();
        grant.groups.dedup();
    }
    Ok(grant)
}

/// Becomes the one who may look.
fn look(directory: &mut impl Directory, account: Option<&(String, String)>) -> Result<(), Trouble> {
    let (dn, password) = match account {
        Some((dn, password)) => (dn.as_str(), password.as_str()),
        None => ("", ""),
    };
    match directory.bind(dn, password)? {
        None => Ok(()),
        Some(why) => {
            let what = format!("bind-user: {}", because(&why));
            Err(Trouble::Settings(what))
        }
    }
}

fn compile(text: &str) -> Result<Vec<u8>, Trouble> {
    filter::compile(text).map_err(Trouble::Settings)
}

fn attributes(settings: &Settings) -> Vec<&str> {
    let mut names = vec![settings.user_attribute.as_str()];
    names.extend(settings.home_attribute.as_deref());
    names.extend(settings.attributes.iter().map(|(_, name)| name.as_str()));
    names
}

fn because(outcome: &Answer) -> String {
    match (outcome.code, outcome.text.as_str()) {
        (49, "") => "wrong password".into(),
        (code, "") => format!("the directory answers with result {code}"),
        (code, text) => format!("the directory answers with result {code}, {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::io;

    const BOB: &str = "uid=bob,ou=people,dc=a";

    /// Knows Bob, whose password is "right", and the account that may look.
    struct Fake<'a> {
        network: &'a Fakes,
        bound: String,
    }

    #[derive(Default)]
    struct Fakes {
        down: &'static [&'static str],
        said: RefCell<Vec<String>>,
        /// Whether there is another Bob.
        twice: bool,
    }

    impl<'a> Network for &'a Fakes {
        type Directory = Fake<'a>;
        fn connect(&self, server: &Server, _: u32) -> Result<Fake<'a>, Error> {
            if self.down.contains(&server.host.as_str()) {
                return Err(Error::Connection(io::Error::other("refused")));
            }
            Ok(Fake {
                network: self,
                bound: String::new(),
            })
        }
    }

    impl Directory for Fake<'_> {
        fn bind(&mut self, dn: &str, password: &str) -> Result<Option<Answer>, Error> {
            self.network.said.borrow_mut().push(format!("bind {dn}"));
            let right = [(BOB, "right"), ("cn=look", "secret"), ("", "")];
            if right.contains(&(dn, password)) {
                self.bound = dn.into();
                return Ok(None);
            }
            let (code, text) = (49, String::new());
            Ok(Some(Answer { code, text }))
        }
        fn search(&mut self, search: &Search) -> Result<Vec<Entry>, Error> {
            let said = format!("search {} as {}", search.base, self.bound);
            self.network.said.borrow_mut().push(said);
            let entry = |dn: &str, name: &str, value: &str| Entry {
                dn: dn.into(),
                attributes: vec![
                    (name.into(), vec![value.into()]),
                    ("homeDirectory".into(), vec!["/homes/bob".into()]),
                ],
            };
            let bob = || entry(BOB, "uid", "bob");
            let like_bob = [b"bob".as_slice(), b"Bob"];
            let for_bob = |filter: &[u8]| like_bob.iter().any(|name| filter.ends_with(name));
            Ok(match search.base {
                BOB => vec![bob()],
                "ou=people,dc=a" if self.network.twice => vec![bob(), bob()],
                "ou=people,dc=a" if for_bob(search.filter) => vec![bob()],
                "ou=groups,dc=a" => vec![entry("cn=staff", "cn", "staff")],
                _ => Vec::new(),
            })
        }
        fn end(self) {}
    }

    fn settings(more: &str) -> Settings {
        let json = format!(r#"{{"servers": ["ldaps://one", "ldaps://two"], {more}}}"#);
        Settings::parse(&json).unwrap()
    }

    fn by_name() -> Settings {
        settings(r#""bind-dn": "uid={user},ou=people,dc=a""#)
    }

    fn by_search(more: &str) -> Settings {
        settings(&format!(
            r#""base": "ou=people,dc=a", "bind-user": "cn=look", "bind-password": "secret"{more}"#
        ))
    }

    fn login(settings: &Settings, network: &Fakes, user: &str, password: &str) -> String {
        match authenticate(settings, &network, user, Some(password)) {
            Ok(Outcome::Accept(grant)) => format!("{} {}", grant.home, grant.groups.join(",")),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn by_the_name() {
        let fakes = Fakes::default();
        assert_eq!(login(&by_name(), &fakes, "bob", "right"), "/bob ");
        assert_eq!(
            fakes.said.take(),
            [format!("bind {BOB}"), format!("search {BOB} as {BOB}")]
        );
        let denied = r#"Ok(Deny("wrong password"))"#;
        assert_eq!(login(&by_name(), &fakes, "bob", "wrong"), denied);
        assert_eq!(login(&by_name(), &fakes, "bob,ou=people", "right"), denied);
        assert_eq!(
            fakes.said.take().last().unwrap(),
            "bind uid=bob\\,ou\\=people,ou=people,dc=a"
        );
    }

    #[test]
    fn by_looking() {
        let fakes = Fakes::default();
        let settings = by_search(
            r#", "group-base": "ou=groups,dc=a", "home-attribute": "homeDirectory",
                "attributes": {"where": "homedirectory"}"#,
        );
        assert_eq!(login(&settings, &fakes, "bob", "right"), "/homes/bob staff");
        assert_eq!(
            fakes.said.take(),
            [
                "bind cn=look",
                "search ou=people,dc=a as cn=look",
                &format!("bind {BOB}"),
                "bind cn=look",
                "search ou=groups,dc=a as cn=look",
            ]
        );
        assert_eq!(login(&settings, &fakes, "eve", "right"), "Ok(Abstain)");
        assert!(login(&settings, &fakes, "bob", "wrong").contains("wrong password"));
        let twice = Fakes {
            twice: true,
            ..Fakes::default()
        };
        assert!(login(&settings, &twice, "bob", "right").contains("more than one"));
    }

    #[test]
    fn an_empty_password_is_never_sent() {
        let fakes = Fakes::default();
        for settings in [by_name(), by_search("")] {
            assert!(login(&settings, &fakes, "bob", "").contains("Deny"));
            assert!(login(&settings, &fakes, "", "x").contains("Deny"));
            let outcome = authenticate(&settings, &&fakes, "bob", None);
            assert!(matches!(outcome, Ok(Outcome::Abstain)));
        }
        assert!(fakes.said.take().is_empty());
    }

    #[test]
    fn a_name_in_another_case_is_not_the_name() {
        let fakes = Fakes::default();
        let denied = login(&by_search(""), &fakes, "Bob", "right");
        assert!(denied.contains("not written as uid"), "{denied}");
    }

    #[test]
    fn the_next_server_where_one_is_down() {
        let mut fakes = Fakes {
            down: &["one"],
            ..Fakes::default()
        };
        assert_eq!(login(&by_name(), &fakes, "bob", "right"), "/bob ");
        fakes.down = &["one", "two"];
        assert_eq!(
            login(&by_name(), &fakes, "bob", "right"),
            "Err(Unavailable(\"one: refused; two: refused\"))"
        );
    }

    #[test]
    fn what_is_set_wrongly_is_no_denial() {
        let fakes = Fakes::default();
        let wrong = settings(
            r#""base": "ou=people,dc=a", "bind-user": "cn=look", "bind-password": "other""#,
        );
        let failed = login(&wrong, &fakes, "bob", "right");
        assert_eq!(failed, "Err(Internal(\"bind-user: wrong password\"))");
        let missing = by_search(r#", "home-attribute": "ftpHome""#);
        let failed = login(&missing, &fakes, "bob", "right");
        assert!(failed.contains("has no ftpHome"), "{failed}");
    }
}

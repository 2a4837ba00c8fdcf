//! The grounds on which a login was accepted, so that a change of them is seen while the session is
//! open.
//!
//! The server cannot ask an authenticator again, as it has no password any more. It notes instead
//! which settings the plugins read for the login, and compares them when they change: the entry of a
//! user in a file, for instance.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};

use super::{Gates, Named, authentication::Authenticator};

/// A plugin that reads more settings than this for one login is taken to have read all of them.
const MOST: usize = 64;

/// A question for settings, as the contract has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// By its path.
    Get(String),
    /// One entry of a table.
    Lookup(String, String),
    /// The keys of a table.
    Keys(String),
    /// All of them.
    All,
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(path) | Self::Keys(path) => write!(formatter, "settings.{path}"),
            Self::Lookup(table, key) => write!(formatter, "settings.{table}.{key}"),
            Self::All => formatter.write_str("settings"),
        }
    }
}

/// The digest of an answer; none where there was no answer.
pub type Seen = Option<[u8; 32]>;

/// The digest of an answer.
#[must_use]
pub fn seen(answer: Option<&str>) -> Seen {
    let digest = digest(&SHA256, answer?.as_bytes());
    <[u8; 32]>::try_from(digest.as_ref()).ok()
}

/// All that a plugin read for one login.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    settings: Vec<(Setting, Seen)>,
    /// Whether it looked at the client's certificate.
    pub certificate: bool,
    full: bool,
}

impl Reads {
    /// The plugin was answered so; `all` has all settings as text.
    pub fn note(&mut self, setting: Setting, answer: Option<&str>, all: impl FnOnce() -> Seen) {
        if self.full || self.settings.iter().any(|(known, _)| *known == setting) {
            return;
        }
        if self.settings.len() < MOST {
            self.settings.push((setting, seen(answer)));
        } else {
            self.full = true;
            self.settings = vec![(Setting::All, all())];
        }
    }

    /// For another login by the same instance, which may remember settings, but no entry that it looked
    /// up for another user.
    #[must_use]
    pub fn remembered(self) -> Self {
        Self {
            certificate: false,
            ..self.without(|setting| matches!(setting, Setting::Lookup(..)))
        }
    }

    /// The entries that were looked up for this user, and nothing that is the same for all.
    fn of_the_user(self) -> Self {
        match self.full {
            true => Self::default(),
            false => self.without(|setting| !matches!(setting, Setting::Lookup(..))),
        }
    }

    fn without(mut self, goes: impl Fn(&Setting) -> bool) -> Self {
        self.settings.retain(|(setting, _)| !goes(setting));
        self
    }

    /// The settings, and what they were.
    pub fn settings(&self) -> impl Iterator<Item = &(Setting, Seen)> {
        self.settings.iter()
    }
}

/// The grounds of one authenticator.
#[derive(Clone, Debug)]
struct Ground {
    plugin: Arc<str>,
    accepted: bool,
    reads: Reads,
}

/// The grounds of all authenticators that were asked.
#[derive(Clone, Debug, Default)]
pub struct Grounds(Vec<Ground>);

impl Grounds {
    /// This one left the decision to those behind it. Only what it looked up for the user counts.
    pub fn abstained(&mut self, member: &Named<dyn Authenticator>, reads: Reads) {
        self.add(member, false, reads.of_the_user());
    }

    /// This one accepted.
    pub fn accepted(&mut self, member: &Named<dyn Authenticator>, reads: Reads) {
        self.add(member, true, reads);
    }

    fn add(&mut self, member: &Named<dyn Authenticator>, accepted: bool, reads: Reads) {
        // They last as long as the session.
        self.0.reserve_exact(1);
        self.0.push(Ground {
            plugin: member.name.clone(),
            accepted,
            reads,
        });
    }

    /// Whether the one that accepted looked at the client's certificate.
    #[must_use]
    pub fn certificate(&self) -> bool {
        let mut grounds = self.0.iter();
        grounds.any(|ground| ground.accepted && ground.reads.certificate)
    }

    /// The first that is not as it was, for the log.
    #[must_use]
    pub fn change(&self, gates: &Gates) -> Option<String> {
        self.0.iter().find_map(|ground| ground.change(gates))
    }
}

impl Ground {
    fn change(&self, gates: &Gates) -> Option<String> {
        let plugin = &self.plugin;
        let mut members = gates.authenticators.iter();
        let Some(member) = members.find(|member| member.name == *plugin) else {
            return self
                .accepted
                .then(|| format!("the plugin {plugin} is gone"));
        };
        let change = member.gate.change(&self.reads)?;
        Some(format!("plugin {plugin}: {change}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_bounded_and_kept_once() {
        let mut reads = Reads::default();
        for number in 0..MOST {
            for _ in 0..2 {
                let setting = Setting::Lookup("users".into(), number.to_string());
                reads.note(setting, Some("x"), || None);
            }
        }
        assert_eq!(reads.settings().count(), MOST);
        let one_more = Setting::Get("x".into());
        reads.note(one_more.clone(), None, || seen(Some("all")));
        reads.note(one_more, None, || None);
        let all: Vec<_> = reads.settings().cloned().collect();
        assert_eq!(all, [(Setting::All, seen(Some("all")))]);
        assert_eq!(reads.of_the_user().settings().count(), 0);
    }

    #[test]
    fn an_instance_may_remember_settings_but_no_user() {
        let mut reads = Reads::default();
        reads.note(Setting::Get("url".into()), Some("x"), || None);
        reads.note(
            Setting::Lookup("users".into(), "a".into()),
            Some("x"),
            || None,
        );
        let left = reads.clone().remembered();
        assert_eq!(
            left.settings().next().unwrap().0.to_string(),
            "settings.url"
        );
        let left = reads.of_the_user();
        assert_eq!(
            left.settings().next().unwrap().0.to_string(),
            "settings.users.a"
        );
    }
}

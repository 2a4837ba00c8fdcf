//! Which user of which host.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A virtual host, as a key of what is kept for its users. Those of a configuration that names no
/// hosts belong to the host without a name, so that what was kept for them stays theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct HostId(Option<Arc<str>>);

impl HostId {
    /// The host that the configuration calls so; the empty name is that of the one without.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self((!name.is_empty()).then(|| name.into()))
    }

    /// Its name in the configuration, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// A name that is the host's own, "lockout@example" for instance; of the host without a name, the name
    /// alone. Names of plugins hold no "@".
    #[must_use]
    pub fn qualify(&self, name: &str) -> String {
        match self.name() {
            None => name.to_owned(),
            Some(host) => format!("{name}@{host}"),
        }
    }

    /// Whether it is the host without a name.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.0.is_none()
    }
}

impl From<String> for HostId {
    fn from(name: String) -> Self {
        Self::named(&name)
    }
}

impl From<HostId> for String {
    fn from(host: HostId) -> Self {
        host.name().unwrap_or_default().to_owned()
    }
}

/// A user of a host: two hosts' users of one name are two users. The key of sessions, rates, plugins'
/// instances, broken uploads and quotas.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId {
    /// The host that the user has logged in to.
    pub host: HostId,
    /// The name that was given with USER.
    pub name: Arc<str>,
}

/// A user of the host without a name.
impl From<&str> for UserId {
    fn from(name: &str) -> Self {
        Self {
            host: HostId::default(),
            name: name.into(),
        }
    }
}

/// For people: the name, and behind it the host if that has one.
impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.name() {
            None => formatter.write_str(&self.name),
            Some(host) => write!(formatter, "{} of {host}", self.name),
        }
    }
}

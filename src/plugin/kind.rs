//! The kinds of plugins: the one table of their names, of what they export, and of what follows from
//! being of a kind.

use std::fmt;

use super::stock::Purpose;
use crate::config::Instances;

/// A kind of plugin, which is a world of the contract.
#[derive(Debug, PartialEq, Eq)]
pub struct PluginKind {
    /// Its world in the contract, and its name for people.
    pub name: &'static str,
    /// The decision of this kind, for people.
    pub decides: &'static str,
    /// The interface that a component of this kind exports, and the function in it.
    pub interface: &'static str,
    pub(super) function: &'static str,
    /// The words for a component of another kind that is of this one besides, where it may be.
    pub(super) besides: Option<&'static str>,
    /// The purpose of its instances.
    pub(super) purpose: Purpose,
    /// Whether one session asks it so often that an instance is kept for it.
    pub(super) per_session: bool,
    /// Whether `on-failure = "allow"` makes sense.
    pub(super) may_allow: bool,
}

impl PluginKind {
    /// It decides who a client is.
    pub const AUTHENTICATOR: Self = Self {
        name: "authenticator",
        decides: "Who a client is",
        interface: "authentication",
        function: "authenticate",
        besides: None,
        purpose: Purpose::Login,
        per_session: false,
        may_allow: false,
    };

    /// It decides who may do what to which path.
    pub const PATH_GUARD: Self = Self {
        name: "path-guard",
        decides: "Who may do what to which path",
        interface: "path-policy",
        function: "decide",
        besides: None,
        purpose: Purpose::Policy,
        per_session: true,
        may_allow: true,
    };

    /// It decides which upload is ever seen.
    pub const UPLOAD_INSPECTOR: Self = Self {
        name: "upload-inspector",
        decides: "Which upload is ever seen",
        interface: "upload-inspection",
        function: "inspect",
        besides: None,
        purpose: Purpose::Upload,
        per_session: false,
        may_allow: true,
    };

    /// It decides nothing, and hears of what has happened.
    pub const EVENT_LISTENER: Self = Self {
        name: "event-listener",
        decides: "Hears of what has happened",
        interface: "events",
        function: "notify",
        besides: Some("hears of events"),
        purpose: Purpose::Event,
        per_session: false,
        may_allow: true,
    };

    /// All that this server knows.
    pub const ALL: [&'static Self; 4] = [
        &Self::AUTHENTICATOR,
        &Self::PATH_GUARD,
        &Self::UPLOAD_INSPECTOR,
        &Self::EVENT_LISTENER,
    ];

    /// How long its instances live where the configuration does not say.
    #[must_use]
    pub fn default_instances(&self) -> Instances {
        match self.per_session {
            true => Instances::PerSession,
            false => Instances::PerCall,
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

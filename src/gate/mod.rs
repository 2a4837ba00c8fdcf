//! The decisions as the server sees them.
//!
//! Each gate is a small trait and a chain of what the configuration names. Nothing here knows who
//! answers: [`crate::plugin`] implements the traits with WebAssembly components, tests with fakes.
//! A gate that cannot answer gives a [`Fault`], and a fault is a refusal.

pub mod account;
pub mod authentication;
pub mod digester;
pub mod event;
pub mod grounds;
pub mod health;
pub mod inspection;
pub mod listeners;
pub mod path_policy;
pub(crate) mod record;
pub mod requests;
pub mod session;
pub mod upload;

use std::{fmt, sync::Arc};

use crate::types::OnFailure;

pub use account::{Account, Permissions};
pub use health::{PluginHealth, Usage};
pub use session::SessionInfo;

/// A gate's member under the name that the configuration gives it.
pub struct Named<T: ?Sized> {
    /// The plugin's name, for logs.
    pub name: Arc<str>,
    /// The meaning of a fault of this member.
    pub on_failure: OnFailure,
    /// The member itself.
    pub gate: Arc<T>,
}

impl<T: ?Sized> Clone for Named<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            on_failure: self.on_failure,
            gate: self.gate.clone(),
        }
    }
}

/// A plugin that could not decide. Logged in full; the client hears a temporary refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The kind of the fault.
    pub kind: FaultKind,
    /// For the log: the trap with its functions, the plugin's own text.
    pub text: String,
}

/// The ways in which a plugin fails to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It crashed.
    Trap,
    /// It computed, or made the server wait, for longer than its limits.
    Timeout,
    /// It asked for more memory, handles or output than its limits.
    TooBig,
    /// No instance became free in time.
    Busy,
    /// Its answer makes no sense: a list of another length, a path outside of the tree.
    InvalidResponse,
    /// It said `failure.unavailable`.
    Unavailable,
    /// It said `failure.internal`.
    Internal,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Trap => "trap",
            Self::Timeout => "late",
            Self::TooBig => "too big",
            Self::Busy => "busy",
            Self::InvalidResponse => "nonsense",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "plugin {}: {}: {}",
            self.plugin, self.kind, self.text
        )
    }
}

impl std::error::Error for Fault {}

/// All gates of a configuration, in its order.
#[derive(Clone, Default)]
pub struct Gates {
    /// Asked in order until one does not abstain.
    pub authenticators: Vec<Named<dyn authentication::Authenticator>>,
    /// Each can only take away.
    pub policies: Vec<Named<dyn path_policy::PathPolicy>>,
    /// All must accept.
    pub inspectors: Vec<Named<dyn upload::Inspector>>,
    /// All hear of everything.
    pub listeners: Vec<Named<dyn listeners::Listener>>,
    /// How each plugin fares, in the configuration's order.
    pub health: Vec<Arc<PluginHealth>>,
}

impl Gates {
    /// The decisions of a plugin, for people.
    #[must_use]
    pub fn decides(&self, plugin: &str) -> Vec<&'static str> {
        fn has<T: ?Sized>(chain: &[Named<T>], plugin: &str) -> bool {
            chain.iter().any(|member| &*member.name == plugin)
        }
        let kinds = [
            ("authenticator", has(&self.authenticators, plugin)),
            ("path guard", has(&self.policies, plugin)),
            ("upload inspector", has(&self.inspectors, plugin)),
            ("event listener", has(&self.listeners, plugin)),
        ];
        let kinds = kinds.into_iter().filter(|(_, has)| *has);
        kinds.map(|(kind, _)| kind).collect()
    }
}

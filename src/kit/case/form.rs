//! The form that calls of one kind have in a case file.

use std::{fmt, path::Path, sync::Arc};

use super::{Answer, Call, Session, Wrong};
use crate::{
    ftp::path::VirtualPath,
    gate::{Fault, FaultKind, Gates, SessionInfo, path_policy::Guard},
    plugin::PluginKind,
    types::BoxFuture,
};

/// The name that the plugin has for its log lines and its state.
pub(in crate::kit) const NAME: &str = "plugin";

/// A call that was read, or what is wrong with it.
pub(super) type Read = Result<Arc<dyn Question>, Wrong>;

/// How calls to plugins of one kind are written.
pub(super) struct Form {
    pub(super) kind: &'static PluginKind,
    /// The one who is asked, for people.
    pub(super) asks: &'static str,
    /// The keys: first the one that no other kind has and each call needs.
    pub(super) keys: &'static [&'static str],
    /// The key of `expect` that has the answer's word, and the words.
    pub(super) outcome: &'static str,
    pub(super) words: &'static [&'static str],
    /// Further keys of `expect`.
    pub(super) expects: &'static [&'static str],
    /// Reads a call; names of files in it are relative to the directory.
    pub(super) read: fn(&Call, &Path) -> Read,
    /// Whether a loaded plugin is of this kind.
    pub(super) fits: fn(&Gates) -> bool,
}

/// An answer that is to come.
pub type Answering<'a> = BoxFuture<'a, Result<Answer, Fault>>;

/// A call that can be made.
pub trait Question: fmt::Debug + Send + Sync {
    /// A name for a call that has none.
    fn describe(&self) -> String;

    /// The session that it is about, of the one before the login and the one after it.
    fn session(&self, _: &Session, sessions: &[Arc<SessionInfo>; 2]) -> Arc<SessionInfo> {
        let [_, after] = sessions;
        after.clone()
    }

    /// Makes the call.
    fn ask<'a>(&'a self, asking: &'a Asking, session: Arc<SessionInfo>) -> Answering<'a>;
}

/// A loaded plugin as it is asked.
pub struct Asking {
    /// Its gates, one member each.
    pub gates: Gates,
    /// The guard of the session that all calls are about.
    pub guard: Option<Box<dyn Guard>>,
}

/// The one who asks looks first at what the plugin can be asked.
pub(super) fn absent() -> Fault {
    Fault {
        plugin: NAME.into(),
        kind: FaultKind::InvalidResponse,
        text: "the plugin is of another kind".into(),
    }
}

/// An absolute path.
pub(super) fn parse(path: &str) -> Result<VirtualPath, String> {
    if !path.starts_with('/') {
        return Err(format!("expected an absolute path, found {path:?}"));
    }
    VirtualPath::parse(path, &VirtualPath::root()).map_err(|error| format!("{path:?}: {error}"))
}

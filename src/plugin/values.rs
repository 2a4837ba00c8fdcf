//! The contract's `state`, wherever it is kept.

use std::{sync::Arc, time::Duration};

use super::{
    shared_state::SharedState,
    state::{Full, Kept, PluginState},
    state_file::StateFile,
};
use crate::shared::{Away, Shared};

/// Where the `state` of all plugins is kept.
#[derive(Default)]
pub(super) enum Keeper {
    /// In memory.
    #[default]
    Memory,
    /// In memory, and in a file that outlives the server.
    File(Arc<StateFile>),
    /// In a Redis, for several servers.
    Shared(Arc<Shared>),
}

impl Keeper {
    /// The values of the plugin of that name. Reads the file, if there is one, and so may block for a moment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn values(&self, limit: u64, plugin: &str) -> Result<Values, String> {
        Ok(match self {
            Self::Memory => Values::Own(Arc::new(PluginState::new(limit, plugin))),
            Self::File(file) => Values::Own(PluginState::kept(limit, plugin, file)?),
            Self::Shared(shared) => {
                Values::Shared(Arc::new(SharedState::new(shared, limit, plugin)))
            }
        })
    }

    /// The file, if there is one.
    pub(super) fn file(&self) -> Option<&Arc<StateFile>> {
        match self {
            Self::File(file) => Some(file),
            Self::Memory | Self::Shared(_) => None,
        }
    }
}

/// The values of one plugin. Cheap to clone.
#[derive(Clone)]
pub(super) enum Values {
    /// This server's own. They never wait.
    Own(Arc<PluginState>),
    /// Those of all servers that share them.
    Shared(Arc<SharedState>),
}

impl Values {
    /// A reload changed the limit. The entries that are there stay.
    pub(super) fn set_limit(&self, limit: u64) {
        match self {
            Self::Own(own) => own.set_limit(limit),
            Self::Shared(shared) => shared.set_limit(limit),
        }
    }

    /// The value of `key`, unless its time is up.
    ///
    /// # Errors
    /// As all that follow: when Redis is away.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Away> {
        match self {
            Self::Own(own) => Ok(own.get(key)),
            Self::Shared(shared) => shared.get(key).await,
        }
    }

    /// Sets a value. The inner error says that there is no room: what was there stays.
    pub(super) async fn set(
        &self,
        key: String,
        value: Vec<u8>,
        seconds: Option<u32>,
    ) -> Result<Result<(), Full>, Away> {
        match self {
            Self::Own(own) => Ok(own.set(key, value, seconds)),
            Self::Shared(shared) => shared.set(&key, value, seconds).await,
        }
    }

    /// Adds to a counter and returns the sum. The time to live counts from the first addition. The inner
    /// error is the sum that is not kept, as there is no room.
    pub(super) async fn add(
        &self,
        key: String,
        delta: i64,
        seconds: Option<u32>,
    ) -> Result<Result<i64, i64>, Away> {
        match self {
            Self::Own(own) => Ok(own.add(key, delta, seconds)),
            Self::Shared(shared) => shared.add(&key, delta, seconds, false).await,
        }
    }

    /// The same for a counter that gives way to others, and others to it.
    pub(super) async fn count(
        &self,
        key: String,
        delta: i64,
        seconds: Option<u32>,
    ) -> Result<Result<i64, i64>, Away> {
        match self {
            Self::Own(own) => Ok(own.count(key, delta, seconds)),
            Self::Shared(shared) => shared.add(&key, delta, seconds, true).await,
        }
    }

    /// Forgets a value. The result says whether there was one.
    pub(super) async fn delete(&self, key: &str) -> Result<bool, Away> {
        match self {
            Self::Own(own) => Ok(own.delete(key)),
            Self::Shared(shared) => shared.delete(key).await,
        }
    }

    /// Forgets everything. The result says how many keys there were.
    pub(super) async fn clear(&self) -> Result<usize, Away> {
        match self {
            Self::Own(own) => Ok(own.clear()),
            Self::Shared(shared) => shared.clear().await,
        }
    }

    /// How much there is.
    pub(super) async fn size(&self) -> Result<Kept, Away> {
        match self {
            Self::Own(own) => Ok(own.size()),
            Self::Shared(shared) => shared.size().await,
        }
    }

    /// The keys that begin so, with the time that they have left, if that is limited.
    pub(super) async fn with_prefix(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, Option<Duration>)>, Away> {
        match self {
            Self::Own(own) => Ok(own.with_prefix(prefix)),
            Self::Shared(shared) => shared.with_prefix(prefix).await,
        }
    }
}

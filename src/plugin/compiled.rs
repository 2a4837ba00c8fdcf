//! Compiled components, of which each is in memory once.
//!
//! A reload, and two plugins of one component, use the code that is there already: what a
//! configuration takes beyond the one before is what differs. It goes with the last that uses it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use aws_lc_rs::digest::{Digest, SHA256, SHA256_OUTPUT_LEN, digest};
use wasmtime::{Engine, component::Component};

use super::{
    cache::Cache,
    contract::{self, Report},
    kind::PluginKind,
};

/// A component, and what it is to the contract.
pub(super) struct Compiled {
    pub(super) component: Component,
    pub(super) report: Report,
}

/// The components that are in use, by the digests of their bytes.
pub(super) struct Library {
    engine: Engine,
    cache: Cache,
    kinds: Vec<&'static PluginKind>,
    used: Mutex<HashMap<[u8; SHA256_OUTPUT_LEN], Weak<Compiled>>>,
}

impl Library {
    /// For components of these kinds.
    pub(super) fn new(engine: Engine, cache: Cache, kinds: Vec<&'static PluginKind>) -> Self {
        Self {
            engine,
            cache,
            kinds,
            used: Mutex::default(),
        }
    }

    /// The component of these bytes, compiled if it is not yet. Blocks, for seconds where an
    /// interpreter is inside.
    ///
    /// # Errors
    /// When the bytes are no component that the engine takes; the text is for people.
    pub(super) fn component(&self, bytes: &[u8]) -> Result<Arc<Compiled>, String> {
        let key = key(&digest(&SHA256, bytes));
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = used.get(&key).and_then(Weak::upgrade) {
            return Ok(compiled);
        }
        contract::is_component(bytes)?;
        let component = self.cache.component(&self.engine, bytes);
        let component = component.map_err(|error| contract::invalid(&error))?;
        let report = contract::examine(&component, bytes, &self.kinds);
        let compiled = Arc::new(Compiled { component, report });
        used.retain(|_, compiled| compiled.strong_count() > 0);
        used.insert(key, Arc::downgrade(&compiled));
        Ok(compiled)
    }
}

fn key(digest: &Digest) -> [u8; SHA256_OUTPUT_LEN] {
    let mut key = [0; SHA256_OUTPUT_LEN];
    for (key, byte) in key.iter_mut().zip(digest.as_ref()) {
        *key = *byte;
    }
    key
}

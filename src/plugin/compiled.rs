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
    cache::{self, Cache, Key},
    compiler::Compiler,
    contract::{self, Report},
    engine::Allocation,
    kind::PluginKind,
};
use crate::confine::Loader;

/// A component, and what it is to the contract.
pub(super) struct Compiled {
    pub(super) component: Component,
    pub(super) report: Report,
}

/// Where components are compiled, and where their code is made executable.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Compiles.
    pub compiler: Compiler,
    /// Maps code.
    pub loader: Loader,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            compiler: Compiler::Here,
            loader: Loader::here(),
        }
    }
}

/// The components that are in use, by the digests of their bytes.
pub(super) struct Library {
    engine: Engine,
    allocation: Allocation,
    cache: Cache,
    tools: Tools,
    kinds: Vec<&'static PluginKind>,
    used: Mutex<HashMap<[u8; SHA256_OUTPUT_LEN], Weak<Compiled>>>,
}

impl Library {
    /// For components of these kinds.
    pub(super) fn new(
        (engine, allocation): (Engine, Allocation),
        cache: Cache,
        tools: Tools,
        kinds: Vec<&'static PluginKind>,
    ) -> Self {
        Self {
            engine,
            allocation,
            cache,
            tools,
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
        let component = self.load(bytes)?;
        let report = contract::examine(&component, bytes, &self.kinds);
        let compiled = Arc::new(Compiled { component, report });
        used.retain(|_, compiled| compiled.strong_count() > 0);
        used.insert(key, Arc::downgrade(&compiled));
        Ok(compiled)
    }

    /// From the cache, or compiled.
    fn load(&self, bytes: &[u8]) -> Result<Component, String> {
        let key = Key::new(&self.engine, bytes);
        let (engine, cache, wanted) = (self.engine.clone(), self.cache.clone(), key.clone());
        let kept = move || cache.component(&engine, &wanted);
        let loader = &self.tools.loader;
        let failed = |error: std::io::Error| error.to_string();
        if let Some(component) = loader.run(kept).map_err(failed)? {
            return Ok(component);
        }
        let compiler = &self.tools.compiler;
        let code = compiler.compile(&self.engine, self.allocation, &self.cache, &key, bytes)?;
        let engine = self.engine.clone();
        let component = loader.run(move || cache::deserialize(&engine, &code));
        component
            .map_err(failed)?
            .map_err(|error| contract::invalid(&error))
    }
}

fn key(digest: &Digest) -> [u8; SHA256_OUTPUT_LEN] {
    let mut key = [0; SHA256_OUTPUT_LEN];
    for (key, byte) in key.iter_mut().zip(digest.as_ref()) {
        *key = *byte;
    }
    key
}

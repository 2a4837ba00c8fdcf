//! Compiled code on disk: by the component's content and by the engine that compiled it.
//!
//! Compiled code is executed as it is, so the directory belongs to the server alone, and each entry
//! carries a digest: what is damaged, truncated or foreign is compiled again and replaced.

use std::{
    fs::{self, DirBuilder, File},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{self, Context, SHA256, SHA256_OUTPUT_LEN};
use data_encoding::HEXLOWER;
use wasmtime::{Engine, component::Component};

use crate::startup::Startup;

/// The beginning of an entry, followed by the digest of the rest.
const MAGIC: &[u8; 16] = b"portcullis-code\x01";
/// Entries that nobody asked for in this long are of versions that are gone.
const FORGOTTEN: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// A directory of compiled components; without one that can be trusted, everything is compiled at
/// each start.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    directory: Option<PathBuf>,
}

/// The name of an entry: the component, and everything about the engine that compiled code depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(String);

impl Key {
    /// Of a component for an engine.
    pub(super) fn new(engine: &Engine, component: &[u8]) -> Self {
        let mut hasher = Sha256(Context::new(&SHA256));
        hasher.write(component);
        hasher.write_u64(component.len() as u64);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(HEXLOWER.encode(hasher.0.finish().as_ref()))
    }

    /// From another process.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let digest = HEXLOWER.decode(text).ok()?;
        (digest.len() == SHA256_OUTPUT_LEN).then(|| Self(HEXLOWER.encode(&digest)))
    }

    /// For another process.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Cache {
    /// A cache in `directory`, which is made when it is not there.
    pub(super) fn new(directory: &Path) -> Self {
        match prepare(directory) {
            Ok(()) => Self {
                directory: Some(directory.to_owned()),
            },
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error,
                    "compiled plugins are not kept: every start compiles them anew");
                Self { directory: None }
            }
        }
    }

    /// The one in a directory that is there, if it can be trusted.
    pub(super) fn open(directory: &Path) -> Self {
        let trusted = trusted(directory).is_ok();
        Self {
            directory: trusted.then(|| directory.to_owned()),
        }
    }

    /// The component of a key, if its entry is whole. Anything else is a miss.
    pub(super) fn component(&self, engine: &Engine, key: &Key) -> Option<Component> {
        read(engine, &self.path(key)?)
    }

    /// Keeps compiled code.
    pub(super) fn keep(&self, key: &Key, code: &[u8]) {
        let (Some(directory), Some(path)) = (&self.directory, self.path(key)) else {
            return;
        };
        if let Err(error) = write(directory, &path, code) {
            tracing::warn!(path = %path.display(), %error, "the compiled plugin could not be kept");
        }
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        Some(directory.join(format!("{}.cwasm", key.0)))
    }
}

/// Makes the directory, or makes sure that nobody else writes to the one that is there.
fn prepare(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    trusted(directory)
}

/// The directory for compiled plugins. A trial of a start takes its own, with what is in the other if that
/// can be trusted: compiling takes time.
#[must_use]
pub fn directory(startup: &Startup, configured: &Path) -> PathBuf {
    let Some(aside) = startup.aside() else {
        return configured.to_owned();
    };
    if startup.keeps_compiled() && trusted(configured).is_ok() {
        return configured.to_owned();
    }
    let own = aside.join("cache");
    let _ = DirBuilder::new().mode(0o700).create(&own);
    if trusted(configured).is_ok() {
        for entry in fs::read_dir(configured).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if Path::new(&name)
                .extension()
                .is_some_and(|end| end == "cwasm")
            {
                // An absolute link: entries are read, or replaced by a rename.
                let _ = std::os::unix::fs::symlink(entry.path(), own.join(name));
            }
        }
    }
    own
}

/// Whether code in this directory, which is there, may be run: nobody else has written it.
///
/// # Errors
/// Why not.
pub fn trusted(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "other users may look into it: its mode should be 0700",
        ));
    }
    Ok(())
}

struct Sha256(Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not asked for.
    fn finish(&self) -> u64 {
        0
    }
}

fn read(engine: &Engine, path: &Path) -> Option<Component> {
    let mut file = File::open(path).ok()?;
    let mut entry = Vec::new();
    file.read_to_end(&mut entry).ok()?;
    let rest = entry.strip_prefix(MAGIC)?;
    let (sum, code) = rest.split_at_checked(SHA256_OUTPUT_LEN)?;
    if digest::digest(&SHA256, code).as_ref() != sum {
        tracing::warn!(path = %path.display(), "a damaged entry of compiled code is replaced");
        return None;
    }
    match deserialize(engine, code) {
        Ok(component) => {
            // Entries in use stay young.
            let _ = file.set_modified(SystemTime::now());
            Some(component)
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a foreign entry of compiled code is replaced");
            None
        }
    }
}

/// Takes compiled code into the engine: a copy of the very bytes that were checked, not a mapping of
/// a file that could change afterwards.
#[allow(unsafe_code, reason = "the only way to use compiled code")]
pub(super) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: wasmtime wants to be given nothing but its own output. The bytes come from
    // `precompile_component`, just now or by way of a directory that only this user can write to,
    // under a digest that rules out accidents; version and settings are compared by wasmtime.
    unsafe { Component::deserialize(engine, code) }
}

fn write(directory: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
    forget(directory);
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)?;
    file.write_all(MAGIC)?;
    file.write_all(digest::digest(&SHA256, code).as_ref())?;
    file.write_all(code)?;
    file.persist(path)?;
    Ok(())
}

/// Removes what has not been used for long, and what a crash left half written.
fn forget(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let age = entry
            .metadata()
            .ok()
            .and_then(|metadata| metadata.modified().ok()?.elapsed().ok());
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.ends_with(".cwasm") || name.starts_with(".new-"));
        if ours && age.is_some_and(|age| age > FORGOTTEN) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

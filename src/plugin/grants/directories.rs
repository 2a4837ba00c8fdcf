//! Directories that a plugin sees.

use std::io;

use rustix::io::Errno;
use wasmtime_wasi::{FsPerms, WasiCtx, filesystem::WasiFilesystemCtx};

use super::LoadError;
use crate::{
    config::grants::{Access, Directory},
    types::access::{Wanted, explain},
};

/// Opens the directories. All instances use these handles, which paths of guests are resolved
/// beneath: what is at the same path later, is not seen.
///
/// # Errors
/// When one is not there, or cannot be read.
pub(super) fn open(directories: &[Directory]) -> Result<WasiFilesystemCtx, LoadError> {
    let mut wasi = WasiCtx::builder();
    for directory in directories {
        let permissions = match directory.access {
            Access::Read => FsPerms::ReadOnly,
            Access::Write => FsPerms::ReadWrite,
        };
        let opened = wasi.preopened_dir(&directory.host, &directory.guest, permissions);
        opened.map_err(|error| {
            let host = &directory.host;
            let denied = error.downcast_ref::<io::Error>();
            let denied =
                denied.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
            let why = match denied {
                true => explain(Errno::ACCESS.into(), host, Wanted::List).to_string(),
                false => error.root_cause().to_string(),
            };
            let text = format!("{}: {why}", host.display());
            LoadError::new("grants.directories", text)
        })?;
    }
    Ok(wasi.build().filesystem().clone())
}

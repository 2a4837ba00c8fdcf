//! The walls around the processes that compile plugins: no network, and no files but the compiled ones.

use std::{io, path::Path};

use super::{landlock, privileges, seccomp};

/// Around the supervisor, which starts processes, and writes what they have compiled.
///
/// # Errors
/// When the system refuses what it never should.
pub fn supervisor(cache: &Path) -> io::Result<()> {
    privileges::drop_all()?;
    // As far as the kernel can.
    let _ = landlock::only(&[cache], true);
    Ok(())
}

/// Around a process that compiles a component: as far as the kernel can, of which the server has told
/// for its own walls.
pub fn worker() {
    let _ = landlock::only(&[], false);
    let _ = seccomp::compiling();
}

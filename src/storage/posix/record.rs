//! The digest of an upload, kept with the file as an extended attribute.
//!
//! It says what the file was like when the digest was made, so that a file that has changed since
//! has none. Where the file system has no such attributes, nothing is kept.

use std::os::fd::AsFd;

use rustix::{
    fs::{Statx, XattrFlags, fgetxattr, fsetxattr},
    io::Errno,
};

use super::facts;
use crate::storage::Result;

pub(crate) const NAME: &str = "user.portcullis.sha256";
/// Digits of a digest.
const DIGITS: usize = 64;

/// Keeps the digest of what the file has now.
pub(crate) fn write(file: impl AsFd, sha256: &str) -> Result<()> {
    let text = format!("{sha256} {}", state(&facts(&file)?));
    Ok(fsetxattr(file, NAME, text.as_bytes(), XattrFlags::empty())?)
}

/// The digest, if the file is as it was then.
pub(crate) fn read(file: impl AsFd) -> Option<String> {
    let mut text = [0; 128];
    let length = loop {
        match fgetxattr(&file, NAME, &mut text) {
            Err(Errno::INTR) => {}
            length => break length.ok()?,
        }
    };
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let (sha256, then) = text.split_once(' ')?;
    let digits = sha256.len() == DIGITS && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    (digits && then == state(&facts(&file).ok()?)).then(|| sha256.to_owned())
}

/// Length and time of the last change.
fn state(facts: &Statx) -> String {
    let (size, time) = (facts.stx_size, &facts.stx_mtime);
    format!("{size} {}.{:09}", time.tv_sec, time.tv_nsec)
}

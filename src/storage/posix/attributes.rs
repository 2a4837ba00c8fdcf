//! The attributes of a file besides its content, so that publishing it is like writing in place:
//! access control lists, extended attributes, security labels.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::{
    fs::{XattrFlags, fremovexattr, fsetxattr, getxattr, listxattr},
    io::Errno,
};

use crate::storage::Result;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const LABEL: &str = "security.selinux";
/// The longest value (`XATTR_SIZE_MAX`), and the longest list of names (`XATTR_LIST_MAX`).
const LONGEST: usize = 64 << 10;
/// A size that is enough nearly always.
const USUAL: usize = 512;

/// Attributes that belong to the content, or that writing takes away: the record of a digest,
/// capabilities of a program (`file_remove_privs`), and what the kernel signs or keeps for itself.
const NOT_KEPT: [&str; 5] = [
    super::record::NAME,
    "security.capability",
    "security.ima",
    "security.evm",
    "trusted.overlay.",
];

/// Gives `to` the attributes of the file that it replaces. Whether there are any.
///
/// # Errors
/// When the access control list cannot be kept: without it, the mode would give its group what the
/// list's mask allows.
pub(crate) fn keep(from: &OwnedFd, to: &OwnedFd) -> Result<bool> {
    let from = by_handle(from);
    let names = match read(|buffer| listxattr(&from, buffer)) {
        Ok(Some(names)) => names,
        Ok(None) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut kept = false;
    for name in names.split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        if name.is_empty() || NOT_KEPT.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        let copied = match read(|buffer| getxattr(&from, name, buffer)) {
            Ok(None) => continue,
            Ok(Some(value)) => fsetxattr(to, name, &value, XattrFlags::empty()),
            Err(error) => Err(error),
        };
        match copied {
            Ok(()) => kept = true,
            Err(error) if name == ACCESS => return Err(error.into()),
            Err(error) => tracing::warn!(name, %error, "an attribute of a replaced file is lost"),
        }
    }
    Ok(kept)
}

/// Gives a new file what its directory has for new files, as `open` with `mode` would: the default
/// access control list, and with `labels` the security label. Whether the mode is set by that.
///
/// # Errors
/// When the list cannot be set.
pub(crate) fn inherit(
    directory: impl AsFd,
    to: &OwnedFd,
    mode: u32,
    labels: bool,
) -> Result<Inherited> {
    let directory = by_handle(directory);
    let mut inherited = Inherited::default();
    if labels && let Some(label) = read(|buffer| getxattr(&directory, LABEL, buffer))? {
        match fsetxattr(to, LABEL, &label, XattrFlags::empty()) {
            Ok(()) => inherited.changed = true,
            Err(error) => tracing::warn!(%error, "a new file keeps the label of staging"),
        }
    }
    if let Some(list) = read(|buffer| getxattr(&directory, DEFAULT, buffer))?
        && let Some(list) = masked(list, mode)
    {
        fsetxattr(to, ACCESS, &list, XattrFlags::empty())?;
        inherited = Inherited {
            changed: true,
            mode: true,
        };
    }
    Ok(inherited)
}

/// The attributes that a new file was given.
#[derive(Clone, Copy, Default)]
pub(crate) struct Inherited {
    /// Anything.
    pub(crate) changed: bool,
    /// Its mode with it.
    pub(crate) mode: bool,
}

/// Takes away an access control list.
pub(crate) fn clear(file: &OwnedFd) -> Result<()> {
    match fremovexattr(file, ACCESS) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes from a directory what its new files would get.
pub(crate) fn clear_default(directory: &OwnedFd) -> Result<()> {
    match fremovexattr(directory, DEFAULT) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether files here have security labels.
pub(crate) fn labelled(directory: impl AsFd) -> bool {
    let directory = by_handle(directory);
    matches!(
        read(|buffer| getxattr(&directory, LABEL, buffer)),
        Ok(Some(_))
    )
}

/// The calls by handle take none that was opened by `O_PATH`; its entry in /proc leads to the very
/// same file.
fn by_handle(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// Reads into a buffer that is large enough. None where there is nothing to read.
fn read(
    mut call: impl FnMut(&mut [u8]) -> std::result::Result<usize, Errno>,
) -> std::result::Result<Option<Vec<u8>>, Errno> {
    let mut buffer = vec![0; USUAL];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(None),
            Err(Errno::RANGE) if buffer.len() < LONGEST => buffer.resize(LONGEST, 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

// The form of a list (`linux/posix_acl_xattr.h`): a version, then tag, permissions and number of
// each entry, little-endian.
const VERSION: usize = 4;
const ENTRY: usize = 8;
const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The list that a new file gets from its directory's default one (acl(5), "object creation and
/// default ACLs"): no class has more than `mode` gives. None for one that is damaged.
fn masked(mut list: Vec<u8>, mode: u32) -> Option<Vec<u8>> {
    let (_, entries) = list.split_at_mut_checked(VERSION)?;
    let (entries, []) = entries.as_chunks_mut::<ENTRY>() else {
        return None;
    };
    let has_mask = entries.iter().any(|entry| tag(entry) == MASK);
    for entry in entries {
        let class = match tag(entry) {
            USER_OBJ => mode >> 6,
            MASK => mode >> 3,
            GROUP_OBJ if !has_mask => mode >> 3,
            OTHER => mode,
            _ => continue,
        };
        let [_, _, low, high, ..] = entry;
        // The three bits are in the low byte.
        *low &= u8::try_from(class & 7).unwrap_or_default();
        *high = 0;
    }
    Some(list)
}

fn tag(entry: &[u8; ENTRY]) -> u16 {
    let [low, high, ..] = entry;
    u16::from_le_bytes([*low, *high])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(permissions.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    #[test]
    fn a_new_files_list_is_within_its_mode() {
        const USER: u16 = 0x02;
        let named = |owner, user, group, mask, other| {
            list(&[
                (USER_OBJ, owner, u32::MAX),
                (USER, user, 65_534),
                (GROUP_OBJ, group, u32::MAX),
                (MASK, mask, u32::MAX),
                (OTHER, other, u32::MAX),
            ])
        };
        // The mask takes the place of the group.
        let given = masked(named(7, 6, 5, 7, 5), 0o640);
        assert_eq!(given, Some(named(6, 6, 5, 4, 0)));
        let minimal = |owner, group, other| {
            list(&[
                (USER_OBJ, owner, u32::MAX),
                (GROUP_OBJ, group, u32::MAX),
                (OTHER, other, u32::MAX),
            ])
        };
        assert_eq!(masked(minimal(7, 7, 7), 0o641), Some(minimal(6, 4, 1)));
        assert_eq!(masked(vec![2, 0], 0o644), None);
        assert_eq!(masked(vec![0; 11], 0o644), None);
    }
}

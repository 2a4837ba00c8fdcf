//! The names of files in staging.
//!
//! A file that is being written is `KEY.NUMBER.ORIGIN.new`, one that waits to be resumed
//! `KEY.ORIGIN.part`, and one that begins with a copy of what is published, as long as that is not
//! whole, `KEY.NUMBER.ORIGIN.copy`. A file that was replaced, or is written over, is
//! `KEY.NUMBER.ORIGIN.spare`. The key is a digest of who sends what where, which `KEY.label` says
//! in full; the origin tells what it began over.

use super::{key::Key, origin::Origin};

pub(super) const NEW: &str = ".new";
pub(super) const COPY: &str = ".copy";
pub(super) const PART: &str = ".part";
pub(super) const SPARE: &str = ".spare";
pub(super) const LABEL: &str = ".label";
pub(super) const RELEASE: &str = ".release";

pub(super) fn label_of(key: Key) -> String {
    key.digits() + LABEL
}

/// The name of one that waits.
pub(super) fn part_name(key: Key, origin: Option<Origin>) -> String {
    let mut name = key.digits();
    if let Some(origin) = origin {
        name.push('.');
        origin.push_to(&mut name);
    }
    name + PART
}

/// The meaning of a file's name in staging.
pub(super) enum Name {
    Label(Key),
    /// On its way out of quarantine, where it still is.
    Release,
    /// An upload that was under way, perhaps whole, or that waits to be resumed.
    Upload {
        key: Key,
        origin: Option<Origin>,
        waits: bool,
    },
    /// How much of it there is says nothing: it is no beginning of anything.
    Copy,
    Spare,
}

impl Name {
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name.ends_with(RELEASE) {
            return Some(Self::Release);
        }
        let (name, suffix) = name.split_at(name.rfind('.')?);
        let (key, rest) = match name.split_once('.') {
            Some((key, rest)) => (Key::from_digits(key)?, Some(rest)),
            None => (Key::from_digits(name)?, None),
        };
        let origin = match (suffix, rest) {
            (LABEL, None) => return Some(Self::Label(key)),
            (COPY, Some(_)) => return Some(Self::Copy),
            (SPARE, Some(_)) => return Some(Self::Spare),
            (PART, rest) => rest,
            (NEW, Some(rest)) => {
                let (number, origin) = match rest.split_once('.') {
                    Some((number, origin)) => (number, Some(origin)),
                    None => (rest, None),
                };
                u64::from_str_radix(number, 16).ok()?;
                origin
            }
            _ => return None,
        };
        let origin = match origin {
            Some(text) => Some(Origin::parse(text)?),
            None => None,
        };
        let waits = suffix == PART;
        Some(Self::Upload { key, origin, waits })
    }
}

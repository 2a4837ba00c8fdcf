//! Where an upload begins, and what it goes on from.

use super::{
    origin::Origin,
    progress::{Claim, Progress},
};
use crate::storage::{Error, Found, Result};

/// Where an upload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At nothing; what waited to be resumed is forgotten.
    Start,
    /// REST and STOR: at this offset of the broken upload if there is one, else of the file.
    Offset(u64),
    /// APPE: at the end of the file; where there is none, of the broken upload, else at nothing.
    /// [`Error::PartialWaits`] where there are both, unless the one began as an addition to the other.
    End,
}

/// An upload that goes on.
pub(super) enum Resumed {
    /// With the part that waits, or at nothing.
    Here(Progress),
    /// With a copy of what is published.
    ByCopy(Claim, Origin),
}

/// An upload that goes on: with the part that waits and belongs to what lies there, else with a copy
/// of that.
pub(super) fn resume(claim: Claim, found: &Found, from: StartAt, mode: u32) -> Result<Resumed> {
    let published = found.file()?;
    if claim.fresh(found, matches!(from, StartAt::Offset(_)))? {
        let taken = claim.take(found, |available, base| match (from, published) {
            (StartAt::Start, _) => Ok(0),
            (StartAt::Offset(offset), _) if offset <= available => Ok(offset),
            (StartAt::Offset(_), _) => Err(Error::Offset { available }),
            (StartAt::End, None) => Ok(available),
            // To add to the file is what was begun: that begins anew.
            (StartAt::End, Some(size)) if size == base => Ok(base),
            (StartAt::End, Some(_)) => Err(Error::PartialWaits { length: available }),
        });
        return taken.map(Resumed::Here);
    }
    let available = published.unwrap_or(0);
    let base = match from {
        StartAt::Start => 0,
        StartAt::End => available,
        StartAt::Offset(offset) if offset <= available => offset,
        StartAt::Offset(_) => return Err(Error::Offset { available }),
    };
    let identity = found.identity;
    let origin = Origin { identity, base };
    match published {
        None => claim.create(mode, origin).map(Resumed::Here),
        Some(_) => Ok(Resumed::ByCopy(claim, origin)),
    }
}

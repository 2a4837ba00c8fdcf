//! The stages of an upload until it is published, whatever keeps the files then.
//!
//! A [`Storage`] is named in the configuration: a backend, and a directory of this machine where uploads
//! arrive, wait to be resumed, or are kept for a person. A [`Tree`] is what one account sees of it. The
//! order of an upload is its type: an [`Incoming`] is written, a [`Received`] is whole, an [`Approved`]
//! has the gate's word that it may be seen, and nothing else can be published. Until then each of them
//! can be kept to be resumed, put into quarantine, or dropped, which removes it.

mod ahead;
mod copying;
mod elsewhere;
mod key;
mod label;
mod ledger;
mod listing;
mod lock;
mod names;
mod opening;
mod origin;
mod place;
mod progress;
mod quarantine;
mod quota;
mod release;
mod resuming;
mod room;
mod slots;
mod spares;
mod staged;
mod staging;
mod storage;
#[cfg(test)]
mod tests;
mod tree;
mod upload;
mod waiting;

pub use self::{
    quarantine::{QuarantineInfo, QuarantinedUpload},
    quota::Quota,
    resuming::StartAt,
    storage::Storage,
    tree::Tree,
    upload::{Approved, Failed, Incoming, Received, StagedUpload},
    waiting::Waiting,
};

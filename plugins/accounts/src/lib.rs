//! Users as an operator lists them in a table or a file, and who of them is let in.

pub mod certificate;
pub mod check;
pub mod entry;
pub mod expiry;
pub mod group;
pub mod login;

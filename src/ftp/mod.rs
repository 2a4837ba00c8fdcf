//! The File Transfer Protocol as data: no sockets, no files, no clock.
//!
//! Bytes become lines ([`codec`]), lines become a [`command::Command`], and what is answered is a
//! [`reply::Reply`]. Everything here is a pure function of its input; the session that uses it owns
//! the state and the I/O.

pub mod address;
pub mod ascii;
pub mod codec;
pub mod command;
pub mod digest;
pub mod facts;
pub mod glob;
pub mod help;
pub mod listing;
pub mod metadata;
pub mod path;
pub mod reply;
pub mod secret;
mod text;
pub mod time;

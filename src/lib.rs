//! Portcullis: an FTPS server whose decisions are WebAssembly components.
//!
//! A line comes in, becomes a command ([`ftp`]), meets the session's state ([`session`]), asks the
//! [`gate`], touches [`storage`] and leaves as a reply; bytes move over [`data`] connections, and uploads
//! stay in the [`spool`] until they are approved. The gates are answered by components in a sandbox ([`plugin`]), whose authors have the [`kit`].

pub mod acme;
pub mod allocator;
pub mod cli;
pub mod config;
pub mod confine;
pub mod data;
pub mod fair;
pub mod ftp;
pub mod gate;
pub mod http_client;
pub mod kit;
pub mod observe;
pub mod open_files;
pub mod passwords;
pub mod plugin;
pub mod proxy;
pub mod server;
pub mod service;
pub mod session;
pub mod shared;
pub mod spool;
pub mod startup;
pub mod storage;
pub mod tls;
pub mod types;

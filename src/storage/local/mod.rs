//! Files in a local directory.
//!
//! Everything is opened beneath a handle of the home by the kernel (`confined_dir`), and one rename makes
//! an upload visible (`publishing`).
//!
//! Operations that the page cache answers are done on the runtime's threads, and those that may
//! wait on the pool's.

mod backend;
mod confined_dir;
mod content;
mod home;
mod listing;
mod mode;
mod names;
mod publishing;
mod root;
mod settings;
mod target;
mod usage;

pub use self::backend::Local;

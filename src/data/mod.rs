//! Data connections: how they are opened, and the pumps that move the bytes.

pub mod arrivals;
pub mod channel;
pub mod download;
pub mod ending;
pub mod inspection_feed;
pub mod open;
pub mod passive;
mod proxied;
pub mod rate;
pub mod shared;
pub mod socket;
pub mod upload;

pub use channel::Channel;
pub use open::{DropReporter, Dropped, OpenError, Opening, Refused, Route, Terms};
pub use proxied::HeaderError;

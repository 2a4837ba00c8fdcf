//! The ground floor: what all modules name, and none owns.

pub mod access;
mod certificate;
pub mod dns;
mod durability;
mod failure;
mod future;
mod staged;
mod tls_start;
mod upload_mode;
mod user;

pub use certificate::PeerCertificate;
pub use durability::Durability;
pub use failure::OnFailure;
pub use future::BoxFuture;
pub use staged::Staged;
pub use tls_start::TlsStart;
pub use upload_mode::UploadMode;
pub use user::{HostId, UserId};

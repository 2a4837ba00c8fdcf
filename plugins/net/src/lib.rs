//! HTTP, TCP and TLS for plugins that were granted some, on WASI 0.2. Everything that waits has a
//! [`Deadline`].

pub mod http;
pub mod tcp;
pub mod tls;

mod deadline;
mod service;
mod stream;
mod url;

pub use deadline::{Deadline, sleep, unix_time};
pub use service::Service;
pub use stream::Stream;
pub use url::Url;
pub use wasip2::random::random::get_random_bytes as random;

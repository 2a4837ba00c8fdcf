//! Posts events to an HTTP service:
//!
//! ```toml
//! url = "https://hooks.example.org/ftp"       # has to be granted to the plugin, too
//! headers = { Authorization = "Bearer …" }    # with each request
//! events = ["login", "upload"]                # no others; without it: all
//! secret = "…"                                # signs what is sent
//! timeout = 2                                 # seconds for one request
//! give-up-after = 4                           # seconds; less than the call's wall time
//! ```
//!
//! A request's body is `{"events":[…]}`, each as the server tells it. What is given up the server
//! hands over again a few times. So it may come twice: what is the same has the same
//! `X-Portcullis-Delivery`.

pub mod deliver;
pub mod settings;
pub mod sign;

// Clippy reads it on any target; elsewhere it could not be linked.
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;

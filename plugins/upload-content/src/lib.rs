//! x
#[cfg(any(target_arch = "wasm32", clippy))]
mod guest;

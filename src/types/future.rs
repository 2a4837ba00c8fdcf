//! A future as a value.

use std::pin::Pin;

/// What the function of a trait returns that waits for something.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

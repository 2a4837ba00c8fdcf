//! A future as a value.

use std::pin::Pin;

/// The result of a trait's function that waits for something.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

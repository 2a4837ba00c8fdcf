//! How TLS begins on a control connection.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsStart {
    /// With AUTH TLS (RFC 4217).
    Explicit,
    /// With the first byte.
    Implicit,
}

impl fmt::Display for TlsStart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
        })
    }
}

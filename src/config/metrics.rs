//! `[metrics]`

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Metrics {
    /// Where `/metrics`, `/healthz` and `/readyz` are served, in HTTP and to anybody who comes: they name
    /// no users.
    #[schemars(with = "Option<value::Socket>", extend("x-restart" = true))]
    pub listen: Option<SocketAddr>,
}

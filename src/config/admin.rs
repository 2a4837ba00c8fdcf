//! `[admin]`

use std::{net::SocketAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;

/// `[admin]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Admin {
    /// Where the page and the API are served besides the control socket, to those who have a token:
    /// in the clear on loopback addresses, else in HTTPS with the server's certificate.
    #[schemars(with = "Option<value::Socket>", extend("x-restart" = true))]
    pub listen: Option<SocketAddr>,
    /// How long somebody stays logged in to the page without a request.
    #[schemars(range(min = 1))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(1800))]
    pub session_timeout: Duration,
}

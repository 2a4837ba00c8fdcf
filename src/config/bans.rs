//! `[bans]`

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;

/// `[bans]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bans {
    /// Failed logins from one address within `window`, with which it is banned: an IPv4 address, or an
    /// IPv6 network of 64 bits. 0: none is.
    pub failed_logins: u32,
    /// The same from one network: 24 bits of IPv4, 48 of IPv6. 0: none is.
    pub network_failed_logins: u32,
    /// The time within which failed logins are counted.
    #[schemars(range(min = 1))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(600))]
    pub window: Duration,
    /// How long the first ban lasts; each further one lasts twice as long as the one before.
    #[schemars(range(min = 1))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(600))]
    pub duration: Duration,
    /// The longest ban; for as long, a ban that is over counts for the next one.
    #[schemars(range(min = 1))]
    #[serde(with = "value::Time")]
    #[default(Duration::from_secs(86_400))]
    pub longest: Duration,
    /// Networks that are let in, whatever else says no.
    #[schemars(with = "Vec<value::Network>")]
    pub allow: Vec<IpNet>,
    /// A file of networks that are not let in, one a line; `#` begins a comment. A change is seen within
    /// seconds.
    #[serde(with = "value::OptionalPath")]
    pub deny_file: Option<PathBuf>,
    /// New connections that one address may open within a minute. 0: no limit.
    pub connections_per_minute: u32,
}

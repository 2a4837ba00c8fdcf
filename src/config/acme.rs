//! `[acme]`

use std::{net::SocketAddr, path::PathBuf};

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::{grants::Service, value};

/// `[acme]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Acme {
    /// The DNS names of a certificate that the server gets, and renews, by itself (RFC 8555). It comes before
    /// those of `tls.certificate`. Unset: none.
    pub names: Vec<String>,
    /// Whether you agree to the terms of service of the authority, without which it gives none.
    pub agree_to_terms: bool,
    /// Where the authority writes to, such as `mailto:ops@example.org`.
    pub contact: Vec<String>,
    /// The URL of the authority's directory.
    #[default("https://acme-v02.api.letsencrypt.org/directory")]
    pub directory: String,
    /// How the authority finds out that the names are this server's.
    #[schemars(extend("x-restart" = true))]
    #[default(Challenge::Http01)]
    pub challenge: Challenge,
    /// Where challenges of `http-01` are answered, which the authority asks for at port 80.
    #[schemars(with = "value::Socket", extend("x-restart" = true))]
    #[default(SocketAddr::from(([0, 0, 0, 0], 80)))]
    pub http_listen: SocketAddr,
    /// Where challenges of `dns-01` are put for another program, which publishes them; relative to the state
    /// directory.
    #[serde(with = "value::FilePath")]
    #[schemars(extend("x-restart" = true))]
    #[default("acme-dns")]
    pub dns_directory: PathBuf,
    /// PEM file of authorities that are trusted besides the system's, for the connection to the directory.
    #[serde(with = "value::OptionalPath")]
    pub authorities: Option<PathBuf>,
    /// The id of a key by which the authority knows you already (RFC 8555 §7.3.4), where it asks for one.
    pub external_account: Option<String>,
    /// The file of that key, in URL-safe base64.
    #[serde(with = "value::OptionalPath")]
    pub external_account_key: Option<PathBuf>,
}

impl Acme {
    /// The host and the port of the directory. None where it is no URL of http or https; a configuration that
    /// was checked has none of these.
    #[must_use]
    pub fn service(&self) -> Option<Service> {
        let uri: Uri = self.directory.parse().ok()?;
        Service::of(&uri)
    }

    /// Whether the server gets certificates.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.names.is_empty()
    }

    /// The address where challenges are answered, if they are by HTTP.
    #[must_use]
    pub fn listens(&self) -> Option<SocketAddr> {
        let is = self.is_used() && self.challenge == Challenge::Http01;
        is.then_some(self.http_listen)
    }
}

/// How an authority finds out whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Challenge {
    /// By a file on port 80 (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// By TLS on port 443, which has to lead to a port of `server.listen-implicit` (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a record of DNS, which another program publishes (RFC 8555 §8.4). It alone is for wildcards.
    #[serde(rename = "dns-01")]
    Dns01,
}

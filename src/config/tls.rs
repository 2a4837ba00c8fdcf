//! `[tls]`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;

/// `[tls]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// PEM chain; without it a self-signed one is made in the state directory.
    #[serde(with = "value::OptionalPath")]
    pub certificate: Option<PathBuf>,
    /// PEM key of `certificate`.
    #[serde(with = "value::OptionalPath")]
    pub key: Option<PathBuf>,
    /// More certificates, chosen by the name that the client asks for (SNI).
    pub host: Vec<Identity>,
    /// Whether logging in takes TLS (RFC 4217 §9).
    #[default(true)]
    pub required: bool,
    /// Whether data connections take TLS: else 521.
    #[default(true)]
    pub data_required: bool,
    /// How a data connection is bound to its session.
    #[default(Binding::Prefer)]
    pub data_binding: Binding,
    /// Whether a protected upload has to end with `close_notify`.
    #[default(CloseNotify::Prefer)]
    pub close_notify: CloseNotify,
    /// The oldest version of TLS that is spoken.
    #[default(TlsVersion::V1_2)]
    pub minimum_version: TlsVersion,
    /// Whether client certificates are asked for.
    #[default(ClientCertificates::Off)]
    pub client_certificates: ClientCertificates,
    /// PEM file of authorities that client certificates are verified against.
    #[serde(with = "value::OptionalPath")]
    pub client_authorities: Option<PathBuf>,
    /// Whether CCC may take TLS off the control connection.
    pub allow_ccc: bool,
}

impl Tls {
    /// The files that it names, each with its key.
    pub fn files(&self) -> impl Iterator<Item = (String, &Path)> {
        let own = [
            ("tls.certificate", &self.certificate),
            ("tls.key", &self.key),
            ("tls.client-authorities", &self.client_authorities),
        ];
        let own = own
            .into_iter()
            .filter_map(|(key, path)| Some((key.to_owned(), path.as_deref()?)));
        let hosts = self.host.iter().enumerate().flat_map(|(index, host)| {
            [
                (
                    format!("tls.host[{index}].certificate"),
                    host.certificate.as_path(),
                ),
                (format!("tls.host[{index}].key"), host.key.as_path()),
            ]
        });
        own.chain(hosts)
    }
}

/// `[[tls.host]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// PEM chain. Its DNS names are what SNI is compared with.
    #[serde(with = "value::FilePath")]
    pub certificate: PathBuf,
    /// PEM key.
    #[serde(with = "value::FilePath")]
    pub key: PathBuf,
}

/// How a data connection shows that it belongs to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// By its address alone.
    Off,
    /// By resuming the session's TLS, or a full handshake from the session's own address.
    Prefer,
    /// By resuming the session's TLS: anything else is 522.
    Require,
}

/// The end that a protected upload must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloseNotify {
    /// `close_notify` alone: without it, 426.
    Require,
    /// `close_notify`; FIN alone, from a client that has not sent any on a data connection.
    Prefer,
    /// `close_notify` or FIN.
    Ignore,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Whether clients present certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not asked for.
    Off,
    /// One that is presented must verify.
    Optional,
    /// No session without one.
    Required,
}

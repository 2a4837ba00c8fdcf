//! `[tls]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use super::value;

/// `[tls]`
#[derive(Clone, Debug, PartialEq, SmartDefault, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// PEM chain, or several with keys of different kinds, of which each client gets the first that it can
    /// verify; without it a self-signed one is made in the state directory.
    #[serde(with = "value::Paths")]
    pub certificate: Vec<PathBuf>,
    /// PEM key of `certificate`, or one for each, in the same order.
    #[serde(with = "value::Paths")]
    pub key: Vec<PathBuf>,
    /// Files of OCSP responses (DER), each stapled to the certificate that it is about.
    #[serde(with = "value::Paths")]
    pub ocsp_response: Vec<PathBuf>,
    /// More certificates, chosen by the name that the client asks for (SNI).
    pub host: Vec<Identity>,
    /// Whether logging in takes TLS (RFC 4217 §9).
    #[default(true)]
    pub required: bool,
    /// Whether data connections take TLS: else 521.
    #[default(true)]
    pub data_required: bool,
    /// Users who may do without TLS all the same, on both kinds of connections: `anonymous` for a public mirror,
    /// a device that knows no TLS. All others are refused before they have sent a password.
    pub clear_users: Vec<String>,
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
    /// Files of revocation lists (CRLs, PEM or DER) that client certificates are looked up in: one of each
    /// authority.
    #[serde(with = "value::Paths")]
    pub client_revocation: Vec<PathBuf>,
    /// Whether CCC may take TLS off the control connection.
    pub allow_ccc: bool,
}

/// Whether a name is one of those by which guests log in.
pub(super) fn guest(name: &str) -> bool {
    let guests = ["anonymous", "ftp"];
    guests.iter().any(|guest| name.eq_ignore_ascii_case(guest))
}

/// `[[tls.host]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// PEM chain, or several as in `tls.certificate`. Their DNS names are what SNI is compared with.
    #[serde(with = "value::Paths")]
    pub certificate: Vec<PathBuf>,
    /// PEM key, or one for each chain.
    #[serde(with = "value::Paths")]
    pub key: Vec<PathBuf>,
    /// Files of OCSP responses (DER), as in `tls.ocsp-response`.
    #[serde(default, with = "value::Paths")]
    pub ocsp_response: Vec<PathBuf>,
}

impl Tls {
    /// Whether a user of this name may do without TLS where others may not. Guests are told by either of their
    /// names, in any case of letters, as they log in.
    #[must_use]
    pub fn may_be_clear(&self, user: &str) -> bool {
        let is = |name: &String| name == user || (guest(name) && guest(user));
        self.clear_users.iter().any(is)
    }

    /// All paths, each key with its own: they are relative to the file that they stand in.
    pub fn paths(&mut self) -> impl Iterator<Item = (String, &mut [PathBuf])> {
        let own = [
            ("tls.certificate", self.certificate.as_mut_slice()),
            ("tls.key", &mut self.key),
            ("tls.ocsp-response", &mut self.ocsp_response),
            (
                "tls.client-authorities",
                self.client_authorities.as_mut_slice(),
            ),
            ("tls.client-revocation", &mut self.client_revocation),
        ];
        let own = own.map(|(key, paths)| (key.to_owned(), paths));
        let hosts = self.host.iter_mut().enumerate().flat_map(|(index, host)| {
            let key = |name: &str| format!("tls.host[{index}].{name}");
            [
                (key("certificate"), host.certificate.as_mut_slice()),
                (key("key"), &mut host.key),
                (key("ocsp-response"), &mut host.ocsp_response),
            ]
        });
        own.into_iter().chain(hosts)
    }
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

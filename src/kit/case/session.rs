//! The session that a case's calls are about.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use super::Session;
use crate::{
    ftp::path::VirtualPath,
    gate::{Account, SessionInfo, session::TlsFacts},
    tls,
    types::{HostId, PeerCertificate},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum TlsVersion {
    /// The control connection is in the clear.
    #[serde(rename = "none")]
    None,
    #[serde(rename = "TLSv1.2")]
    V1_2,
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

impl Session {
    /// The facts before a login, and those after it; files are relative to `directory`.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub(super) fn facts(
        &self,
        directory: &Path,
    ) -> Result<(SessionInfo, SessionInfo), (String, String)> {
        let account = match &self.account {
            Some(facts) => facts
                .account()
                .map_err(|(key, text)| (format!("account.{key}"), text))?,
            None => Account::new(VirtualPath::root()),
        };
        let certificate = match &self.certificate {
            Some(file) => Some(Arc::new(
                certificate(&directory.join(file)).map_err(|text| ("certificate".into(), text))?,
            )),
            None => None,
        };
        let before = SessionInfo {
            id: "case".into(),
            client: SocketAddr::new(self.client_address, self.client_port),
            server: SocketAddr::new(self.server_address, self.server_port),
            host: self.host.clone(),
            tls: self.tls(),
            certificate,
            known: true,
            user: self.user.as_deref().map(Arc::from),
            virtual_host: HostId::default(),
            account: None,
        };
        let after = SessionInfo {
            known: true,
            user: Some(self.user.as_deref().unwrap_or("demo").into()),
            virtual_host: HostId::default(),
            account: Some(Arc::new(account)),
            ..before.clone()
        };
        Ok((before, after))
    }

    fn tls(&self) -> Option<TlsFacts> {
        let (version, usual) = match self.tls_version {
            TlsVersion::None => return None,
            TlsVersion::V1_2 => ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            TlsVersion::V1_3 => ("TLSv1.3", "TLS_AES_128_GCM_SHA256"),
        };
        let cipher_suite = match &self.tls_cipher_suite {
            // Once in the life of a process that runs one case.
            Some(name) => String::leak(name.clone()),
            None => usual,
        };
        Some(TlsFacts {
            version,
            cipher_suite,
        })
    }
}

fn certificate(file: &Path) -> Result<PeerCertificate, String> {
    CertificateDer::from_pem_file(file)
        .map(|leaf| tls::clients::describe(&leaf, &[]))
        .map_err(|error| format!("{}: {error}", file.display()))
}

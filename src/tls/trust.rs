//! TLS to servers that this one connects to: whom it trusts.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OnceCell,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::config::regular;

/// The system's authorities, read when they are first needed.
static SYSTEM: OnceCell<Vec<CertificateDer<'static>>> = OnceCell::const_new();

/// The authorities that connections trust: the system's, and those of one file.
pub struct Trust {
    own: Vec<CertificateDer<'static>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    /// Reads authorities besides the system's, PEM.
    ///
    /// # Errors
    /// A file that is not there, or has no certificate in it.
    pub fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let own = authorities.map_or(Ok(Vec::new()), |file| {
            read(file).map_err(|why| format!("{}: {why}", file.display()))
        })?;
        Ok(Self {
            own,
            config: OnceCell::new(),
        })
    }

    async fn config(&self) -> Result<&Arc<ClientConfig>, String> {
        self.config.get_or_try_init(|| self.make()).await
    }

    async fn make(&self) -> Result<Arc<ClientConfig>, String> {
        let system = SYSTEM
            .get_or_init(|| async {
                let loading = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
                loading.await.map(|found| found.certs).unwrap_or_default()
            })
            .await;
        let mut roots = RootCertStore::empty();
        // Old ones among the system's are not fit for use; that is no reason to trust none.
        roots.add_parsable_certificates(self.own.iter().chain(system).cloned());
        if roots.is_empty() {
            return Err("the system has no certificate authorities: name a file of some".into());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// The client's handshake with a server of this name.
    ///
    /// # Errors
    /// For the log: why the server is not trusted, or does not answer.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        name: &str,
        stream: S,
    ) -> Result<TlsStream<S>, String> {
        let server = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(self.config().await?.clone());
        let connecting = connector.connect(server, stream);
        connecting.await.map_err(|error| error.to_string())
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = regular::read(file).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let added = roots.add(certificate.clone());
        added.map_err(|error| error.to_string())?;
    }
    match certificates.is_empty() {
        true => Err("no certificate in it".into()),
        false => Ok(certificates),
    }
}

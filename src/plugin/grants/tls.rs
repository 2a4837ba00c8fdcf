//! TLS to what a plugin connects to: by the server, so that no plugin decides whom to trust.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OnceCell,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use wasmtime_wasi_tls::{Error, TlsProvider, TlsTransport};

use super::{LoadError, refusals::Refusals};
use crate::config::regular;

/// The system's authorities, read when they are first needed.
static SYSTEM: OnceCell<Vec<CertificateDer<'static>>> = OnceCell::const_new();

/// Whom a plugin's connections trust.
pub(super) struct Trust {
    own: Vec<CertificateDer<'static>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    /// Reads the plugin's own authorities.
    ///
    /// # Errors
    /// A file that is not there, or has no certificate in it.
    pub(super) fn new(authorities: Option<&Path>) -> Result<Self, LoadError> {
        let own = authorities.map_or(Ok(Vec::new()), |file| {
            read(file).map_err(|why| {
                let text = format!("{}: {why}", file.display());
                LoadError::new("grants.authorities", text)
            })
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
            return Err("the system has no certificate authorities: see grants.authorities".into());
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
    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
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

/// `wasi:tls` for one store.
pub(super) struct Provider {
    trust: Arc<Trust>,
    refusals: Arc<Refusals>,
}

impl Provider {
    pub(super) fn new(trust: Arc<Trust>, refusals: Arc<Refusals>) -> Self {
        Self { trust, refusals }
    }
}

type Connecting =
    Pin<Box<dyn Future<Output = Result<Box<dyn wasmtime_wasi_tls::TlsStream>, Error>> + Send>>;

impl TlsProvider for Provider {
    fn connect(&self, name: String, transport: Box<dyn TlsTransport>) -> Connecting {
        let (trust, refusals) = (self.trust.clone(), self.refusals.clone());
        Box::pin(async move {
            let secured = trust.handshake(&name, transport).await;
            secured
                .map(|stream| Box::new(Secured(stream)) as _)
                .map_err(|why| {
                    refusals.say(format_args!("TLS to {name}: {why}"));
                    Error::msg("the TLS handshake failed")
                })
        })
    }
}

/// A stream of ours, which that crate's trait can be told of.
struct Secured(TlsStream<Box<dyn TlsTransport>>);

impl wasmtime_wasi_tls::TlsStream for Secured {}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

//! TLS to what a plugin connects to: by the server, so that no plugin decides whom to trust.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_tls::{Error, TlsProvider, TlsTransport};

use super::refusals::Refusals;
use crate::tls::trust::Trust;

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

//! The page and the API over TCP.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use socket2::Socket;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    access::{Access, Peer},
    metrics, public_router, serve,
};
use crate::{
    config::{Loaded, Problem},
    server::{Running, listeners},
    startup::Startup,
};

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 256;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The addresses, taken before the walls are built.
pub(in crate::server) struct AdminSockets {
    admin: Option<Socket>,
    metrics: Option<Socket>,
}

impl AdminSockets {
    /// Takes the configured addresses; as a trial, one that the running server has is none.
    ///
    /// # Errors
    /// When one cannot be had.
    pub(in crate::server) fn take(loaded: &Loaded, startup: &Startup) -> Result<Self, Problem> {
        let take = |key, address: Option<SocketAddr>| {
            let Some(address) = address else {
                return Ok(None);
            };
            match listeners::bind(address) {
                Ok(socket) => Ok(Some(socket)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && startup.has(address) => {
                    Ok(None)
                }
                Err(error) => Err(loaded.problem(key, listeners::explain(address, &error))),
            }
        };
        Ok(Self {
            admin: take("admin.listen", loaded.config.admin.listen)?,
            metrics: take("metrics.listen", loaded.config.metrics.listen)?,
        })
    }

    /// Lets clients in.
    ///
    /// # Errors
    /// When another process listens there, or the tokens cannot be read.
    pub(in crate::server) fn listen(self, loaded: &Loaded) -> Result<Vec<AdminListener>, Problem> {
        let mut all = Vec::new();
        for (key, socket) in [
            ("admin.listen", self.admin),
            ("metrics.listen", self.metrics),
        ] {
            let Some(socket) = socket else { continue };
            let problem = |error: io::Error| loaded.problem(key, error.to_string());
            let listener = listeners::listen(socket).map_err(problem)?;
            let address = listener.local_addr().map_err(problem)?;
            let mut tls = false;
            let mut access = None;
            if key == "admin.listen" {
                tls = !address.ip().is_loopback();
                let config = &loaded.config;
                let timeout = config.admin.session_timeout;
                let read = Access::new(&config.server.state, timeout, tls);
                let read = read.map_err(|text| loaded.problem("server.state", text))?;
                access = Some(Arc::new(read));
            }
            all.push(AdminListener {
                listener,
                address,
                tls,
                access,
            });
        }
        Ok(all)
    }
}

/// An address that is listened on.
pub(in crate::server) struct AdminListener {
    listener: TcpListener,
    pub(in crate::server) address: SocketAddr,
    tls: bool,
    /// None where numbers alone are served, to anybody.
    access: Option<Arc<Access>>,
}

impl AdminListener {
    /// Whether the page and the API are served here.
    pub(in crate::server) fn is_admin(&self) -> bool {
        self.access.is_some()
    }

    /// Serves until it is aborted.
    pub(in crate::server) async fn serve(self, running: Arc<Running>) {
        let address = self.address;
        let router = match self.access {
            Some(access) => {
                let scheme = if self.tls { "https" } else { "http" };
                tracing::info!(%address, "administration at {scheme}://{address}/");
                public_router(running.clone(), access)
            }
            None => {
                tracing::info!(%address, "metrics at http://{address}/metrics");
                metrics::router(running.clone())
            }
        };
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (router, running, tls) = (router.clone(), running.clone(), self.tls);
                    tokio::spawn(async move {
                        if let Err(error) = connection(stream, peer, router, &running, tls).await {
                            tracing::debug!(client = %peer, %error, "a connection of the administration");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the address of the administration");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    running: &Running,
    tls: bool,
) -> io::Result<()> {
    let router = router.layer(Extension(Peer(peer.ip().to_canonical())));
    if !tls {
        return serve(stream, router).await.map_err(io::Error::other);
    }
    // A server that ends has none.
    let Some(generation) = running.acceptor.generation() else {
        return Ok(());
    };
    let config = generation.hosts.default().tls.https();
    drop(generation);
    let config = config.map_err(io::Error::other)?;
    let stream = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await??;
    serve(stream, router).await.map_err(io::Error::other)
}

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
    public_router, serve,
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

/// The address, taken before the walls are built.
pub(in crate::server) struct AdminSocket {
    socket: Socket,
}

impl AdminSocket {
    /// Takes the configured address, if there is one; as a trial, one that the running server has is
    /// none.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(in crate::server) fn take(
        loaded: &Loaded,
        startup: &Startup,
    ) -> Result<Option<Self>, Problem> {
        let Some(address) = loaded.config.admin.listen else {
            return Ok(None);
        };
        match listeners::bind(address) {
            Ok(socket) => Ok(Some(Self { socket })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && startup.has(address) => {
                Ok(None)
            }
            Err(error) => Err(loaded.problem("admin.listen", listeners::explain(address, &error))),
        }
    }

    /// Lets clients in.
    ///
    /// # Errors
    /// When another process listens there, or the tokens cannot be read.
    pub(in crate::server) fn listen(self, loaded: &Loaded) -> Result<AdminListener, Problem> {
        let problem = |text: String| loaded.problem("admin.listen", text);
        let listener = listeners::listen(self.socket);
        let listener = listener.map_err(|error| problem(error.to_string()))?;
        let address = listener.local_addr();
        let address = address.map_err(|error| problem(error.to_string()))?;
        let tls = !address.ip().is_loopback();
        let config = &loaded.config;
        let access = Access::new(&config.server.state, config.admin.session_timeout, tls);
        let access = Arc::new(access.map_err(|text| loaded.problem("server.state", text))?);
        Ok(AdminListener {
            listener,
            address,
            tls,
            access,
        })
    }
}

/// The address that is listened on.
pub(in crate::server) struct AdminListener {
    listener: TcpListener,
    pub(in crate::server) address: SocketAddr,
    tls: bool,
    access: Arc<Access>,
}

impl AdminListener {
    /// Serves until it is aborted.
    pub(in crate::server) async fn serve(self, running: Arc<Running>) {
        let scheme = if self.tls { "https" } else { "http" };
        tracing::info!(address = %self.address, "administration at {scheme}://{}/", self.address);
        let router = public_router(running.clone(), self.access.clone());
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

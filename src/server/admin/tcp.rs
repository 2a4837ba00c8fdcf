//! Services by HTTP over TCP: the page and the API, metrics, and answers to authorities of ACME.

use std::{io, net::SocketAddr, os::fd::AsFd, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Path, State},
    routing::get,
};
use http::StatusCode;
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
    acme::challenges::Challenges,
    config::{Loaded, Problem},
    server::{Running, addresses::unless_running, handover::Handed, listeners},
    service::{Fitting, Notifier, Passed, name_of},
    startup::Startup,
};

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 256;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The addresses, taken before the walls are built.
pub(in crate::server) struct AdminSockets {
    admin: Option<Fitting>,
    metrics: Option<Fitting>,
    challenges: Option<Fitting>,
}

impl AdminSockets {
    /// Takes the configured addresses, or what was passed for them; as a trial, one that the running server
    /// has is none.
    ///
    /// # Errors
    /// When one cannot be had.
    pub(in crate::server) fn take(
        loaded: &Loaded,
        startup: &Startup,
        passed: &mut Passed,
    ) -> Result<Self, Problem> {
        let mut take = |key, address: Option<SocketAddr>| {
            let Some(address) = address else {
                return Ok(None);
            };
            if let Some(fitting) = passed.fitting(address) {
                return Ok(Some(fitting));
            }
            let socket = unless_running(listeners::bind(address), address, startup)
                .map_err(|error| loaded.problem(key, listeners::explain(address, &error)))?;
            let is_units = false;
            Ok(socket.map(|socket| Fitting { socket, is_units }))
        };
        Ok(Self {
            admin: take("admin.listen", loaded.config.admin.listen)?,
            metrics: take("metrics.listen", loaded.config.metrics.listen)?,
            challenges: take("acme.http-listen", loaded.config.acme.listens())?,
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
            ("acme.http-listen", self.challenges),
        ] {
            let Some(Fitting { socket, is_units }) = socket else {
                continue;
            };
            let problem = |error: io::Error| loaded.problem(key, error.to_string());
            let listener = listeners::listen(socket).map_err(problem)?;
            let address = listener.local_addr().map_err(problem)?;
            let tls = key == "admin.listen" && !address.ip().is_loopback();
            let serves = match key {
                "admin.listen" => {
                    let config = &loaded.config;
                    let timeout = config.admin.session_timeout;
                    let read = Access::new(&config.server.state, timeout, tls);
                    let read = read.map_err(|text| loaded.problem("server.state", text))?;
                    Serves::Administration(Arc::new(read))
                }
                "metrics.listen" => Serves::Metrics,
                _ => Serves::Challenges,
            };
            all.push(AdminListener {
                listener,
                address,
                is_units,
                tls,
                serves,
            });
        }
        Ok(all)
    }
}

/// An address that is listened on.
pub(in crate::server) struct AdminListener {
    listener: TcpListener,
    pub(in crate::server) address: SocketAddr,
    is_units: bool,
    tls: bool,
    serves: Serves,
}

/// The things that are served at an address.
enum Serves {
    /// The page and the API, to those who have a token.
    Administration(Arc<Access>),
    /// Numbers alone, to anybody.
    Metrics,
    /// Answers to authorities that ask whose a name is (RFC 8555 §8.3).
    Challenges,
}

impl AdminListener {
    /// Whether the page and the API are served here.
    pub(in crate::server) fn is_admin(&self) -> bool {
        matches!(self.serves, Serves::Administration(_))
    }

    /// Whether numbers are served here.
    pub(in crate::server) fn is_metrics(&self) -> bool {
        matches!(self.serves, Serves::Metrics)
    }

    /// The socket, for a server that takes over.
    pub(in crate::server) fn handed(&self) -> io::Result<Handed> {
        Ok(Handed {
            socket: self.listener.as_fd().try_clone_to_owned()?,
            is_units: self.is_units,
        })
    }

    /// Has the service manager keep the socket, unless it is one of its own.
    pub(in crate::server) fn keep(&self, notifier: &Notifier) {
        if !self.is_units {
            notifier.keep(&name_of(self.address), self.listener.as_fd());
        }
    }

    /// Serves until it is aborted.
    pub(in crate::server) async fn serve(self, running: Arc<Running>) {
        let address = self.address;
        let router = match self.serves {
            Serves::Administration(access) => {
                let scheme = if self.tls { "https" } else { "http" };
                tracing::info!(%address, "administration at {scheme}://{address}/");
                public_router(running.clone(), access)
            }
            Serves::Metrics => {
                tracing::info!(%address, "metrics at http://{address}/metrics");
                metrics::router(running.clone())
            }
            Serves::Challenges => {
                tracing::info!(%address, "challenges of ACME are answered at http://{address}/");
                challenges(running.resources.challenges().clone())
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

/// Answers to tokens, and nothing else.
fn challenges(challenges: Arc<Challenges>) -> Router {
    let answer = async |State(challenges): State<Arc<Challenges>>, Path(token): Path<String>| {
        challenges.answer(&token).ok_or(StatusCode::NOT_FOUND)
    };
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(answer))
        .with_state(challenges)
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

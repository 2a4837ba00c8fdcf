//! Which addresses a plugin may connect to.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use wasmtime_wasi::sockets::SocketAddrUse;

use super::refusals::Refusals;
use crate::config::grants::{Endpoint, Place};

/// How long it is remembered what a name stands for.
const FRESH: Duration = Duration::from_secs(3);

/// A plugin's `grants.tcp`.
pub(super) struct Network {
    endpoints: Vec<Endpoint>,
    names: Mutex<Names>,
}

/// The addresses of names, and the time of each look-up.
type Names = HashMap<String, (Instant, Arc<[IpAddr]>)>;

impl Network {
    /// Where nothing was granted, it permits no connection, and says so.
    pub(super) fn new(endpoints: &[Endpoint]) -> Self {
        Self {
            endpoints: endpoints.to_vec(),
            names: Mutex::default(),
        }
    }

    /// Whether a socket may be used so. The system connects to this very address: what a name stands
    /// for is compared with it, and never looked up again.
    pub(super) async fn permits(
        self: Arc<Self>,
        address: SocketAddr,
        purpose: SocketAddrUse,
        refusals: Arc<Refusals>,
    ) -> bool {
        let permitted = match purpose {
            SocketAddrUse::TcpConnect => self.reaches(address).await,
            // Python and wasi-libc bind before they connect, and so does the system.
            SocketAddrUse::TcpBind => address.port() == 0 && address.ip().is_unspecified(),
            SocketAddrUse::TcpListen
            | SocketAddrUse::TcpAccept
            | SocketAddrUse::UdpBind
            | SocketAddrUse::UdpSend
            | SocketAddrUse::UdpReceive => false,
        };
        if !permitted {
            let what = match purpose {
                SocketAddrUse::TcpConnect => "a connection to",
                SocketAddrUse::TcpBind => "to bind to",
                _ => "to listen at",
            };
            match purpose {
                SocketAddrUse::TcpConnect => refusals.refuse(
                    format_args!("{what} {address}, which grants.tcp does not have"),
                    &format!("tcp = [\"{address}\"]"),
                ),
                // No grant gives these.
                _ => refusals.say(format_args!(
                    "{what} {address}, which grants.tcp does not have"
                )),
            }
        }
        permitted
    }

    async fn reaches(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let port = |endpoint: &&Endpoint| endpoint.port == address.port();
        for endpoint in self.endpoints.iter().filter(port) {
            let granted = match &endpoint.place {
                Place::Network(network) => network.contains(&ip),
                Place::Name(name) => self.resolved(name).await.contains(&ip),
            };
            if granted {
                return true;
            }
        }
        false
    }

    async fn resolved(&self, name: &str) -> Arc<[IpAddr]> {
        if let Some((at, addresses)) = self.names().get(name)
            && at.elapsed() < FRESH
        {
            return addresses.clone();
        }
        let host = name.to_owned();
        let looked_up = tokio::task::spawn_blocking(move || {
            let found = (host.as_str(), 0).to_socket_addrs();
            let found = found.into_iter().flatten();
            let addresses = found.map(|address| address.ip().to_canonical());
            addresses.collect::<Arc<[IpAddr]>>()
        });
        let addresses = looked_up.await.unwrap_or_default();
        let entry = (Instant::now(), addresses.clone());
        self.names().insert(name.to_owned(), entry);
        addresses
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::Asker, *};

    fn asker() -> Asker {
        Asker {
            plugin: "test".into(),
            session: "s1".into(),
        }
    }

    /// The address itself is compared, however a name is resolved elsewhere.
    #[tokio::test]
    async fn the_address_is_compared_and_not_the_name() {
        let endpoints = ["ldap.invalid:389".parse().unwrap()];
        let network = Arc::new(Network::new(&endpoints));
        let stood_for = |at: Instant| {
            let addresses: Arc<[IpAddr]> = Arc::new(["10.0.0.5".parse().unwrap()]);
            network
                .names()
                .insert("ldap.invalid".into(), (at, addresses));
        };
        let refusals = Arc::new(Refusals::new(asker()));
        let connect = async |address: &str| {
            let address = address.parse().unwrap();
            let network = network.clone();
            network
                .permits(address, SocketAddrUse::TcpConnect, refusals.clone())
                .await
        };
        stood_for(Instant::now());
        assert!(connect("10.0.0.5:389").await);
        assert!(connect("[::ffff:10.0.0.5]:389").await);
        for address in [
            "10.0.0.5:390",
            "10.0.0.6:389",
            "127.0.0.1:389",
            "169.254.169.254:389",
            "[::1]:389",
        ] {
            assert!(!connect(address).await, "{address}");
        }
        // An address from then says nothing about now.
        stood_for(Instant::now().checked_sub(FRESH * 2).unwrap());
        assert!(!connect("10.0.0.5:389").await);
    }
}

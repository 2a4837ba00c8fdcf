//! The parts that a reload replaces as a whole: the hosts, and the state that they have in common.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{host::Hosts, users::Users};
use crate::{
    acme::challenges::Challenges,
    config::{Advertised, Config, Listener},
    data::{rate::Rate, shared::SharedPorts},
    fair::Turns,
    types::TlsStart,
};

/// How long a looked-up address is told to clients.
const ADVERTISED_FOR: Duration = Duration::from_secs(60);

/// A configuration in force. Sessions keep the one that they began with.
pub struct Generation {
    /// The configuration, its paths absolute: for what concerns the server as a whole. Each host has its
    /// own keys.
    pub config: Config,
    /// The virtual hosts.
    pub hosts: Hosts,
    /// Sessions and bandwidth of each user.
    pub users: Arc<Users>,
    /// The turns of logins.
    pub logins: Arc<Turns>,
    /// All uploads together.
    pub upload_rate: Option<Arc<Rate>>,
    /// All downloads together.
    pub download_rate: Option<Arc<Rate>>,
    /// Ports for the data connections of all sessions.
    pub shared_ports: Arc<SharedPorts>,
    /// The answers to authorities that ask.
    pub challenges: Arc<Challenges>,
    /// Held by each session that began with it.
    pub sessions: Arc<()>,
    /// Where clients are let in, each with its terms.
    listeners: Vec<Arc<Listener>>,
    /// The addresses for the reply to PASV that were looked up.
    names: Names,
}

impl Generation {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        config: Config,
        hosts: Hosts,
        users: Arc<Users>,
        logins: Arc<Turns>,
        shared_ports: Arc<SharedPorts>,
        challenges: Arc<Challenges>,
    ) -> Self {
        Self {
            upload_rate: Rate::new(config.limits.total_upload_rate).map(Arc::new),
            download_rate: Rate::new(config.limits.total_download_rate).map(Arc::new),
            listeners: config.listeners().map(Arc::new).collect(),
            config,
            hosts,
            users,
            logins,
            shared_ports,
            challenges,
            sessions: Arc::new(()),
            names: Names::default(),
        }
    }

    /// The listener of this address, as it is configured.
    #[must_use]
    pub fn listener(&self, address: SocketAddr, tls: TlsStart) -> Option<&Arc<Listener>> {
        let mut listeners = self.listeners.iter();
        listeners.find(|listener| listener.address == address && listener.tls == tls)
    }

    /// The IPv4 address that PASV gives a client of a listener that connected to `local`.
    pub async fn advertise(
        &self,
        listener: &Listener,
        client: IpAddr,
        local: IpAddr,
    ) -> Option<Ipv4Addr> {
        let own = match local.to_canonical() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        match listener.advertise.for_client(client) {
            None => own,
            Some(Advertised::Address(address)) => Some(*address),
            Some(Advertised::Name(name)) => self.names.resolve(name).await.or(own),
        }
    }
}

/// The last answers for the names that the configuration advertises.
#[derive(Default)]
struct Names {
    last: Mutex<HashMap<String, (Ipv4Addr, Instant)>>,
}

impl Names {
    async fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        let last = self.last().get(name).copied();
        if let Some((address, since)) = last
            && since.elapsed() < ADVERTISED_FOR
        {
            return Some(address);
        }
        let found = match tokio::net::lookup_host((name, 0)).await {
            Ok(mut addresses) => addresses.find_map(|address| match address {
                SocketAddr::V4(address) => Some(*address.ip()),
                SocketAddr::V6(_) => None,
            }),
            Err(error) => {
                tracing::warn!(name, %error, "data.advertise cannot be looked up");
                None
            }
        };
        // An old answer is better than none.
        let address = found.or(last.map(|(address, _)| address))?;
        self.last()
            .insert(name.to_owned(), (address, Instant::now()));
        Some(address)
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, (Ipv4Addr, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

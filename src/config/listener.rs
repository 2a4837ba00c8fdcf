//! Where clients are let in: `[[listener]]`, and the simple form in `[server]`.

use std::net::SocketAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Advertise, Config, value};
use crate::types::{HostId, TlsStart};

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListenerTable {
    /// The address and the port. Port 0 takes a free one.
    #[schemars(with = "value::Socket")]
    pub address: SocketAddr,
    /// How TLS begins.
    #[serde(default = "explicit")]
    #[schemars(default = "explicit")]
    pub tls: TlsStart,
    /// The virtual host of clients that name none. Unset: the one of the top level.
    #[serde(default)]
    #[schemars(with = "Option<value::DnsName>")]
    pub host: Option<String>,
    /// As `server.proxy-networks`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<value::Network>>")]
    pub proxy_networks: Option<Vec<IpNet>>,
    /// As `data.passive-ports`.
    #[serde(default, with = "value::OptionalPorts")]
    pub passive_ports: Option<(u16, u16)>,
    /// As `data.advertise`; an empty array: the address that the client connected to.
    #[serde(default)]
    pub advertise: Option<Advertise>,
    /// As `data.proxy-networks`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<value::Network>>")]
    pub data_proxy_networks: Option<Vec<IpNet>>,
}

fn explicit() -> TlsStart {
    TlsStart::Explicit
}

/// A listener in force: what it says, and else what `[server]` and `[data]` do.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The address, as configured.
    pub address: SocketAddr,
    /// How TLS begins.
    pub tls: TlsStart,
    /// The key of the address: `server.listen[0]`, `listener[1].address`.
    pub key: String,
    /// The virtual host of clients that name none.
    pub host: HostId,
    /// Networks whose connections begin with a PROXY protocol header.
    pub proxy_networks: Vec<IpNet>,
    /// Ports for PASV and EPSV.
    pub passive_ports: (u16, u16),
    /// The address that PASV tells.
    pub advertise: Advertise,
    /// Networks whose data connections begin with a PROXY protocol header.
    pub data_proxy_networks: Vec<IpNet>,
    /// Which of these are its own, and not those of `[server]` and `[data]`.
    own: [bool; 4],
}

impl Listener {
    /// The port for the data connections of all sessions, if they have one.
    #[must_use]
    pub fn shared_port(&self) -> Option<u16> {
        let (first, last) = self.passive_ports;
        (first == last && first != 0).then_some(first)
    }

    /// The key that has said the passive ports.
    #[must_use]
    pub fn passive_ports_key(&self) -> String {
        self.own_key(0, "passive-ports", "data.passive-ports")
    }

    /// The key that has said the address that PASV tells.
    #[must_use]
    pub fn advertise_key(&self) -> String {
        self.own_key(1, "advertise", "data.advertise")
    }

    /// The key that has said the networks of proxies of data connections.
    #[must_use]
    pub fn data_proxy_networks_key(&self) -> String {
        self.own_key(2, "data-proxy-networks", "data.proxy-networks")
    }

    /// The key that has said the networks of proxies.
    #[must_use]
    pub fn proxy_networks_key(&self) -> String {
        self.own_key(3, "proxy-networks", "server.proxy-networks")
    }

    fn own_key(&self, which: usize, own: &str, common: &str) -> String {
        match (self.own.get(which), self.key.strip_suffix("address")) {
            (Some(true), Some(table)) => format!("{table}{own}"),
            _ => common.to_owned(),
        }
    }
}

impl Config {
    /// Where clients are let in, those of `[server]` first.
    pub fn listeners(&self) -> impl Iterator<Item = Listener> {
        let (server, data) = (&self.server, &self.data);
        let simple = |key: String, address: SocketAddr, tls| Listener {
            address,
            tls,
            key,
            host: HostId::default(),
            proxy_networks: server.proxy_networks.clone(),
            passive_ports: data.passive_ports,
            advertise: data.advertise.clone().unwrap_or_default(),
            data_proxy_networks: data.proxy_networks.clone(),
            own: [false; 4],
        };
        let lists = [
            ("server.listen", &server.listen, TlsStart::Explicit),
            (
                "server.listen-implicit",
                &server.listen_implicit,
                TlsStart::Implicit,
            ),
        ];
        let listed = lists.into_iter().flat_map(move |(key, list, tls)| {
            let list = list.iter().enumerate();
            list.map(move |(index, address)| simple(format!("{key}[{index}]"), *address, tls))
        });
        let tables = self.listener.iter().enumerate();
        let tables = tables.map(move |(index, table)| {
            let key = format!("listener[{index}].address");
            let base = simple(key, table.address, table.tls);
            let host = table.host.as_ref().map(|name| name.to_ascii_lowercase());
            Listener {
                host: HostId::named(&host.unwrap_or_default()),
                proxy_networks: table.proxy_networks.clone().unwrap_or(base.proxy_networks),
                passive_ports: table.passive_ports.unwrap_or(base.passive_ports),
                advertise: table.advertise.clone().unwrap_or(base.advertise),
                data_proxy_networks: (table.data_proxy_networks.clone())
                    .unwrap_or(base.data_proxy_networks),
                own: [
                    table.passive_ports.is_some(),
                    table.advertise.is_some(),
                    table.data_proxy_networks.is_some(),
                    table.proxy_networks.is_some(),
                ],
                ..base
            }
        });
        listed.chain(tables)
    }
}

//! Addresses and networks, as operators write them.

use crate::table::{Error, Table};
use ipnet::IpNet;
use std::net::IpAddr;

/// A list of networks.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Takes the list of networks, or of single addresses, that `key` names.
    pub fn take(table: &mut Table, key: &str) -> Result<Option<Self>, Error> {
        let Some(texts) = table.texts(key)? else {
            return Ok(None);
        };
        let network = |text: &String| {
            let network = text.parse::<IpNet>().ok();
            let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| {
                let what = format!("expected a network such as \"192.0.2.0/24\", found {text:?}");
                table.wrong(key, &what)
            })
        };
        let networks = texts.iter().map(network).collect::<Result<_, _>>()?;
        Ok(Some(Self(networks)))
    }

    /// Whether a client's address lies in one of them.
    pub fn contain(&self, address: &str) -> bool {
        // ::ffff:192.0.2.1 is how a socket for both protocols writes 192.0.2.1.
        let address = address.parse::<IpAddr>().map(|one| one.to_canonical());
        address.is_ok_and(|address| self.0.iter().any(|network| network.contains(&address)))
    }
}

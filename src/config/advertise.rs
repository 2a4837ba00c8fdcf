//! The address that PASV tells: one for all, or by the client's network.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

use super::value;
use crate::types::dns::is_dns_name;

/// Rules, of which the first that is for a client's address counts. Written as one address, or as an array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertise(pub Vec<AdvertiseRule>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdvertiseRule {
    /// The network of the clients that it is for, or an array of networks. Unset: all clients.
    #[serde(
        default,
        with = "value::Networks",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub clients: Vec<IpNet>,
    /// The address that they are told: IPv4, or a DNS name that is looked up anew every minute.
    #[schemars(with = "value::Address")]
    pub address: Advertised,
}

/// An address that PASV tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertised {
    /// This.
    Address(Ipv4Addr),
    /// The one that this name resolves to.
    Name(String),
}

impl Advertise {
    /// The address that a client is told, if it is not the one that it connected to.
    #[must_use]
    pub fn for_client(&self, client: IpAddr) -> Option<&Advertised> {
        let client = client.to_canonical();
        let is_for = |rule: &&AdvertiseRule| {
            let mut networks = rule.clients.iter();
            rule.clients.is_empty() || networks.any(|network| network.contains(&client))
        };
        self.0.iter().find(is_for).map(|rule| &rule.address)
    }

    /// The names that have to be looked up, each with its place in the key.
    pub fn names(&self) -> impl Iterator<Item = (String, &str)> {
        let rules = self.0.iter().enumerate();
        rules.filter_map(|(index, rule)| match &rule.address {
            Advertised::Name(name) => Some((self.place(index), name.as_str())),
            Advertised::Address(_) => None,
        })
    }

    /// The place of a rule's address in the key: nothing where it is one for all, as it is written.
    #[must_use]
    pub fn place(&self, index: usize) -> String {
        match self.0.as_slice() {
            [one] if one.clients.is_empty() => String::new(),
            _ => format!("[{index}].address"),
        }
    }
}

impl Advertised {
    fn parse(text: &str) -> Option<Self> {
        match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => Some(Self::Address(address)),
            Ok(IpAddr::V6(_)) => None,
            Err(_) => is_dns_name(text).then(|| Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Advertised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// For error messages. EPSV, for IPv6, names no address.
const EXPECTED: &str = "an IPv4 address or a DNS name";

impl<'de> Deserialize<'de> for Advertised {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Advertised;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Advertised, E> {
                Advertised::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        source.deserialize_str(Text)
    }
}

impl Serialize for Advertised {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        target.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Advertise {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Advertise;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    formatter,
                    "{EXPECTED}, or an array of tables with `clients` and `address`"
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Advertise, E> {
                let address = Advertised::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
                let clients = Vec::new();
                Ok(Advertise(vec![AdvertiseRule { clients, address }]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Advertise, A::Error> {
                let mut rules = Vec::new();
                while let Some(rule) = list.next_element()? {
                    rules.push(rule);
                }
                Ok(Advertise(rules))
            }
        }
        source.deserialize_any(OneOrMore)
    }
}

impl Serialize for Advertise {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] if one.clients.is_empty() => one.address.serialize(target),
            rules => rules.serialize(target),
        }
    }
}

impl JsonSchema for Advertise {
    fn schema_name() -> Cow<'static, str> {
        "advertise".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = value::Address::json_schema(generator);
        let rules = <Vec<AdvertiseRule>>::json_schema(generator);
        json_schema!({ "anyOf": [one, rules] })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_for_a_client_counts() {
        #[derive(Deserialize)]
        struct File {
            advertise: Advertise,
        }
        let text = "advertise = [
            { clients = ['10.0.0.0/8', 'fd00::/8'], address = '10.0.0.5' },
            { clients = '10.1.0.0/16', address = '10.1.0.5' },
            { clients = '192.0.2.7', address = 'inside.example' },
            { address = 'ftp.example.org' },
            { address = '203.0.113.9' },
        ]";
        let Advertise(mut rules) = toml::from_str::<File>(text).unwrap().advertise;
        let told = |advertise: &Advertise, client: &str| {
            let told = advertise.for_client(client.parse().unwrap());
            told.map(ToString::to_string).unwrap_or_default()
        };
        let all = Advertise(rules.clone());
        for (client, address) in [
            ("10.1.2.3", "10.0.0.5"),
            ("::ffff:10.1.2.3", "10.0.0.5"),
            ("fd00::1", "10.0.0.5"),
            ("192.0.2.7", "inside.example"),
            ("192.0.2.8", "ftp.example.org"),
        ] {
            assert_eq!(told(&all, client), address, "{client}");
        }
        rules.truncate(3);
        assert_eq!(told(&Advertise(rules), "192.0.2.8"), "");
        let one = toml::from_str::<File>("advertise = '192.0.2.1'").unwrap();
        assert_eq!(told(&one.advertise, "198.51.100.1"), "192.0.2.1");
    }
}

//! The grants of a plugin: it reaches nothing outside of itself, unless it is said here.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use http::{Uri, uri::Scheme};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

use super::value;
use crate::types::dns::is_host_name;

/// `[plugin.grants]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grants {
    /// Directories that it sees.
    pub directories: Vec<Directory>,
    /// Hosts and networks, each with a port, that it may open TCP connections to.
    #[schemars(with = "Vec<value::Endpoint>")]
    pub tcp: Vec<Endpoint>,
    /// URLs of scheme, host and port that it may send HTTP requests to. Names must point to public
    /// addresses, or to the networks that stand beside the URL.
    #[schemars(with = "Vec<UrlOrTable>")]
    pub http: Vec<Service>,
    /// Whether it may look up names.
    pub dns: bool,
    /// The variables of the server's environment that it sees.
    pub environment: Vec<String>,
    /// PEM file of authorities that are trusted besides the system's.
    #[serde(with = "value::OptionalPath")]
    pub authorities: Option<PathBuf>,
}

impl Grants {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The paths, each with its key: they are relative to the file that they stand in.
    pub fn paths(&mut self) -> impl Iterator<Item = (String, &mut PathBuf)> {
        let directories = self.directories.iter_mut().enumerate();
        let directories = directories
            .map(|(index, directory)| (format!("directories[{index}].host"), &mut directory.host));
        let authorities = self.authorities.iter_mut();
        directories.chain(authorities.map(|path| ("authorities".to_owned(), path)))
    }
}

/// A directory of the server that a plugin sees.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Directory {
    /// The directory, relative to the configuration file.
    #[serde(with = "value::FilePath")]
    pub host: PathBuf,
    /// The path that the plugin sees it as.
    pub guest: String,
    /// The plugin's access to the directory.
    #[serde(default)]
    pub access: Access,
}

/// A plugin's access to the files of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// List and read.
    #[default]
    Read,
    /// Make, change and delete, too.
    Write,
}

/// An address, a network or a name, and a port: `10.0.0.5:389`, `[fd00::/8]:636`, `ldap:389`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub place: Place,
    /// Never 0.
    pub port: u16,
}

/// Where an [`Endpoint`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At any of these addresses; one address is a network of its own.
    Network(IpNet),
    /// At what this name stands for when it is connected to, in lower case.
    Name(String),
}

impl FromStr for Endpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (place, port) = text.rsplit_once(':').ok_or(())?;
        let plain = !port.starts_with('+');
        let port = port.parse().ok().filter(|port| *port != 0 && plain);
        let inside = |text: &str| {
            let inside = text.strip_prefix('[')?.strip_suffix(']')?;
            network(inside).filter(|network| matches!(network, IpNet::V6(_)))
        };
        let place = match (inside(place), network(place)) {
            (Some(network), _) | (None, Some(network @ IpNet::V4(_))) => Place::Network(network),
            (None, Some(IpNet::V6(_))) => return Err(()),
            (None, None) if is_host_name(place) => Place::Name(place.to_ascii_lowercase()),
            (None, None) => return Err(()),
        };
        let port = port.ok_or(())?;
        Ok(Self { place, port })
    }
}

/// A network, or one address as a network.
fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().ok();
    address
        .map(|address| IpNet::from(address.to_canonical()))
        .or_else(|| text.parse().ok())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.place {
            Place::Name(name) => write!(formatter, "{name}:{port}"),
            Place::Network(network) => {
                let one = network.prefix_len() == network.max_prefix_len();
                let place = match one {
                    true => network.addr().to_string(),
                    false => network.to_string(),
                };
                match network {
                    IpNet::V4(_) => write!(formatter, "{place}:{port}"),
                    IpNet::V6(_) => write!(formatter, "[{place}]:{port}"),
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Endpoint;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "host:port or network:port, such as \"10.0.0.5:389\" or \"[fd00::/8]:636\"",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Endpoint, E> {
                let parsed = text.trim().parse();
                parsed.map_err(|()| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        source.deserialize_str(Text)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        target.collect_str(self)
    }
}

/// Where HTTP requests may go: a scheme, a host and a port, whatever the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// http or https.
    pub scheme: Scheme,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// As it was said, or the scheme's.
    pub port: u16,
    /// Where the name may point to; when there are none, to public addresses only.
    pub networks: Vec<IpNet>,
}

impl Service {
    /// The service that a request for this URL goes to. `None` where there is no host, or more than
    /// host and port, such as `user@host`.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
        let (scheme, authority) = (uri.scheme()?, uri.authority()?);
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = authority.host();
        // `http` gives no port where the text is not one: "host:" and "host:99999".
        let rest = authority.as_str().strip_prefix(host)?;
        let port = match (rest, authority.port_u16()) {
            ("", _) => usual,
            (_, Some(port)) if port != 0 => port,
            _ => return None,
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host).to_ascii_lowercase();
        let address = host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_ipv6() == bare.is_some());
        (address || (bare.is_none() && is_host_name(&host))).then(|| Self {
            scheme: scheme.clone(),
            host,
            port,
            networks: Vec::new(),
        })
    }

    /// Whether a request for `other` is one for this.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.scheme, &self.host, self.port) == (&other.scheme, &other.host, other.port)
    }
}

impl FromStr for Service {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let uri: Uri = text.parse().map_err(|_| ())?;
        let whole = uri.path_and_query().map_or("/", |path| path.as_str()) == "/";
        let service = Self::of(&uri).filter(|_| whole && !text.contains('#'));
        service.ok_or(())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (&self.scheme, &self.host);
        if host.contains(':') {
            write!(formatter, "{scheme}://[{host}]")?;
        } else {
            write!(formatter, "{scheme}://{host}")?;
        }
        if self.port != if *scheme == Scheme::HTTPS { 443 } else { 80 } {
            write!(formatter, ":{}", self.port)?;
        }
        if !self.networks.is_empty() {
            write!(formatter, " in {}", list(&self.networks))?;
        }
        Ok(())
    }
}

/// A URL by itself, or in a table.
impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(TextOrTable)
    }
}

const URL: &str = "a URL of scheme, host and port, such as \"https://host:8443\"";

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = Service;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(URL)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Service, E> {
        Text.visit_str(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Service, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(table))?;
        Ok(Service {
            networks: table.networks,
            ..table.url
        })
    }
}

/// A URL with the networks that it may point to.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    /// Scheme, host and port.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "value::Url")]
    url: Service,
    /// Where the name may point to; when there are none, to public addresses only.
    #[serde(default)]
    #[schemars(with = "Vec<value::Network>")]
    networks: Vec<IpNet>,
}

/// The two forms of a [`Service`], for the JSON schema.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum UrlOrTable {
    Url(value::Url),
    Table(Table),
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        let (mut url, networks) = (self.clone(), self.networks.clone());
        url.networks.clear();
        match networks.is_empty() {
            true => target.collect_str(&url),
            false => Table { url, networks }.serialize(target),
        }
    }
}

fn text<'de, D: Deserializer<'de>>(source: D) -> Result<Service, D::Error> {
    source.deserialize_str(Text)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Service;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(URL)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Service, E> {
        let parsed = text.trim().parse();
        parsed.map_err(|()| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// For the log and for `portcullis plugin inspect`: one line.
impl fmt::Display for Grants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut part = |name: &str, items: String| {
            if !items.is_empty() {
                parts.push(format!("{name} {items}"));
            }
        };
        part("tcp", list(&self.tcp));
        part("http", list(&self.http));
        part("dns", (if self.dns { "any name" } else { "" }).to_owned());
        part("directories", list(&self.directories));
        part("environment", list(&self.environment));
        let authorities = self.authorities.as_deref();
        part("authorities", list(authorities.map(|path| path.display())));
        if parts.is_empty() {
            return formatter.write_str("none");
        }
        formatter.write_str(&parts.join("; "))
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        write!(formatter, "{} ({access})", self.guest)
    }
}

fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (text, shown) in [
            ("10.0.0.5:389", "10.0.0.5:389"),
            ("10.0.0.0/8:636", "10.0.0.0/8:636"),
            ("[fd00::1]:389", "[fd00::1]:389"),
            ("[fd00::/8]:636", "[fd00::/8]:636"),
            ("[::ffff:10.0.0.5]:389", ""),
            ("LDAP.example.org:389", "ldap.example.org:389"),
            ("localhost:1", "localhost:1"),
            ("10.0.0.256:389", ""),
            ("10.0.0:389", ""),
            ("10.0.0.0/33:389", ""),
            ("fd00::1:389", ""),
            ("[10.0.0.5]:389", ""),
            ("[localhost]:389", ""),
            ("10.0.0.5", ""),
            ("10.0.0.5:0", ""),
            ("10.0.0.5:+1", ""),
            ("10.0.0.5:65536", ""),
            (":389", ""),
            ("a b:389", ""),
            ("", ""),
        ] {
            let parsed = text.parse::<Endpoint>();
            let parsed = parsed.map_or_else(|()| String::new(), |endpoint| endpoint.to_string());
            assert_eq!(parsed, shown, "{text}");
        }
    }

    #[test]
    fn services() {
        for (text, shown) in [
            (
                "https://auth.example.org:8443",
                "https://auth.example.org:8443",
            ),
            ("https://Auth.example.org/", "https://auth.example.org"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("ftp://host", ""),
            ("https://user@host", ""),
            ("https://host/path", ""),
            ("https://host?query", ""),
            ("https://host#fragment", ""),
            ("https://host:0", ""),
            ("https://host:99999", ""),
            ("https://10.0.0.256", ""),
            ("https://", ""),
            ("//host", ""),
            ("host:80", ""),
            ("", ""),
        ] {
            let parsed = text.parse::<Service>();
            let parsed = parsed.map_or_else(|()| String::new(), |service| service.to_string());
            assert_eq!(parsed, shown, "{text}");
        }
    }

    #[test]
    fn they_stand_by_themselves_and_in_one_line() {
        assert_eq!(Grants::default().to_string(), "none");
        assert!(Grants::default().is_empty());
        let text = r#"
            tcp = ["10.0.0.5:389", "ldap.example.org:389"]
            http = ["https://auth.example.org", { url = "http://127.0.0.1:8080", networks = ["127.0.0.0/8"] }]
            dns = true
            directories = [{ host = "/srv/lists", guest = "/lists" }, { host = "out", guest = "/out", access = "write" }]
            environment = ["LANG", "TOKEN"]
            authorities = "ca.pem"
        "#;
        let mut grants: Grants = toml::from_str(text).unwrap();
        assert_eq!(
            grants.to_string(),
            "tcp 10.0.0.5:389, ldap.example.org:389; http https://auth.example.org, \
            http://127.0.0.1:8080 in 127.0.0.0/8; dns any name; directories /lists (read), /out \
            (write); environment LANG, TOKEN; authorities ca.pem"
        );
        let keys: Vec<String> = grants.paths().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            ["directories[0].host", "directories[1].host", "authorities"]
        );
    }
}

//! The requirement of each import of a component: nothing, or a grant.

use std::fmt;

use crate::config::Grants;

/// The contract's package.
pub(super) const PACKAGE: &str = "portcullis:plugin";

/// The requirement of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: every plugin has it.
    None,
    /// Nothing: it is there with nothing in it, since the libraries of some languages ask for it.
    Empty,
    /// It is there, and `grants.directories` says what is in it.
    Directories,
    /// It is there, and `grants.environment` says what is in it.
    Environment,
    /// It is there, and `grants.tcp` says where it leads.
    Tcp,
    /// It is there, and answers where `grants.dns` is set.
    Dns,
    /// `grants.http`, without which it is not there.
    Http,
    /// `grants.tcp`, without which it is not there.
    Tls,
    /// The server does not have it.
    Unknown,
}

impl Requirement {
    pub(super) fn needed(import: &str) -> Self {
        let Some(name) = Name::parse(import) else {
            return Self::Unknown;
        };
        match (name.package, name.interface) {
            (PACKAGE, "log" | "settings" | "state" | "passwords" | "types" | "uploads") => {
                Self::None
            }
            ("wasi:clocks" | "wasi:random" | "wasi:io", _) => Self::None,
            ("wasi:cli", "environment") => Self::Environment,
            ("wasi:cli", _) => Self::Empty,
            ("wasi:filesystem", _) => Self::Directories,
            ("wasi:sockets", "ip-name-lookup") => Self::Dns,
            ("wasi:sockets", "udp" | "udp-create-socket") => Self::Empty,
            ("wasi:sockets", _) => Self::Tcp,
            ("wasi:http", _) => Self::Http,
            ("wasi:tls", _) => Self::Tls,
            _ => Self::Unknown,
        }
    }

    /// The line of `[plugin.grants]` that gives it something, and whether it needs that to load.
    pub(super) fn line(self) -> Option<(&'static str, bool)> {
        match self {
            Self::Http => Some(("http = [\"https://HOST\"]", true)),
            Self::Tls => Some(("tcp = [\"HOST:PORT\"]", true)),
            Self::Tcp => Some(("tcp = [\"HOST:PORT\"]", false)),
            Self::Dns => Some(("dns = true", false)),
            Self::Directories => Some((
                "directories = [{ host = \"DIRECTORY\", guest = \"/NAME\" }]",
                false,
            )),
            Self::Environment => Some(("environment = [\"NAME\"]", false)),
            Self::None | Self::Empty | Self::Unknown => None,
        }
    }

    /// Whether nothing is granted of what it could have.
    pub(super) fn is_empty(self, grants: &Grants) -> bool {
        match self {
            Self::Http => grants.http.is_empty(),
            Self::Tcp | Self::Tls => grants.tcp.is_empty(),
            Self::Dns => !grants.dns,
            Self::Directories => grants.directories.is_empty(),
            Self::Environment => grants.environment.is_empty(),
            Self::None | Self::Empty | Self::Unknown => false,
        }
    }

    /// Whether a component that imports it is not loaded with these grants.
    pub(super) fn is_missing(self, grants: &Grants) -> bool {
        match self {
            Self::Http => grants.http.is_empty(),
            Self::Tls => grants.tcp.is_empty(),
            _ => false,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "granted to all",
            Self::Empty => "there, with nothing in it",
            Self::Directories => "there, with what grants.directories names",
            Self::Environment => "there, with what grants.environment names",
            Self::Tcp => "there, leads to what grants.tcp names",
            Self::Dns => "there, answers with grants.dns",
            Self::Http => "NEEDS grants.http",
            Self::Tls => "NEEDS grants.tcp",
            Self::Unknown => "UNKNOWN to this server",
        })
    }
}

/// `package:name/interface@version`
pub(super) struct Name<'a> {
    pub(super) package: &'a str,
    pub(super) interface: &'a str,
    pub(super) version: Option<&'a str>,
}

impl<'a> Name<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (package, rest) = name.split_once('/')?;
        let (interface, version) = match rest.split_once('@') {
            Some((interface, version)) => (interface, Some(version)),
            None => (rest, None),
        };
        Some(Self {
            package,
            interface,
            version,
        })
    }
}

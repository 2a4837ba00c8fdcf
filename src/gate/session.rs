//! The facts of a session for the gates.

use std::{net::SocketAddr, sync::Arc};

use super::Account;
use crate::types::{HostId, PeerCertificate, UserId};

/// One control connection, as plugins may see it. A snapshot: made anew when something changes.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Identifies the session in the logs; unique for the life of the server.
    pub id: Arc<str>,
    /// The client, after any PROXY protocol header.
    pub client: SocketAddr,
    /// The address that the client connected to, after any PROXY protocol header.
    pub server: SocketAddr,
    /// From the TLS server name or the HOST command.
    pub host: Option<String>,
    /// None while the control connection is in the clear.
    pub tls: Option<TlsFacts>,
    /// Verified against the configured authorities.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The name given with USER, also before it is proven.
    pub user: Option<Arc<str>>,
    /// Whether the name is told in the log: a user has it, or the configuration says so. A name that
    /// nobody has may be a password.
    pub known: bool,
    /// The virtual host that serves it.
    pub virtual_host: HostId,
    /// The account of the user that logged in.
    pub account: Option<Arc<Account>>,
}

impl SessionInfo {
    /// The user by the name that was given, at the host that serves the session.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.user.clone().map(|name| UserId {
            host: self.virtual_host.clone(),
            name,
        })
    }

    /// The user's name for the log.
    #[must_use]
    pub fn told_user(&self) -> Option<&str> {
        self.user.as_deref().filter(|_| self.known)
    }

    /// The facts for a call that is about no session; `id` stands for it in the log.
    #[must_use]
    pub fn nobody(id: &str) -> Arc<Self> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Arc::new(Self {
            id: id.into(),
            client: nowhere,
            server: nowhere,
            host: None,
            tls: None,
            certificate: None,
            known: true,
            user: None,
            virtual_host: HostId::default(),
            account: None,
        })
    }
}

/// A line of the log about a session, with who it is. Every line about one is made by this.
macro_rules! line {
    ($level:ident, $facts:expr, $($fields:tt)*) => {
        tracing::$level!(session = &*$facts.id, client = %$facts.client,
            user = $facts.told_user(), $($fields)*)
    };
}
pub(crate) use line;

/// The TLS parameters of a control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// "TLSv1.2" or "TLSv1.3".
    pub version: &'static str,
    /// The IANA name, "TLS_AES_128_GCM_SHA256" for instance.
    pub cipher_suite: &'static str,
}

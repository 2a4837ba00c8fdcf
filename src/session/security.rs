//! AUTH, PBSZ, PROT, CCC (RFC 2228, RFC 4217).

use std::{
    io,
    sync::{Arc, LazyLock},
};

use rustls::server::ClientHello;

use super::{
    Next, Session,
    connection::{Connection, Transport},
    control::Chosen,
    state::{LoginState, Parameters},
};
use crate::{
    ftp::{
        command::{Protection, Switch},
        reply::Reply,
    },
    gate::session::line,
    observe::Rate,
    tls::session,
};

/// Strangers cause these lines by connecting.
static FAILURES: LazyLock<Arc<Rate>> = LazyLock::new(|| Rate::new("more TLS handshakes failed"));

static BEHIND: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::new("more connections sent bytes behind AUTH"));

impl Session {
    pub(super) async fn auth(&mut self, mechanism: &str) -> io::Result<Next> {
        if self.connection.transport.is_protected() {
            return self.answer(Reply::new(503, "TLS is on already")).await;
        }
        // RFC 4217 §4: these two also protect data connections.
        let private = match mechanism {
            "TLS" | "TLS-C" => false,
            "SSL" | "TLS-P" => true,
            _ => {
                return self.answer(Reply::new(504, "AUTH takes TLS")).await;
            }
        };
        // CVE-2011-1575 and its kin: what came with AUTH in the clear would be taken for protected.
        if !self.connection.control.nothing_buffered() || !self.connection.queue.is_empty() {
            if BEHIND.admits(self.connection.facts.client.ip()) {
                line!(
                    warn,
                    self.connection.facts,
                    "bytes behind AUTH in the clear: the connection is closed"
                );
            }
            return Ok(Next::Close);
        }
        self.send(Reply::new(234, "Begin TLS")).await?;
        // RFC 4217 §4: login and parameters begin anew.
        self.state = LoginState::Greeted;
        self.connection.parameters = Parameters::new(private);
        let facts = self.connection.facts_mut();
        facts.user = None;
        facts.account = None;
        Box::pin(self.connection.begin_tls()).await?;
        Ok(Next::Continue)
    }

    /// Back to the clear for the control connection, for address translators (RFC 4217 §12).
    pub(super) async fn ccc(&mut self) -> io::Result<Next> {
        if !self.connection.transport.is_protected() {
            return self
                .answer(Reply::new(533, "The control connection is not protected"))
                .await;
        }
        if !self.connection.is_on(Switch::ClearControl) {
            return self
                .answer(Reply::new(534, "The control connection stays protected"))
                .await;
        }
        if !matches!(self.state, LoginState::Active(_)) {
            return self.answer(Reply::new(530, "Log in first")).await;
        }
        self.send(Reply::new(
            200,
            "The control connection goes on in the clear",
        ))
        .await?;
        self.connection.clear().await?;
        Ok(Next::Continue)
    }
}

impl Connection {
    /// The handshake on the control connection.
    pub(super) async fn begin_tls(&mut self) -> io::Result<()> {
        let limit = self.host.config.limits.handshake_timeout;
        let minimum = self.host.config.tls.minimum_version;
        // The host that the client names has the say on what it has to show.
        let mut chosen = None;
        let choose = |hello: &ClientHello<'_>| {
            if let Some(config) = self.generation.challenges.tls(hello) {
                return Ok(Chosen::Challenge(config));
            }
            let named = hello.server_name();
            let host = named.and_then(|name| self.generation.hosts.by_name(name));
            let host = host.unwrap_or(&self.host).clone();
            let tls = Arc::new(host.tls.session().map_err(io::Error::other)?);
            chosen = Some((host, tls.clone()));
            Ok(Chosen::Session(tls))
        };
        let shaken = self.control.protect(limit, minimum, choose).await;
        let shaken = shaken.and_then(|connection| {
            let (host, tls) = chosen.ok_or_else(|| io::Error::other("no host was chosen"))?;
            tls.established(connection);
            let sni = connection.server_name().map(str::to_owned);
            Ok((host, tls, session::facts(connection), sni))
        });
        let (host, tls, (parameters, certificate), sni) = shaken.inspect_err(|error| {
            if FAILURES.admits(self.facts.client.ip()) {
                line!(info, self.facts, %error, "the TLS handshake failed");
            }
        })?;
        self.move_to(host);
        self.sni = sni.clone();
        let facts = self.facts_mut();
        facts.tls = Some(parameters);
        facts.certificate = certificate;
        if sni.is_some() {
            facts.host = sni;
        }
        self.transport = Transport::Tls(tls);
        Ok(())
    }

    /// TLS needs no buffer size: always 0 (RFC 4217 §8).
    pub(super) async fn pbsz(&mut self) -> io::Result<Next> {
        if !self.transport.is_protected() {
            return self.answer(Reply::new(503, "AUTH comes first")).await;
        }
        self.parameters.buffer_size_set = true;
        self.answer(Reply::new(200, "PBSZ=0")).await
    }

    pub(super) async fn prot(&mut self, level: Protection) -> io::Result<Next> {
        if !self.transport.is_protected() {
            return self.answer(Reply::new(503, "AUTH comes first")).await;
        }
        if !self.parameters.buffer_size_set {
            return self.answer(Reply::new(503, "PBSZ comes first")).await;
        }
        match level {
            Protection::Private => self.parameters.private = true,
            Protection::Clear if self.data_waits_for_tls() => {
                return self
                    .answer(Reply::new(534, "Data connections must be protected"))
                    .await;
            }
            Protection::Clear => self.parameters.private = false,
        }
        self.answer(Reply::new(200, "Protection level set")).await
    }

    /// Ends TLS on the control connection alone; it must be on.
    async fn clear(&mut self) -> io::Result<()> {
        self.control.unprotect().await?;
        if let Transport::Tls(tls) = std::mem::take(&mut self.transport) {
            self.transport = Transport::Cleared(tls);
        }
        Ok(())
    }

    /// As it was before AUTH. Implicit TLS has no such state to go back to.
    pub(super) async fn leave_tls(&mut self) -> io::Result<()> {
        if self.implicit {
            return Ok(());
        }
        if self.transport.is_protected() {
            self.control.unprotect().await?;
        }
        self.transport = Transport::Plain;
        self.sni = None;
        let facts = self.facts_mut();
        facts.tls = None;
        facts.certificate = None;
        Ok(())
    }
}

//! AUTH, PBSZ, PROT, CCC (RFC 2228, RFC 4217).

use std::{
    io,
    sync::{Arc, LazyLock},
};

use super::{
    Next, Session,
    state::{Parameters, State},
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
        if self.control.is_protected() {
            return self.answer(Reply::new(503, "TLS is on already")).await;
        }
        // RFC 4217 §4: these two also protect data connections.
        let private = match mechanism {
            "TLS" | "TLS-C" => false,
            "SSL" | "TLS-P" => true,
            _ => return self.answer(Reply::new(504, "AUTH takes TLS")).await,
        };
        // CVE-2011-1575 and its kin: what came with AUTH in the clear would be taken for protected.
        if !self.control.nothing_buffered() || !self.queue.is_empty() {
            if BEHIND.admits(self.facts.client.ip()) {
                line!(
                    warn,
                    self.facts,
                    "bytes behind AUTH in the clear: the connection is closed"
                );
            }
            return Ok(Next::Close);
        }
        self.send(Reply::new(234, "Begin TLS")).await?;
        // RFC 4217 §4: login and parameters begin anew.
        self.state = State::Greeted;
        self.parameters = Parameters::new(private);
        let facts = self.facts_mut();
        facts.user = None;
        facts.account = None;
        self.begin_tls().await?;
        Ok(Next::Continue)
    }

    /// The handshake on the control connection.
    pub(super) async fn begin_tls(&mut self) -> io::Result<()> {
        let limit = self.context.config.limits.handshake_timeout;
        let tls = Arc::new(self.context.tls.session().map_err(io::Error::other)?);
        let connection = match self
            .control
            .protect(tls.control(), limit, tls.minimum_version())
            .await
        {
            Ok(connection) => connection,
            Err(error) => {
                if FAILURES.admits(self.facts.client.ip()) {
                    line!(info, self.facts, %error, "the TLS handshake failed");
                }
                return Err(error);
            }
        };
        tls.established(connection);
        let (parameters, certificate) = session::facts(connection);
        let sni = connection.server_name().map(str::to_owned);
        self.sni = sni.clone();
        let facts = self.facts_mut();
        facts.tls = Some(parameters);
        facts.certificate = certificate;
        if sni.is_some() {
            facts.host = sni;
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// TLS needs no buffer size: always 0 (RFC 4217 §8).
    pub(super) async fn pbsz(&mut self) -> io::Result<Next> {
        if self.cleared || self.tls.is_none() {
            return self.answer(Reply::new(503, "AUTH comes first")).await;
        }
        self.parameters.buffer_size_set = true;
        self.answer(Reply::new(200, "PBSZ=0")).await
    }

    pub(super) async fn prot(&mut self, level: Protection) -> io::Result<Next> {
        if self.cleared || self.tls.is_none() {
            return self.answer(Reply::new(503, "AUTH comes first")).await;
        }
        if !self.parameters.buffer_size_set {
            return self.answer(Reply::new(503, "PBSZ comes first")).await;
        }
        match level {
            Protection::Private => self.parameters.private = true,
            Protection::Clear if self.context.config.tls.data_required => {
                return self
                    .answer(Reply::new(534, "Data connections must be protected"))
                    .await;
            }
            Protection::Clear => self.parameters.private = false,
        }
        self.answer(Reply::new(200, "Protection level set")).await
    }

    /// Back to the clear for the control connection, for address translators (RFC 4217 §12).
    pub(super) async fn ccc(&mut self) -> io::Result<Next> {
        if !self.control.is_protected() {
            return self
                .answer(Reply::new(533, "The control connection is not protected"))
                .await;
        }
        if !self.is_on(Switch::ClearControl) {
            return self
                .answer(Reply::new(534, "The control connection stays protected"))
                .await;
        }
        if !matches!(self.state, State::LoggedIn(_)) {
            return self.answer(Reply::new(530, "Log in first")).await;
        }
        self.send(Reply::new(
            200,
            "The control connection goes on in the clear",
        ))
        .await?;
        self.control.unprotect().await?;
        self.cleared = true;
        Ok(Next::Continue)
    }
}

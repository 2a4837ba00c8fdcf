//! A session's connection, and what goes with it in every state of the login.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use tokio::sync::watch;

use super::{
    Next, Origin, Shutdown,
    control::{Control, ReadError},
    generation::Generation,
    host::VirtualHost,
    journal::Journal,
    queue::Queue,
    session_table::Place,
    state::Parameters,
    wire::Wire,
};
use crate::{
    config::Listener,
    data::ending::Ending,
    ftp::reply::Reply,
    gate::event::Event,
    gate::{SessionInfo, session::line},
    observe::Rate,
    tls::SessionTls,
    types::TlsStart,
};

/// Strangers cause these lines by connecting.
static STRANGERS: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::new("more connections spoke something else"));

/// The connection of a session, and all that does not depend on its user.
pub(super) struct Connection {
    pub(super) generation: Arc<Generation>,
    /// The virtual host that serves it.
    pub(super) host: Arc<VirtualHost>,
    /// One of the sessions of this generation.
    _counted: Arc<()>,
    pub(super) control: Control,
    pub(super) facts: Arc<SessionInfo>,
    /// Among all sessions.
    pub(super) place: Place,
    pub(super) local: SocketAddr,
    /// TLS was on from the first byte, and stays on.
    pub(super) implicit: bool,
    /// The terms of the listener that accepted it.
    pub(super) listener: Arc<Listener>,
    pub(super) transport: Transport,
    /// The TLS server name that the client asked for.
    pub(super) sni: Option<String>,
    /// The end of this client's uploads.
    pub(super) ending: Ending,
    pub(super) parameters: Parameters,
    pub(super) queue: Queue,
    pub(super) shutdown: watch::Receiver<Shutdown>,
}

/// Where TLS stands on the control connection.
#[derive(Default)]
pub(super) enum Transport {
    /// There was none.
    #[default]
    Plain,
    /// It is on; data connections are bound to it.
    Tls(Arc<SessionTls>),
    /// It was ended by CCC. Data connections are bound to it as before, and PBSZ and PROT stay as they
    /// are (RFC 4217 §12.3).
    Cleared(Arc<SessionTls>),
}

impl Transport {
    /// Whether there was no TLS.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Whether TLS is on.
    pub(super) fn is_protected(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The keys that data connections are bound to.
    pub(super) fn keys(&self) -> Option<&Arc<SessionTls>> {
        match self {
            Self::Plain => None,
            Self::Tls(tls) | Self::Cleared(tls) => Some(tls),
        }
    }
}

impl Connection {
    /// A new one; nothing is read or written yet.
    pub(super) fn new(
        generation: Arc<Generation>,
        wire: Wire,
        origin: Origin,
        shutdown: watch::Receiver<Shutdown>,
    ) -> Self {
        let host = generation.hosts.first(&origin.listener.host).clone();
        let limits = &host.config.limits;
        let length = usize::try_from(limits.line_length).unwrap_or(usize::MAX);
        let control = Control::new(wire, length, limits.stall_timeout);
        let ending = Ending::new(host.config.tls.close_notify);
        let facts = Arc::new(SessionInfo {
            id: origin.id,
            client: origin.client,
            server: origin.server,
            host: None,
            tls: None,
            certificate: None,
            known: false,
            user: None,
            virtual_host: host.id().clone(),
            account: None,
        });
        let place = generation.users.sessions.enter(facts.clone());
        let implicit = origin.listener.tls == TlsStart::Implicit;
        Self {
            _counted: generation.sessions.clone(),
            generation,
            host,
            control,
            facts,
            place,
            local: origin.local,
            implicit,
            listener: origin.listener,
            transport: Transport::Plain,
            sni: None,
            ending,
            parameters: Parameters::new(implicit),
            queue: Queue::default(),
            shutdown,
        }
    }

    /// From here on the session is this host's, which [may](Self::may_move_to) have it.
    pub(super) fn move_to(&mut self, host: Arc<VirtualHost>) {
        if Arc::ptr_eq(&self.host, &host) {
            return;
        }
        self.ending = Ending::new(host.config.tls.close_notify);
        let facts = self.facts_mut();
        facts.virtual_host = host.id().clone();
        // Another host's authorities have verified it.
        facts.certificate = None;
        self.host = host;
    }

    /// Whether the handshake that was made, if there was one, is what the host asks for.
    pub(super) fn may_move_to(&self, host: &Arc<VirtualHost>) -> bool {
        let Some(negotiated) = self.transport.keys() else {
            return true;
        };
        Arc::ptr_eq(&self.host, host) || host.tls.is_met_by(negotiated)
    }

    /// The host is the one that the handshake has chosen, if that stays, and the first one else.
    pub(super) fn forget_host(&mut self) {
        let hosts = &self.generation.hosts;
        let first = hosts.first(&self.listener.host);
        let chosen = self.sni.as_deref().filter(|_| self.implicit);
        let host = chosen.and_then(|name| hosts.by_name(name));
        let host = host.unwrap_or(first).clone();
        self.move_to(host);
    }

    pub(super) fn id(&self) -> &str {
        &self.facts.id
    }

    /// Where things that happen in this session are told.
    pub(super) fn journal(&self) -> Journal {
        Journal::new(self.facts.clone(), self.host.observers.clone())
    }

    /// Tells all who observe.
    pub(super) fn emit(&self, event: &Event<'_>) {
        self.host.observers.emit(&self.facts, event);
    }

    pub(super) async fn read_failed(&mut self, error: ReadError) -> io::Result<()> {
        match error {
            ReadError::Closed => Ok(()),
            ReadError::TooLong => {
                self.send(Reply::new(
                    500,
                    "The line is too long, closing the connection",
                ))
                .await
            }
            ReadError::UnexpectedTls => {
                if STRANGERS.admits(self.facts.client.ip()) {
                    line!(
                        info,
                        self.facts,
                        "TLS began without AUTH TLS: the client speaks implicit FTPS to the explicit port"
                    );
                }
                Ok(())
            }
            ReadError::Io(error) => Err(error),
        }
    }

    /// Answers a command that found no room to wait. It may have been the one that RNFR, REST or RANG
    /// was meant for: they must not be taken for another.
    pub(super) fn no_room(&mut self) -> Reply {
        self.parameters.rename_from = None;
        self.parameters.restart = 0;
        self.parameters.range = None;
        self.parameters.announced_size = None;
        Reply::new(
            503,
            "Too many commands waited for the transfer to end: this one was not executed",
        )
    }

    pub(super) async fn send(&mut self, reply: Reply) -> io::Result<()> {
        // Its text may repeat the client's: a password in place of a command, say.
        tracing::trace!(session = self.id(), code = reply.code(), "reply");
        self.control.send(&reply).await
    }

    /// Sends several replies in one packet.
    pub(super) async fn send_together(&mut self, replies: &[Reply]) -> io::Result<()> {
        for reply in replies {
            tracing::trace!(session = self.id(), code = reply.code(), "reply");
        }
        self.control.send_together(replies).await
    }

    pub(super) async fn answer(&mut self, reply: Reply) -> io::Result<Next> {
        self.send(reply).await?;
        Ok(Next::Continue)
    }

    /// Snapshots of the session go out by reference count: this changes the next one.
    pub(super) fn facts_mut(&mut self) -> &mut SessionInfo {
        Arc::make_mut(&mut self.facts)
    }
}

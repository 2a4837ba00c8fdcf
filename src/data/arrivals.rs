//! The connections that come to a port of PASV or EPSV: which of them becomes the data connection.
//!
//! Strangers do not end the wait. A connection from another address is dropped; one from the right
//! address that fails its handshake or its binding is dropped as well, and the right one has a
//! moment to come before the transfer is refused.
//!
//! Some clients begin TLS before they send the command, and send the command when the handshake is
//! done. So handshakes that clients begin go on while the session waits for commands, under the terms
//! that hold then; should the terms be others when the transfer begins, what began before is dropped.
//! The command says which way the bytes go: until then, as during uploads, tickets are held back.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ipnet::IpNet;
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::ReadBuf,
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};

use super::{
    Channel,
    open::{Candidate, Checked, DropReporter, Dropped, OpenError, Refused, Terms},
    proxied::{HeaderError, Proxied},
    shared::{Come, Seat},
    socket::Meter,
};
use crate::{
    config::Binding,
    ftp::address::same_host,
    tls::session::{Direction, Proof},
};

/// How long the right connection may still come, or prove itself, after another one.
const GRACE: Duration = Duration::from_millis(1000);
/// Handshakes at a time for one transfer.
const CANDIDATES: usize = 4;
/// Connections that wait for one of these places; more wait in the system's queue.
const ARRIVED: usize = 4;
/// How long a connection that says nothing keeps its place from others before the command.
const SILENCE: Duration = Duration::from_millis(1000);
/// How long a handshake that has begun is waited for before the transfer is announced.
const SETTLE: Duration = Duration::from_millis(200);

/// The place where connections come from.
enum Source {
    /// A port of this session's own.
    Own(TcpListener),
    /// That of all sessions.
    Shared(Seat),
}

impl Source {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Come>> {
        match self {
            Self::Own(listener) => listener
                .poll_accept(context)
                .map_ok(|(tcp, from)| Come::Connection(tcp, from)),
            Self::Shared(seat) => seat.poll_next(context),
        }
    }

    /// Whether a connection waits.
    fn is_readable(&self) -> bool {
        match self {
            Self::Own(listener) => is_readable(listener),
            Self::Shared(seat) => seat.is_readable(),
        }
    }
}

/// A place to listen at, and what has come to it.
pub struct Arrivals {
    source: Source,
    meter: Arc<Meter>,
    arrived: VecDeque<Arrived>,
    candidates: Vec<Candidate>,
    /// One that has proven all that can be proven, before the command.
    proven: Option<Channel>,
    /// One that may be taken and proved nothing, while others still may, for a moment.
    held: Option<(Channel, Grace)>,
    /// Why the last one was refused, and until when to wait for a better one.
    refused: Option<Rejected>,
    /// When one that says nothing has to give up its place.
    room: Option<Pin<Box<Sleep>>>,
    /// The terms of the handshakes that began before the command.
    began_under: Option<Terms>,
    /// Those from balancers, of which it is not known yet whose they are.
    proxied: Proxied,
    /// Why the last of them was nobody's.
    unnamed: Option<HeaderError>,
}

/// A connection on which nothing has been done yet.
struct Arrived {
    tcp: TcpStream,
    since: Instant,
    /// The client has begun to speak, or is gone.
    speaks: bool,
}

/// One from the right address that was refused.
struct Rejected {
    why: Refused,
    grace: Grace,
    from: SocketAddr,
    reporter: Arc<dyn DropReporter>,
}

impl Rejected {
    /// It is not why there is no data connection.
    fn tell(self) {
        self.reporter
            .dropped(self.from, &Dropped::Refused(self.why));
    }
}

/// A moment that begins with the transfer.
type Grace = Option<Pin<Box<Sleep>>>;

impl Arrivals {
    /// At a port of the session's own, to which nothing has come yet.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self::from(Source::Own(listener))
    }

    /// At the port of all sessions.
    #[must_use]
    pub fn shared(seat: Seat) -> Self {
        Self::from(Source::Shared(seat))
    }

    fn from(source: Source) -> Self {
        Self {
            source,
            meter: Arc::default(),
            arrived: VecDeque::new(),
            candidates: Vec::new(),
            proven: None,
            held: None,
            refused: None,
            room: None,
            began_under: None,
            proxied: Proxied::default(),
            unnamed: None,
        }
    }

    /// Connections from these networks begin with a PROXY protocol header.
    #[must_use]
    pub fn behind(mut self, networks: &[IpNet]) -> Self {
        self.proxied = Proxied::new(networks.to_vec());
        self
    }

    /// Counts what moves on all of them.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// Goes on with handshakes while no command has come. Never ready.
    pub fn poll_early(&mut self, terms: &Terms, context: &mut Context<'_>) -> Poll<Infallible> {
        if let Source::Shared(seat) = &self.source {
            seat.set_terms(terms);
        }
        let Some(tls) = &terms.tls else {
            return Poll::Pending;
        };
        let prefers = tls.binding() == Binding::Prefer;
        self.agree(terms);
        loop {
            // The transfer is told of errors, by trying again.
            if self.proven.is_some() || self.accept(terms, context).is_err() {
                return Poll::Pending;
            }
            let made_room = self.drop_silent(context);
            let began = self.begin_speaking(terms, context);
            let mut ended = false;
            while let Some((result, _)) = self.next_result(context) {
                ended = true;
                match result {
                    Ok((channel, Proof::None)) if prefers => {
                        self.held.get_or_insert((channel, None));
                    }
                    Ok((channel, _)) => self.proven = Some(channel),
                    Err(why) => self.refuse(why, terms),
                }
            }
            if !(made_room || began || ended) {
                return Poll::Pending;
            }
        }
    }

    /// Waits for the right connection, now that a transfer does.
    pub fn poll(
        &mut self,
        terms: &Terms,
        direction: Direction,
        context: &mut Context<'_>,
    ) -> Poll<Result<Channel, OpenError>> {
        self.agree(terms);
        let tls = terms.tls.as_ref();
        let prefers = tls.is_some_and(|tls| tls.binding() == Binding::Prefer);
        if let Some(channel) = self.proven.take() {
            return Poll::Ready(Ok(channel.begin(direction)));
        }
        loop {
            loop {
                if let Err(error) = self.accept(terms, context) {
                    return Poll::Ready(Err(OpenError::Connect(error)));
                }
                if !self.begin_all(terms, direction) {
                    break;
                }
            }
            let mut room = false;
            while let Some((result, was_full)) = self.next_result(context) {
                room |= was_full;
                match result {
                    Ok((channel, Proof::None)) if prefers => {
                        self.held.get_or_insert((channel, None));
                    }
                    Ok((channel, _)) => return Poll::Ready(Ok(channel.begin(direction))),
                    Err(why) => self.refuse(why, terms),
                }
            }
            // Room again: look for the next one before waiting.
            if room {
                continue;
            }
            let alone = self.candidates.is_empty();
            // Where several came, one that resumes wins, whoever was first.
            if let Some((_, grace)) = &mut self.held
                && (is_over(grace, context) || alone)
                && let Some((channel, _)) = self.held.take()
            {
                return Poll::Ready(Ok(channel.begin(direction)));
            }
            if let Some(refused) = &mut self.refused
                && is_over(&mut refused.grace, context)
                && alone
                && let Some(refused) = self.refused.take()
            {
                return Poll::Ready(Err(OpenError::Refused(refused.why)));
            }
            return Poll::Pending;
        }
    }

    /// Where the client has begun TLS already, waits a little for the end of the handshake: some
    /// clients end an empty file before they have done their part of it, once they are told that the
    /// transfer begins. Others begin TLS only then, and are not waited for.
    pub async fn settle(
        &mut self,
        terms: &Terms,
        direction: Direction,
    ) -> Option<Result<Channel, OpenError>> {
        if let Source::Shared(seat) = &self.source {
            seat.set_terms(terms);
        }
        terms.tls.as_ref()?;
        self.agree(terms);
        let settled = async {
            // The connections in the system's queue by now, which are all taken as soon as one is.
            let mut waits = self.source.is_readable();
            while self.arrived.len() < ARRIVED && (waits || !self.proxied.is_empty()) {
                let before = self.arrived.len();
                let come = poll_fn(|context| {
                    let accepted = self.accept(terms, context);
                    match accepted.is_err() || self.arrived.len() > before {
                        true => Poll::Ready(accepted),
                        false => Poll::Pending,
                    }
                });
                come.await.ok()?;
                waits = false;
            }
            for arrived in &mut self.arrived {
                arrived.speaks |= speaks(&arrived.tcp);
            }
            let begun = self.proven.is_some() || self.held.is_some();
            let begun = begun || !self.candidates.is_empty();
            if !begun && !self.arrived.iter().any(|arrived| arrived.speaks) {
                return None;
            }
            Some(poll_fn(|context| self.poll(terms, direction, context)).await)
        };
        timeout(SETTLE, settled).await.ok().flatten()
    }

    /// Why there was no connection in time: the last that came was refused, or was nobody's.
    pub fn last_error(&mut self) -> OpenError {
        match (self.refused.take(), self.unnamed.take()) {
            (Some(refused), _) => OpenError::Refused(refused.why),
            (None, Some(error)) => OpenError::Unnamed(error),
            (None, None) => OpenError::Timeout,
        }
    }

    /// Drops what began under other terms than these.
    fn agree(&mut self, terms: &Terms) {
        if self
            .began_under
            .as_ref()
            .is_none_or(|began| began.same(terms))
        {
            return;
        }
        terms.reporter.dropped(terms.peer, &Dropped::OtherTerms);
        self.candidates.clear();
        self.proven = None;
        self.held = None;
        self.refused = None;
        self.began_under = None;
    }

    /// Takes what has come from the right address, as far as there is room.
    fn accept(&mut self, terms: &Terms, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            self.accept_some(terms, context)?;
            if !self.take_named(terms, context) {
                return Ok(());
            }
        }
    }

    fn accept_some(&mut self, terms: &Terms, context: &mut Context<'_>) -> io::Result<()> {
        while self.arrived.len() < ARRIVED && self.proxied.has_room() {
            match self.source.poll_next(context) {
                Poll::Ready(Ok(Come::Connection(tcp, from))) if self.proxied.is_proxy(from) => {
                    self.proxied.read(tcp, from, terms.handshake_timeout);
                }
                Poll::Ready(Ok(Come::Connection(tcp, from))) if same_host(from, terms.peer) => {
                    self.arrived.push_back(Arrived {
                        tcp,
                        since: Instant::now(),
                        speaks: false,
                    });
                }
                Poll::Ready(Ok(Come::Connection(_, from))) => {
                    terms.reporter.dropped(from, &Dropped::OtherAddress);
                }
                Poll::Ready(Ok(Come::Ambiguous)) => self.refuse(Refused::Ambiguous, terms),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Takes those of balancers whose header has been read, and names the session's client; whether
    /// there is room for others now.
    fn take_named(&mut self, terms: &Terms, context: &mut Context<'_>) -> bool {
        let mut room = false;
        while self.arrived.len() < ARRIVED
            && let Some((proxy, named)) = self.proxied.next(context)
        {
            room = true;
            match named {
                Ok((tcp, client)) if same_host(client, terms.peer) => {
                    self.arrived.push_back(Arrived {
                        tcp,
                        since: Instant::now(),
                        speaks: false,
                    });
                }
                Ok((_, client)) => terms.reporter.dropped(client, &Dropped::OtherAddress),
                Err(error) => {
                    terms.reporter.dropped(proxy, &Dropped::Unnamed(error));
                    self.unnamed = Some(error);
                }
            }
        }
        room
    }

    /// Where all places are taken, the one that has said nothing for longest gives up its own.
    fn drop_silent(&mut self, context: &mut Context<'_>) -> bool {
        if self.arrived.len() < ARRIVED {
            return false;
        }
        let silent = self.arrived.iter().position(|one| !one.speaks);
        let Some(at) = silent else { return false };
        let Some(since) = self.arrived.get(at).map(|one| one.since) else {
            return false;
        };
        if since.elapsed() >= SILENCE {
            return self.arrived.remove(at).is_some();
        }
        let room = Box::pin(sleep_until(since + SILENCE));
        let room = self.room.insert(room);
        let _ = room.as_mut().poll(context);
        false
    }

    /// Begins the handshakes that their clients have begun.
    fn begin_speaking(&mut self, terms: &Terms, context: &mut Context<'_>) -> bool {
        let mut began = false;
        let mut at = 0;
        while let Some(arrived) = self.arrived.get_mut(at) {
            arrived.speaks |= arrived.poll_speaks(context).is_ready();
            if !arrived.speaks || self.candidates.len() >= CANDIDATES {
                at += 1;
                continue;
            }
            if let Some(arrived) = self.arrived.remove(at) {
                let direction = Direction::Unknown;
                let candidate = terms.check(arrived.tcp, self.meter.clone(), direction);
                self.candidates.push(candidate);
                self.began_under = Some(terms.clone());
                began = true;
            }
        }
        began
    }

    /// Begins all handshakes that there is room for, those first whose clients have begun.
    fn begin_all(&mut self, terms: &Terms, direction: Direction) -> bool {
        let mut began = false;
        while self.candidates.len() < CANDIDATES {
            let speaking = self.arrived.iter().position(|one| one.speaks);
            let Some(arrived) = self.arrived.remove(speaking.unwrap_or(0)) else {
                break;
            };
            let candidate = terms.check(arrived.tcp, self.meter.clone(), direction);
            self.candidates.push(candidate);
            began = true;
        }
        began
    }

    /// The next candidate that is done, and whether all places were taken before.
    fn next_result(&mut self, context: &mut Context<'_>) -> Option<(Checked, bool)> {
        let was_full = self.candidates.len() >= CANDIDATES;
        let mut at = 0;
        while let Some(candidate) = self.candidates.get_mut(at) {
            if let Poll::Ready(result) = candidate.as_mut().poll(context) {
                drop(self.candidates.swap_remove(at));
                return Some((result, was_full));
            }
            at += 1;
        }
        None
    }

    fn refuse(&mut self, why: Refused, terms: &Terms) {
        let before = self.refused.replace(Rejected {
            why,
            grace: None,
            from: terms.peer,
            reporter: terms.reporter.clone(),
        });
        if let Some(before) = before {
            before.tell();
        }
    }
}

impl Drop for Arrivals {
    /// Another one was taken, or the client does not want any more.
    fn drop(&mut self) {
        if let Some(refused) = self.refused.take() {
            refused.tell();
        }
    }
}

impl Arrived {
    /// Ready when the client has sent something, or is gone.
    fn poll_speaks(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let peeked = self.tcp.poll_peek(context, &mut ReadBuf::new(&mut byte));
        peeked.map(|_| ())
    }
}

/// The moment begins when this is first asked.
fn is_over(grace: &mut Grace, context: &mut Context<'_>) -> bool {
    let grace = grace.get_or_insert_with(|| Box::pin(sleep(GRACE)));
    grace.as_mut().poll(context).is_ready()
}

/// Whether bytes are there, without waiting for tokio to have heard of them.
fn speaks(tcp: &TcpStream) -> bool {
    let mut byte = [0; 1];
    recv(tcp, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT).is_ok()
}

/// Whether a connection waits in the system's queue.
fn is_readable(listener: &TcpListener) -> bool {
    let mut listener = [rustix::event::PollFd::new(
        listener,
        rustix::event::PollFlags::IN,
    )];
    let now = rustix::event::Timespec::default();
    matches!(rustix::event::poll(&mut listener, Some(&now)), Ok(ready) if ready > 0)
}

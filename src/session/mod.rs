//! One client: the loop that reads commands, and a file for each family of them.

pub mod accounts;
mod connection;
mod control;
mod cuts;
mod errors;
mod facts;
mod files;
pub mod generation;
#[cfg(any(test, fuzzing))]
pub mod harness;
mod hash;
pub mod host;
mod information;
mod journal;
pub mod leases;
mod listing;
mod login;
mod parameters;
mod publish;
mod queue;
mod retrieve;
mod security;
pub mod session_table;
mod size_limit;
mod state;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
mod transfer;
mod upload;
pub mod users;
mod watched;
mod wildcard;
pub mod wire;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use self::{
    accounts::{End, Verdict, dismissed, ends},
    connection::Connection,
    control::ReadError,
    errors::Failure,
    generation::Generation,
    information::language_reply,
    listing::Form,
    queue::Waiting,
    state::{Active, LoginState},
    wire::Wire,
};
use crate::{
    config::Listener,
    data::Route,
    ftp::{
        command::{self, Any, Command, File, Foreign, Login, Phase, Transfer},
        help,
        path::VirtualPath,
        reply::Reply,
        secret::Line,
    },
    gate::{event::Event, session::line},
    tls,
    types::BoxFuture,
};

/// Where a connection comes from, after any PROXY protocol header.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Identifies the session in logs.
    pub id: Arc<str>,
    /// The client.
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub server: SocketAddr,
    /// Our end of the TCP connection: another one than `server` behind a proxy.
    pub local: SocketAddr,
    /// The listener that accepted it.
    pub listener: Arc<Listener>,
}

/// One session, from the greeting to its end: a connection, and where its login stands.
pub struct Session {
    connection: Connection,
    state: LoginState,
    failed_logins: u32,
    /// Names that were tried with a client certificate alone.
    failed_certificates: u32,
    started: Instant,
}

/// A session after the login: only here are there a tree, a policy and a user.
struct UserSession<'a> {
    connection: &'a mut Connection,
    user: &'a mut Active,
}

/// How far the end of the server has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// It serves.
    #[default]
    None,
    /// Idle sessions end, transfers may finish.
    Draining,
    /// Transfers end now; what has arrived of an upload is kept, to be resumed.
    Cutting,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Close,
}

/// How a wait for the next command ended.
enum Wake {
    Line(Line),
    Refused,
    Timeout,
    Shutdown,
    /// The account is not what it was.
    Revoked(End),
    /// Somebody has ended the session.
    Ended(Arc<str>),
    Failed(ReadError),
}

impl Session {
    /// A session on a new connection.
    #[must_use]
    pub fn new(
        generation: Arc<Generation>,
        wire: Wire,
        origin: Origin,
        shutdown: watch::Receiver<Shutdown>,
    ) -> Self {
        Self {
            connection: Connection::new(generation, wire, origin, shutdown),
            state: LoginState::Greeted,
            failed_logins: 0,
            failed_certificates: 0,
            started: Instant::now(),
        }
    }

    /// Serves the client until one of us has enough. In a box, as what an asynchronous function takes has room
    /// in it twice.
    pub async fn run(mut self: Box<Self>) {
        line!(debug, self.connection.facts, "connected");
        self.connection.emit(&Event::Connected);
        if let Err(error) = self.serve().await {
            let error = tls::errors::describe(&error);
            line!(
                debug,
                self.connection.facts,
                error,
                "the control connection broke"
            );
        }
        line!(debug, self.connection.facts, "closed");
        // The logout comes first.
        self.state = LoginState::Greeted;
        self.connection.emit(&Event::Disconnected {
            lasted: self.started.elapsed(),
        });
        self.connection.control.close().await;
    }

    async fn send(&mut self, reply: Reply) -> io::Result<()> {
        self.connection.send(reply).await
    }

    async fn answer(&mut self, reply: Reply) -> io::Result<Next> {
        self.connection.answer(reply).await
    }

    /// Whether the session goes on after a change of its account.
    fn verdict(&self) -> Verdict {
        let verdict = self.state.user().map(|user| user.standing.verdict());
        verdict.unwrap_or_default()
    }

    async fn serve(&mut self) -> io::Result<()> {
        if self.connection.implicit {
            Box::pin(self.connection.begin_tls()).await?;
        }
        self.send(Reply::new(
            220,
            self.connection.host.config.greeting.clone(),
        ))
        .await?;
        loop {
            let wake = match self.next_line().await {
                Wake::Line(_) | Wake::Refused if self.verdict().cause().is_some() => {
                    let cause = self.verdict().cause().cloned();
                    Wake::Revoked(End::Changed(cause.unwrap_or_default()))
                }
                wake => wake,
            };
            let line = match wake {
                Wake::Line(line) => line,
                Wake::Refused => {
                    let refusal = self.connection.no_room();
                    self.send(refusal).await?;
                    continue;
                }
                Wake::Timeout => {
                    let text = match self.state.user() {
                        Some(_) => "Idle for too long, goodbye",
                        None => "The login took too long, goodbye",
                    };
                    return self.send(Reply::new(421, text)).await;
                }
                Wake::Shutdown => {
                    return self
                        .send(Reply::new(421, "The server is shutting down"))
                        .await;
                }
                Wake::Revoked(end) => {
                    let last = end.last(&self.connection.facts, self.state.user());
                    return self.send(last).await;
                }
                Wake::Ended(reason) => {
                    let last = dismissed(&self.connection.facts, self.state.user(), &reason);
                    return self.send(last).await;
                }
                Wake::Failed(error) => return self.connection.read_failed(error).await,
            };
            let next = match unwound(async { self.execute(&line).await }).await {
                Ok(next) => next?,
                Err(Panicked) => {
                    line!(
                        error,
                        self.connection.facts,
                        "a command panicked: this is a defect"
                    );
                    let reply = Reply::new(421, "Internal error, closing the connection");
                    return self.send(reply).await;
                }
            };
            if next == Next::Close {
                return Ok(());
            }
        }
    }

    /// The next line: one that waits, or one that comes in time.
    async fn next_line(&mut self) -> Wake {
        // Also for a client that never pauses.
        let by = self.started + self.connection.host.config.limits.login_timeout;
        if self.state.user().is_none() && Instant::now() >= by {
            return Wake::Timeout;
        }
        self.connection.place.idle(&self.connection.facts);
        if let Verdict::Ends(cause) = self.verdict() {
            return Wake::Revoked(End::Changed(cause));
        }
        // Also for a client that never pauses.
        if self
            .state
            .user()
            .is_some_and(|user| user.account.has_expired())
        {
            return Wake::Revoked(End::Expired);
        }
        if let Some(reason) = self.connection.place.end() {
            return Wake::Ended(reason);
        }
        match self.connection.queue.pop() {
            Some(Waiting::Line(line)) => return Wake::Line(line),
            Some(Waiting::Refused) => return Wake::Refused,
            None => {}
        }
        if *self.connection.shutdown.borrow() >= Shutdown::Draining {
            return Wake::Shutdown;
        }
        let limits = &self.connection.host.config.limits;
        let now = Instant::now();
        let (deadline, policy) = match self.state.user() {
            Some(user) => {
                let idle = user.account.idle_timeout.unwrap_or(limits.idle_timeout);
                (now + idle, Some(user.policy.clone()))
            }
            None => (
                (self.started + limits.login_timeout).min(now + limits.idle_timeout),
                None,
            ),
        };
        let rest_at = now
            + self
                .connection
                .generation
                .config
                .plugin_host
                .idle_instance_timeout;
        // A client may begin TLS on the data connection before it sends the command.
        let passive = matches!(&self.connection.parameters.route, Some(Route::Passive(_)));
        let terms = passive.then(|| Box::new(self.connection.terms()));
        let route = &mut self.connection.parameters.route;
        let mut early = pin!(poll_fn(|context| match (&mut *route, &terms) {
            (Some(Route::Passive(arrivals)), Some(terms)) => arrivals.poll_early(terms, context),
            _ => Poll::Pending,
        }));
        let mut ended = pin!(ends(self.state.user()));
        let mut dismissed = pin!(self.connection.place.ends());
        let mut line = pin!(self.connection.control.line());
        let mut sleep = pin!(sleep_until(rest_at.min(deadline)));
        loop {
            tokio::select! {
                biased;
                line = &mut line => return line.map_or_else(Wake::Failed, Wake::Line),
                changed = self.connection.shutdown.changed() => {
                    if changed.is_err() || *self.connection.shutdown.borrow() >= Shutdown::Draining {
                        return Wake::Shutdown;
                    }
                }
                end = &mut ended => return Wake::Revoked(end),
                reason = &mut dismissed => return Wake::Ended(reason),
                never = &mut early => match never {},
                () = &mut sleep => {
                    if Instant::now() >= deadline {
                        return Wake::Timeout;
                    }
                    // Idle for a little: what plugins keep for the session may go.
                    if let Some(policy) = &policy {
                        policy.release_idle();
                    }
                    sleep.as_mut().reset(deadline);
                }
            }
        }
    }

    /// The work of a line, in a box: an idle session has none of the memory that commands take.
    fn execute(&mut self, line: &[u8]) -> BoxFuture<'_, io::Result<Next>> {
        let parsed = match command::parse(line) {
            Ok(parsed) => parsed,
            Err(error) => return Box::pin(self.answer(error.reply())),
        };
        tracing::trace!(
            session = self.connection.id(),
            verb = parsed.name(),
            "command"
        );
        self.connection.place.command(parsed.name());
        let tls = &self.connection.host.config.tls;
        let waits = tls.required && self.connection.transport.is_plain();
        // The name alone decides, so that no password is sent for nothing.
        let user = match &parsed.command {
            Command::Login(Login::User(name)) => Some(name.as_str()),
            _ => self.connection.facts.user.as_deref(),
        };
        let clear = user.is_some_and(|user| tls.may_be_clear(user));
        if waits && !clear && parsed.phase() != Phase::Any {
            let reply = Reply::new(530, "TLS comes first: AUTH TLS");
            return Box::pin(self.answer(reply));
        }
        // RFC 959 §4.1.3: RNTO follows RNFR at once.
        if !matches!(parsed.command, Command::File(File::Rnto(_))) {
            self.connection.parameters.rename_from = None;
        }
        self.dispatch(parsed.command)
    }

    fn dispatch(&mut self, command: Command) -> BoxFuture<'_, io::Result<Next>> {
        match command {
            Command::Any(command) => Box::pin(self.any(command)),
            Command::Login(command) => Box::pin(self.login(command)),
            Command::Parameter(command) => Box::pin(async move {
                match self.user_session() {
                    Some(mut session) => session.parameter(command).await,
                    None => self.login_first().await,
                }
            }),
            Command::File(command) => Box::pin(async move {
                match self.user_session() {
                    Some(mut session) => session.file(command).await,
                    None => self.login_first().await,
                }
            }),
            Command::Transfer(command) => Box::pin(async move {
                match self.user_session() {
                    Some(mut session) => session.transfer(command).await,
                    None => self.login_first().await,
                }
            }),
            Command::Foreign(foreign) => Box::pin(self.foreign(foreign)),
        }
    }

    /// The session of the user, after the login.
    fn user_session(&mut self) -> Option<UserSession<'_>> {
        match &mut self.state {
            LoginState::Active(user) => Some(UserSession {
                connection: &mut self.connection,
                user,
            }),
            LoginState::Greeted | LoginState::Identified { .. } | LoginState::Challenged { .. } => {
                None
            }
        }
    }

    async fn login_first(&mut self) -> io::Result<Next> {
        let reply = Reply::new(530, "Log in with USER and PASS");
        self.answer(reply).await
    }

    async fn any(&mut self, command: Any) -> io::Result<Next> {
        let reply = match command {
            Any::Quit => {
                // From the reply on, its port is for others.
                self.connection.parameters.route = None;
                self.connection
                    .control
                    .send_last(&Reply::new(221, "Goodbye"))
                    .await?;
                return Ok(Next::Close);
            }
            Any::Rein => return self.rein().await,
            Any::Host(name) => return self.host(name).await,
            Any::Auth(mechanism) => return self.auth(&mechanism).await,
            Any::Pbsz(_) => return self.connection.pbsz().await,
            Any::Prot(level) => return self.connection.prot(level).await,
            Any::Ccc => return self.ccc().await,
            Any::Opts(option) => self.connection.opts(option),
            Any::Feat => self.connection.feat(),
            Any::Help(command) => {
                help::help(command.as_deref(), |switch| self.connection.is_on(switch))
            }
            Any::Lang(language) => language_reply(language.as_deref()),
            Any::Clnt(client) | Any::Csid(client) => {
                line!(
                    debug,
                    self.connection.facts,
                    software = client.as_str(),
                    "client"
                );
                Reply::new(200, "Noted")
            }
            Any::Syst => Reply::new(215, "UNIX Type: L8"),
            Any::Noop => Reply::new(200, "NOOP done"),
            Any::Abor => Reply::new(226, "No transfer to abort"),
            Any::Unsupported(verb) => Reply::new(502, format!("{verb} is not implemented")),
            Any::Unknown(_) => Reply::new(500, "Unknown command"),
        };
        self.answer(reply).await
    }

    /// ALPACA: whoever was tricked into speaking to us must hear no more (CVE-2021-3618).
    async fn foreign(&mut self, foreign: Foreign) -> io::Result<Next> {
        let reply = match (&self.state, foreign) {
            (LoginState::Active(_), _) => Reply::new(500, "Not a command of FTP"),
            (_, Foreign::Http) => Reply::new(421, "This is FTP, not HTTP; goodbye"),
            (_, Foreign::Smtp) => Reply::new(421, "This is FTP, not SMTP; goodbye"),
            (_, Foreign::Tls) => Reply::new(421, "This is FTP, not TLS without AUTH; goodbye"),
        };
        self.send(reply).await?;
        Ok(Next::Close)
    }
}

impl UserSession<'_> {
    async fn send(&mut self, reply: Reply) -> io::Result<()> {
        self.connection.send(reply).await
    }

    async fn answer(&mut self, reply: Reply) -> io::Result<Next> {
        self.connection.answer(reply).await
    }

    async fn transfer(&mut self, command: Transfer) -> io::Result<Next> {
        match command {
            Transfer::Retr(path) => self.retr(&path).await,
            Transfer::Stor(path) => self.stor(&path).await,
            Transfer::Appe(path) => self.appe(&path).await,
            Transfer::Stou(_) => self.stou().await,
            Transfer::List(arguments) => self.list(arguments, Form::List).await,
            Transfer::Nlst(arguments) => {
                let form = if arguments.long {
                    Form::List
                } else {
                    Form::Names
                };
                self.list(arguments, form).await
            }
            Transfer::Mlsd(path) => self.mlsd(path).await,
            Transfer::Stat(Some(arguments)) => self.stat_listing(arguments).await,
            Transfer::Stat(None) => {
                let reply = self.status();
                self.answer(reply).await
            }
            Transfer::Hash(path) => self.hash(&path).await,
            Transfer::Digest { algorithm, path } => self.digest(algorithm, &path).await,
        }
    }

    /// A path as the client wrote it, from the working directory on.
    fn resolve(&self, argument: &str) -> Result<VirtualPath, Failure> {
        VirtualPath::parse(argument, &self.user.cwd).map_err(|error| error.reply().into())
    }
}

/// A command that panicked; the panic's text went to the log already.
struct Panicked;

/// Runs a future, and catches what it throws: a defect met by one client harms no other, and not
/// even this one beyond its connection.
async fn unwound<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(
        move |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}

/// The longest that a failed login is held back.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

//! One client: the loop that reads commands, and a file for each family of them.

pub mod accounts;
pub mod context;
mod control;
mod cuts;
mod errors;
mod facts;
mod files;
mod hash;
mod information;
mod journal;
mod listing;
mod login;
mod parameters;
mod queue;
mod retrieve;
mod security;
mod state;
mod store;
mod transfer;
mod upload;
mod wildcard;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, LazyLock},
    task::Poll,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep_until},
};

use self::{
    accounts::{Verdict, ends},
    context::Context,
    control::{Control, ReadError},
    errors::Failure,
    information::language_reply,
    journal::Journal,
    listing::Form,
    queue::{Queue, Waiting},
    state::{LoggedIn, Parameters, State},
};
use crate::{
    data::{Route, ending::Ending},
    ftp::{
        command::{self, Any, Command, File, Foreign, Phase, Transfer},
        help,
        path::VirtualPath,
        reply::Reply,
    },
    gate::{SessionFacts, session::line},
    observe::Rate,
    tls::{self, SessionTls},
};

/// Strangers cause these lines by connecting.
static STRANGERS: LazyLock<Arc<Rate>> =
    LazyLock::new(|| Rate::new("more connections spoke something else"));

/// Where a connection comes from, after any PROXY protocol header.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Identifies the session in logs.
    pub id: Arc<str>,
    /// The client.
    pub client: SocketAddr,
    /// What the client connected to.
    pub server: SocketAddr,
    /// Our end of the TCP connection: another one than `server` behind a proxy.
    pub local: SocketAddr,
    /// TLS from the first byte.
    pub implicit: bool,
}

/// One session, from the greeting to its end.
pub struct Session {
    context: Arc<Context>,
    /// One of the sessions of this context.
    _counted: Arc<()>,
    control: Control,
    facts: Arc<SessionFacts>,
    local: SocketAddr,
    implicit: bool,
    tls: Option<Arc<SessionTls>>,
    /// The TLS server name that the client asked for.
    sni: Option<String>,
    /// After CCC, PBSZ and PROT stay as they are (RFC 4217 §12.3).
    cleared: bool,
    /// The end of this client's uploads.
    ending: Ending,
    state: State,
    parameters: Parameters,
    queue: Queue,
    failed_logins: u32,
    /// Names that were tried with a client certificate alone.
    failed_certificates: u32,
    started: Instant,
    shutdown: watch::Receiver<Shutdown>,
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
    Line(Vec<u8>),
    Refused,
    Timeout,
    Shutdown,
    /// The account is not what it was.
    Revoked(Arc<str>),
    Failed(ReadError),
}

impl Session {
    /// A session on a new connection.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        tcp: TcpStream,
        origin: Origin,
        shutdown: watch::Receiver<Shutdown>,
    ) -> Self {
        let limits = &context.config.limits;
        let length = usize::try_from(limits.line_length).unwrap_or(usize::MAX);
        let control = Control::new(tcp, length, limits.stall_timeout);
        let ending = Ending::new(context.config.tls.close_notify);
        let facts = Arc::new(SessionFacts {
            id: origin.id,
            client: origin.client,
            server: origin.server,
            host: None,
            tls: None,
            certificate: None,
            user: None,
            account: None,
        });
        Self {
            _counted: context.sessions.clone(),
            context,
            control,
            facts,
            local: origin.local,
            implicit: origin.implicit,
            tls: None,
            sni: None,
            cleared: false,
            ending,
            state: State::Greeted,
            parameters: Parameters::new(origin.implicit),
            queue: Queue::default(),
            failed_logins: 0,
            failed_certificates: 0,
            started: Instant::now(),
            shutdown,
        }
    }

    /// Serves the client until one of us has enough.
    pub async fn run(mut self) {
        line!(debug, self.facts, "connected");
        if let Err(error) = self.serve().await {
            let error = tls::errors::describe(&error);
            line!(debug, self.facts, error, "the control connection broke");
        }
        line!(debug, self.facts, "closed");
        self.control.close().await;
    }

    fn id(&self) -> &str {
        &self.facts.id
    }

    /// Where things that happen in this session are told.
    fn journal(&self) -> Journal {
        Journal::new(self.facts.clone(), self.context.events.clone())
    }

    async fn serve(&mut self) -> io::Result<()> {
        if self.implicit {
            self.begin_tls().await?;
        }
        self.send(Reply::new(220, self.context.config.server.greeting.clone()))
            .await?;
        loop {
            let wake = match self.next_line().await {
                Wake::Line(_) | Wake::Refused if self.verdict().cause().is_some() => {
                    let cause = self.verdict().cause().cloned();
                    Wake::Revoked(cause.unwrap_or_default())
                }
                wake => wake,
            };
            let line = match wake {
                Wake::Line(line) => line,
                Wake::Refused => {
                    let refusal = self.no_room();
                    self.send(refusal).await?;
                    continue;
                }
                Wake::Timeout => {
                    let text = match self.state {
                        State::LoggedIn(_) => "Idle for too long, goodbye",
                        _ => "The login took too long, goodbye",
                    };
                    return self.send(Reply::new(421, text)).await;
                }
                Wake::Shutdown => {
                    return self
                        .send(Reply::new(421, "The server is shutting down"))
                        .await;
                }
                Wake::Revoked(cause) => {
                    let last = self.revoked(&cause);
                    return self.send(last).await;
                }
                Wake::Failed(error) => return self.read_failed(error).await,
            };
            let next = match unwound(self.execute(&line)).await {
                Ok(next) => next?,
                Err(Panicked) => {
                    line!(error, self.facts, "a command panicked: this is a defect");
                    let reply = Reply::new(421, "Internal error, closing the connection");
                    return self.send(reply).await;
                }
            };
            if next == Next::Close {
                return Ok(());
            }
        }
    }

    async fn read_failed(&mut self, error: ReadError) -> io::Result<()> {
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

    /// The next line: one that waits, or one that comes in time.
    async fn next_line(&mut self) -> Wake {
        // Also for a client that never pauses.
        let by = self.started + self.context.config.limits.login_timeout;
        if !matches!(self.state, State::LoggedIn(_)) && Instant::now() >= by {
            return Wake::Timeout;
        }
        if let Verdict::Ends(cause) = self.verdict() {
            return Wake::Revoked(cause);
        }
        match self.queue.pop() {
            Some(Waiting::Line(line)) => return Wake::Line(line),
            Some(Waiting::Refused) => return Wake::Refused,
            None => {}
        }
        if *self.shutdown.borrow() >= Shutdown::Draining {
            return Wake::Shutdown;
        }
        let limits = &self.context.config.limits;
        let now = Instant::now();
        let (deadline, policy) = match &self.state {
            State::LoggedIn(user) => {
                let idle = user.account.idle_timeout.unwrap_or(limits.idle_timeout);
                (now + idle, Some(user.policy.clone()))
            }
            _ => (
                (self.started + limits.login_timeout).min(now + limits.idle_timeout),
                None,
            ),
        };
        let rest_at = now + self.context.config.plugin_host.idle_instance_timeout;
        // A client may begin TLS on the data connection before it sends the command.
        let terms = self.terms();
        let route = &mut self.parameters.route;
        let mut early = pin!(poll_fn(|context| match route {
            Some(Route::Passive(arrivals)) => arrivals.poll_early(&terms, context),
            Some(Route::Active { .. }) | None => Poll::Pending,
        }));
        let mut revoked = pin!(ends(&self.state));
        let mut line = pin!(self.control.line());
        let mut sleep = pin!(sleep_until(rest_at.min(deadline)));
        loop {
            tokio::select! {
                biased;
                line = &mut line => return line.map_or_else(Wake::Failed, Wake::Line),
                changed = self.shutdown.changed() => {
                    if changed.is_err() || *self.shutdown.borrow() >= Shutdown::Draining {
                        return Wake::Shutdown;
                    }
                }
                cause = &mut revoked => return Wake::Revoked(cause),
                never = &mut early => match never {},
                () = &mut sleep => {
                    if Instant::now() >= deadline {
                        return Wake::Timeout;
                    }
                    // Idle for a little: what plugins keep for the session may go.
                    if let Some(policy) = &policy {
                        policy.rest();
                    }
                    sleep.as_mut().reset(deadline);
                }
            }
        }
    }

    /// Answers a command that found no room to wait. It may have been the one that RNFR, REST or RANG
    /// was meant for: they must not be taken for another.
    fn no_room(&mut self) -> Reply {
        self.parameters.rename_from = None;
        self.parameters.restart = 0;
        self.parameters.range = None;
        self.parameters.announced_size = None;
        Reply::new(
            503,
            "Too many commands waited for the transfer to end: this one was not executed",
        )
    }

    async fn send(&mut self, reply: Reply) -> io::Result<()> {
        tracing::trace!(
            session = self.id(),
            code = reply.code(),
            text = reply.text(),
            "reply"
        );
        self.control.send(&reply).await
    }

    async fn answer(&mut self, reply: Reply) -> io::Result<Next> {
        self.send(reply).await?;
        Ok(Next::Continue)
    }

    async fn execute(&mut self, line: &[u8]) -> io::Result<Next> {
        let parsed = match command::parse(line) {
            Ok(parsed) => parsed,
            Err(error) => return self.answer(error.reply()).await,
        };
        tracing::trace!(session = self.id(), verb = parsed.name(), "command");
        if let Some(refusal) = self.not_now(parsed.phase()) {
            return self.answer(refusal).await;
        }
        // RFC 959 §4.1.3: RNTO follows RNFR at once.
        if !matches!(parsed.command, Command::File(File::Rnto(_))) {
            self.parameters.rename_from = None;
        }
        self.dispatch(parsed.command).await
    }

    /// Whether a command has to wait for TLS or for a login.
    fn not_now(&self, phase: Phase) -> Option<Reply> {
        if phase == Phase::Any || matches!(self.state, State::LoggedIn(_)) {
            return None;
        }
        if self.context.config.tls.required && !self.control.is_protected() && !self.cleared {
            return Some(Reply::new(530, "TLS comes first: AUTH TLS"));
        }
        match phase {
            Phase::Any | Phase::Login => None,
            Phase::Active => Some(Reply::new(530, "Log in with USER and PASS")),
        }
    }

    async fn dispatch(&mut self, command: Command) -> io::Result<Next> {
        match command {
            Command::Any(command) => self.any(command).await,
            Command::Login(command) => self.login(command).await,
            Command::Parameter(command) => self.parameter(command).await,
            Command::File(command) => self.file(command).await,
            Command::Transfer(command) => self.transfer(command).await,
            Command::Foreign(foreign) => self.foreign(foreign).await,
        }
    }

    async fn any(&mut self, command: Any) -> io::Result<Next> {
        let reply = match command {
            Any::Quit => {
                self.send(Reply::new(221, "Goodbye")).await?;
                return Ok(Next::Close);
            }
            Any::Rein => return self.rein().await,
            Any::Host(name) => return self.host(name).await,
            Any::Auth(mechanism) => return self.auth(&mechanism).await,
            Any::Pbsz(_) => return self.pbsz().await,
            Any::Prot(level) => return self.prot(level).await,
            Any::Ccc => return self.ccc().await,
            Any::Opts(option) => self.opts(option),
            Any::Feat => self.feat(),
            Any::Help(command) => help::help(command.as_deref(), |switch| self.is_on(switch)),
            Any::Lang(language) => language_reply(language.as_deref()),
            Any::Clnt(client) | Any::Csid(client) => {
                line!(debug, self.facts, software = client.as_str(), "client");
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

    /// ALPACA: whoever was tricked into speaking to us must hear no more (CVE-2021-3618).
    async fn foreign(&mut self, foreign: Foreign) -> io::Result<Next> {
        let reply = match (&self.state, foreign) {
            (State::LoggedIn(_), _) => Reply::new(500, "Not a command of FTP"),
            (_, Foreign::Http) => Reply::new(421, "This is FTP, not HTTP; goodbye"),
            (_, Foreign::Smtp) => Reply::new(421, "This is FTP, not SMTP; goodbye"),
            (_, Foreign::Tls) => Reply::new(421, "This is FTP, not TLS without AUTH; goodbye"),
        };
        self.send(reply).await?;
        Ok(Next::Close)
    }

    /// The user, or 530.
    fn logged_in(&self) -> Result<&LoggedIn, Failure> {
        match &self.state {
            State::LoggedIn(user) => Ok(user),
            _ => Err(Reply::new(530, "Log in with USER and PASS").into()),
        }
    }

    fn logged_in_mut(&mut self) -> Result<&mut LoggedIn, Failure> {
        match &mut self.state {
            State::LoggedIn(user) => Ok(user),
            _ => Err(Reply::new(530, "Log in with USER and PASS").into()),
        }
    }

    /// A path as the client wrote it, from the working directory on.
    fn resolve(&self, argument: &str) -> Result<VirtualPath, Failure> {
        let user = self.logged_in()?;
        VirtualPath::parse(argument, &user.cwd).map_err(|error| error.reply().into())
    }

    /// Snapshots of the session go out by reference count: this changes the next one.
    fn facts_mut(&mut self) -> &mut SessionFacts {
        Arc::make_mut(&mut self.facts)
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

//! A transfer: one value, driven beside the command loop. Dropping it at any point cleans up.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use rustls::HandshakeKind;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    Next, ReadError, Shutdown, UserSession,
    accounts::{dismissed, ends},
    connection::Connection,
    errors::Failure,
    journal::{Journal, Operation},
    queue::Turn,
    session_table,
};
use crate::{
    data::{
        Channel, OpenError, Opening, Refused, Terms, channel::stalled, ending::Ending,
        socket::Meter,
    },
    ftp::{
        command::{self, DuringTransfer},
        path::VirtualPath,
        reply::Reply,
    },
    gate::event::Event,
    open_files,
    tls::session::Direction,
};

/// For the log.
pub(super) const STALLED: &str = "nothing has moved for too long";

/// How long a transfer may take to end once it was told to.
const ABORT: Duration = Duration::from_secs(10);

/// How long the end of an upload is waited for that is ended from outside: it may come a moment later than
/// what ends the upload.
const MOMENT: Duration = Duration::from_millis(20);
/// The same where the control connection was lost, and nobody waits for an answer.
const GONE: Duration = Duration::from_millis(500);
/// For the log.
const LOST: &str = "the control connection was lost";

/// A transfer that takes longer does not need its session's path guards for a while.
const LASTING: Duration = Duration::from_secs(1);

/// Lines that are read in a row before the work goes on: a client that sends them without a pause must
/// not keep its own transfer from ending.
const BURST: usize = 64;

/// Something that takes long, and ends with a reply.
pub(super) type Work = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Ends a transfer from outside: ABOR came, or the client is gone.
#[derive(Default)]
pub(super) struct Abort {
    notify: Notify,
    cause: OnceLock<&'static str>,
}

impl Abort {
    /// Ends it; the cause is for the log.
    fn because(&self, cause: &'static str) {
        let _ = self.cause.set(cause);
        self.notify.notify_one();
    }

    /// Waits until it is to end.
    pub(super) async fn come(&self) -> &'static str {
        self.notify.notified().await;
        self.cause.get().copied().unwrap_or("it was aborted")
    }

    /// How long the end of its data is waited for.
    pub(super) fn patience(&self) -> Duration {
        match self.cause.get() {
            Some(&LOST) => GONE,
            _ => MOMENT,
        }
    }
}

/// The means of a transfer's work.
pub(super) struct Transfer {
    opening: Opening,
    abort: Arc<Abort>,
    /// How long the client may keep it waiting.
    stall_timeout: Duration,
    /// Where it is told what comes of it.
    pub(super) journal: Journal,
    pub(super) operation: Operation,
    pub(super) path: Option<VirtualPath>,
    inspecting: watch::Sender<bool>,
    ending: Ending,
}

/// The outside of a transfer: how to end it, and what has moved.
pub(super) struct Handle {
    abort: Arc<Abort>,
    meter: Arc<Meter>,
    /// All bytes of an upload have come, and the client waits for the verdict.
    inspecting: watch::Receiver<bool>,
    /// As the table of all sessions shows it.
    shown: Option<session_table::Transfer>,
    /// Whether the data connection is there already.
    settled: bool,
    /// Whether it takes all there is to send without waiting, so that the announcement may go with the end.
    at_once: bool,
}

impl UserSession<'_> {
    /// The parts of the next data connection, or why there can be none. The route is used up. Where the
    /// client has begun TLS, that is finished first.
    pub(super) async fn prepare(
        &mut self,
        direction: Direction,
        operation: Operation,
        path: Option<&VirtualPath>,
    ) -> Result<(Transfer, Handle), Failure> {
        let host = &self.connection.host;
        // RFC 4217 §9: said here, not at PASV.
        if self.connection.data_waits_for_tls() && !self.connection.parameters.private {
            return Err(Reply::new(521, "Data connections must be protected: PROT P").into());
        }
        let Some(route) = self.connection.parameters.route.take() else {
            return Err(Reply::new(425, "EPSV or PASV comes first").into());
        };
        let (abort, meter) = (Arc::new(Abort::default()), route.meter());
        let journal = self.connection.journal();
        let mut terms = self.connection.terms();
        terms.reporter = Arc::new(journal.clone().at(path.cloned()));
        let (told, inspecting) = watch::channel(false);
        let (data_timeout, stall_timeout) = (
            host.config.limits.data_timeout,
            host.config.limits.stall_timeout,
        );
        let mut opening = Opening {
            route,
            terms,
            direction,
            data_timeout,
            meter: meter.clone(),
            settled: None,
        };
        opening.settle().await;
        let settled = matches!(&opening.settled, Some(Ok(_)));
        let transfer = Transfer {
            opening,
            abort: abort.clone(),
            stall_timeout,
            journal,
            operation,
            path: path.cloned(),
            inspecting: told,
            ending: self.connection.ending.clone(),
        };
        let handle = Handle {
            abort,
            meter: meter.clone(),
            inspecting,
            shown: Some(session_table::Transfer {
                operation,
                path: path.cloned(),
                meter,
            }),
            settled,
            at_once: false,
        };
        Ok((transfer, handle))
    }

    /// Announces a transfer, drives it, and gives its reply.
    pub(super) async fn announce(
        &mut self,
        announcement: String,
        mut work: Work,
        mut handle: Handle,
    ) -> io::Result<Next> {
        let announcement = Reply::new(150, announcement);
        if handle.at_once {
            if let Some(shown) = handle.shown.take() {
                self.connection.place.transfer(shown);
            }
            let worked = poll_fn(|context| Poll::Ready(work.as_mut().poll(context)));
            if let Poll::Ready(reply) = worked.await {
                self.connection
                    .send_together(&[announcement, reply])
                    .await?;
                return Ok(Next::Continue);
            }
        }
        self.send(announcement).await?;
        self.during(work, handle).await
    }

    /// Drives work while the client may still be heard: ABOR and STAT are answered at once
    /// (RFC 959 §4.1.3), everything else waits its turn, QUIT too. Reading never stops, however much
    /// waits: behind it there may be an ABOR, or the end.
    /// While an upload waits for its verdict, the client is told so as often as configured: further
    /// preliminary replies, as RFC 959 §5.4 has them, which not all clients expect.
    pub(super) async fn during(&mut self, mut work: Work, mut handle: Handle) -> io::Result<Next> {
        let capacity = self.connection.host.config.limits.queued_commands;
        let keep_alive = self.connection.host.config.uploads.keep_alive;
        let (mut leaving, mut burst, mut rested) = (false, 0, false);
        let mut lasting = pin!(sleep(LASTING));
        let mut ended = pin!(ends(Some(self.user)));
        let mut dismissal = pin!(self.connection.place.ends());
        if let Some(shown) = handle.shown.take() {
            self.connection.place.transfer(shown);
        }
        loop {
            if burst >= BURST {
                burst = 0;
                tokio::task::yield_now().await;
                if let Poll::Ready(reply) =
                    poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
                {
                    self.send(reply).await?;
                    return Ok(Next::Continue);
                }
            }
            let line = tokio::select! {
                // A client that is gone has not sent all of its file, however its data connection ended:
                // that comes first.
                biased;
                line = self.connection.control.line(), if !leaving => line,
                reply = &mut work => {
                    self.send(reply).await?;
                    return Ok(Next::Continue);
                }
                () = cut(&mut self.connection.shutdown) => {
                    let last = Reply::new(421, "The server is shutting down");
                    let cause = "the server is shutting down";
                    return self.cut_off(work, &handle, cause, last).await;
                }
                end = &mut ended => {
                    let last = end.last(&self.connection.facts, Some(self.user));
                    return self.cut_off(work, &handle, end.cause(), last).await;
                }
                reason = &mut dismissal => {
                    let last = dismissed(&self.connection.facts, Some(self.user), &reason);
                    let cause = "the operator has ended the session";
                    return self.cut_off(work, &handle, cause, last).await;
                }
                () = &mut lasting, if !rested => {
                    rested = true;
                    self.user.policy.release_idle();
                    continue;
                }
                () = handle.waited(keep_alive), if !keep_alive.is_zero() => {
                    self.send(Reply::new(150, "The upload is complete and being inspected")).await?;
                    continue;
                }
            };
            let line = match line {
                Ok(line) => line,
                // After QUIT the client may close at once, and still wants its file stored.
                Err(ReadError::Closed | ReadError::Io(_)) if self.connection.queue.quits() => {
                    leaving = true;
                    continue;
                }
                Err(error) => {
                    handle.abort.because(LOST);
                    let _ = timeout(ABORT, work).await;
                    self.connection.read_failed(error).await?;
                    return Ok(Next::Close);
                }
            };
            burst += 1;
            let what = command::parse(&line)
                .map_or(DuringTransfer::Waits, |parsed| parsed.during_transfer());
            match what {
                DuringTransfer::Aborts => {
                    handle.abort.because("the client sent ABOR");
                    let reply = timeout(ABORT, &mut work).await;
                    let reply = reply.unwrap_or_else(|_| Reply::new(426, "Aborted"));
                    self.send(reply).await?;
                    return self.answer(Reply::new(226, "ABOR done")).await;
                }
                DuringTransfer::Reports => {
                    let text = match *handle.inspecting.borrow() {
                        true => "The upload is complete and being inspected".to_owned(),
                        false => {
                            let moved = handle.meter.moved();
                            format!("A transfer is under way, {moved} bytes so far")
                        }
                    };
                    self.send(Reply::new(213, text)).await?;
                }
                DuringTransfer::Waits => self.connection.queue.push(line, Turn::Own, capacity),
                DuringTransfer::Counted => {
                    self.connection.queue.push(line, Turn::Counted, capacity)
                }
                DuringTransfer::Last => self.connection.queue.push(line, Turn::Last, capacity),
            }
        }
    }

    /// Ends work and session; what has arrived of an upload is kept.
    async fn cut_off(
        &mut self,
        mut work: Work,
        handle: &Handle,
        cause: &'static str,
        last: Reply,
    ) -> io::Result<Next> {
        handle.abort.because(cause);
        let reply = timeout(ABORT, &mut work).await;
        let reply = reply.unwrap_or_else(|_| aborted());
        drop(work);
        self.send(reply).await?;
        self.send(last).await?;
        Ok(Next::Close)
    }

    /// A handle for work without a data connection.
    pub(super) fn no_data(&self) -> Handle {
        Handle {
            abort: Arc::default(),
            meter: Arc::new(Meter::default()),
            inspecting: watch::channel(false).1,
            shown: None,
            settled: false,
            at_once: false,
        }
    }

    /// Bytes that one upload may have; 0 is no limit. The lower of both limits.
    pub(super) fn upload_limit(&self) -> u64 {
        let configured = self.connection.host.config.limits.upload_size;
        let own = self.user.account.max_upload_size.unwrap_or(0);
        match (configured, own) {
            (0, limit) | (limit, 0) => limit,
            (one, other) => one.min(other),
        }
    }
}

impl Connection {
    /// Whether data connections have to be protected.
    pub(super) fn data_waits_for_tls(&self) -> bool {
        let tls = &self.host.config.tls;
        let user = self.facts.user.as_deref();
        tls.data_required && !user.is_some_and(|user| tls.may_be_clear(user))
    }

    /// The terms that a data connection has to meet, as things are.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            peer: self.facts.client,
            tls: self
                .transport
                .keys()
                .filter(|_| self.parameters.private)
                .cloned(),
            certificate: self.facts.certificate.clone(),
            handshake_timeout: self.host.config.limits.handshake_timeout,
            reporter: Arc::new(self.journal()),
        }
    }
}

impl Handle {
    /// Little is sent, for which a connection that is there does not make it wait.
    pub(super) fn with_little(mut self) -> Self {
        self.at_once = self.settled;
        self
    }

    /// The abort that ends the work.
    pub(super) fn abort(&self) -> Arc<Abort> {
        self.abort.clone()
    }

    /// Waits until the client has waited for a verdict for so long.
    async fn waited(&mut self, interval: Duration) {
        if self
            .inspecting
            .wait_for(|inspecting| *inspecting)
            .await
            .is_err()
        {
            // There is nothing to inspect.
            std::future::pending::<()>().await;
        }
        sleep(interval).await;
    }
}

impl Transfer {
    /// The data connection, checked.
    ///
    /// # Errors
    /// The reply that ends the transfer.
    pub(super) async fn open(self) -> Result<(Channel, Guard), Reply> {
        let guard = Guard {
            abort: self.abort,
            meter: self.opening.meter.clone(),
            stall_timeout: self.stall_timeout,
            inspecting: self.inspecting,
            ending: self.ending,
        };
        let (journal, path) = (self.journal, self.path);
        let opened = tokio::select! {
            biased;
            opened = self.opening.open() => opened,
            cause = guard.abort.come() => {
                let reply = aborted();
                journal.no_data(self.operation, path.as_ref(), reply.code(), &cause);
                return Err(reply);
            }
        };
        match opened {
            Ok(channel) => {
                let resumed = channel.handshake();
                let resumed = resumed.map(|kind| kind == HandshakeKind::Resumed);
                journal.emit(&Event::DataConnectionOpened { resumed });
                Ok((channel, guard))
            }
            Err(error) => {
                if let OpenError::Connect(error) = &error
                    && open_files::is_exhausted(error)
                {
                    open_files::complain("a data connection could not be opened");
                }
                let code = match &error {
                    OpenError::Refused(Refused::Ambiguous) => 425,
                    OpenError::Refused(_) => 522,
                    OpenError::Timeout | OpenError::Unnamed(_) | OpenError::Connect(_) => 425,
                };
                let cause = match &error {
                    OpenError::Connect(why) => format!("{error}: {why}"),
                    error => error.to_string(),
                };
                journal.no_data(self.operation, path.as_ref(), code, &cause);
                Err(Reply::new(code, error.to_string()))
            }
        }
    }
}

/// The watch over the events that can end a transfer from outside.
pub(super) struct Guard {
    pub(super) abort: Arc<Abort>,
    meter: Arc<Meter>,
    stall_timeout: Duration,
    inspecting: watch::Sender<bool>,
    ending: Ending,
}

impl Guard {
    /// The end that an upload must have.
    pub(super) fn ending(&self) -> &Ending {
        &self.ending
    }

    /// All bytes have come.
    pub(super) fn inspecting(&self) {
        self.inspecting.send_replace(true);
    }

    /// How long the client may keep it waiting.
    pub(super) fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    /// Runs a pump until it ends, ABOR comes, or nothing moves for too long.
    ///
    /// # Errors
    /// Why it ended before the pump did.
    pub(super) async fn watch<T>(&self, pump: impl Future<Output = T>) -> Result<T, Ended> {
        tokio::select! {
            biased;
            result = pump => Ok(result),
            cause = self.abort.come() => Err(Ended::Aborted(cause)),
            () = stalled(self.meter.clone(), self.stall_timeout) => Err(Ended::Stalled),
        }
    }
}

/// Waits until the end of the server leaves transfers no more time.
async fn cut(shutdown: &mut watch::Receiver<Shutdown>) {
    let cutting = |shutdown: &Shutdown| *shutdown >= Shutdown::Cutting;
    if shutdown.wait_for(cutting).await.is_err() {
        // The sender is gone with the server.
        std::future::pending::<()>().await;
    }
}

/// Why a transfer ended before its pump did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// From outside; the cause is for the log.
    Aborted(&'static str),
    /// Nothing moved for too long.
    Stalled,
}

impl Ended {
    pub(super) fn cause(self) -> &'static str {
        match self {
            Self::Aborted(cause) => cause,
            Self::Stalled => STALLED,
        }
    }

    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Aborted(_) => aborted(),
            Self::Stalled => stalled_reply(),
        }
    }
}

/// RFC 959 §4.1.3: 426 for the transfer, then 226 for ABOR.
pub(super) fn aborted() -> Reply {
    Reply::new(426, "Transfer aborted")
}

/// The client kept the transfer waiting.
pub(super) fn stalled_reply() -> Reply {
    Reply::new(426, "Nothing has moved for too long, transfer aborted")
}

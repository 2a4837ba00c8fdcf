//! An open data connection, in the clear or under TLS.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rustls::HandshakeKind;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::server::TlsStream;

use super::{
    ending::{Ending, NotTheEnd},
    socket::{Meter, Socket},
};
use crate::tls::session::Direction;

/// How long a connection that is broken off goes on being emptied, so that the client can read the
/// end of it instead of meeting a reset.
const LINGER: Duration = Duration::from_millis(500);

/// A data connection that passed every check.
pub struct Channel {
    stream: Stream,
    meter: Arc<Meter>,
}

enum Stream {
    Plain(Box<BufReader<Socket>>),
    Tls(Box<TlsStream<Socket>>),
}

impl Channel {
    pub(super) fn plain(socket: Socket, meter: Arc<Meter>) -> Self {
        Self {
            stream: Stream::Plain(Box::new(BufReader::with_capacity(64 << 10, socket))),
            meter,
        }
    }

    pub(super) fn tls(stream: TlsStream<Socket>, meter: Arc<Meter>) -> Self {
        Self {
            stream: Stream::Tls(Box::new(stream)),
            meter,
        }
    }

    /// How its handshake was made; none in the clear.
    #[must_use]
    pub fn handshake(&self) -> Option<HandshakeKind> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.get_ref().1.handshake_kind(),
        }
    }

    /// The transfer begins. To an upload nothing is sent before its end.
    #[must_use]
    pub(super) fn begin(mut self, direction: Direction) -> Self {
        if let Stream::Tls(stream) = &mut self.stream {
            let socket = stream.get_mut().0;
            match direction {
                Direction::Send => socket.release(),
                Direction::Receive => socket.receives(),
                Direction::Unknown => {}
            }
        }
        self
    }

    /// From here on little is sent together with more, or with the end. For writers that do not wait between
    /// what they write.
    pub fn gather(&mut self) {
        let socket = match &mut self.stream {
            Stream::Plain(stream) => stream.get_mut(),
            Stream::Tls(stream) => stream.get_mut().0,
        };
        socket.gather();
    }

    /// Sends, waiting for the client.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.get_mut().write_all(data).await,
            Stream::Tls(stream) => stream.write_all(data).await,
        }
    }

    /// The next bytes that arrived, at least one; empty at the end. Under TLS the end is the
    /// client's `close_notify`: a connection that just stops is an error, since anybody on the way
    /// can make it stop.
    ///
    /// # Errors
    /// Those of the connection; [`ended_by_fin`](Self::ended_by_fin) tells FIN from the others.
    pub async fn fill(&mut self) -> io::Result<&[u8]> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.fill_buf().await,
            Stream::Tls(stream) => stream.fill_buf().await,
        }
    }

    /// As [`fill`](Self::fill), but without waiting: `None` where nothing is there, at the end, and
    /// after an error.
    pub async fn fill_now(&mut self) -> Option<&[u8]> {
        let mut filling = pin!(self.fill());
        poll_fn(|context| match filling.as_mut().poll(context) {
            Poll::Ready(Ok(chunk)) if !chunk.is_empty() => Poll::Ready(Some(chunk)),
            _ => Poll::Ready(None),
        })
        .await
    }

    /// Whether its end has come, in whatever way an upload may end, or bytes have; `None` where nothing does
    /// until `deadline`, or ever.
    pub async fn ends(&mut self, deadline: Instant) -> Option<bool> {
        match timeout_at(deadline, self.fill()).await {
            Ok(Ok(chunk)) => Some(chunk.is_empty()),
            Ok(Err(error)) => matches!(self.ended_by_fin(&error), Some(Ok(()))).then_some(true),
            Err(_) => None,
        }
    }

    /// Marks bytes that [`fill`](Self::fill) returned as taken.
    pub fn consume(&mut self, length: usize) {
        match &mut self.stream {
            Stream::Plain(stream) => stream.consume(length),
            Stream::Tls(stream) => stream.consume(length),
        }
    }

    /// Whether an error of [`fill`](Self::fill) is FIN without `close_notify`; `Cut` where FIN came
    /// within a record, so that something is missing for certain.
    pub fn ended_by_fin(&self, error: &io::Error) -> Option<Result<(), NotTheEnd>> {
        let Stream::Tls(stream) = &self.stream else {
            return None;
        };
        let socket = stream.get_ref().0;
        if error.kind() != io::ErrorKind::UnexpectedEof || !socket.has_ended() {
            return None;
        }
        match socket.at_record_border() {
            true => Some(Ok(())),
            false => Some(Err(NotTheEnd::Cut)),
        }
    }

    /// Whether it is under TLS.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Ends the connection in order: what is buffered, `close_notify`, FIN.
    ///
    /// # Errors
    /// Those of the connection: the client may not have everything.
    pub async fn finish(mut self) -> io::Result<()> {
        self.shutdown().await
    }

    /// The same behind a download or a listing; then listens, beside what comes next, whether the
    /// client ends TLS, too: one that does, does so behind its uploads.
    ///
    /// # Errors
    /// Those of the connection: the client may not have everything.
    pub async fn finish_and_learn(mut self, ending: &Ending) -> io::Result<()> {
        self.shutdown().await?;
        if self.is_protected() && ending.wants_to_know() {
            let ending = ending.clone();
            tokio::spawn(async move {
                if let Ok(Ok([])) = timeout(LINGER, self.fill()).await {
                    ending.closes();
                }
            });
        }
        Ok(())
    }

    /// Breaks off an upload in order: says that nothing more is wanted, and reads for a little what
    /// was on its way, as closing with unread bytes is a reset.
    pub async fn refuse(mut self) {
        let drain = async {
            let _ = self.shutdown().await;
            let mut nothing = [0; 2048];
            loop {
                let read = match &mut self.stream {
                    Stream::Plain(stream) => stream.get_mut().read(&mut nothing).await,
                    Stream::Tls(stream) => stream.get_mut().0.read(&mut nothing).await,
                };
                if !matches!(read, Ok(length) if length > 0) {
                    break;
                }
            }
        };
        let _ = timeout(LINGER, drain).await;
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.get_mut().shutdown().await,
            Stream::Tls(stream) => {
                stream.get_mut().0.release();
                stream.shutdown().await
            }
        }
    }

    /// Bytes that went over it.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }
}

/// Returns when there was no progress for `limit`, give or take a quarter.
pub async fn stalled(meter: Arc<Meter>, limit: Duration) {
    let (mut seen, mut since) = (meter.progress(), Instant::now());
    loop {
        sleep(limit / 4).await;
        let progress = meter.progress();
        if progress != seen {
            (seen, since) = (progress, Instant::now());
        } else if since.elapsed() >= limit {
            return;
        }
    }
}

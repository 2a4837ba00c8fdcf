//! The control connection: lines in, replies out, in the clear or under TLS.

use std::{
    future::poll_fn,
    io::{self, Read},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use rustls::{ServerConfig, ServerConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    config::TlsVersion,
    ftp::{codec::LineDecoder, reply::Reply},
    tls::errors::HandshakeError,
};

/// How long the client has to answer the end of TLS (CCC, REIN).
const CLOSE_NOTIFY: Duration = Duration::from_secs(5);

/// The begin of a ClientHello, up to its version: it tells what a client is whose handshake fails.
const HELLO_HEAD: usize = 11;
/// Type, version and length of a TLS record.
const RECORD_HEAD: usize = 5;
/// Change cipher spec, alert, handshake, application data (RFC 8446 §5.1). None begins a command.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;
/// Silence after which the system asks whether the client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const RECORD_PAUSE: Duration = Duration::from_millis(5);

/// Why there is no next line.
#[derive(Debug)]
pub enum ReadError {
    /// The client closed the connection.
    Closed,
    /// A line is over the limit, or never ends.
    TooLong,
    /// TLS began where FTP was expected: implicit TLS on the explicit port.
    UnexpectedTls,
    /// The connection broke.
    Io(io::Error),
}

/// One control connection.
pub struct Control {
    stream: Stream,
    decoder: LineDecoder,
    line_length: usize,
    send_timeout: Duration,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Only while one becomes the other, and after that has failed.
    Gone,
}

impl Control {
    /// Takes over a connection; nothing is read or written yet.
    #[must_use]
    pub fn new(tcp: TcpStream, line_length: usize, send_timeout: Duration) -> Self {
        // Replies are small, and often two in a row.
        let _ = tcp.set_nodelay(true);
        keep_alive(&tcp);
        let decoder = LineDecoder::new(line_length);
        Self {
            stream: Stream::Plain(tcp),
            decoder,
            line_length,
            send_timeout,
        }
    }

    /// The next line, without its end. Cancelling loses nothing.
    ///
    /// # Errors
    /// See [`ReadError`]; the session is over then.
    pub async fn line(&mut self) -> Result<Vec<u8>, ReadError> {
        loop {
            if let Some(line) = self.decoder.next().map_err(|_| ReadError::TooLong)? {
                return Ok(line);
            }
            if self.decoder.is_tls() && !self.is_protected() {
                return Err(ReadError::UnexpectedTls);
            }
            match self.read().await {
                Ok(0) => return Err(ReadError::Closed),
                Ok(_) => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
    }

    /// Reads into a buffer on the stack: idle sessions hold none.
    async fn read(&mut self) -> io::Result<usize> {
        let Self {
            stream, decoder, ..
        } = self;
        poll_fn(|context| {
            let mut bytes = [MaybeUninit::uninit(); 2048];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            ready!(stream.poll_read(context, &mut buffer))?;
            decoder.push(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Sends a reply.
    ///
    /// # Errors
    /// A client that does not read, or is gone.
    pub async fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(128);
        reply.encode(&mut bytes);
        let limit = self.send_timeout;
        let send = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(&bytes).await,
                Stream::Tls(stream) => {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                }
                Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        timeout(limit, send)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Whether nothing has been read beyond the last line: bytes that an attacker put behind
    /// `AUTH TLS` must not be taken for protected ones.
    #[must_use]
    pub fn nothing_buffered(&self) -> bool {
        self.decoder.is_empty()
    }

    fn is_protected(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Begins TLS, within `limit`.
    ///
    /// # Errors
    /// When the handshake fails; the connection is gone then.
    pub async fn protect(
        &mut self,
        config: Arc<ServerConfig>,
        limit: Duration,
        minimum: TlsVersion,
    ) -> io::Result<&ServerConnection> {
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::other("the connection is not in the clear"));
        };
        let mut first = [0; HELLO_HEAD];
        let mut length = 0;
        let handshake = async {
            length = tcp.peek(&mut first).await?;
            TlsAcceptor::from(config).accept(tcp).await
        };
        let stream = timeout(limit, handshake)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| {
            let first = first.get(..length).unwrap_or_default();
            io::Error::other(HandshakeError::new(&error, first, minimum))
        })?;
        self.decoder = LineDecoder::new(self.line_length);
        self.stream = Stream::Tls(Box::new(stream));
        match &self.stream {
            Stream::Tls(stream) => Ok(stream.get_ref().1),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ends TLS and goes on in the clear (CCC, REIN): sends `close_notify`, waits for the client's.
    ///
    /// # Errors
    /// When the client does not answer; the connection is gone then.
    pub async fn unprotect(&mut self) -> io::Result<()> {
        let Stream::Tls(mut stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::other("the connection is in the clear"));
        };
        stream.get_mut().1.send_close_notify();
        timeout(CLOSE_NOTIFY, stream.flush())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let (mut tcp, mut tls) = stream.into_inner();
        timeout(CLOSE_NOTIFY, records_until_the_end(&mut tcp, &mut tls))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.decoder = LineDecoder::new(self.line_length);
        self.stream = Stream::Plain(tcp);
        Ok(())
    }

    /// Ends the connection in order.
    pub async fn close(mut self) {
        let shutdown = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.shutdown().await,
                Stream::Tls(stream) => stream.shutdown().await,
                Stream::Gone => Ok(()),
            }
        };
        let _ = timeout(Duration::from_secs(1), shutdown).await;
    }
}

/// While a transfer goes on, nothing moves here, and address translators and firewalls forget what
/// is silent: the system sends empty segments, which no client sees.
fn keep_alive(tcp: &TcpStream) {
    let _ = set_socket_keepalive(tcp, true);
    let _ = set_tcp_keepidle(tcp, KEEP_ALIVE);
    let _ = set_tcp_keepintvl(tcp, KEEP_ALIVE);
}

/// Reads record by record: what a client sends in the clear behind its `close_notify` must not
/// vanish in a buffer of TLS. A client that sends none, and goes on in the clear at once, is as good.
async fn records_until_the_end(tcp: &mut TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    let mut head = [0; RECORD_HEAD];
    loop {
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        // What is still protected belongs to before.
        let mut rest = tls.reader().take(state.plaintext_bytes_to_read() as u64);
        io::copy(&mut rest, &mut io::sink())?;
        if state.peer_has_closed() {
            return Ok(());
        }
        match tcp.peek(&mut head).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if !RECORD_TYPES.contains(&head[0]) => return Ok(()),
            RECORD_HEAD => {}
            // The rest of the head is on its way; peeking again at once would spin.
            _ => {
                sleep(RECORD_PAUSE).await;
                continue;
            }
        }
        let mut record = vec![0; RECORD_HEAD + usize::from(u16::from_be_bytes([head[3], head[4]]))];
        tcp.read_exact(&mut record).await?;
        let mut record = &record[..];
        while !record.is_empty() {
            tls.read_tls(&mut record)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Stream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            // Not its own `poll_read`, which takes a short read for the end of what is there and
            // then waits: a read also ends short at urgent data, with more behind it.
            Self::Plain(stream) => loop {
                ready!(stream.poll_read_ready(context))?;
                match stream.try_read_buf(buffer) {
                    Ok(_) => return Poll::Ready(Ok(())),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
            Self::Tls(stream) => match ready!(Pin::new(stream).poll_read(context, buffer)) {
                // Clients often close the control connection without close_notify.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                result => Poll::Ready(result),
            },
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

//! The control connection: lines in, replies out, in the clear or under TLS.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls::{
    AlertDescription, InvalidMessage, ServerConfig, ServerConnection,
    server::{Acceptor, ClientHello},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use zeroize::Zeroize;

use super::wire::Wire;
use crate::{
    config::TlsVersion,
    ftp::{codec::LineDecoder, reply::Reply, secret::Line},
    tls::{SessionTls, errors::HandshakeError},
};

/// How long the client has to answer the end of TLS (CCC, REIN).
const CLOSE_NOTIFY: Duration = Duration::from_secs(5);

/// Type, version and length of a TLS record.
const RECORD_HEAD: usize = 5;
/// Change cipher spec, alert, handshake, application data (RFC 8446 §5.1). None begins a command.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;

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
    stream: ControlStream,
    decoder: LineDecoder,
    line_length: usize,
    send_timeout: Duration,
}

/// The TLS of a connection.
pub enum Chosen {
    /// That of a session.
    Session(Arc<SessionTls>),
    /// That of an authority that asks whose a name is: the handshake is the answer, and all.
    Challenge(Arc<ServerConfig>),
}

enum ControlStream {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
    /// Only while one becomes the other, and after that has failed.
    Gone,
}

impl Control {
    /// Takes over a connection; nothing is read or written yet.
    #[must_use]
    pub fn new(wire: Wire, line_length: usize, send_timeout: Duration) -> Self {
        let decoder = LineDecoder::new(line_length);
        Self {
            stream: ControlStream::Plain(wire),
            decoder,
            line_length,
            send_timeout,
        }
    }

    /// The next line, without its end. Cancelling loses nothing.
    ///
    /// # Errors
    /// See [`ReadError`]; the session is over then.
    pub async fn line(&mut self) -> Result<Line, ReadError> {
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
            let length = buffer.filled().len();
            buffer.filled_mut().zeroize();
            Poll::Ready(Ok(length))
        })
        .await
    }

    /// Sends a reply.
    ///
    /// # Errors
    /// A client that does not read, or is gone.
    pub async fn send(&mut self, reply: &Reply) -> io::Result<()> {
        self.send_together(std::slice::from_ref(reply)).await
    }

    /// Sends several at once, as [`send`](Self::send).
    ///
    /// # Errors
    /// See there.
    pub async fn send_together(&mut self, replies: &[Reply]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(128);
        for reply in replies {
            reply.encode(&mut bytes);
        }
        let limit = self.send_timeout;
        let send = async {
            match &mut self.stream {
                ControlStream::Plain(stream) => stream.write_all(&bytes).await,
                ControlStream::Tls(stream) => {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                }
                ControlStream::Gone => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        timeout(limit, send)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// As [`send`](Self::send), but that under TLS the reply waits for [`close`](Self::close), and goes out
    /// together with `close_notify`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_last(&mut self, reply: &Reply) -> io::Result<()> {
        let ControlStream::Tls(stream) = &mut self.stream else {
            return self.send(reply).await;
        };
        let mut bytes = Vec::with_capacity(128);
        reply.encode(&mut bytes);
        stream.get_mut().1.writer().write_all(&bytes)
    }

    /// Whether nothing has been read beyond the last line: bytes that an attacker put behind
    /// `AUTH TLS` must not be taken for protected ones.
    #[must_use]
    pub fn nothing_buffered(&self) -> bool {
        self.decoder.is_empty()
    }

    fn is_protected(&self) -> bool {
        matches!(self.stream, ControlStream::Tls(_))
    }

    /// Begins TLS, within `limit`, with what `choose` has for the client's first message. `minimum` is the
    /// oldest version that may be spoken until then.
    ///
    /// # Errors
    /// When the handshake fails, or `choose` does; the connection is gone then.
    pub async fn protect(
        &mut self,
        limit: Duration,
        minimum: TlsVersion,
        choose: impl FnOnce(&ClientHello<'_>) -> io::Result<Chosen>,
    ) -> io::Result<&ServerConnection> {
        let ControlStream::Plain(mut wire) =
            std::mem::replace(&mut self.stream, ControlStream::Gone)
        else {
            return Err(io::Error::other("the connection is not in the clear"));
        };
        let (mut first, mut minimum) = (Vec::new(), minimum);
        let handshake = async {
            first = wire.peek(1).await?.to_owned();
            let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), wire);
            let hello = match (&mut acceptor).await {
                Ok(hello) => hello,
                Err(error) => {
                    if let Some(alert) = alert(&error)
                        && let Some(mut wire) = acceptor.take_io()
                    {
                        wire.write_all(&alert).await?;
                    }
                    return Err(error);
                }
            };
            let tls = match choose(&hello.client_hello())? {
                Chosen::Session(tls) => tls,
                Chosen::Challenge(config) => {
                    hello.into_stream(config).await?.shutdown().await?;
                    return Err(io::Error::other(
                        "this was an authority's question, by ACME",
                    ));
                }
            };
            minimum = tls.minimum_version();
            hello.into_stream(tls.control()).await
        };
        let stream = timeout(limit, handshake)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream
            .map_err(|error| io::Error::other(HandshakeError::new(&error, &first, minimum)))?;
        self.decoder = LineDecoder::new(self.line_length);
        self.stream = ControlStream::Tls(Box::new(stream));
        match &self.stream {
            ControlStream::Tls(stream) => Ok(stream.get_ref().1),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ends TLS and goes on in the clear (CCC, REIN): sends `close_notify`, waits for the client's.
    ///
    /// # Errors
    /// When the client does not answer; the connection is gone then.
    pub async fn unprotect(&mut self) -> io::Result<()> {
        let ControlStream::Tls(mut stream) =
            std::mem::replace(&mut self.stream, ControlStream::Gone)
        else {
            return Err(io::Error::other("the connection is in the clear"));
        };
        stream.get_mut().1.send_close_notify();
        timeout(CLOSE_NOTIFY, stream.flush())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let (mut wire, mut tls) = stream.into_inner();
        timeout(CLOSE_NOTIFY, records_until_the_end(&mut wire, &mut tls))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.decoder = LineDecoder::new(self.line_length);
        self.stream = ControlStream::Plain(wire);
        Ok(())
    }

    /// Ends TLS in order. Dropped then, the connection ends behind all that was sent.
    pub async fn close(&mut self) {
        let ControlStream::Tls(stream) = &mut self.stream else {
            return;
        };
        stream.get_mut().1.send_close_notify();
        let _ = timeout(Duration::from_secs(1), stream.flush()).await;
    }
}

/// The alert for a first message of which rustls sends none (RFC 8446 §6).
fn alert(error: &io::Error) -> Option<[u8; 7]> {
    let description = match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
            AlertDescription::DecodeError
        }
        rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. } => {
            AlertDescription::UnexpectedMessage
        }
        _ => return None,
    };
    Some([21, 3, 3, 0, 2, 2, description.into()])
}

/// Reads record by record: what a client sends in the clear behind its `close_notify` must not
/// vanish in a buffer of TLS. A client that sends none, and goes on in the clear at once, is as good.
async fn records_until_the_end(wire: &mut Wire, tls: &mut ServerConnection) -> io::Result<()> {
    loop {
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        // The bytes that are still protected belong to before.
        let mut rest = tls.reader().take(state.plaintext_bytes_to_read() as u64);
        io::copy(&mut rest, &mut io::sink())?;
        if state.peer_has_closed() {
            return Ok(());
        }
        match wire.peek(1).await? {
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            [first, ..] if !RECORD_TYPES.contains(first) => return Ok(()),
            _ => {}
        }
        let head = wire.peek(RECORD_HEAD).await?;
        let &[_, _, _, high, low, ..] = head else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let mut record = vec![0; RECORD_HEAD + usize::from(u16::from_be_bytes([high, low]))];
        wire.read_exact(&mut record).await?;
        let mut record = &record[..];
        while !record.is_empty() {
            tls.read_tls(&mut record)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl ControlStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => {
                let read = Pin::new(&mut **stream).poll_read(context, buffer);
                // rustls answers some records itself, such as a renegotiation, and the answer would wait
                // for the next reply. Where it cannot be sent, that reply will meet the error.
                if read.is_pending() && stream.get_ref().1.wants_write() {
                    let _ = Pin::new(&mut **stream).poll_flush(context);
                }
                match ready!(read) {
                    // Clients often close the control connection without close_notify.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        Poll::Ready(Ok(()))
                    }
                    result => Poll::Ready(result),
                }
            }
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

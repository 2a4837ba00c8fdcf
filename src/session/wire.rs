//! The bytes of a control connection, of a socket or in memory.

use std::{
    future::poll_fn,
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The most bytes that can be looked at before they are read: the begin of a ClientHello, up to its
/// version, which tells what a client is whose handshake fails.
const AHEAD: usize = 11;
/// Silence after which the system asks whether the client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Both directions of a connection.
trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// One control connection's bytes, the next of which can be looked at.
pub struct Wire {
    io: Box<dyn Io>,
    ahead: [u8; AHEAD],
    /// How many of `ahead` were looked at, and not read.
    length: usize,
}

impl Wire {
    /// Those of a connection in memory, or of anything else.
    #[must_use]
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static) -> Self {
        Self {
            io: Box::new(io),
            ahead: [0; AHEAD],
            length: 0,
        }
    }

    /// Those of a socket, of a listener that was [prepared](Self::prepare).
    #[must_use]
    pub fn tcp(tcp: TcpStream) -> Self {
        Self::new(Socket(tcp))
    }

    /// Sets what the sockets that a listener accepts are to have: they inherit it (tcp(7)).
    pub fn prepare(listener: &impl AsFd) {
        // Replies are small, and often two in a row.
        let _ = set_tcp_nodelay(listener, true);
        // While a transfer goes on, nothing moves here, and address translators and firewalls forget
        // what is silent: the system sends empty segments, which no client sees.
        let _ = set_socket_keepalive(listener, true);
        let _ = set_tcp_keepidle(listener, KEEP_ALIVE);
        let _ = set_tcp_keepintvl(listener, KEEP_ALIVE);
    }

    /// The next bytes, `least` of them unless the connection ends before, without reading them. At most
    /// [`AHEAD`]. Cancelling loses nothing.
    pub(super) async fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        while self.length < least.min(AHEAD) {
            let Self { io, ahead, length } = &mut *self;
            let room = ahead.get_mut(*length..).unwrap_or_default();
            let mut buffer = ReadBuf::new(room);
            poll_fn(|context| Pin::new(&mut *io).poll_read(context, &mut buffer)).await?;
            match buffer.filled().len() {
                0 => break,
                more => *length += more,
            }
        }
        Ok(self.looked_at())
    }

    /// The bytes that were looked at, and not read.
    pub(super) fn looked_at(&self) -> &[u8] {
        self.ahead.get(..self.length).unwrap_or_default()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.length == 0 {
            return Pin::new(&mut this.io).poll_read(context, buffer);
        }
        let taken = this.length.min(buffer.remaining());
        buffer.put_slice(this.ahead.get(..taken).unwrap_or_default());
        this.ahead.copy_within(taken..this.length, 0);
        this.length -= taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

/// A socket on which urgent data may come: ABOR with a Synch (RFC 959 §4.1.3).
struct Socket(TcpStream);

impl AsyncRead for Socket {
    /// Not the stream's own, which takes a short read for the end of what is there and then waits: a
    /// read also ends short at urgent data, with more behind it.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.get_mut().0;
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read_buf(buffer) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustix::net::sockopt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn accepted_sockets_have_what_the_listener_was_prepared_with() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Wire::prepare(&listener);
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (accepted, _) = accepted.unwrap();
        assert_eq!(sockopt::tcp_nodelay(&accepted), Ok(true));
        assert_eq!(sockopt::socket_keepalive(&accepted), Ok(true));
        assert_eq!(sockopt::tcp_keepidle(&accepted), Ok(KEEP_ALIVE));
        assert_eq!(sockopt::tcp_keepintvl(&accepted), Ok(KEEP_ALIVE));
    }
}

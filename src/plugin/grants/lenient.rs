//! Connections on which an answer counts, whatever became of the request.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that is read on after it broke for writing. A service may answer and close before it has
/// read the whole request (RFC 9112 §9.5): the next write then fails, and its answer waits to be read.
pub(super) struct Lenient<S> {
    stream: S,
    broken: Option<ErrorKind>,
}

impl<S> Lenient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            broken: None,
        }
    }

    /// Takes note of a connection that broke; every other error stays one.
    fn broken(&mut self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            kind @ (ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected) => {
                self.broken = Some(kind);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let ended = buffer.filled().len() == before && buffer.capacity() > before;
        match self.broken {
            // The write has taken the error away, and the end that is read here is none. A broken
            // pipe tells of a peer that had closed in order.
            Some(kind) if ended && kind != ErrorKind::BrokenPipe => Poll::Ready(Err(kind.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        match ready!(Pin::new(&mut self.stream).poll_write(context, bytes)) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(error) => Poll::Ready(self.broken(error).map(|()| bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut self.stream).poll_flush(context)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(self.broken(error)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_shutdown(context)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(self.broken(error)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A connection to a peer that reads one byte, answers, and closes with the rest unread.
    async fn answered() -> Lenient<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        client.write_all(b"two").await.unwrap();
        peer.read_u8().await.unwrap();
        peer.write_all(b"no").await.unwrap();
        drop(peer);
        Lenient::new(client)
    }

    #[tokio::test]
    async fn regression_an_answer_is_read_after_a_write_that_failed() {
        let mut stream = answered().await;
        for _ in 0..3 {
            stream.write_all(b"more").await.unwrap();
            stream.flush().await.unwrap();
        }
        let mut said = [0; 2];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"no");
        // Nobody takes a reset for the end of an answer.
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

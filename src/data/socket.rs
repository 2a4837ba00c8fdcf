//! A data connection's socket: it reads ahead, and counts what moves.
//!
//! rustls asks for 18 KiB at most, so that tokio-rustls makes one system call per record. Put below
//! it, this buffer turns sixteen of them into one and a few copies.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What the buffer starts with: a small file needs no more.
const SMALL: usize = 16 << 10;
/// What it grows to while the client keeps it full.
const LARGE: usize = 256 << 10;

/// Bytes that went over a socket, for STAT, and to tell a stalled transfer from a slow one.
#[derive(Debug, Default)]
pub struct Meter {
    moved: AtomicU64,
    touched: AtomicU64,
}

impl Meter {
    /// Bytes so far, both ways, TLS included.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Says that the transfer goes on although nothing moves: the server keeps the client waiting.
    pub fn touch(&self) {
        self.touched.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes whenever something moves or is touched.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.moved()
            .wrapping_add(self.touched.load(Ordering::Relaxed))
    }

    fn add(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A TCP connection with a read-ahead buffer and a meter.
pub struct Socket {
    tcp: TcpStream,
    meter: Arc<Meter>,
    /// Empty until the first read.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Socket {
    /// Takes over a connection.
    #[must_use]
    pub fn new(tcp: TcpStream, meter: Arc<Meter>) -> Self {
        // Best effort: without it the last small record waits for an acknowledgement.
        let _ = tcp.set_nodelay(true);
        Self {
            tcp,
            meter,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Fills the buffer, which is empty; 0 at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; SMALL];
        } else if self.end == self.buffer.len() && self.buffer.len() < LARGE {
            self.buffer = vec![0; (self.buffer.len() * 4).min(LARGE)];
        }
        let mut room = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.tcp).poll_read(context, &mut room))?;
        (self.start, self.end) = (0, room.filled().len());
        self.meter.add(self.end);
        Poll::Ready(Ok(self.end))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.start == this.end {
            ready!(this.poll_fill(context))?;
        }
        let length = out.remaining().min(this.end - this.start);
        if let Some(bytes) = this.buffer.get(this.start..this.start + length) {
            out.put_slice(bytes);
        }
        this.start += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write(context, data))?;
        self.meter.add(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write_vectored(context, slices))?;
        self.meter.add(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

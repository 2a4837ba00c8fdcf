//! A data connection's socket: it reads ahead, counts what moves, and follows the records of TLS.
//!
//! rustls asks for 18 KiB at most, so that tokio-rustls makes one system call per record. Put below
//! it, this buffer turns sixteen of them into one and a few copies.

#[cfg(test)]
mod tests;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use rustix::net::{SendFlags, send, sockopt::set_tcp_quickack};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// The size at first: a small file needs no more.
const SMALL: usize = 16 << 10;
/// The size that it grows to while the client keeps it full.
pub(super) const LARGE: usize = 256 << 10;
/// The most that is gathered before it is sent: a record of TLS, and tickets before it.
const GATHERED: usize = 20 << 10;

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

/// The bytes that the client sent first, as far as it came at once: it tells what a connection is whose
/// handshake fails.
pub type FirstBytes = Arc<OnceLock<Vec<u8>>>;
/// Enough of them for the version in a ClientHello.
const FIRST: usize = 11;

/// Follows the records of TLS (RFC 8446 §5.1) from the first byte of a connection on.
#[derive(Debug, Default)]
struct Records {
    head: [u8; 5],
    /// Bytes of the head that have come.
    known: usize,
    /// Bytes of the record that are still to come.
    left: usize,
}

impl Records {
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let length = match self.left {
                0 => {
                    let mut length = 0;
                    for (slot, byte) in self.head.iter_mut().skip(self.known).zip(bytes) {
                        *slot = *byte;
                        length += 1;
                    }
                    self.known += length;
                    if self.known == self.head.len() {
                        let [_, _, _, high, low] = self.head;
                        self.left = usize::from(u16::from_be_bytes([high, low]));
                        self.known = 0;
                    }
                    length
                }
                left => {
                    let length = left.min(bytes.len());
                    self.left -= length;
                    length
                }
            };
            bytes = bytes.get(length..).unwrap_or_default();
        }
    }

    /// Whether the last record that began has come whole.
    fn at_border(&self) -> bool {
        self.known == 0 && self.left == 0
    }
}

/// A TCP connection with a read-ahead buffer and a meter.
pub struct Socket {
    tcp: TcpStream,
    meter: Arc<Meter>,
    /// Under TLS.
    records: Option<Records>,
    first: FirstBytes,
    ended: bool,
    /// Set when what is written is to be held back.
    holds: Option<Arc<AtomicBool>>,
    /// Whether what is written waits for more, as far as it is little.
    gathers: bool,
    /// Whether the client sends a file.
    receives: bool,
    /// Whether bytes have come since the last acknowledgement that was asked for.
    unacknowledged: bool,
    /// The bytes that were held back or gathered, and have not been sent.
    held: Vec<u8>,
    /// Empty until the first read.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Socket {
    /// Takes over a connection, on which TLS begins or not.
    #[must_use]
    pub fn new(tcp: TcpStream, meter: Arc<Meter>, tls: bool) -> Self {
        // Best effort: without it the last small record waits for an acknowledgement.
        let _ = tcp.set_nodelay(true);
        Self {
            tcp,
            meter,
            records: tls.then(Records::default),
            first: FirstBytes::default(),
            ended: false,
            holds: None,
            gathers: false,
            receives: false,
            unacknowledged: false,
            held: Vec::new(),
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Holds back what is written after `when` is set: tickets, which go with the first bytes that are sent.
    /// A client that closes without having read them makes its system send RST, and the end of its upload
    /// is lost.
    pub fn hold(&mut self, when: Arc<AtomicBool>) {
        self.holds = Some(when);
    }

    /// Holds back no more; what was held back goes before what is sent next.
    pub fn release(&mut self) {
        self.holds = None;
    }

    /// From here on little is sent together with more, or with the end: each packet has a cost of its own,
    /// whatever is in it. For writers that do not wait between what they write.
    pub fn gather(&mut self) {
        self.gathers = true;
    }

    /// The client sends a file from here on. Wherever it may be the end that has come, it is acknowledged at once:
    /// a client with Nagle's algorithm (RFC 896) holds `close_notify` back until then, and the system would
    /// take 40 ms for it.
    pub fn receives(&mut self) {
        self.receives = true;
    }

    /// There is nothing more to read for now.
    fn acknowledge(&mut self) {
        if std::mem::take(&mut self.unacknowledged) && self.at_record_border() {
            let _ = set_tcp_quickack(&self.tcp, true);
        }
    }

    /// Whether it takes what is written and keeps it.
    fn is_holding(&self) -> bool {
        let holds = self.holds.as_ref();
        holds.is_some_and(|when| when.load(Ordering::Relaxed))
    }

    /// Whether so many bytes more are kept.
    fn keeps(&self, length: usize) -> bool {
        self.is_holding() || self.gathers && self.held.len() + length <= GATHERED
    }

    /// Sends what was held back, and this behind it, of which it says how much was sent.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while !self.held.is_empty() {
            let mut all = Vec::with_capacity(slices.len() + 1);
            all.push(io::IoSlice::new(&self.held));
            all.extend_from_slice(slices);
            let written = ready!(Pin::new(&mut self.tcp).poll_write_vectored(context, &all))?;
            if let Some(more) = self.sent_of_held(written)? {
                return Poll::Ready(Ok(more));
            }
        }
        if slices.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = ready!(Pin::new(&mut self.tcp).poll_write_vectored(context, slices))?;
        self.meter.add(written);
        Poll::Ready(Ok(written))
    }

    /// Takes note that so much was sent, what was held back first of all; how much of the rest, if any.
    fn sent_of_held(&mut self, written: usize) -> io::Result<Option<usize>> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.meter.add(written);
        let held = written.min(self.held.len());
        self.held.drain(..held);
        Ok(Some(written - held).filter(|more| *more > 0))
    }

    /// Sends what was held back, in one packet with the FIN that follows at once.
    fn poll_last(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            ready!(self.tcp.poll_write_ready(context))?;
            let sent = self.tcp.try_io(Interest::WRITABLE, || {
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                Ok(send(&self.tcp, &self.held, flags)?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => {
                    self.sent_of_held(sent?)?;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The first bytes of the client, once they have come.
    #[must_use]
    pub fn first_bytes(&self) -> FirstBytes {
        self.first.clone()
    }

    /// Whether the client's FIN has come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether no record of TLS is there in part.
    #[must_use]
    pub fn at_record_border(&self) -> bool {
        self.records.as_ref().is_some_and(Records::at_border)
    }

    /// Fills the buffer, which is empty; 0 at the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; SMALL];
        } else if self.end == self.buffer.len() && self.buffer.len() < LARGE {
            self.buffer = vec![0; (self.buffer.len() * 4).min(LARGE)];
        }
        let mut room = ReadBuf::new(&mut self.buffer);
        if Pin::new(&mut self.tcp)
            .poll_read(context, &mut room)?
            .is_pending()
        {
            self.acknowledge();
            return Poll::Pending;
        }
        let filled = room.filled();
        (self.start, self.end) = (0, filled.len());
        self.unacknowledged = self.receives;
        self.ended |= filled.is_empty();
        if let Some(records) = &mut self.records {
            if !filled.is_empty() {
                let first = filled.len().min(FIRST);
                self.first
                    .get_or_init(|| filled.get(..first).unwrap_or_default().to_vec());
            }
            records.follow(filled);
        }
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
        if self.keeps(data.len()) {
            self.held.extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        self.poll_send(context, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.keeps(length) {
            for slice in slices {
                self.held.extend_from_slice(slice);
            }
            return Poll::Ready(Ok(length));
        }
        self.poll_send(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() && !self.keeps(0) {
            ready!(self.poll_send(context, &[]))?;
        }
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.release();
        ready!(self.poll_last(context))?;
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

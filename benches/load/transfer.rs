//! Data connections: downloads, uploads, listings.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use rustls::HandshakeKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    pattern,
    session::{Connection, Outcome, Session, read_reply},
    stats::Wait,
};

const CHUNK: u64 = 128 << 10;
/// Between two reads of somebody slow.
const PAUSE: Duration = Duration::from_millis(50);

/// The end of a transfer.
pub enum End {
    Complete(u64),
    /// The window was over first; the session is not usable any more.
    Cut,
}

/// A data connection, and when its command was sent and its transfer could begin.
struct Data {
    stream: Connection,
    commanded: Instant,
    ready: Instant,
}

impl Session {
    /// Opens a data connection for `command`: 150 is there and the TLS handshake is done, in whichever
    /// order the server does them.
    async fn open(&mut self, command: &str, receive: Option<u32>) -> Outcome<Data> {
        let verb = command.split(' ').next().unwrap_or_default();
        let addr = self.passive().await?;
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        if let Some(size) = receive {
            let set = socket.set_recv_buffer_size(size);
            set.map_err(|error| error.to_string())?;
        }
        let tcp = socket.connect(addr).await;
        let tcp = tcp.map_err(|error| format!("{verb}: data connect: {error}"))?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let commanded = Instant::now();
        self.send(command).await?;
        let Some((connector, name)) = self.tls.clone() else {
            self.reply().await?.preliminary(verb)?;
            let (stream, ready) = (Box::new(tcp), Instant::now());
            return Ok(Data {
                stream,
                commanded,
                ready,
            });
        };
        let begun = async { read_reply(&mut self.control).await?.preliminary(verb) };
        let secured = async {
            let stream = connector.connect(name, tcp).await;
            stream.map_err(|error| format!("{verb}: data TLS: {error}"))
        };
        let ((), stream) = tokio::try_join!(begun, secured)?;
        match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => &self.stats.data_resumed,
            _ => &self.stats.data_full,
        }
        .fetch_add(1, Relaxed);
        let (stream, ready) = (Box::new(stream), Instant::now());
        Ok(Data {
            stream,
            commanded,
            ready,
        })
    }

    /// Reads a data connection to its end, then the reply.
    async fn receive(
        &mut self,
        command: &str,
        buffer: &mut [u8],
        deadline: Option<Instant>,
        mut sink: impl FnMut(u64, &[u8]) -> Outcome<()>,
    ) -> Outcome<End> {
        let stats = self.stats.clone();
        let Data {
            mut stream,
            commanded,
            ready,
        } = self.open(command, None).await?;
        let (mut total, mut last) = (0, ready);
        loop {
            let read = match deadline {
                None => stream.read(buffer).await,
                Some(at) => match timeout_at(at, stream.read(buffer)).await {
                    Ok(read) if Instant::now() < at => read,
                    _ => return Ok(End::Cut),
                },
            };
            match read {
                Ok(0) => break,
                Ok(read) => {
                    last = Instant::now();
                    if total == 0 {
                        stats.wait(Wait::CommandToByte, last - commanded);
                        stats.wait(Wait::ReadyToByte, last - ready);
                    }
                    stats.bytes.fetch_add(read as u64, Relaxed);
                    sink(total, &buffer[..read])?;
                    total += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    stats.no_close_notify.fetch_add(1, Relaxed);
                    break;
                }
                Err(error) => return Err(format!("data read: {error}")),
            }
        }
        let _ = stream.shutdown().await;
        drop(stream);
        self.reply().await?.expect("transfer", &[226, 250])?;
        stats.wait(Wait::ByteToReply, last.elapsed());
        Ok(End::Complete(total))
    }

    /// Fetches a file of `size` bytes from `offset` on; `verify` compares them with the pattern.
    pub async fn download(
        &mut self,
        path: &str,
        (offset, size): (u64, u64),
        buffer: &mut [u8],
        verify: bool,
        deadline: Option<Instant>,
    ) -> Outcome<End> {
        if offset > 0 {
            self.ask(&format!("REST {offset}"), &[350]).await?;
        }
        let command = format!("RETR {path}");
        let check = |at, part: &[u8]| {
            if verify && !pattern::matches(at, part) {
                return Err("RETR: content differs".into());
            }
            Ok(())
        };
        match self.receive(&command, buffer, deadline, check).await? {
            End::Complete(got) if offset + got != size => {
                Err(format!("RETR: got {got} bytes of {}", size - offset))
            }
            end => Ok(end),
        }
    }

    /// Lists the current directory; the number of entries, without the directory itself and its parent.
    pub async fn list(&mut self, verb: &str, buffer: &mut [u8]) -> Outcome<u64> {
        let (mut entries, mut line) = (0, Vec::new());
        let count = |_, part: &[u8]| {
            for piece in part.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece);
                if piece.ends_with(b"\n") {
                    entries += u64::from(is_entry(&String::from_utf8_lossy(&line)));
                    line.clear();
                }
            }
            Ok(())
        };
        self.receive(verb, buffer, None, count).await?;
        Ok(entries)
    }

    /// Sends `size` bytes, or fewer if the deadline comes first: the file then ends there in order.
    pub async fn upload(
        &mut self,
        path: &str,
        size: u64,
        deadline: Option<Instant>,
    ) -> Outcome<u64> {
        let stats = self.stats.clone();
        let Data { mut stream, .. } = self.open(&format!("STOR {path}"), None).await?;
        let mut sent = 0;
        let written = async {
            while sent < size && deadline.is_none_or(|at| Instant::now() < at) {
                let part = pattern::at(sent, CHUNK.min(size - sent) as usize);
                stream.write_all(part).await?;
                sent += part.len() as u64;
                stats.bytes.fetch_add(part.len() as u64, Relaxed);
            }
            stream.flush().await?;
            let last = Instant::now();
            stream.shutdown().await?;
            Ok::<_, std::io::Error>(last)
        };
        let last = match written.await {
            Ok(last) => last,
            Err(error) => {
                let why = format!("STOR: data write: {error}");
                return match timeout(Duration::from_secs(2), self.command("NOOP")).await {
                    Ok(Ok(reply)) => reply.expect(&why, &[]).map(|()| sent),
                    _ => Err(why),
                };
            }
        };
        // To close over bytes that were not read (session tickets) would reset the connection under the
        // server's reads.
        let rest = async {
            let mut rest = [0; 4096];
            let limit = Duration::from_secs(10);
            while let Ok(Ok(1..)) = timeout(limit, stream.read(&mut rest)).await {}
            drop(stream);
        };
        let reply = async {
            let reply = self.reply().await?;
            stats.wait(Wait::ByteToReply, last.elapsed());
            reply.expect("STOR", &[226, 250])
        };
        tokio::join!(rest, reply).1?;
        Ok(sent)
    }

    /// Reads no more than `rate` bytes a second, until the end or the deadline.
    pub async fn read_slowly(
        &mut self,
        command: &str,
        rate: u64,
        deadline: Instant,
    ) -> Outcome<End> {
        let Data { mut stream, .. } = self.open(command, Some(16 << 10)).await?;
        let mut buffer = vec![0; 64 << 10];
        let (begun, mut total) = (Instant::now(), 0);
        while Instant::now() < deadline {
            let allowed = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
            if total >= allowed {
                sleep(PAUSE).await;
                continue;
            }
            let most = buffer.len().min((allowed - total) as usize);
            let read = stream.read(&mut buffer[..most]).await;
            match read.map_err(|error| format!("slow: data read: {error}"))? {
                0 => {
                    let _ = stream.shutdown().await;
                    drop(stream);
                    self.reply().await?.expect("transfer", &[226, 250])?;
                    return Ok(End::Complete(total));
                }
                read => total += read as u64,
            }
        }
        Ok(End::Cut)
    }
}

/// Whether a line of MLSD or LIST is about something in the directory.
fn is_entry(line: &str) -> bool {
    let line = line.trim_end().to_ascii_lowercase();
    let other = ["type=cdir", "type=pdir"];
    !(line.is_empty()
        || other.iter().any(|fact| line.contains(fact))
        || line.starts_with("total ")
        || line.ends_with(" .")
        || line.ends_with(" .."))
}

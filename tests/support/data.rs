//! A data connection.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
};

use rustls::{ClientConnection, HandshakeKind, StreamOwned};

use super::{PATIENCE, Tls};

/// A data connection, protected or not.
pub enum Data {
    /// PROT C.
    Plain(TcpStream),
    /// PROT P.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Data {
    /// Does the handshake, in which the client is the TLS client also in active mode.
    pub fn tls(stream: TcpStream, tls: &Tls) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let connection = ClientConnection::new(tls.config.clone(), tls.name.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Whether the handshake was a full one.
    pub fn kind(&self) -> HandshakeKind {
        match self {
            Self::Tls(stream) => stream.conn.handshake_kind().unwrap(),
            Self::Plain(_) => panic!("there is no TLS"),
        }
    }

    /// Whether the session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.kind() == HandshakeKind::Resumed
    }

    /// The TCP connection.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Everything until the end, which must be a clean one.
    #[track_caller]
    pub fn receive(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)
            .expect("the data connection ends cleanly");
        bytes
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }

    /// The end of a file: close_notify, then FIN. The bytes that came meanwhile are not read, as
    /// many clients do it.
    pub fn finish(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            while stream.conn.wants_write() {
                stream.conn.write_tls(&mut stream.sock)?;
            }
        }
        self.socket().shutdown(Shutdown::Write)
    }

    /// Ends by FIN, without close_notify, as many clients do.
    pub fn fin(mut self) -> io::Result<()> {
        self.flush()?;
        self.socket().shutdown(Shutdown::Write)
    }

    /// Sends so many bytes of a further record, and FIN.
    pub fn cut_within_a_record(mut self, length: usize) -> io::Result<()> {
        self.flush()?;
        let Self::Tls(stream) = &mut self else {
            panic!("there is no TLS");
        };
        stream.conn.writer().write_all(&[7; 1000])?;
        let mut record = Vec::new();
        stream.conn.write_tls(&mut record)?;
        stream.sock.write_all(&record[..length])?;
        self.socket().shutdown(Shutdown::Write)
    }

    /// Ends within a record of TLS, as a lost connection does.
    pub fn cut(mut self) {
        if let Self::Tls(stream) = &mut self {
            let _ = stream.sock.write_all(&[0x17, 3, 3]);
        }
        let _ = self.socket().shutdown(Shutdown::Both);
    }

    /// Ends by a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(self.socket());
        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
    }
}

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Data {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Everything until the end of a TCP connection, clean or not.
pub fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

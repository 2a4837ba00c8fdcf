//! The control connection.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use rustls::{ClientConnection, HandshakeKind, StreamOwned};

use super::{Data, PATIENCE, Tls};

/// A client that does what it is told. Everything that it waits for has a limit.
pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    /// The TLS of data connections; that of the control connection, unless a test says otherwise.
    pub tls: Option<Tls>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

impl Client {
    /// Connects and reads the greeting.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Self::dial(address);
        client.reply().expect(220);
        client
    }

    /// Connects and reads nothing.
    #[track_caller]
    pub fn dial(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// Goes on with an open connection.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: Stream::Plain(stream),
            buffer: Vec::new(),
            tls: None,
        }
    }

    /// TLS from the first byte.
    #[track_caller]
    pub fn implicit(address: SocketAddr, tls: &Tls) -> Self {
        let mut client = Self::dial(address);
        client.handshake(tls).unwrap();
        client.tls = Some(tls.clone());
        client.reply().expect(220);
        client
    }

    /// AUTH TLS, and the handshake. Data connections then resume what this connection gets.
    #[track_caller]
    pub fn auth_tls(&mut self, tls: &Tls) {
        let tls = tls.apart();
        self.send("AUTH TLS").expect(234);
        self.handshake(&tls).unwrap();
        self.tls = Some(tls);
    }

    /// Speaks TLS from here on.
    pub fn handshake(&mut self, tls: &Tls) -> io::Result<()> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            panic!("it speaks TLS already");
        };
        let connection = ClientConnection::new(tls.config.clone(), tls.name.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    /// Ends TLS in order, each side with its close_notify, and goes on in the clear.
    #[track_caller]
    pub fn clear(&mut self) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            while tls.conn.wants_write() {
                tls.conn.write_tls(&mut tls.sock).unwrap();
            }
            assert_eq!(tls.read(&mut [0; 16]).expect("the server ends TLS, too"), 0);
        }
        self.clear_at_once();
    }

    /// Goes on in the clear without a word.
    pub fn clear_at_once(&mut self) {
        if let Stream::Tls(tls) = std::mem::replace(&mut self.stream, Stream::Gone) {
            self.stream = Stream::Plain(tls.sock);
        }
    }

    /// The TLS connection.
    pub fn connection(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Tls(stream) => &stream.conn,
            _ => panic!("there is no TLS"),
        }
    }

    /// The TCP connection.
    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
            Stream::Gone => panic!("the handshake failed"),
        }
    }

    /// USER and PASS; the password is the name.
    #[track_caller]
    pub fn login(&mut self, user: &str) {
        self.send(&format!("USER {user}")).expect(331);
        self.send(&format!("PASS {user}")).expect(230);
    }

    /// Sends one command and reads one reply.
    #[track_caller]
    pub fn send(&mut self, command: &str) -> Reply {
        self.write(format!("{command}\r\n"));
        let mut reply = self.reply();
        reply.to = command.into();
        reply
    }

    /// Sends bytes as they are, in one segment if they are few.
    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).unwrap();
    }

    /// Sends bytes as they are; the other side may have gone.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes.as_ref()),
            Stream::Tls(stream) => {
                stream.write_all(bytes.as_ref())?;
                stream.flush()
            }
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply()
            .unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next reply, if one comes before the connection ends.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let first = self.line()?;
        let mut lines = vec![first.clone()];
        let code = first.get(..3).and_then(|code| code.parse().ok());
        let code: u16 = code.unwrap_or_else(|| panic!("not a reply: {first:?}"));
        if first.as_bytes().get(3) == Some(&b'-') {
            let end = format!("{code} ");
            while !lines.last().unwrap().starts_with(&end) {
                lines.push(self.line()?);
            }
        } else {
            assert_eq!(
                first.as_bytes().get(3),
                Some(&b' '),
                "not a reply: {first:?}"
            );
        }
        Ok(Reply {
            code,
            lines,
            to: String::new(),
        })
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                assert!(
                    !line.iter().any(|byte| b"\r\n\0".contains(byte)),
                    "control bytes: {line:?}"
                );
                return Ok(String::from_utf8(line).expect("a reply is UTF-8"));
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut bytes)?,
            Stream::Tls(stream) => stream.read(&mut bytes)?,
            Stream::Gone => 0,
        };
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Ends the connection without a word of TLS, as the system does for a client that is killed.
    pub fn cut(self) {
        let _ = self.socket().shutdown(std::net::Shutdown::Both);
    }

    /// Waits for the end of the connection and returns what still came.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if timed_out(&error) => panic!("the connection stays open"),
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Asserts that nothing comes for a moment.
    #[track_caller]
    pub fn expect_silence(&mut self, moment: Duration) {
        self.socket().set_read_timeout(Some(moment)).unwrap();
        let outcome = self.fill();
        self.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        match outcome {
            Err(error) if timed_out(&error) => assert!(self.buffer.is_empty(), "{:?}", self.buffer),
            other => panic!("expected nothing, got {other:?}: {:?}", text(&self.buffer)),
        }
    }

    /// EPSV: where to connect to.
    #[track_caller]
    pub fn epsv(&mut self) -> SocketAddr {
        let reply = self.send("EPSV").expect(229);
        let inside = reply
            .text()
            .split("(|||")
            .nth(1)
            .and_then(|rest| rest.split("|)").next());
        let port = inside
            .unwrap_or_else(|| panic!("{reply:?}"))
            .parse()
            .unwrap();
        let mut address = self.socket().peer_addr().unwrap();
        address.set_port(port);
        address
    }

    /// PASV: where to connect to.
    #[track_caller]
    pub fn pasv(&mut self) -> SocketAddr {
        let reply = self.send("PASV").expect(227);
        let inside = reply
            .text()
            .split('(')
            .nth(1)
            .and_then(|rest| rest.split(')').next());
        let numbers: Vec<u8> = inside
            .unwrap()
            .split(',')
            .map(|number| number.parse().unwrap())
            .collect();
        let [a, b, c, d, high, low] = numbers[..] else {
            panic!("{reply:?}")
        };
        SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
    }

    /// EPRT with a listener of the client's.
    #[track_caller]
    pub fn eprt(&mut self) -> TcpListener {
        let mut own = self.socket().local_addr().unwrap();
        own.set_port(0);
        let listener = TcpListener::bind(own).unwrap();
        let own = own.ip();
        let family = if own.is_ipv4() { 1 } else { 2 };
        let port = listener.local_addr().unwrap().port();
        self.send(&format!("EPRT |{family}|{own}|{port}|"))
            .expect(200);
        listener
    }

    /// EPSV and the TCP connection.
    #[track_caller]
    pub fn open(&mut self) -> TcpStream {
        let address = self.epsv();
        connect(address)
    }

    /// Begins a transfer: EPSV, the command, 150, and TLS if there is any.
    #[track_caller]
    pub fn begin(&mut self, command: &str) -> Data {
        let stream = self.open();
        self.send(command).expect_one_of(&[125, 150]);
        self.protect(stream)
    }

    /// A data connection as PROT has been told.
    #[track_caller]
    pub fn protect(&self, stream: TcpStream) -> Data {
        match &self.tls {
            Some(tls) => Data::tls(stream, tls).unwrap(),
            None => Data::Plain(stream),
        }
    }

    /// A whole download or listing.
    #[track_caller]
    pub fn retrieve(&mut self, command: &str) -> Vec<u8> {
        let data = self.begin(command);
        let bytes = data.receive();
        self.reply().expect(226);
        bytes
    }

    /// A whole listing as text.
    #[track_caller]
    pub fn listing(&mut self, command: &str) -> String {
        String::from_utf8(self.retrieve(command)).unwrap()
    }

    /// A whole upload; the last reply, whatever it is.
    #[track_caller]
    pub fn store(&mut self, command: &str, bytes: &[u8]) -> Reply {
        let mut data = self.begin(command);
        // A verdict may come before the end, and with it the end of the connection.
        let _ = data.send(bytes);
        let _ = data.finish();
        let mut reply = self.reply();
        reply.to = command.into();
        reply
    }

    /// A whole upload whose data connection was set up by a full or resumed handshake.
    #[track_caller]
    pub fn handshake_kind_of(&mut self, command: &str) -> HandshakeKind {
        let data = self.begin(command);
        let kind = data.kind();
        data.receive();
        self.reply().expect(226);
        kind
    }

    /// The port pair's other name for logs.
    pub fn local(&self) -> SocketAddr {
        self.socket().local_addr().unwrap()
    }
}

/// A TCP connection with limits.
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn timed_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One reply, its lines without their ends.
#[derive(Debug)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// As they came.
    pub lines: Vec<String>,
    to: String,
}

impl Reply {
    /// Asserts the code.
    #[track_caller]
    pub fn expect(self, code: u16) -> Self {
        self.expect_one_of(&[code])
    }

    /// Asserts that the code is one of these.
    #[track_caller]
    pub fn expect_one_of(self, codes: &[u16]) -> Self {
        assert!(
            codes.contains(&self.code),
            "{:?}: expected {codes:?}, got {:?}",
            self.to,
            self.lines
        );
        self
    }

    /// Asserts a part of the text, in whatever case.
    #[track_caller]
    pub fn saying(self, part: &str) -> Self {
        let text = self.lines.join("\n").to_lowercase();
        assert!(
            text.contains(&part.to_lowercase()),
            "{:?}: no {part:?} in {:?}",
            self.to,
            self.lines
        );
        self
    }

    /// The last line without the code.
    pub fn text(&self) -> &str {
        &self.lines.last().unwrap()[4..]
    }
}

//! One FTP session: the control connection and its replies.

use std::{net::SocketAddr, sync::Arc};

use rustls::{HandshakeKind, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{stats::Stats, tls::Tls};

pub type Outcome<T> = Result<T, String>;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
pub type Connection = Box<dyn Stream>;

/// The server and the account.
#[derive(Clone)]
pub struct Target {
    pub addr: SocketAddr,
    pub user: String,
    pub password: String,
    pub tls: Option<Tls>,
    pub stats: Arc<Stats>,
}

pub struct Session {
    pub(crate) control: BufReader<Connection>,
    pub(crate) server: SocketAddr,
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(crate) stats: Arc<Stats>,
    /// The server does not know EPSV.
    no_epsv: bool,
}

pub struct Reply {
    code: u16,
    text: String,
}

impl Session {
    /// Connects, secures the control connection and logs in.
    pub async fn login(target: &Target) -> Outcome<Self> {
        let mut session = Self::connect(target).await?;
        let user = session.command(&format!("USER {}", target.user)).await?;
        if user.code != 230 {
            user.expect("USER", &[331])?;
            let password = format!("PASS {}", target.password);
            session.command(&password).await?.expect("PASS", &[230])?;
        }
        Ok(session)
    }

    /// Makes the session ready for transfers.
    pub async fn prepare(&mut self) -> Outcome<()> {
        if self.tls.is_some() {
            self.command("PBSZ 0").await?.expect("PBSZ", &[200])?;
            self.command("PROT P").await?.expect("PROT", &[200])?;
        }
        self.command("TYPE I").await?.expect("TYPE", &[200])
    }

    async fn connect(target: &Target) -> Outcome<Self> {
        let tcp = TcpStream::connect(target.addr).await;
        let tcp = tcp.map_err(|error| format!("connect: {error}"))?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let session = |stream: Connection, tls| Self {
            control: BufReader::with_capacity(1024, stream),
            server: target.addr,
            tls,
            stats: target.stats.clone(),
            no_epsv: false,
        };
        let Some(tls) = &target.tls else {
            let mut session = session(Box::new(tcp), None);
            session.reply().await?.expect("greeting", &[220])?;
            return Ok(session);
        };
        let mut plain = BufReader::with_capacity(1024, tcp);
        read_reply(&mut plain).await?.expect("greeting", &[220])?;
        let sent = plain.write_all(b"AUTH TLS\r\n").await;
        sent.map_err(|error| format!("AUTH: {error}"))?;
        read_reply(&mut plain).await?.expect("AUTH", &[234])?;
        if !plain.buffer().is_empty() {
            return Err("AUTH: data before the TLS handshake".into());
        }
        let connector = TlsConnector::from(tls.session());
        let stream = connector
            .connect(tls.name.clone(), plain.into_inner())
            .await;
        let stream = stream.map_err(|error| format!("control TLS: {error}"))?;
        let connection = stream.get_ref().1;
        target.stats.tls(format!(
            "{:?} {:?} {:?}{}",
            connection.protocol_version().unwrap(),
            connection.negotiated_cipher_suite().unwrap().suite(),
            connection.negotiated_key_exchange_group().unwrap().name(),
            match connection.handshake_kind() {
                Some(HandshakeKind::Resumed) => " resumed",
                Some(HandshakeKind::FullWithHelloRetryRequest) => " HelloRetryRequest",
                _ => "",
            },
        ));
        Ok(session(
            Box::new(stream),
            Some((connector, tls.name.clone())),
        ))
    }

    pub async fn send(&mut self, line: &str) -> Outcome<()> {
        let stream = self.control.get_mut();
        let sent = async {
            stream.write_all(format!("{line}\r\n").as_bytes()).await?;
            stream.flush().await
        };
        let verb = line.split(' ').next().unwrap_or_default();
        sent.await.map_err(|error| format!("{verb}: {error}"))
    }

    pub async fn reply(&mut self) -> Outcome<Reply> {
        read_reply(&mut self.control).await
    }

    pub async fn command(&mut self, line: &str) -> Outcome<Reply> {
        self.send(line).await?;
        self.reply().await
    }

    /// Sends a line and expects one of these replies.
    pub async fn ask(&mut self, line: &str, codes: &[u16]) -> Outcome<()> {
        let verb = line.split(' ').next().unwrap_or_default();
        self.command(line).await?.expect(verb, codes)
    }

    pub async fn quit(mut self) -> Outcome<()> {
        self.ask("QUIT", &[221]).await?;
        // A clean end: close_notify, then the connection.
        let _ = self.control.get_mut().shutdown().await;
        Ok(())
    }

    /// Where the next data connection goes to.
    pub async fn passive(&mut self) -> Outcome<SocketAddr> {
        if !self.no_epsv {
            let reply = self.command("EPSV").await?;
            if reply.code == 229 {
                let port = reply
                    .text
                    .split('|')
                    .nth(3)
                    .and_then(|port| port.parse().ok());
                let port = port.ok_or_else(|| format!("EPSV: {}", reply.text))?;
                return Ok(SocketAddr::new(self.server.ip(), port));
            }
            if reply.code < 500 {
                return Err(format!("EPSV: {} {}", reply.code, reply.text));
            }
            self.no_epsv = true;
        }
        let reply = self.command("PASV").await?;
        let wrong = format!("PASV: {} {}", reply.code, reply.text);
        reply.expect("PASV", &[227])?;
        let (_, numbers) = wrong.split_once('(').ok_or(wrong.clone())?;
        let numbers: Vec<u16> = numbers
            .split(|letter: char| !letter.is_ascii_digit())
            .take(6)
            .filter_map(|number| number.parse().ok())
            .collect();
        match numbers[..] {
            [_, _, _, _, high @ ..256, low @ ..256] => {
                Ok(SocketAddr::new(self.server.ip(), (high << 8) | low))
            }
            _ => Err(wrong),
        }
    }
}

impl Reply {
    pub fn expect(&self, verb: &str, codes: &[u16]) -> Outcome<()> {
        if codes.contains(&self.code) {
            Ok(())
        } else {
            Err(format!("{verb}: {} {}", self.code, self.text))
        }
    }

    pub fn preliminary(&self, verb: &str) -> Outcome<()> {
        match self.code {
            100..200 => Ok(()),
            _ => Err(format!("{verb}: {} {}", self.code, self.text)),
        }
    }
}

pub async fn read_reply(from: &mut (impl AsyncBufReadExt + Unpin)) -> Outcome<Reply> {
    let mut begun: Option<u16> = None;
    let mut line = String::new();
    loop {
        line.clear();
        match from.read_line(&mut line).await {
            Ok(0) => return Err("control connection closed".into()),
            Ok(_) => {}
            Err(error) => return Err(format!("control read: {error}")),
        }
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        let last = line.as_bytes().get(3) != Some(&b'-');
        match (begun, code) {
            (None, None) => return Err(format!("not a reply: {}", line.trim_end())),
            (_, Some(code)) if last && begun.is_none_or(|begun| begun == code) => {
                let text = line[3..].trim().into();
                return Ok(Reply { code, text });
            }
            (None, Some(code)) => begun = Some(code),
            _ => {}
        }
    }
}

//! Sessions in memory: a control connection that is no socket, accounts that are a table, and files in
//! a directory of their own. For tests, and for a fuzzer.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs as crypto,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Origin, Session, Shutdown,
    generation::Generation,
    host::{Hosts, VirtualHost},
    users::Users,
    wire::Wire,
};
use crate::{
    config::{self, Config, Listener},
    data::rate::Rate,
    fair::Turns,
    ftp::path::VirtualPath,
    gate::{
        Account, Fault, Gates, Named, SessionInfo,
        authentication::{Authenticator, Credentials, Outcome},
        event::{Observer, Observers},
        grounds::Reads,
        listeners::Listeners,
    },
    spool::Storage,
    startup::Startup,
    tls::{Tls, self_signed},
    types::{BoxFuture, HostId, OnFailure, TlsStart},
};

/// Bytes that each direction of a control connection holds.
const BUFFER: usize = 64 << 10;
/// How long a client of [`converse`] waits for a session that does not read.
const SILENCE: Duration = Duration::from_secs(3600);

/// A server without sockets, plugins and processes.
pub struct Harness {
    /// The generation of new sessions.
    pub generation: Arc<Generation>,
    /// Ends sessions as SIGTERM does.
    pub shutdown: watch::Sender<Shutdown>,
    /// Where its files are.
    pub directory: TempDir,
    /// The terms of the listener that clients come by.
    pub listener: Listener,
    sessions: AtomicU64,
}

/// A virtual host to be.
pub struct HostSetup {
    /// Its keys.
    pub config: config::Host,
    /// Passwords and accounts by name.
    pub accounts: HashMap<String, (String, Account)>,
    /// Further members of its chains, behind the accounts.
    pub gates: Gates,
    /// The observers of events, besides the listeners of `gates`.
    pub observers: Vec<Arc<dyn Observer>>,
}

impl HostSetup {
    /// One named `id` with the keys of `config`. It knows alice, whose password is "secret" and whose
    /// home is /alice.
    ///
    /// # Errors
    /// None in practice: the home is a constant.
    pub fn new(id: &str, config: &Config) -> io::Result<Self> {
        let (mut host, _) = config.hosts();
        host.id = HostId::named(id);
        let mut setup = Self {
            config: host,
            accounts: HashMap::new(),
            gates: Gates::default(),
            observers: Vec::new(),
        };
        setup.add("alice", "secret")?;
        Ok(setup)
    }

    /// One more user, whose home has the user's name.
    ///
    /// # Errors
    /// When no directory can have that name.
    pub fn add(&mut self, user: &str, password: &str) -> io::Result<&mut Account> {
        let home = VirtualPath::parse(user, &VirtualPath::root())
            .map_err(|_| io::Error::other("no name of a home"))?;
        let entry = (password.to_owned(), Account::new(home));
        let entry = self.accounts.entry(user.to_owned()).insert_entry(entry);
        Ok(&mut entry.into_mut().1)
    }
}

impl Harness {
    /// With one host, and a configuration that `change` has changed. TLS is not required.
    ///
    /// # Errors
    /// Of the temporary directory.
    pub fn new(change: impl FnOnce(&mut Config)) -> io::Result<Self> {
        Self::with_hosts(change, |config| Ok(vec![HostSetup::new("", config)?]))
    }

    /// With these hosts, the default one first.
    ///
    /// # Errors
    /// Of the temporary directory.
    pub fn with_hosts(
        change: impl FnOnce(&mut Config),
        hosts: impl FnOnce(&Config) -> io::Result<Vec<HostSetup>>,
    ) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut config = Config::default();
        config.server.state = directory.path().to_owned();
        config.tls.required = false;
        config.tls.data_required = false;
        change(&mut config);
        for storage in config.storage.values_mut() {
            storage.root = directory.path().join("files");
            storage.durability = crate::types::Durability::None;
        }
        let startup = Startup::real();
        let mut storages: BTreeMap<String, Arc<Storage>> = BTreeMap::new();
        for (name, storage) in &config.storage {
            let opened = Storage::open(name, storage, directory.path(), &startup);
            let opened = opened.map_err(|error| io::Error::other(error.text))?;
            storages.insert(name.clone(), Arc::new(opened));
        }
        let mut built = Vec::new();
        for setup in hosts(&config)? {
            built.push(Arc::new(build(setup, &directory, &storages)?));
        }
        let mut built = built.into_iter();
        let default = built.next().ok_or(io::ErrorKind::InvalidInput)?;
        let hosts = Hosts::new(default, built.collect());
        let listener = config
            .listeners()
            .next()
            .ok_or(io::ErrorKind::InvalidInput)?;
        let limits = &config.limits;
        let logins = Turns::new(limits.concurrent_logins, limits.waiting_logins);
        let generation = Generation::new(
            config,
            hosts,
            Arc::<Users>::default(),
            logins,
            Arc::default(),
            Arc::default(),
        );
        Ok(Self {
            generation: Arc::new(generation),
            shutdown: watch::Sender::new(Shutdown::None),
            listener,
            directory,
            sessions: AtomicU64::new(1),
        })
    }

    /// The directory that alice sees as "/".
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.directory.path().join("files/alice")
    }

    /// A client that has connected; the greeting has not been read.
    #[must_use]
    pub fn connect(&self) -> Client {
        let (client, task) = self.spawn(false);
        Client::new(client, task)
    }

    /// One that begins with TLS, and names `sni`.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect_implicit(&self, sni: Option<&str>) -> io::Result<Client> {
        let (client, task) = self.spawn(true);
        let mut client = Client::new(client, task);
        client.begin_tls(sni, false).await?;
        Ok(client)
    }

    fn spawn(&self, implicit: bool) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(BUFFER);
        let number = self.sessions.fetch_add(1, Relaxed);
        let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let mut listener = self.listener.clone();
        listener.tls = match implicit {
            true => TlsStart::Implicit,
            false => TlsStart::Explicit,
        };
        let origin = Origin {
            id: format!("{number:x}").into(),
            client: address(40_000),
            server: address(21),
            local: address(21),
            listener: Arc::new(listener),
        };
        let wire = Wire::new(server);
        let generation = self.generation.clone();
        let session = Session::new(generation, wire, origin, self.shutdown.subscribe());
        (client, tokio::spawn(Box::new(session).run()))
    }
}

fn build(
    setup: HostSetup,
    directory: &TempDir,
    storages: &BTreeMap<String, Arc<Storage>>,
) -> io::Result<VirtualHost> {
    let HostSetup {
        mut config,
        accounts,
        mut gates,
        mut observers,
    } = setup;
    let (certificate, key) = self_signed::ensure(&directory.path().join("tls"))?;
    (config.tls.certificate, config.tls.key) = (vec![certificate], vec![key]);
    let tls = Tls::new(&config.tls, &config.keys).map_err(io::Error::other)?;
    gates.authenticators.push(Named {
        name: "accounts".into(),
        on_failure: OnFailure::Deny,
        gate: Arc::new(Table(accounts)),
    });
    let (ended, _) = mpsc::channel(1);
    observers.push(Arc::new(Listeners::start(&gates.listeners, 1000, &ended)));
    let together = config.together;
    Ok(VirtualHost {
        upload_rate: Rate::new(together.upload_rate).map(Arc::new),
        download_rate: Rate::new(together.download_rate).map(Arc::new),
        observers: Observers::new(observers),
        storages: storages.clone(),
        config,
        tls,
        gates,
    })
}

/// Passwords and accounts by name.
struct Table(HashMap<String, (String, Account)>);

impl Authenticator for Table {
    fn ask(
        &self,
        _: Arc<SessionInfo>,
        credentials: Credentials,
    ) -> BoxFuture<'_, Result<(Outcome, Reads), Fault>> {
        let known = self.0.get(&credentials.user);
        let given = credentials.password.as_ref();
        let outcome = match (known, given) {
            (None, _) => Outcome::Abstain,
            (Some((password, account)), Some(given)) if given.expose() == password => {
                Outcome::Accept(Box::new(account.clone()))
            }
            (Some(_), _) => Outcome::Deny("wrong password".into()),
        };
        Box::pin(std::future::ready(Ok((outcome, Reads::default()))))
    }

    fn change(&self, _: &Reads) -> Option<String> {
        None
    }

    fn follow(&self) -> BoxFuture<'_, u64> {
        Box::pin(std::future::ready(0))
    }
}

/// The client's end of a session.
pub struct Client {
    stream: Stream,
    task: JoinHandle<()>,
}

enum Stream {
    Plain(DuplexStream),
    Tls(Box<TlsStream<DuplexStream>>),
    Gone,
}

impl Client {
    fn new(stream: DuplexStream, task: JoinHandle<()>) -> Self {
        Self {
            stream: Stream::Plain(stream),
            task,
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The next reply, all of its lines; empty when the session has ended.
    ///
    /// # Errors
    /// Of TLS.
    pub async fn reply(&mut self) -> io::Result<String> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            let is_last = line.as_bytes().get(3) == Some(&b' ')
                && line.get(..3) == text.get(..3).or(line.get(..3));
            let ended = line.is_empty();
            text += &line;
            if is_last || ended {
                return Ok(text.trim_end().to_owned());
            }
        }
    }

    /// Sends a line, and gives the reply.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn send(&mut self, line: &str) -> io::Result<String> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// Reads until the end of the session.
    ///
    /// # Errors
    /// Of TLS.
    pub async fn rest(&mut self) -> io::Result<String> {
        let mut text = String::new();
        loop {
            match self.line().await {
                Ok(line) if line.is_empty() => return Ok(text),
                // A session that has enough need not take leave of TLS.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(text),
                line => text += &line?,
            }
        }
    }

    /// Closes the connection, and waits for the end of the session.
    pub async fn close(self) {
        drop(self.stream);
        let _ = self.task.await;
    }

    /// AUTH TLS with this server name; all versions, or TLS 1.2 alone.
    ///
    /// # Errors
    /// When the server refuses, or the handshake fails.
    pub async fn auth(&mut self, sni: Option<&str>, old: bool) -> io::Result<()> {
        let reply = self.send("AUTH TLS").await?;
        if !reply.starts_with("234") {
            return Err(io::Error::other(reply));
        }
        self.begin_tls(sni, old).await
    }

    async fn begin_tls(&mut self, sni: Option<&str>, old: bool) -> io::Result<()> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::other("TLS is on"));
        };
        let versions = match old {
            true => &[&TLS12][..],
            false => &[&TLS13, &TLS12][..],
        };
        let provider = Arc::new(crypto::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting))
            .with_no_client_auth();
        config.enable_sni = sni.is_some();
        let name = ServerName::try_from(sni.unwrap_or("localhost").to_owned());
        let name = name.map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        self.stream = Stream::Tls(Box::new(connector.connect(name, stream).await?));
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        match &mut self.stream {
            Stream::Plain(stream) => line(stream).await,
            Stream::Tls(stream) => line(stream).await,
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

async fn line(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && line.is_empty() => break,
            Err(error) => return Err(error),
        }
        if line.last() == Some(&b'\n') {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// A whole session from bytes that nobody has thought of: the first byte says how it begins, the rest
/// is what the client sends, in pieces that end at each byte 255. Returns all that the server has said.
///
/// The clock of the runtime must be one that does not wait.
///
/// # Errors
/// For people: where the session says what is no reply, or panics.
pub async fn converse(input: &[u8]) -> Result<String, String> {
    let told = |error: io::Error| error.to_string();
    let harness = Harness::new(|config| config.data.active = false).map_err(told)?;
    let (begin, rest) = input.split_first().unwrap_or((&0, &[]));
    let mut client = match begin & 2 {
        0 => harness.connect(),
        _ => harness.connect_implicit(None).await.map_err(told)?,
    };
    let home = harness.home();
    let made = std::fs::create_dir_all(home.join("b"));
    made.and_then(|()| std::fs::write(home.join("a"), [7; 1000]))
        .map_err(told)?;
    let mut said = client.reply().await.map_err(told)? + "\r\n";
    if begin & 1 == 1 {
        for line in ["USER alice", "PASS secret"] {
            said += &client.send(line).await.map_err(told)?;
            said += "\r\n";
        }
    }
    for piece in rest.split(|byte| *byte == 255) {
        // It may have had enough by now.
        let sent = tokio::time::timeout(SILENCE, client.write(piece)).await;
        if sent.is_err() || sent.is_ok_and(|sent| sent.is_err()) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let _ = tokio::time::timeout(SILENCE, client.write(b"\r\nQUIT\r\n")).await;
    said += &client.rest().await.map_err(told)?;
    client.close().await;
    match said
        .split_terminator("\r\n")
        .find(|line| !is_of_reply(line))
    {
        Some(line) => Err(format!("{line:?} is no line of a reply")),
        None => Ok(said),
    }
}

/// Whether it may be a line of a reply (RFC 959 §4.2): with a code, or between the first line and the last
/// one of several.
fn is_of_reply(line: &str) -> bool {
    let code = line.get(..3).unwrap_or_default();
    let is_code = code.starts_with(['1', '2', '3', '4', '5'])
        && code.bytes().all(|byte| byte.is_ascii_digit());
    (is_code && matches!(line.as_bytes().get(3), Some(b' ' | b'-')) || line.starts_with(' '))
        && !line.contains("Internal error")
}

/// Takes any certificate: these clients test the session.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

//! The control socket, in the state directory: what `portcullis reload` and `status` talk to, in HTTP
//! ([`admin`]).
//!
//! Every process that can reach the socket owns the server: the directory and the socket are for the
//! owner alone.

use std::{
    fs, io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{runtime, time::timeout};

use super::{
    Running,
    admin::{
        self,
        messages::{Failed, Status},
    },
    handover,
};
use crate::{
    config::Loaded,
    startup::{RunningServer, Startup},
    types::access::{Wanted, explain},
};

/// The socket's name in the state directory.
const SOCKET: &str = "control.sock";
/// How long a trial waits for the running server, which may be reloading.
const TRIAL: Duration = Duration::from_secs(30);

/// Where the socket of a state directory is.
#[must_use]
pub fn socket(state: &Path) -> PathBuf {
    state.join(SOCKET)
}

/// Whether a server runs with this state directory.
#[must_use]
pub fn runs(state: &Path) -> bool {
    Short::new(state, SOCKET).is_ok_and(|short| UnixStream::connect(&short.path).is_ok())
}

/// The error where another server runs.
fn taken(path: &Path, status: Option<&Status>) -> io::Error {
    let which = match status {
        Some(status) => {
            let file = status.configuration.as_deref();
            let file = file.map_or("the defaults".to_owned(), |file| file.display().to_string());
            format!(", process {}, with {file}", status.pid)
        }
        None => String::new(),
    };
    io::Error::other(format!(
        "another server runs with this state directory ({} answers){which}",
        path.display()
    ))
}

/// Notes what the server has that runs with this state directory, if it is one of this very
/// configuration.
fn found(loaded: &Loaded, startup: &Startup, path: &Path) -> io::Result<()> {
    let state = &loaded.config.server.state;
    let asked = ask_within(state, Method::GET, "/status", None::<&()>, Some(TRIAL));
    let status: Status = match asked {
        Ok(status) => status,
        Err(AskError::Refused(_)) => return Err(taken(path, None)),
        Err(AskError::Silent(error)) => {
            let text = format!(
                "the server that runs with this state directory does not say how it is: {error}"
            );
            return Err(io::Error::new(error.kind(), text));
        }
    };
    // By whatever way each was named.
    let real = |file: &Option<PathBuf>| {
        let file = file.as_deref()?;
        Some(fs::canonicalize(file).unwrap_or_else(|_| file.to_owned()))
    };
    if real(&status.configuration) != real(&loaded.file) {
        return Err(taken(path, Some(&status)));
    }
    startup.found(RunningServer {
        process: status.pid,
        user: fs::metadata(path).ok().map(|facts| facts.uid()),
        listening: {
            let listening = status.listening.iter().map(|one| one.address);
            listening
                .chain(status.admin)
                .chain(status.metrics)
                .collect()
        },
        staging: status.staging.clone(),
        state_file: status.state_file.clone(),
    });
    Ok(())
}

/// The listening sockets.
pub(super) struct Control {
    socket: UnixListener,
    /// For a server that takes over.
    pub(super) handover: UnixListener,
}

/// Listens in the place of what a server left that was killed.
fn bind(path: &Path, short: &Short) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&short.path)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Removes the sockets, at the end of the server.
pub(super) fn remove(running: &Running) {
    let state = running.first.server.state.clone();
    let removed = running.confinement.loader.run(move || {
        let _ = fs::remove_file(state.join(handover::SOCKET));
        fs::remove_file(socket(&state))
    });
    if let Err(error) = removed.and_then(|removed| removed) {
        tracing::debug!(%error, "the control socket stays, though nobody answers");
    }
}

impl Control {
    /// Listens in the state directory. A trial only finds out whether it could, or whether a server
    /// of this configuration runs.
    ///
    /// # Errors
    /// When another server does so already, or the system refuses.
    pub(super) fn listen(loaded: &Loaded, startup: &Startup) -> io::Result<Option<Self>> {
        let state = &loaded.config.server.state;
        let path = socket(state);
        let about = |error: io::Error| {
            let error = explain(error, &path, Wanted::Make);
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        let short = Short::new(state, SOCKET)
            .map_err(|error| explain(error, state, Wanted::Enter))
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", state.display()))
            })?;
        if UnixStream::connect(&short.path).is_ok() {
            return match startup.is_trial() {
                true => found(loaded, startup, &path).map(|()| None),
                false => Err(taken(&path, None)),
            };
        }
        if startup.is_trial() {
            // The start removes what a server left that was killed.
            match fs::symlink_metadata(&path) {
                Ok(facts) if facts.is_dir() => return Err(about(Errno::ISDIR.into())),
                _ => {}
            }
            return startup.try_to_make(&path).map(|()| None).map_err(about);
        }
        let socket = bind(&path, &short).map_err(about)?;
        let handover = Short::new(state, handover::SOCKET)
            .and_then(|short| bind(&state.join(handover::SOCKET), &short))
            .map_err(about)?;
        Ok(Some(Self { socket, handover }))
    }

    /// Answers until it is aborted.
    pub(super) async fn serve(self, running: Arc<Running>) {
        let socket = self.socket.try_clone();
        let socket = match socket.and_then(tokio::net::UnixListener::from_std) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%error, "the control socket"),
        };
        let router = admin::router(running);
        loop {
            match socket.accept().await {
                Ok((stream, _)) => {
                    let router = router.clone();
                    tokio::spawn(async move {
                        if let Err(error) = admin::serve(stream, router).await {
                            tracing::debug!(%error, "a request on the control socket");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// An answer that says no.
#[derive(Debug)]
pub enum AskError {
    /// None answers, or not so that it could be understood.
    Silent(io::Error),
    /// The server says no; for people.
    Refused(String),
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        Self::Silent(error)
    }
}

/// Asks the server that runs with this state directory: `path` is behind [`admin::PREFIX`]. Waits for as
/// long as the answer takes.
///
/// # Errors
/// When none answers, or it says no.
pub fn ask<T: DeserializeOwned>(
    state: &Path,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, AskError> {
    ask_within(state, method, path, body, None)
}

fn ask_within<T: DeserializeOwned>(
    state: &Path,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
    limit: Option<Duration>,
) -> Result<T, AskError> {
    let short = Short::new(state, SOCKET)?;
    let stream = UnixStream::connect(&short.path)?;
    stream.set_nonblocking(true)?;
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(format!("{}{path}", admin::PREFIX))
        .header(HOST, "localhost");
    let body = match body {
        None => Bytes::new(),
        Some(body) => {
            request = request.header(CONTENT_TYPE, "application/json");
            serde_json::to_vec(body).map_err(io::Error::other)?.into()
        }
    };
    let request = request.body(Full::new(body)).map_err(io::Error::other)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let exchanged = exchange(stream, request);
        let (status, bytes) = match limit {
            None => exchanged.await?,
            Some(limit) => timeout(limit, exchanged)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer came in time"))??,
        };
        if status.is_success() {
            return Ok(serde_json::from_slice(&bytes).map_err(io::Error::other)?);
        }
        let failed: Failed = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        Err(AskError::Refused(failed.error))
    })
}

async fn exchange(
    stream: UnixStream,
    request: hyper::Request<Full<Bytes>>,
) -> io::Result<(StatusCode, Bytes)> {
    let stream = TokioIo::new(tokio::net::UnixStream::from_std(stream)?);
    let handshake = hyper::client::conn::http1::handshake(stream).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?;
        drop(sender);
        Ok::<_, hyper::Error>((status, body.to_bytes()))
    };
    let (answered, _) = tokio::join!(answered, connection);
    answered.map_err(io::Error::other)
}

/// A name for the socket that is short enough: the address of a socket has 107 bytes.
pub(super) struct Short {
    pub(super) path: PathBuf,
    _directory: fs::File,
}

impl Short {
    pub(super) fn new(state: &Path, name: &str) -> io::Result<Self> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let directory = fs::OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(state)?;
        let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
        Ok(Self {
            path: path.into(),
            _directory: directory,
        })
    }
}

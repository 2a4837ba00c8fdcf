//! The control socket, in the state directory: what `portcullis reload` and `status` talk to.
//!
//! One request and one answer for each connection, a JSON object in one line. Every process that
//! can reach the socket owns the server: the directory and the socket are for the owner alone.

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
    time::{Duration, SystemTime},
};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

pub use super::generations::GenerationUse;
use super::{Listening, Running};
use crate::{
    config::Loaded,
    confine::Wall,
    gate::health::Snapshot,
    plugin::Taken,
    spool::QuarantinedUpload,
    startup::{RunningServer, Startup},
    types::access::{Wanted, explain},
};

/// The socket's name in the state directory.
const SOCKET: &str = "control.sock";
/// The longest request.
const REQUEST: u64 = 4096;
/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a trial waits for the running server, which may be reloading.
const TRIAL: Duration = Duration::from_secs(30);

/// Where the socket of a state directory is.
#[must_use]
pub fn socket(state: &Path) -> PathBuf {
    state.join(SOCKET)
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "request")]
pub enum Request {
    /// Read everything again.
    Reload,
    /// Say how things are.
    Status,
    /// Say what is in quarantine.
    Quarantined,
    /// Publish an upload from quarantine.
    Release {
        /// Its name there.
        id: String,
        /// Also in place of a file that has come to be under its name since.
        replace: bool,
    },
    /// Remove an upload from quarantine for good.
    Discard {
        /// Its name there.
        id: String,
    },
    /// Say how much plugins keep.
    States,
    /// Forget what a plugin keeps.
    ClearState {
        /// Its name.
        plugin: String,
        /// One key; all of them otherwise.
        key: Option<String>,
    },
    /// Do what an intruder would do.
    #[cfg(feature = "misbehave")]
    Misbehave {
        /// The deed, and what it is done to.
        deed: Vec<String>,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Answer {
    /// It was done; in a line for people.
    Done {
        /// The result.
        text: String,
    },
    /// It was not; in lines for people.
    Failed {
        /// Why.
        text: String,
    },
    /// How things are.
    Status(Box<Status>),
    /// The uploads in quarantine, the oldest first.
    Quarantined {
        /// All of it.
        uploads: Vec<QuarantinedUpload>,
    },
    /// How much plugins keep.
    States {
        /// By their names.
        plugins: Vec<KeptState>,
    },
}

/// How much a plugin keeps in `state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeptState {
    /// The plugin's name.
    pub plugin: String,
    /// Keys.
    pub keys: usize,
    /// Bytes, as `limits.state` counts them.
    pub bytes: u64,
    /// `limits.state`.
    pub limit: u64,
    /// Values for which there was no room, since the start.
    pub refused: u64,
    /// Counters that gave way to others, since the start.
    pub gave_way: u64,
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The server's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// Seconds since its configuration was loaded.
    pub loaded: u64,
    /// The configuration file, if there is one.
    pub configuration: Option<PathBuf>,
    /// Where it listens.
    pub listening: Vec<Listening>,
    /// Control connections.
    pub sessions: usize,
    /// The configurations that sessions use, the newest first: a session keeps the one that it
    /// began with.
    #[serde(default)]
    pub generations: Vec<GenerationUse>,
    /// In the configuration's order.
    pub plugins: Vec<Plugin>,
    /// Instances of all plugins.
    #[serde(default)]
    pub instances: Option<Taken>,
    /// Broken uploads that wait to be resumed, by storage, the newest first.
    pub uploads: Vec<Broken>,
    /// Why what plugins keep is not written to `[state] file`, as long as that is so.
    #[serde(default)]
    pub state_error: Option<String>,
    /// Seconds since then.
    #[serde(default)]
    pub state_error_age: Option<u64>,
    /// Where what plugins keep is written to, if it is.
    #[serde(default)]
    pub state_file: Option<PathBuf>,
    /// The directories that uploads wait in, links resolved.
    #[serde(default)]
    pub staging: Vec<PathBuf>,
    /// The walls around the process.
    #[serde(default)]
    pub walls: Vec<Wall>,
}

/// A broken upload that waits to be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Broken {
    /// The storage's name.
    pub storage: String,
    /// The user that sent it; unknown of a small one that the server's own end broke off.
    pub user: Option<String>,
    /// Where it was to be seen, from the storage's root on.
    pub path: Option<String>,
    /// Bytes that have arrived.
    pub size: u64,
    /// Seconds since the last of them did.
    pub age: u64,
}

/// The health of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// False when it faults again and again.
    pub healthy: bool,
    /// Calls that ended, well or not.
    pub calls: u64,
    /// Those of them that were faults.
    pub faults: u64,
    /// Computing time of all calls, in seconds.
    pub cpu: f64,
    /// The last fault: its kind and its text.
    pub last_fault: Option<String>,
    /// Seconds since then.
    pub last_fault_age: Option<u64>,
}

impl From<Snapshot> for Plugin {
    fn from(snapshot: Snapshot) -> Self {
        let last = snapshot.last_fault.as_ref();
        Self {
            name: snapshot.plugin.as_ref().into(),
            healthy: !snapshot.unhealthy,
            calls: snapshot.calls,
            faults: snapshot.faults,
            cpu: snapshot.cpu.as_secs_f64(),
            last_fault: last.map(|(_, fault)| format!("{}: {}", fault.kind, fault.text)),
            last_fault_age: last.map(|(when, _)| seconds_since(*when)),
        }
    }
}

pub(super) fn seconds_since(time: SystemTime) -> u64 {
    time.elapsed().unwrap_or_default().as_secs()
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
    let status = match ask_within(state, Request::Status, Some(TRIAL)) {
        Ok(Answer::Status(status)) => status,
        Ok(_) => return Err(taken(path, None)),
        Err(error) => {
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
        listening: status.listening.iter().map(|one| one.address).collect(),
        staging: status.staging.clone(),
        state_file: status.state_file.clone(),
    });
    Ok(())
}

/// The listening socket.
pub(super) struct Control {
    socket: UnixListener,
}

/// Removes the socket, at the end of the server.
pub(super) fn remove(running: &Running) {
    let path = socket(&running.first.server.state);
    let removed = running
        .confinement
        .loader
        .run(move || fs::remove_file(path));
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
        let short = Short::new(state)
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
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(about(error)),
            _ => {}
        }
        let socket = UnixListener::bind(&short.path).map_err(about)?;
        socket.set_nonblocking(true).map_err(about)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(about)?;
        Ok(Some(Self { socket }))
    }

    /// Answers until it is aborted.
    pub(super) async fn serve(self, running: Arc<Running>) {
        let socket = self.socket.try_clone();
        let socket = match socket.and_then(tokio::net::UnixListener::from_std) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%error, "the control socket"),
        };
        loop {
            match socket.accept().await {
                Ok((stream, _)) => {
                    let running = running.clone();
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, &running).await {
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

async fn answer(mut stream: tokio::net::UnixStream, running: &Arc<Running>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(REQUEST));
    timeout(PATIENCE, read.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(Request::Reload) => match running.reload("the control socket").await {
            Ok(text) => Answer::Done { text },
            Err(text) => Answer::Failed { text },
        },
        Ok(Request::Status) => Answer::Status(Box::new(running.status().await)),
        Ok(Request::States) => running.states(),
        Ok(Request::ClearState { plugin, key }) => running.clear_state(&plugin, key.as_deref()),
        #[cfg(feature = "misbehave")]
        Ok(Request::Misbehave { deed }) => super::misbehave::answer(&deed),
        Ok(request) => running.quarantine(request).await,
        Err(error) => Answer::Failed {
            text: format!("the request is not understood: {error}"),
        },
    };
    let mut line = serde_json::to_string(&answer).map_err(io::Error::other)?;
    line.push('\n');
    timeout(PATIENCE, write.write_all(line.as_bytes())).await?
}

impl Running {
    async fn status(&self) -> Status {
        let current = self.current.lock().await;
        let generation = self.acceptor.generation();
        let health = generation
            .iter()
            .flat_map(|generation| generation.hosts.iter());
        let health: Vec<_> = health.flat_map(|host| &host.gates.health).collect();
        let (state_error_age, state_error) = self.resources.host().state_error().unzip();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime: seconds_since(self.started),
            loaded: seconds_since(current.since),
            configuration: current.loaded.file.clone(),
            listening: current
                .listeners
                .iter()
                .map(|serving| serving.listening)
                .collect(),
            sessions: self.acceptor.admission.sessions(),
            generations: self.generations.used(generation.as_ref()),
            instances: Some(self.resources.host().instances()),
            plugins: health
                .iter()
                .map(|health| health.snapshot().into())
                .collect(),
            uploads: self.broken_uploads(),
            state_error,
            state_error_age: state_error_age.map(seconds_since),
            state_file: self.first.state.file.clone(),
            staging: self
                .resources
                .storages()
                .iter()
                .map(|(_, (_, storage))| storage.staging().to_owned())
                .collect(),
            walls: self.confinement.walls.clone(),
        }
    }

    fn states(&self) -> Answer {
        let states = self.resources.host().states().into_iter();
        let plugins = states.map(|(plugin, kept)| KeptState {
            plugin,
            keys: kept.keys,
            bytes: kept.bytes,
            limit: kept.limit,
            refused: kept.refused,
            gave_way: kept.gave_way,
        });
        Answer::States {
            plugins: plugins.collect(),
        }
    }

    fn clear_state(&self, plugin: &str, key: Option<&str>) -> Answer {
        let Some(keys) = self.resources.host().clear_state(plugin, key) else {
            let text = format!("there is no plugin {plugin:?}");
            return Answer::Failed { text };
        };
        tracing::info!(plugin, keys, "state is cleared, by the control socket");
        match (key, keys) {
            (Some(key), 0) => Answer::Failed {
                text: format!("{plugin} keeps nothing under {key:?}"),
            },
            (_, 1) => Answer::Done {
                text: format!("cleared: 1 key of {plugin}"),
            },
            (_, keys) => Answer::Done {
                text: format!("cleared: {keys} keys of {plugin}"),
            },
        }
    }

    fn broken_uploads(&self) -> Vec<Broken> {
        let mut all = Vec::new();
        for (storage, (_, local)) in self.resources.storages() {
            all.extend(local.waiting().into_iter().map(|waiting| {
                let (user, path) = waiting.label.unzip();
                Broken {
                    storage: storage.clone(),
                    user: user.map(|user| user.to_string()),
                    path,
                    size: waiting.size,
                    age: seconds_since(waiting.modified),
                }
            }));
        }
        all
    }
}

/// Asks the server that runs with this state directory. Waits for as long as the answer takes.
///
/// # Errors
/// When none answers.
pub fn ask(state: &Path, request: Request) -> io::Result<Answer> {
    ask_within(state, request, None)
}

fn ask_within(state: &Path, request: Request, limit: Option<Duration>) -> io::Result<Answer> {
    use std::io::{BufRead, Write};
    let short = Short::new(state)?;
    let mut stream = UnixStream::connect(&short.path)?;
    stream.set_read_timeout(limit)?;
    let mut line = serde_json::to_string(&request).map_err(io::Error::other)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    std::io::BufReader::new(stream)
        .read_line(&mut answer)
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                io::Error::new(io::ErrorKind::TimedOut, "no answer came in time")
            }
            _ => error,
        })?;
    serde_json::from_str(&answer).map_err(io::Error::other)
}

/// A name for the socket that is short enough: the address of a socket has 107 bytes.
struct Short {
    path: PathBuf,
    _directory: fs::File,
}

impl Short {
    fn new(state: &Path) -> io::Result<Self> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let directory = fs::OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(state)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        Ok(Self {
            path: path.into(),
            _directory: directory,
        })
    }
}

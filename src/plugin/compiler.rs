//! Compiling, by processes of their own that have neither network nor files.
//!
//! A compiler cannot be stopped from within, and what it compiles may have been made to keep it busy.
//! Beside a server that confines itself there is a supervisor, which starts one process for each
//! component, ends it when it takes too long, and alone writes to the directory of compiled code.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Resource, Rlimit, setrlimit},
};

use super::{
    cache::{Cache, Key},
    contract,
    engine::{self, Allocation},
    machine,
};
use crate::{
    config::{self, Engine},
    confine,
};

/// The hidden command of the supervisor.
pub const SUPERVISE: &str = "supervise-compiling";
/// The hidden command of a process that compiles one component.
pub const COMPILE: &str = "compile-component";
/// The least memory that a process may have to compile with.
const LEAST: u64 = 1 << 30;
/// The most bytes of compiled code that are taken.
const MOST: u64 = 4 << 30;
/// How often a supervisor looks whether a process has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Compiled code, or why there is none, for people.
type Compiled = Result<Vec<u8>, String>;

/// The place where components are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// This process.
    #[default]
    Here,
    /// A process for each component.
    Processes(Processes),
    /// The supervisor.
    Supervised(Arc<Mutex<UnixStream>>),
}

/// Processes that this one starts.
#[derive(Clone, Debug)]
pub struct Processes {
    engine: Engine,
    timeout: Duration,
}

impl Processes {
    /// As the configuration says.
    #[must_use]
    pub fn new(config: &config::PluginHost) -> Self {
        Self {
            engine: config.engine,
            timeout: config.compile_timeout,
        }
    }

    /// From the arguments of the hidden commands.
    ///
    /// # Errors
    /// When it does not.
    pub fn parse(engine: &str, timeout: &str) -> Result<Self, String> {
        Ok(Self {
            engine: match engine {
                "native" => Engine::Native,
                "pulley" => Engine::Pulley,
                other => return Err(format!("no engine {other}")),
            },
            timeout: Duration::from_secs(timeout.parse().map_err(|_| "no time".to_owned())?),
        })
    }

    fn arguments(&self) -> [String; 2] {
        let engine = match self.engine {
            Engine::Native => "native",
            Engine::Pulley => "pulley",
        };
        [engine.to_owned(), self.timeout.as_secs().max(1).to_string()]
    }

    fn compile(&self, allocation: Allocation, component: &[u8]) -> Compiled {
        let failed = |error: io::Error| format!("it cannot be compiled: {error}");
        let mut input = memory_file().map_err(failed)?;
        input.write_all(component).map_err(failed)?;
        input.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut output = memory_file().map_err(failed)?;
        let mut process = Command::new(program())
            .arg(COMPILE)
            .args(self.arguments())
            .arg(allocation.number().to_string())
            .stdin(input)
            .stdout(output.try_clone().map_err(failed)?)
            .env_clear()
            .spawn()
            .map_err(failed)?;
        let deadline = Instant::now() + self.timeout;
        let status = loop {
            match process.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if Instant::now() < deadline => thread::sleep(LOOK),
                None => {
                    let _ = process.kill();
                    let _ = process.wait();
                    return Err(format!(
                        "it was not compiled within {} s (plugin-host.compile-timeout)",
                        self.timeout.as_secs()
                    ));
                }
            }
        };
        output.seek(SeekFrom::Start(0)).map_err(failed)?;
        if !status.success() {
            return Err(ended(status));
        }
        let answer = receive(&mut output).map_err(failed)?;
        answer.unwrap_or_else(|| Err(ended(status)))
    }
}

fn ended(status: ExitStatus) -> String {
    format!(
        "compiling it ended ({status}): it takes more memory than there is for it ({} MiB), or it has \
         found a defect of the compiler",
        memory() >> 20
    )
}

/// This program, also where its file has been replaced meanwhile.
fn program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

fn memory_file() -> io::Result<File> {
    Ok(memfd_create("portcullis", MemfdFlags::CLOEXEC)?.into())
}

fn memory() -> u64 {
    (machine::memory() / 2).max(LEAST)
}

impl Compiler {
    /// Starts the supervisor of this server, which keeps what it compiles in `cache`.
    ///
    /// # Errors
    /// Of the system.
    pub fn start(config: &config::PluginHost, cache: &Path) -> io::Result<Self> {
        let (here, there) = UnixStream::pair()?;
        Command::new(program())
            .arg(SUPERVISE)
            .args(Processes::new(config).arguments())
            .arg(cache)
            .stdin(OwnedFd::from(there))
            .stdout(Stdio::null())
            // A terminal's ^C is for the server, which drains.
            .process_group(0)
            .spawn()?;
        Ok(Self::Supervised(Arc::new(Mutex::new(here))))
    }

    /// Compiles a component for an engine like this one. Blocks.
    ///
    /// # Errors
    /// When the bytes are no component that the engine takes, or it takes too long; for people.
    pub(super) fn compile(
        &self,
        engine: &wasmtime::Engine,
        allocation: Allocation,
        cache: &Cache,
        key: &Key,
        component: &[u8],
    ) -> Compiled {
        let code = match self {
            Self::Here => precompile(engine, component),
            Self::Processes(processes) => processes.compile(allocation, component),
            Self::Supervised(socket) => {
                let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = ask(&mut socket, allocation, key, component);
                // It has kept the code.
                return answer.unwrap_or_else(|error| {
                    Err(format!(
                        "the process that compiles has ended ({error}): restart the server"
                    ))
                });
            }
        }?;
        cache.keep(key, &code);
        Ok(code)
    }
}

fn precompile(engine: &wasmtime::Engine, component: &[u8]) -> Compiled {
    let code = engine.precompile_component(component);
    code.map_err(|error| contract::invalid(&error))
}

fn ask(
    socket: &mut UnixStream,
    allocation: Allocation,
    key: &Key,
    component: &[u8],
) -> io::Result<Compiled> {
    socket.write_all(&[allocation.number()])?;
    send(socket, key.as_bytes())?;
    send(socket, component)?;
    receive(socket)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn send(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)
}

/// None where the other side has ended.
fn take(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u64::from_le_bytes(length);
    if length > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(Some(bytes)),
        false => Ok(None),
    }
}

fn answer(to: &mut impl Write, compiled: &Compiled) -> io::Result<()> {
    let (status, bytes) = match compiled {
        Ok(code) => (0, code.as_slice()),
        Err(text) => (1, text.as_bytes()),
    };
    to.write_all(&[status])?;
    send(to, bytes)?;
    to.flush()
}

fn receive(from: &mut impl Read) -> io::Result<Option<Compiled>> {
    let mut status = [0];
    match from.read_exact(&mut status) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let Some(bytes) = take(from)? else {
        return Ok(None);
    };
    Ok(Some(match status {
        [0] => Ok(bytes),
        _ => Err(String::from_utf8_lossy(&bytes).into_owned()),
    }))
}

/// The supervisor: compiles what the server on the other end of standard input asks for, until that
/// has ended.
///
/// # Errors
/// Of the system.
pub fn supervise(processes: &Processes, cache: &Path) -> io::Result<()> {
    confine::compiling::supervisor(cache)?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let cache = Cache::open(cache);
    // The server has gone where nothing more can be read or written.
    loop {
        let mut allocation = [0];
        if socket.read_exact(&mut allocation).is_err() {
            return Ok(());
        }
        let (Some(key), Some(component)) = (take(&mut socket)?, take(&mut socket)?) else {
            return Ok(());
        };
        let compiled = match (Allocation::of(allocation[0]), Key::parse(&key)) {
            (Some(allocation), Some(key)) => {
                let compiled = processes.compile(allocation, &component);
                if let Ok(code) = &compiled {
                    cache.keep(&key, code);
                }
                compiled
            }
            _ => Err("the request is not understood".to_owned()),
        };
        if answer(&mut socket, &compiled).is_err() {
            return Ok(());
        }
    }
}

/// Compiles the component on standard input, and writes to standard output what comes of it.
///
/// # Errors
/// Of the system.
pub fn work(processes: &Processes, allocation: &str) -> Result<(), String> {
    let allocation = allocation.parse().ok().and_then(Allocation::of);
    let allocation = allocation.ok_or("no such allocation")?;
    let failed = |error: io::Error| error.to_string();
    limit(Resource::As, memory()).map_err(failed)?;
    // Threads that compile side by side count together.
    let seconds = processes.timeout.as_secs().saturating_mul(64);
    limit(Resource::Cpu, seconds).map_err(failed)?;
    confine::compiling::worker();
    let mut component = Vec::new();
    io::stdin().read_to_end(&mut component).map_err(failed)?;
    let engine = engine::compiling(allocation, processes.engine);
    let compiled = engine
        .map_err(|error| contract::invalid(&error))
        .and_then(|engine| precompile(&engine, &component));
    answer(&mut io::stdout().lock(), &compiled).map_err(failed)
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, limit)?)
}

//! `portcullis serve`.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    process::{self, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use aws_lc_rs::rand;
use tokio::runtime;

use super::{
    Failure, Source,
    first_start::{self, Info},
};
use crate::{
    config::{Loaded, LogOutput, Problem},
    confine::{self, Confinement, Reach, privileges},
    observe::{self, Flush},
    plugin::{Host, compiler::Compiler},
    server::{self, Preopened, Server, control, handover::Predecessor},
    service::{Manager, Notifier},
    startup::Startup,
    types::access::{Wanted, explain},
};

/// How long threads that do blocking work get when all else has ended.
const LAST: Duration = Duration::from_secs(5);

/// Serves until a signal ends it; in the place of the server that runs, if that is wanted and one does.
pub fn run(source: &Source, take_over: bool) -> Result<(), Failure> {
    // First of all: descriptors that were passed are known by their numbers alone.
    let mut manager = Manager::find()?;
    let notifier = manager.notifier.clone();
    let mut loaded = source.load()?;
    let takes_over = take_over && control::runs(&loaded.config.server.state);
    if takes_over {
        try_first(source)?;
    }
    // Dropped last. The walls are to be around its thread, too, so that this starts later.
    let log = observe::init(&loaded);
    let mut log = log.map_err(|problem| Failure::Configuration(problem.to_string()))?;
    privileges::become_user(&mut loaded)
        .map_err(|problem| Failure::Configuration(problem.to_string()))?;
    if takes_over {
        succeed(&loaded, &mut manager)?;
    }
    let prepared = prepare(&mut loaded, &mut log, manager);
    let prepared = prepared.map_err(|problem| Failure::Configuration(problem.to_string()))?;
    // From here on there may be threads.
    log.start()
        .map_err(|error| format!("the log cannot be written: {error}"))?;
    observe::give_memory_back();
    // The first random numbers of a process take 20 ms: they are drawn while plugins are loaded. Without this
    // thread the first client waits for them.
    let _ = thread::Builder::new()
        .name("random".into())
        .spawn(|| rand::fill(&mut [0]));

    let mut builder = runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("portcullis");
    if loaded.config.server.threads > 0 {
        builder.worker_threads(loaded.config.server.threads);
    }
    let runtime = builder
        .build()
        .map_err(|error| format!("no threads to serve with: {error}"))?;
    let ended = runtime.block_on(serve(loaded, prepared, notifier));
    // A thread may wait for ever for a plugin's file (a pipe, say), and must not hold up the end.
    runtime.shutdown_timeout(LAST);
    ended
}

/// Makes sure, with all that the start does, that this program can serve in the place of the server that
/// runs. A process of its own does so: the walls take one that has done nothing else.
fn try_first(source: &Source) -> Result<(), Failure> {
    let mut check = process::Command::new("/proc/self/exe");
    if let Some(file) = &source.config {
        check.arg("--config").arg(file);
    }
    for set in &source.sets {
        check.arg("--set").arg(set);
    }
    check.args(["check", "--keep-compiled"]);
    check.stdin(Stdio::null()).stdout(Stdio::null());
    let status = check
        .status()
        .map_err(|error| format!("nothing was taken over: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::Configuration(
            "nothing was taken over, and the server that runs goes on".to_owned(),
        )),
    }
}

/// Takes the place of the server that runs, if it still does.
fn succeed(loaded: &Loaded, manager: &mut Manager) -> Result<(), Failure> {
    let state = &loaded.config.server.state;
    let failed = |error: io::Error| {
        Failure::Running(format!(
            "the server that runs with {} was not taken over: {error}",
            state.display()
        ))
    };
    let Some(predecessor) = Predecessor::find(state).map_err(failed)? else {
        return Ok(());
    };
    let handed = predecessor.take_over(&manager.notifier).map_err(failed)?;
    let handed = handed.into_iter().map(|one| (one.socket, one.is_units));
    manager.passed.add(handed).map_err(failed)
}

/// All that is there before the first thread is started.
struct Prepared {
    info: Info,
    preopened: Preopened,
    compiler: Compiler,
    confinement: Confinement,
}

/// Opens what takes more than serving does, and builds the walls.
fn prepare(loaded: &mut Loaded, log: &mut Flush, manager: Manager) -> Result<Prepared, Problem> {
    loaded.warnings.extend(privileges::unreadable(loaded));
    make_logs(loaded)?;
    open_log(loaded, log)?;
    let startup = Arc::new(Startup::real());
    let info = first_start::prepare(loaded, &startup)?;
    let preopened = server::preopen(loaded, &startup, manager)?;
    if let Some(file) = &loaded.config.state.file {
        Host::make_state_file(file).map_err(|error| error.problem(loaded))?;
    }
    server::bans::make_directory(&loaded.config.server.state)
        .map_err(|text| loaded.problem("server.state", text))?;
    let cache = loaded.config.server.compiled();
    Host::make_cache(&cache);
    first_start::note(&info, &preopened.listening());
    let unconfined = |error: std::io::Error| {
        let text = format!("the process cannot be confined: {error}");
        loaded.problem("server", text)
    };
    let compiler = Compiler::start(&loaded.config.plugin_host, &cache).map_err(unconfined)?;
    let reach = Reach::of(loaded, preopened.storages());
    let confinement = confine::confine(&loaded.config, reach).map_err(unconfined)?;
    Ok(Prepared {
        info,
        preopened,
        compiler,
        confinement,
    })
}

/// Makes the directory of logs where one is named that is to be in it.
fn make_logs(loaded: &Loaded) -> Result<(), Problem> {
    let logs = loaded.config.server.logs();
    let mut files = loaded.config.logs();
    let Some((key, _)) = files.find(|(_, file)| file.parent() == Some(&logs)) else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o750).create(&logs);
    made.map_err(|error| loaded.problem(key, format!("{}: {error}", logs.display())))
}

/// Opens the log's file, if there is to be one.
fn open_log(loaded: &Loaded, log: &mut Flush) -> Result<(), Problem> {
    if loaded.config.log.output != LogOutput::File {
        return Ok(());
    }
    let file = &loaded.config.log.file;
    log.open(file).map_err(|error| {
        let error = explain(error, file, Wanted::Make);
        loaded.problem("log.file", format!("{}: {error}", file.display()))
    })
}

async fn serve(loaded: Loaded, prepared: Prepared, notifier: Notifier) -> Result<(), Failure> {
    let first = loaded.clone();
    let again = move || {
        let mut loaded = first.again().map_err(|error| error.to_string())?;
        if let Some(users) = first_start::missing_users(&loaded.config) {
            let text = "is gone, and only the start makes a first user";
            return Err(format!("{} {text}", users.display()));
        }
        first_start::prepare(&mut loaded, &Startup::real())
            .map_err(|problem| problem.to_string())?;
        Ok(loaded)
    };
    let Prepared {
        info,
        preopened,
        compiler,
        confinement,
    } = prepared;
    let watching = tokio::spawn(notifier.clone().watch());
    // A first start compiles plugins.
    let start = Server::start(loaded, preopened, compiler, confinement, notifier.clone());
    let server = notifier.patient(start).await;
    let server = server.map_err(|problem| Failure::Configuration(problem.to_string()))?;
    first_start::announce(info, &server.listening());
    let ended = server.run(Box::new(again)).await;
    watching.abort();
    ended.map_err(|error| Failure::Running(error.to_string()))
}

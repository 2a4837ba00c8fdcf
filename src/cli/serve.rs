//! `portcullis serve`.

use std::{env, os::unix::process::CommandExt, process, time::Duration};

use tokio::runtime;

use super::{
    Failure, Source,
    first_start::{self, Info},
    output,
};
use crate::{config::Loaded, server::Server, startup::Startup};

/// How long threads that do blocking work get when all else has ended.
const LAST: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
pub fn run(source: &Source) -> Result<(), Failure> {
    let mut loaded = source.load()?;
    without_backtraces();
    // Dropped last.
    let _flush = crate::observe::init(&loaded.config.log).map_err(Failure::Configuration)?;
    let info = first_start::prepare(&mut loaded, &Startup::real())
        .map_err(|problem| Failure::Configuration(problem.to_string()))?;

    let mut builder = runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("portcullis");
    if loaded.config.server.threads > 0 {
        builder.worker_threads(loaded.config.server.threads);
    }
    let runtime = builder
        .build()
        .map_err(|error| format!("no threads to serve with: {error}"))?;
    let ended = runtime.block_on(serve(loaded, info));
    // A thread may wait for ever for a plugin's file (a pipe, say), and must not hold up the end.
    runtime.shutdown_timeout(LAST);
    ended
}

async fn serve(loaded: Loaded, info: Info) -> Result<(), Failure> {
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
    let server = Server::start(loaded).await;
    let server = server.map_err(|problem| Failure::Configuration(problem.to_string()))?;
    first_start::announce(info, &server.listening());
    server
        .run(Box::new(again))
        .await
        .map_err(|error| Failure::Running(error.to_string()))
}

/// Starts the program anew if it would note the stack of each error that it meets: a plugin's
/// faults are errors, and noting their stacks costs more than all the rest. `RUST_BACKTRACE` asks
/// for that, `RUST_LIB_BACKTRACE` turns it off again, panics excepted; and a program cannot safely
/// change its own environment.
fn without_backtraces() {
    let asked = env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    if !asked || env::var_os("RUST_LIB_BACKTRACE").is_some() {
        return;
    }
    let mut arguments = env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), env::current_exe()) else {
        return;
    };
    let error = process::Command::new(program)
        .arg0(name)
        .args(arguments)
        .env("RUST_LIB_BACKTRACE", "0")
        .exec();
    output::warning(&format!(
        "errors will be slow, with RUST_BACKTRACE set: {error}"
    ));
}

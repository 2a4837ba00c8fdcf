//! `portcullis plugin run`.

mod json;
mod text;

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::runtime;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use super::{Failure, output};
use crate::{
    config::PluginHost,
    kit::{
        case::{self, Asked, Plan},
        figures::Figures,
        log::Log,
        subject::{Ran, Subject},
    },
    plugin::{self, LoadError},
};

/// Loading takes this long only where something is compiled that takes even longer.
const PATIENCE: Duration = Duration::from_millis(800);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component: a .wasm file, or builtin:NAME
    component: String,
    /// The case: what to ask, and what to expect
    #[arg(long, value_name = "FILE")]
    case: PathBuf,
    /// Makes each call so often, once all have been made and looked at, and tells what it took
    #[arg(long, value_name = "N", default_value_t = 0)]
    repeat: u32,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Compiles anew, and keeps no compiled code
    #[arg(long)]
    no_cache: bool,
}

/// A call, what it came to, and what is otherwise than expected.
struct Done<'a> {
    asked: &'a Asked,
    ran: Ran,
    problems: Vec<String>,
    repeated: Option<Repeated>,
}

/// The figures of a repeated call.
struct Repeated {
    calls: u32,
    faults: u32,
    wall: Figures,
    cpu: Figures,
    per_second: f64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = case::read(&arguments.case)?;
    let echo = Arc::new(AtomicBool::new(false));
    let log = {
        let echo = echo.clone();
        Log::new(move |line| {
            if echo.load(Relaxed) {
                output::print(&text::line(line));
            }
        })
    };
    tracing_subscriber::registry()
        .with(log.clone())
        .try_init()
        .map_err(|error| error.to_string())?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(calls(arguments, &plan, log, &echo))
}

async fn calls(
    arguments: &Arguments,
    plan: &Plan,
    log: Log,
    echo: &AtomicBool,
) -> Result<(), Failure> {
    let began = Instant::now();
    let subject = load(arguments, plan, log).await?;
    let loaded = began.elapsed();
    fits(arguments, plan, &subject)?;
    let size = PluginHost::default().component_size;
    let report =
        plugin::bytes(&arguments.component, size).and_then(|bytes| plugin::inspect(&bytes));
    if let Ok(report) = report
        && !arguments.json
    {
        for (line, imports) in report.nothing_granted(&plan.grants) {
            output::print(&text::nothing_granted(line, &imports));
        }
    }
    echo.store(!arguments.json, Relaxed);
    let mut done = Vec::new();
    for asked in &plan.calls {
        if !arguments.json {
            output::print(&text::heading(asked));
        }
        let ran = subject.ask(asked).await;
        let log: Vec<String> = ran.log.iter().map(|line| line.text.clone()).collect();
        let problems = asked
            .expect
            .compare(&ran.answer, &log, |key| subject.state(key));
        if !arguments.json {
            output::print(&text::answer(&ran));
            problems
                .iter()
                .for_each(|problem| output::print(&text::problem(problem)));
        }
        done.push(Done {
            asked,
            ran,
            problems,
            repeated: None,
        });
    }
    echo.store(false, Relaxed);
    if arguments.repeat > 0 {
        for call in &mut done {
            call.repeated = Some(repeat(&subject, call.asked, arguments.repeat).await);
        }
    }
    let unmet = done.iter().filter(|call| !call.problems.is_empty()).count();
    output::print(&match arguments.json {
        true => json::report(&arguments.component, &subject, loaded, &done),
        false => text::summary(loaded, &done),
    });
    match unmet {
        0 => Ok(()),
        _ => Err(Failure::Running(format!(
            "{unmet} of {} calls came to something else than expected",
            done.len()
        ))),
    }
}

async fn repeat(subject: &Subject, asked: &Asked, calls: u32) -> Repeated {
    let (mut wall, mut cpu, mut faults) = (Vec::new(), Vec::new(), 0);
    let began = Instant::now();
    for _ in 0..calls {
        let ran = subject.ask(asked).await;
        faults += u32::from(ran.answer.fault.is_some());
        wall.push(ran.wall);
        cpu.push(ran.usage.cpu);
    }
    Repeated {
        calls,
        faults,
        per_second: f64::from(calls) / began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE),
        wall: Figures::of(wall),
        cpu: Figures::of(cpu),
    }
}

async fn load(arguments: &Arguments, plan: &Plan, log: Log) -> Result<Subject, Failure> {
    let directory = match arguments.case.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    // Kept until the component is compiled.
    let aside = tempfile::tempdir().map_err(|error| error.to_string())?;
    let cache = match cache().filter(|_| !arguments.no_cache) {
        Some(cache) => cache,
        None => aside.path().join("cache"),
    };
    let loading = Subject::load(&arguments.component, plan, directory, &cache, log);
    let mut loading = std::pin::pin!(loading);
    let loaded = match tokio::time::timeout(PATIENCE, &mut loading).await {
        Ok(loaded) => loaded,
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "compiling {} ...", arguments.component);
            loading.await
        }
    };
    loaded.map_err(|error| refused(arguments, plan, &error))
}

/// Where compiled code is kept for the user.
fn cache() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let caches = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(absolute);
    let caches = caches.or_else(|| Some(env::home_dir().filter(absolute)?.join(".cache")));
    Some(caches?.join("portcullis"))
}

/// Tells an error of loading as the case file's fault, or as the component's.
fn refused(arguments: &Arguments, plan: &Plan, error: &LoadError) -> Failure {
    match &*error.key {
        "component" => Failure::Running(format!("{}: {}", arguments.component, error.text)),
        key => Failure::Configuration(plan.problem(key, error.text.as_str()).to_string()),
    }
}

/// Whether the component can be asked all that the case asks.
fn fits(arguments: &Arguments, plan: &Plan, subject: &Subject) -> Result<(), Failure> {
    let kinds: Vec<&str> = subject.kinds().map(|kind| kind.name).collect();
    let wrong = plan.calls.iter().enumerate().filter_map(|(index, asked)| {
        let kind = asked.kind.name;
        let text = format!(
            "is for the kind {kind}, and {} is of the kind {}",
            arguments.component,
            kinds.join(" and ")
        );
        let problem = plan.problem(&format!("call[{index}]"), text);
        (!kinds.contains(&kind)).then(|| problem.to_string())
    });
    let wrong: Vec<String> = wrong.collect();
    match wrong.as_slice() {
        [] => Ok(()),
        wrong => Err(Failure::Configuration(wrong.join("\n"))),
    }
}

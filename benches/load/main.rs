//! A load generator for FTP and explicit-FTPS servers, which `benches/compare` runs. It acts on its own
//! words alone (`--help` of the executable names them), so that `cargo bench` and `cargo test --benches`
//! pass by it.
//!
//! Every scenario prints one JSON line. With `--sync` it first prints `{"event":"ready"}` once all
//! sessions are open, and `{"event":"done"}` at the end of the measured window. Each time it waits for a
//! line on standard input, so that a runner can read the server's counters at exactly these points.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod pattern;
mod session;
mod stats;
mod tls;
mod transfer;
mod work;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::json;

use crate::{
    tls::TlsArgs,
    work::{Names, Work},
};

#[derive(Parser)]
#[command(
    name = "load",
    about = "A load generator for FTP and explicit-FTPS servers"
)]
struct Words {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch one file over and over on each connection
    Download {
        #[command(flatten)]
        load: Load,
        #[arg(long, default_value = "big.bin")]
        file: String,
        /// Size of the file, checked after each whole transfer
        #[arg(long, default_value_t = 1 << 30)]
        size: u64,
        /// Cut transfers at the end of the window instead of finishing them
        #[arg(long)]
        cut: bool,
    },
    /// Store files on each connection
    Upload {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        names: Names,
        #[arg(long, default_value_t = 256 << 20)]
        size: u64,
        /// End the file at the end of the window instead of finishing it
        #[arg(long)]
        cut: bool,
    },
    /// Fetch small files, each over a new data connection
    SmallGet {
        #[command(flatten)]
        load: Load,
        #[arg(long, default_value = "small")]
        dir: String,
        /// Number of files f0, f1, ... that are there
        #[arg(long, default_value_t = 100)]
        files: u64,
        #[arg(long, default_value_t = 4096)]
        size: u64,
    },
    /// Ask for the end of a large file: SIZE, MLST, REST and RETR of its last 4 KiB
    Tail {
        #[command(flatten)]
        load: Load,
        #[arg(long)]
        file: String,
        #[arg(long)]
        size: u64,
    },
    /// Ask for the size of a file: one command, and one question about a path
    Size {
        #[command(flatten)]
        load: Load,
        #[arg(long, default_value = "small/f0")]
        file: String,
    },
    /// Connect, AUTH TLS, USER, PASS, QUIT, over and over
    Logins {
        #[command(flatten)]
        load: Load,
    },
    /// List a directory over and over (MLSD, or LIST where it is unknown)
    List {
        #[command(flatten)]
        load: Load,
        #[arg(long, default_value = "list")]
        dir: String,
        /// Entries expected in each listing
        #[arg(long, default_value_t = 10_000)]
        entries: u64,
    },
    /// Read a file or a listing slowly on each connection, over and over, until the window ends
    Slow {
        #[command(flatten)]
        load: Load,
        /// The command whose data is read
        #[arg(long, default_value = "RETR big.bin")]
        transfer: String,
        /// Bytes a second of each connection
        #[arg(long, default_value_t = 64 << 10)]
        rate: u64,
    },
    /// Open logged-in sessions and hold them
    Idle {
        #[command(flatten)]
        load: Load,
    },
    /// Try to log in until it is done, and print the monotonic clock's time then
    First {
        #[command(flatten)]
        load: Load,
    },
    /// Write a test file: mkfile PATH SIZE
    Mkfile { path: PathBuf, size: u64 },
    /// Check the content of test files: print the number of good ones
    Check {
        /// Size that each file must have
        #[arg(long)]
        size: Option<u64>,
        paths: Vec<PathBuf>,
    },
}

/// The server, and how hard it is worked.
#[derive(Args, Clone)]
struct Load {
    #[arg(long, default_value = "127.0.0.1:2121")]
    addr: SocketAddr,
    #[arg(long, default_value = "bench")]
    user: String,
    #[arg(long, default_value = "bench-password")]
    password: String,
    #[command(flatten)]
    tls: TlsArgs,
    /// Parallel connections
    #[arg(short = 'n', long, default_value_t = 4)]
    conns: usize,
    /// Length of the measured window, in seconds
    #[arg(short = 't', long, default_value_t = 5.0)]
    secs: f64,
    /// Stop a connection after this many operations
    #[arg(long)]
    max_ops: Option<u64>,
    /// Threads of the client
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Longest time for one operation, in seconds
    #[arg(long, default_value_t = 60.0)]
    op_timeout: f64,
    /// Logins in progress at once while sessions are opened
    #[arg(long, default_value_t = 32)]
    ramp: usize,
    /// Check the content of what is downloaded
    #[arg(long)]
    verify: bool,
    /// Stop at the borders of the window for a line on standard input
    #[arg(long)]
    sync: bool,
}

fn main() -> ExitCode {
    // `cargo bench` and `cargo test --benches` say other words, or none.
    let own = |word: String| {
        Words::command().find_subcommand(&word).is_some()
            || ["help", "--help", "-h"].contains(&word.as_str())
    };
    if !std::env::args().nth(1).is_some_and(own) {
        return ExitCode::SUCCESS;
    }
    let (name, load, work) = match Words::parse().command {
        Command::Mkfile { path, size } => {
            return finish(pattern::write_file(&path, size).map_err(|error| error.to_string()));
        }
        Command::Check { size, paths } => return check(size, &paths),
        Command::Download {
            load,
            file,
            size,
            cut,
        } => ("download", load, Work::Download { file, size, cut }),
        Command::Upload {
            load,
            names,
            size,
            cut,
        } => ("upload", load, Work::Upload { names, size, cut }),
        Command::SmallGet {
            load,
            dir,
            files,
            size,
        } => ("small-get", load, Work::SmallGet { dir, files, size }),
        Command::Tail { load, file, size } => ("tail", load, Work::Tail { file, size }),
        Command::Size { load, file } => ("size", load, Work::Size { file }),
        Command::List { load, dir, entries } => ("list", load, Work::List { dir, entries }),
        Command::Slow {
            load,
            transfer,
            rate,
        } => ("slow", load, Work::Slow { transfer, rate }),
        Command::Logins { load } => ("logins", load, Work::Logins),
        Command::Idle { load } => ("idle", load, Work::Idle),
        Command::First { load } => ("first", load, Work::First),
    };
    let mut builder = match load.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_all().build().unwrap();
    let result = runtime.block_on(work::run(name, load, work));
    runtime.shutdown_background();
    finish(result)
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(size: Option<u64>, paths: &[PathBuf]) -> ExitCode {
    let (mut good, mut bytes, mut bad) = (0_u64, 0_u64, Vec::new());
    for path in paths {
        match pattern::check_file(path) {
            Ok(length) if size.is_none_or(|size| size == length) => {
                (good, bytes) = (good + 1, bytes + length);
            }
            Ok(length) => bad.push(format!("{}: {length} bytes", path.display())),
            Err(error) => bad.push(format!("{}: {error}", path.display())),
        }
    }
    println!(
        "{}",
        json!({"good": good, "bytes": bytes, "bad": bad.len(), "first_bad": bad.first()})
    );
    if bad.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! A scenario: sessions are opened, and each works until the window is over.

use std::{
    io::Write,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    Load,
    session::{Outcome, Session, Target},
    stats::{Stats, Wait, rounded},
    tls::Tls,
    transfer::End,
};

/// Tries to open each session.
const TRIES: u32 = 3;
/// The part of a large file that is fetched.
const TAIL: u64 = 4096;

/// The names that uploads get, beneath a directory.
#[derive(Args, Clone)]
pub struct Names {
    #[arg(long, default_value = "up")]
    dir: String,
    /// Names that each connection uses in turns, cCONNECTION-NUMBER
    #[arg(long, default_value_t = 1)]
    names: u64,
    /// A name for each upload instead, so that none replaces a file
    #[arg(long)]
    new: bool,
}

impl Names {
    fn name(&self, connection: usize, turn: u64) -> String {
        let number = if self.new { turn } else { turn % self.names };
        format!("{}/c{connection}-{number}", self.dir)
    }
}

/// One operation of a connection, over and over.
#[derive(Clone)]
pub enum Work {
    Download { file: String, size: u64, cut: bool },
    Upload { names: Names, size: u64, cut: bool },
    SmallGet { dir: String, files: u64, size: u64 },
    Tail { file: String, size: u64 },
    Size { file: String },
    List { dir: String, entries: u64 },
    Slow { transfer: String, rate: u64 },
    Logins,
    Idle,
    First,
}

pub async fn run(name: &str, load: Load, work: Work) -> Outcome<()> {
    let stats = Arc::new(Stats::default());
    let target = Target {
        addr: load.addr,
        user: load.user.clone(),
        password: load.password.clone(),
        tls: Tls::new(&load.tls)?,
        stats: stats.clone(),
    };
    if matches!(work, Work::First) {
        return first(&target, load.secs).await;
    }
    let opening = Instant::now();
    let mut sessions = match work {
        Work::Logins => Vec::new(),
        _ => open_all(&target, &load, &work).await,
    };
    let (open, opened) = (opening.elapsed().as_secs_f64(), sessions.len());
    border(&load, json!({"event": "ready", "sessions": opened}));

    let (processor, start) = (seconds_of(ClockId::ProcessCPUTime), Instant::now());
    let deadline = start + Duration::from_secs_f64(load.secs);
    let mut tasks = JoinSet::new();
    match work {
        Work::Logins => {
            for _ in 0..load.conns {
                tasks.spawn(log_in_and_out(target.clone(), load.clone(), deadline));
            }
        }
        // With a runner, the window is as long as the runner waits.
        Work::Idle if load.sync => {}
        Work::Idle => sleep(Duration::from_secs_f64(load.secs)).await,
        _ => {
            for (id, session) in sessions.drain(..).enumerate() {
                let (target, load, work) = (target.clone(), load.clone(), work.clone());
                tasks.spawn(repeat(id, session, target, load, work, deadline));
            }
        }
    }
    let mut left = Vec::new();
    while let Some(done) = tasks.join_next().await {
        left.extend(done.map_err(|error| format!("a connection: {error}"))?);
    }
    let seconds = start.elapsed().as_secs_f64();
    let processor = seconds_of(ClockId::ProcessCPUTime) - processor;
    border(&load, json!({"event": "done", "seconds": seconds}));

    let mut alive = 0;
    for session in &mut sessions {
        // Held sessions must still answer.
        match timeout(Duration::from_secs(10), session.ask("NOOP", &[200])).await {
            Ok(Ok(())) => alive += 1,
            Ok(Err(error)) => stats.error(&format!("held: {error}")),
            Err(_) => stats.error("held: NOOP timeout"),
        }
    }
    let mut out = stats.report(seconds);
    out.insert("scenario".into(), json!(name));
    out.insert("conns".into(), json!(load.conns));
    out.insert("sessions".into(), json!(opened));
    out.insert("open_s".into(), json!(rounded(open)));
    out.insert("alive".into(), json!(alive));
    out.insert("client_cpu_s".into(), json!(rounded(processor)));
    println!("{}", json!(out));

    left.extend(sessions);
    let quits = async {
        let mut tasks = JoinSet::new();
        for session in left {
            tasks.spawn(session.quit());
        }
        while tasks.join_next().await.is_some() {}
    };
    let _ = timeout(Duration::from_secs(5), quits).await;
    Ok(())
}

/// Logs in as soon as there is a server.
async fn first(target: &Target, secs: f64) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_secs_f64(secs);
    loop {
        match Session::login(target).await {
            Ok(session) => {
                let now = seconds_of(ClockId::Monotonic);
                println!("{}", json!({"monotonic_s": now}));
                let _ = timeout(Duration::from_secs(5), session.quit()).await;
                return Ok(());
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(Duration::from_micros(500)).await,
        }
    }
}

/// Opens all sessions. Every failure is counted, also where a later try succeeds.
async fn open_all(target: &Target, load: &Load, work: &Work) -> Vec<Session> {
    let gate = Arc::new(Semaphore::new(load.ramp));
    let mut tasks = JoinSet::new();
    for _ in 0..load.conns {
        let (target, gate, work) = (target.clone(), gate.clone(), work.clone());
        let limit = Duration::from_secs_f64(load.op_timeout);
        tasks.spawn(async move {
            let _turn = gate.acquire().await;
            for _ in 0..TRIES {
                match timeout(limit, open_one(&target, &work)).await {
                    Ok(Ok(session)) => return Some(session),
                    Ok(Err(error)) => target.stats.error(&format!("open: {error}")),
                    Err(_) => target.stats.error("open: timeout"),
                }
                sleep(Duration::from_millis(50)).await;
            }
            None
        });
    }
    let mut sessions = Vec::with_capacity(load.conns);
    while let Some(done) = tasks.join_next().await {
        sessions.extend(done.ok().flatten());
    }
    sessions
}

async fn open_one(target: &Target, work: &Work) -> Outcome<Session> {
    let mut session = Session::login(target).await?;
    if !matches!(work, Work::Idle) {
        session.prepare().await?;
    }
    if let Work::List { dir, .. } = work {
        session.ask(&format!("CWD {dir}"), &[250, 200]).await?;
    }
    Ok(session)
}

/// The work of one connection; the session, if it is still usable.
async fn repeat(
    id: usize,
    session: Session,
    target: Target,
    load: Load,
    work: Work,
    deadline: Instant,
) -> Option<Session> {
    let (stats, mut session) = (&target.stats, Some(session));
    let limit = match work {
        Work::Slow { .. } => Duration::MAX,
        _ => Duration::from_secs_f64(load.op_timeout),
    };
    let mut worker = Worker {
        id,
        work: &work,
        stats,
        verify: load.verify,
        deadline,
        buffer: vec![0; 256 << 10],
        list: "MLSD",
    };
    let mut turn = 0;
    while Instant::now() < deadline && load.max_ops.is_none_or(|most| turn < most) {
        let Some(open) = &mut session else {
            sleep(Duration::from_millis(50)).await;
            stats.reconnects.fetch_add(1, Relaxed);
            match timeout(limit, open_one(&target, &work)).await {
                Ok(Ok(opened)) => session = Some(opened),
                Ok(Err(error)) => stats.error(&format!("reopen: {error}")),
                Err(_) => stats.error("reopen: timeout"),
            }
            continue;
        };
        let start = Instant::now();
        match timeout(limit, worker.operation(open, turn)).await {
            Ok(Ok(End::Complete(_))) => stats.operation(start.elapsed()),
            Ok(Ok(End::Cut)) => {
                stats.partial.fetch_add(1, Relaxed);
                return None;
            }
            Ok(Err(error)) => {
                stats.error(&error);
                session = None;
            }
            Err(_) => {
                stats.error("operation timeout");
                session = None;
            }
        }
        turn += 1;
    }
    session
}

struct Worker<'a> {
    id: usize,
    work: &'a Work,
    stats: &'a Stats,
    verify: bool,
    deadline: Instant,
    buffer: Vec<u8>,
    /// LIST, where the server does not know MLSD.
    list: &'static str,
}

impl Worker<'_> {
    async fn operation(&mut self, session: &mut Session, turn: u64) -> Outcome<End> {
        let (buffer, verify) = (&mut self.buffer, self.verify);
        match self.work {
            Work::Download { file, size, cut } => {
                let until = cut.then_some(self.deadline);
                session
                    .download(file, (0, *size), buffer, verify, until)
                    .await
            }
            Work::SmallGet { dir, files, size } => {
                let name = format!("{dir}/f{}", (self.id as u64 * 7 + turn) % files);
                session
                    .download(&name, (0, *size), buffer, verify, None)
                    .await
            }
            Work::Upload { names, size, cut } => {
                let until = cut.then_some(self.deadline);
                let name = names.name(self.id, turn);
                let sent = session.upload(&name, *size, until).await?;
                self.stats
                    .partial
                    .fetch_add(u64::from(sent < *size), Relaxed);
                Ok(End::Complete(sent))
            }
            Work::Tail { file, size } => {
                for (verb, code, wait) in [("SIZE", 213, Wait::Size), ("MLST", 250, Wait::Mlst)] {
                    let start = Instant::now();
                    session.ask(&format!("{verb} {file}"), &[code]).await?;
                    self.stats.wait(wait, start.elapsed());
                }
                let range = (size.saturating_sub(TAIL), *size);
                session.download(file, range, buffer, false, None).await
            }
            Work::Size { file } => {
                session.ask(&format!("SIZE {file}"), &[213]).await?;
                Ok(End::Complete(0))
            }
            Work::List { entries, .. } => {
                let mut got = session.list(self.list, buffer).await;
                if self.list == "MLSD"
                    && matches!(&got, Err(error) if error.starts_with("MLSD: 50"))
                {
                    self.list = "LIST";
                    got = session.list(self.list, buffer).await;
                }
                let got = got?;
                self.stats.entries.fetch_add(got, Relaxed);
                if got == *entries {
                    Ok(End::Complete(got))
                } else {
                    Err(format!("list: {got} entries"))
                }
            }
            Work::Slow { transfer, rate } => {
                session.read_slowly(transfer, *rate, self.deadline).await
            }
            Work::Logins | Work::Idle | Work::First => Err("no work for a session".into()),
        }
    }
}

async fn log_in_and_out(target: Target, load: Load, deadline: Instant) -> Option<Session> {
    let mut turn = 0;
    while Instant::now() < deadline && load.max_ops.is_none_or(|most| turn < most) {
        turn += 1;
        let start = Instant::now();
        let login = async { Session::login(&target).await?.quit().await };
        match timeout(Duration::from_secs_f64(load.op_timeout), login).await {
            Ok(Ok(())) => {
                target.stats.operation(start.elapsed());
                continue;
            }
            Ok(Err(error)) => target.stats.error(&error),
            Err(_) => target.stats.error("login timeout"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    None
}

/// Says that a border of the window is reached, and waits for the runner.
fn border(load: &Load, event: serde_json::Value) {
    if load.sync {
        println!("{event}");
        let _ = std::io::stdout().flush();
        let _ = std::io::stdin().read_line(&mut String::new());
    }
}

fn seconds_of(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

//! Things that work now and may not for long, or for everybody: told by the start, a reload and
//! `portcullis check`.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rustix::process::{Resource, getrlimit};
use tokio::time::timeout;

use super::listeners;
use crate::config::{Loaded, Problem};

/// How long a name may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Files that a session has open at most: its connection, its home, a listener, the data connection
/// and one that came before it, the file, its directory, and the part or copy.
const SESSION: u64 = 8;
/// Files that the server has open without any session.
const SERVER: u64 = 128;

/// Ports of a range that are tried at least, before all are.
const SAMPLE: usize = 128;

/// Writes all warnings of a configuration to the log, that of a name when it has been looked up.
pub fn tell(loaded: &Loaded) {
    loaded.warnings.iter().for_each(log);
    let loaded = loaded.clone();
    tokio::spawn(async move {
        advertise(&loaded).await.iter().for_each(log);
    });
}

fn log(warning: &Problem) {
    tracing::warn!(at = warning.place, "{}: {}", warning.key, warning.text);
}

/// Whether so many sessions may have as many files open.
pub fn open_files(loaded: &Loaded) -> Option<Problem> {
    let limit = getrlimit(Resource::Nofile);
    // The start raises the soft limit to the hard one.
    let most = limit.maximum?;
    let sessions = u64::try_from(loaded.config.limits.sessions).ok()?;
    let needed = sessions.saturating_mul(SESSION).saturating_add(SERVER);
    (sessions > 0 && needed > most).then(|| {
        let fits = most.saturating_sub(SERVER) / SESSION;
        let text = format!(
            "{sessions} sessions may have {needed} files open, and the system allows this process \
             {most}: raise RLIMIT_NOFILE to {needed} (LimitNOFILE= of a systemd unit), or lower \
             this to {fits}"
        );
        loaded.problem("limits.sessions", text)
    })
}

/// Whether the names that PASV tells can be looked up.
pub async fn advertise(loaded: &Loaded) -> Vec<Problem> {
    let mut names = BTreeMap::new();
    for listener in loaded.config.listeners() {
        let key = listener.advertise_key();
        for (place, name) in listener.advertise.names() {
            names.insert(format!("{key}{place}"), name.to_owned());
        }
    }
    let mut problems = Vec::new();
    for (key, name) in names {
        problems.extend(look_up(loaded, &key, &name).await);
    }
    problems
}

async fn look_up(loaded: &Loaded, key: &str, name: &str) -> Option<Problem> {
    let why = match timeout(LOOK_UP, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(mut addresses)) => match addresses.any(|address| address.is_ipv4()) {
            true => return None,
            false => "it has no IPv4 address".to_owned(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", LOOK_UP.as_secs()),
    };
    let text = format!(
        "{name} cannot be looked up ({why}): until it can, PASV tells the address that the client \
         connected to"
    );
    Some(loaded.problem(key, text))
}

/// The ranges of ports for data connections of which other processes have the most, each with its key.
pub fn passive_ports(loaded: &Loaded) -> Vec<Problem> {
    let listeners = loaded.config.listeners();
    let mut ranges: Vec<_> = listeners
        .map(|one| (one.passive_ports_key(), one.passive_ports, one.address.ip()))
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    let problems = ranges
        .into_iter()
        .filter_map(|(key, ports, host)| taken_ports(loaded, &key, ports, host));
    let mut problems: Vec<Problem> = problems.collect();
    // One address of a range tells enough.
    problems.dedup_by(|one, before| one.key == before.key);
    problems
}

/// Whether most of the ports for data connections are other processes' at an address.
fn taken_ports(
    loaded: &Loaded,
    key: &str,
    (first, last): (u16, u16),
    host: IpAddr,
) -> Option<Problem> {
    if first == 0 {
        return None;
    }
    let ports = usize::from(last.saturating_sub(first)) + 1;
    let mut example = None;
    let mut is_taken = |port: &u16| {
        let bound = listeners::bind(SocketAddr::new(host, *port));
        let taken = bound.err().filter(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
            )
        });
        let is_taken = taken.is_some();
        example = example.take().or(taken.map(|error| (*port, error)));
        is_taken
    };
    // Thousands take longer than all the rest of the start. Where few of some are taken, most of all are not.
    let some = (first..=last).step_by((ports / SAMPLE).max(1));
    let tried = some.len();
    if some.filter(&mut is_taken).count() * 4 <= tried {
        return None;
    }
    let taken = (first..=last).filter(is_taken).count();
    let (port, error) = example.filter(|_| taken * 2 > ports)?;
    let text = format!(
        "{taken} of {ports} ports cannot be had on {host}, such as {port} ({error}): data \
         connections are refused with 425 when no port is free"
    );
    Some(loaded.problem(key, text))
}

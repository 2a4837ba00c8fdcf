//! `portcullis reload` and `portcullis status`: questions to a server that runs.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use super::{Failure, Source, files, output};
use crate::{
    plugin::Taken,
    server::{
        admin::messages::{
            AcmeStatus, Broken, Done, GenerationUse, HostStatus, LogLevel, Plugin, SharedState,
            Status,
        },
        control::{self, AskError},
    },
    types::access::{Wanted, explain},
};

/// How many broken uploads are listed for people.
const BROKEN: usize = 20;

/// Has the server read its configuration, certificates and components again.
pub fn reload(source: &Source) -> Result<(), Failure> {
    match try_ask::<Done>(source, Method::POST, "/reload", None::<&()>)? {
        Ok(Done { text }) => {
            output::print(&format!("{text}\n"));
            Ok(())
        }
        Err(text) => Err(Failure::Configuration(format!(
            "{text}\nthe server goes on as it was"
        ))),
    }
}

/// Shows how the server is.
pub fn status(source: &Source, json: bool) -> Result<(), Failure> {
    let status: Status = get(source, "/status")?;
    let text = match json {
        true => output::json(&status)?,
        false => shown(&status),
    };
    output::print(&text);
    Ok(())
}

/// Shows the level of the log, or changes it.
pub fn log_level(source: &Source, level: Option<String>) -> Result<(), Failure> {
    if let Some(level) = level {
        return act(
            source,
            Method::POST,
            "/log-level",
            Some(&LogLevel { level }),
        );
    }
    let LogLevel { level } = get(source, "/log-level")?;
    output::print(&format!("{level}\n"));
    Ok(())
}

/// Ends the server as SIGTERM does.
pub fn drain(source: &Source) -> Result<(), Failure> {
    act(source, Method::POST, "/drain", None::<&()>)
}

/// Asks the running server.
pub(super) fn get<T: DeserializeOwned>(source: &Source, path: &str) -> Result<T, Failure> {
    Ok(try_ask(source, Method::GET, path, None::<&()>)??)
}

/// Has the running server do something, and prints the result.
pub(super) fn act(
    source: &Source,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<(), Failure> {
    let Done { text } = try_ask(source, method, path, body)??;
    output::print(&format!("{text}\n"));
    Ok(())
}

/// Asks; the inner error is the server's.
pub(super) fn try_ask<T: DeserializeOwned>(
    source: &Source,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<Result<T, String>, Failure> {
    // The configuration may be wrong by now, and the server runs all the same.
    let state = source.state()?;
    match control::ask(&state, method, path, body) {
        Ok(answer) => Ok(Ok(answer)),
        Err(AskError::Refused(text)) => Ok(Err(text)),
        Err(AskError::Silent(error)) => {
            let error = explain(error, &control::socket(&state), Wanted::Write);
            Err(Failure::Running(format!(
                "no server answers in {}: {error}; is one running with this configuration, and are \
                 you its user?",
                files::short(&state)
            )))
        }
    }
}

/// A part of a path or a parameter, with what would steer it escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn acme(acme: &AcmeStatus) -> [String; 2] {
    let day = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let time = Timestamp::from_second(seconds).unwrap_or_default();
        time.strftime("%Y-%m-%d").to_string()
    };
    let names = acme.names.join(", ");
    let expires = match acme.expires {
        Some(expires) => format!("expires on {}", day(expires)),
        None => "NONE YET".to_owned(),
    };
    let next = match (&acme.error, acme.next) {
        (Some(error), _) => format!("; THE LAST ORDER FAILED: {error}"),
        (None, Some(next)) => format!("; is renewed on {}", day(next)),
        (None, None) => String::new(),
    };
    row(
        "certificate",
        format!("by ACME for {names}: {expires}{next}"),
    )
}

fn shown(status: &Status) -> String {
    let mut rows = vec![
        row("version", status.version.clone()),
        row("process", status.pid.to_string()),
        row("running for", time(status.uptime)),
        row("configuration", {
            let file = status.configuration.as_deref();
            let file = file.map_or("the defaults".to_owned(), files::short);
            format!("{file}, loaded {} ago", time(status.loaded))
        }),
    ];
    for listening in &status.listening {
        let text = format!("{}, {} TLS", listening.address, listening.kind);
        rows.push(row("listener", text));
    }
    if let Some(address) = &status.admin {
        let scheme = if address.ip().is_loopback() {
            "http"
        } else {
            "https"
        };
        rows.push(row("administration", format!("{scheme}://{address}/")));
    }
    if let Some(address) = &status.metrics {
        rows.push(row("metrics", format!("http://{address}/metrics")));
    }
    rows.extend(status.acme.iter().map(acme));
    rows.extend(status.walls.iter().map(|wall| {
        let stands = if wall.stands { "" } else { "DOES NOT STAND: " };
        row("wall", format!("{}: {stands}{}", wall.name, wall.text))
    }));
    if let Some(error) = &status.log_error {
        let text = format!("NOT WRITTEN: {error}; tried again every second");
        rows.push(row("log", text));
    }
    if status.log_dropped > 0 {
        let dropped = status.log_dropped;
        rows.push(row(
            "log",
            format!("{dropped} LINES DROPPED since the start"),
        ));
    }
    if let Some(error) = &status.audit_error {
        let text = format!("NOT WRITTEN: {error}; tried again every second");
        rows.push(row("audit", text));
    }
    if let Some(dropped) = status.audit_dropped.filter(|dropped| *dropped > 0) {
        rows.push(row(
            "audit",
            format!("{dropped} LINES DROPPED since the start"),
        ));
    }
    rows.push(row("sessions", status.sessions.to_string()));
    rows.extend(status.hosts.iter().map(|one| {
        let HostStatus { name, sessions, .. } = one;
        row("host", format!("{name}: {sessions} of the sessions"))
    }));
    // The newest is the one above.
    rows.extend(status.generations.iter().skip(1).map(|one| {
        let GenerationUse { loaded, sessions } = one;
        let text = format!("loaded {} ago, of {sessions} of them", time(*loaded));
        row("older configuration", text)
    }));
    rows.extend(status.plugins.iter().map(|one| row("plugin", plugin(one))));
    if let Some(taken) = &status.instances {
        rows.push(row("instances", instances(taken)));
    }
    if let Some(error) = &status.state_error {
        let age = time(status.state_error_age.unwrap_or_default());
        let text = format!("NOT WRITTEN for {age}: {error}; tried again every few seconds");
        rows.push(row("state file", text));
    }
    rows.extend(status.shared_state.iter().map(shared_state));
    let broken = status.uploads.iter().take(BROKEN);
    rows.extend(broken.map(|one| row("broken upload", upload(one))));
    if let Some(more) = status
        .uploads
        .len()
        .checked_sub(BROKEN)
        .filter(|more| *more > 0)
    {
        rows.push(row("broken upload", format!("and {more} more, in --json")));
    }
    output::table(&rows)
}

fn shared_state(shared: &SharedState) -> [String; 2] {
    let SharedState {
        redis,
        error,
        requests,
        failed,
        ..
    } = shared;
    let away = error.as_ref().map_or_else(String::new, |error| {
        let age = time(shared.error_age.unwrap_or_default());
        format!("AWAY for {age}: {error}; ")
    });
    row(
        "shared state",
        format!("{redis}: {away}{requests} requests, {failed} failed"),
    )
}

fn plugin(plugin: &Plugin) -> String {
    let Plugin {
        name,
        calls,
        faults,
        ..
    } = plugin;
    let health = if plugin.healthy {
        "healthy"
    } else {
        "UNHEALTHY"
    };
    let mut text = format!("{name}: {health}, {calls} calls, {faults} faults");
    if *calls > 0 {
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let each = Duration::from_secs_f64(plugin.cpu / *calls as f64);
        text += &format!(", {each:.1?} of computing each");
    }
    if let (Some(fault), Some(age)) = (&plugin.last_fault, plugin.last_fault_age) {
        text += &format!("; the last fault {} ago: {fault}", time(age));
    }
    text
}

fn instances(taken: &Taken) -> String {
    let all = taken.logins + taken.paths + taken.uploads + taken.events;
    let mut text = format!("{all} of {}", taken.total);
    if all > 0 {
        let kinds = [
            ("logins", taken.logins),
            ("paths", taken.paths),
            ("uploads", taken.uploads),
            ("events", taken.events),
        ];
        let kinds = kinds.iter().filter(|(_, count)| *count > 0);
        let kinds: Vec<_> = kinds
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        text += &format!(" ({})", kinds.join(", "));
    }
    let mib = |bytes: u64| bytes >> 20;
    text += &format!(", {} MiB", mib(taken.memory));
    if taken.memory_total < u64::MAX {
        text += &format!(" of {}", mib(taken.memory_total));
    }
    text
}

fn upload(upload: &Broken) -> String {
    let whose = match (&upload.path, &upload.user) {
        (Some(path), Some(user)) => match &upload.host {
            Some(host) => format!("{path} of {user}@{host}"),
            None => format!("{path} of {user}"),
        },
        _ => "of somebody".to_owned(),
    };
    let Broken {
        storage, size, age, ..
    } = upload;
    format!(
        "{whose}, storage {storage}: {size} bytes, {} old",
        time(*age)
    )
}

pub(super) fn row(what: &str, value: String) -> [String; 2] {
    [what.to_owned(), value]
}

/// "3d 4h", "5m 6s"
pub(super) fn time(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, _, _) => format!("{days}d {hours}h"),
    }
}

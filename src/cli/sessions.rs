//! `portcullis who`, `kick`, `ban`, `unban` and `bans`: who is there, and who may not come back.

use std::time::Duration;

use clap::Args;
use http::Method;
use ipnet::IpNet;

use super::{
    Failure, Source,
    control::{act, escaped, get, time},
    output,
    page::PageOptions,
};
use crate::{
    config::duration,
    server::admin::messages::{
        Ban, Bans, EndSessions, NewBan, SessionStatus, Sessions, TransferStatus,
    },
};

/// The sessions that are to end; together they say which.
#[derive(Args, Debug)]
#[group(id = "sessions-to-end")]
pub struct Kick {
    /// The session, as `who` and the log name it
    #[arg(required_unless_present_any = ["user", "host", "network"])]
    session: Option<String>,
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// All sessions of this virtual host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// All sessions from this address or network
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Option<IpNet>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A network that is not to be let in.
#[derive(Args, Debug)]
pub struct NetworkBan {
    /// An address, or a network such as 192.0.2.0/24
    #[arg(value_parser = network)]
    network: IpNet,
    /// How long, "1d" for instance [default: until it is lifted]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
    /// Why, for the log and the list
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Let the sessions go on that are there
    #[arg(long)]
    keep_sessions: bool,
}

/// Reads an address or a network.
pub fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().map(|address: std::net::IpAddr| address.into());
    let network = text.parse::<IpNet>().or_else(|_| address());
    network.map_err(|_| "expected an address, or a network such as 192.0.2.0/24".to_owned())
}

/// Shows who is there.
pub fn who(source: &Source, page: &PageOptions, json: bool) -> Result<(), Failure> {
    let found: Sessions = get(source, &format!("/sessions{}", page.query()))?;
    if json {
        output::print(&output::json(&found.sessions)?);
        return Ok(());
    }
    if found.total == 0 {
        output::print("Nobody is there.\n");
        return Ok(());
    }
    let head = ["SESSION", "USER", "CLIENT", "TLS", "SINCE", "IDLE", "DOES"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(found.sessions.iter().map(row));
    output::print(&output::table(&rows));
    output::print(&page.told(found.sessions.len(), found.matching, found.total));
    Ok(())
}

fn row(one: &SessionStatus) -> [String; 7] {
    let user = match (&one.user, &one.host) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(user), None) => user.clone(),
        (None, Some(host)) => format!("-@{host}"),
        (None, None) => "-".to_owned(),
    };
    let user = match one.logged_in {
        true => user,
        false => format!("({user})"),
    };
    let does = match (&one.transfer, &one.command) {
        (Some(transfer), _) => moving(transfer),
        (None, Some(command)) => command.clone(),
        (None, None) => "-".to_owned(),
    };
    [
        one.session.clone(),
        user,
        one.client.clone(),
        one.tls.clone().unwrap_or_else(|| "none".to_owned()),
        time(one.age),
        time(one.idle),
        does,
    ]
}

fn moving(transfer: &TransferStatus) -> String {
    let TransferStatus {
        direction,
        path,
        bytes,
        milliseconds,
    } = transfer;
    let rate = bytes.saturating_mul(1000) / milliseconds.max(&1);
    let path = path.as_deref().unwrap_or_default();
    format!("{direction} {path}: {bytes} bytes, {rate} a second")
}

/// Ends sessions.
pub fn kick(source: &Source, kick: Kick) -> Result<(), Failure> {
    let body = EndSessions {
        session: kick.session,
        user: kick.user,
        host: kick.host.map(|name| name.to_ascii_lowercase()),
        network: kick.network,
        reason: kick.reason,
    };
    act(source, Method::POST, "/sessions/end", Some(&body))
}

/// Bans a network.
pub fn ban(source: &Source, ban: NetworkBan) -> Result<(), Failure> {
    let body = NewBan {
        network: ban.network,
        seconds: ban.length.map(|length| length.as_secs()),
        reason: ban.reason,
        keep_sessions: ban.keep_sessions,
    };
    act(source, Method::POST, "/bans", Some(&body))
}

/// Lifts bans.
pub fn unban(source: &Source, network: IpNet) -> Result<(), Failure> {
    let path = format!("/bans?network={}", escaped(&network.to_string()));
    act(source, Method::DELETE, &path, None::<&()>)
}

/// Shows the bans.
pub fn bans(source: &Source, page: &PageOptions, json: bool) -> Result<(), Failure> {
    let found: Bans = get(source, &format!("/bans{}", page.query()))?;
    if json {
        output::print(&output::json(&found.bans)?);
        return Ok(());
    }
    if found.total == 0 {
        output::print("Nobody is banned.\n");
        return Ok(());
    }
    let head = ["NETWORK", "UNTIL", "BY", "TIMES", "REASON"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(found.bans.iter().map(banned));
    output::print(&output::table(&rows));
    output::print(&page.told(found.bans.len(), found.matching, found.total));
    Ok(())
}

fn banned(ban: &Ban) -> [String; 5] {
    let until = ban.until.and_then(|until| {
        let until = jiff::Timestamp::from_second(i64::try_from(until).ok()?).ok()?;
        Some(until.to_string())
    });
    [
        ban.network.to_string(),
        until.unwrap_or_else(|| "it is lifted".to_owned()),
        ban.by.clone(),
        ban.times.to_string(),
        ban.reason.clone(),
    ]
}

//! Users and networks that the plugin `lockout` keeps out for a while.
//!
//! It keeps three counters of each that it watches, `failed WHO`, `locked WHO` and `locks WHO`. WHO is the
//! digest of a user's name, a network, or both with a space between them. A name that somebody tried may be a
//! password, so that names themselves are not kept.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use axum::{Extension, Json, extract::State};
use data_encoding::HEXLOWER;
use ipnet::IpNet;

use super::{
    Actor, Deed, Query, Refused, Server, done,
    messages::{Lock, Locks, Page, Unlock},
};
use crate::{
    config::{Plugin, file_setting, regular},
    server::Running,
    types::HostId,
};

/// The counter that lives as long as a lock.
const LOCKED: &str = "locked ";
/// The other two, which go with it, so that the next failure is the first.
const COUNTERS: [&str; 3] = ["failed ", LOCKED, "locks "];
/// Bytes of the digest that are kept.
const DIGEST: usize = 16;

pub(super) async fn list(
    State(running): Server,
    Query(page): Query<Page>,
) -> Result<Json<Locks>, Refused> {
    let names = names(&running).await;
    let locked = running.resources.host().states_with(LOCKED).await?;
    let locks = locked.into_iter().filter_map(|(plugin, key, left)| {
        let (user_digest, network) = who(key.strip_prefix(LOCKED)?)?;
        let name = |digest: &String| names.iter().find(|name| digest_of(name) == *digest);
        Some(Lock {
            plugin,
            user: user_digest.as_ref().and_then(name).cloned(),
            user_digest,
            network,
            seconds: left.map(|left| left.as_secs()),
        })
    });
    let mut all: Vec<Lock> = locks.collect();
    all.sort_by(|one, other| (one.network, &one.user).cmp(&(other.network, &other.user)));
    let total = all.len();
    let (locks, matching) = page.of(all);
    Ok(Json(Locks {
        total,
        matching,
        locks,
    }))
}

pub(super) async fn lift(
    State(running): Server,
    Extension(actor): Extension<Actor>,
    Query(wanted): Query<Unlock>,
) -> Deed {
    let Unlock {
        user,
        digest,
        host: of_host,
        network,
    } = &wanted;
    let digest = match (user, digest) {
        (Some(_), Some(_)) => return Err(Refused::wrong("say a user or a digest, not both")),
        (Some(user), None) => Some(digest_of(user)),
        (None, digest) => digest.clone(),
    };
    if digest.is_none() && network.is_none() {
        return Err(Refused::wrong("say a user, a network, or both"));
    }
    let host = running.resources.host();
    let mut lifted = 0;
    for counter in COUNTERS {
        for (plugin, key, _) in host.states_with(counter).await? {
            let Some((of_user, from)) = key.strip_prefix(counter).and_then(who) else {
                continue;
            };
            let is_user = digest
                .as_ref()
                .is_none_or(|digest| of_user.as_ref() == Some(digest));
            let of_host = of_host
                .as_ref()
                .map(|name| HostId::named(&name.to_ascii_lowercase()));
            let is_hosts = of_host.is_none_or(|host| plugin.ends_with(&host.qualify("")));
            let is_there = network.is_none_or(|network| {
                from.is_some_and(|from| network.trunc().contains(&from) || from.contains(&network))
            });
            if is_user && is_hosts && is_there {
                let gone = host.clear_state(&plugin, Some(&key)).await?;
                let gone = gone.unwrap_or(0);
                lifted += if counter == LOCKED { gone } else { 0 };
            }
        }
    }
    let about = [
        user.clone().or(digest).map(|user| format!("{user:?}")),
        network.map(|network| format!("from {}", told(&network))),
    ];
    let about: Vec<String> = about.into_iter().flatten().collect();
    let about = about.join(" ");
    match lifted {
        0 => Err(Refused::not_found(format!(
            "{about} is not locked out; failures that were counted are forgotten"
        ))),
        count => {
            tracing::info!(by = %actor, user, %about, count, "locks are lifted");
            match count {
                1 => done("1 lock is lifted"),
                _ => done(format!("{count} locks are lifted")),
            }
        }
    }
}

/// An address without the length of a prefix that adds nothing.
fn told(network: &IpNet) -> String {
    match network.prefix_len() == network.max_prefix_len() {
        true => network.addr().to_string(),
        false => network.to_string(),
    }
}

/// The user's digest and the network in the name of a counter.
fn who(text: &str) -> Option<(Option<String>, Option<IpNet>)> {
    let network = |text: &str| {
        let address = || text.parse().map(|address: std::net::IpAddr| address.into());
        text.parse::<IpNet>().or_else(|_| address()).ok()
    };
    let digest = |text: &str| {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        (bytes.len() == DIGEST).then(|| text.to_owned())
    };
    match text.split_once(' ') {
        Some((user, from)) => Some((Some(digest(user)?), Some(network(from)?))),
        None => match digest(text) {
            Some(user) => Some((Some(user), None)),
            None => Some((None, Some(network(text)?))),
        },
    }
}

fn digest_of(user: &str) -> String {
    let digest = digest::digest(&digest::SHA256, user.as_bytes());
    HEXLOWER.encode(digest.as_ref().get(..DIGEST).unwrap_or_default())
}

/// The names in the files of users, and of those who are there.
async fn names(running: &Running) -> BTreeSet<String> {
    let sessions = running.resources.users().sessions.list().into_iter();
    let mut names: BTreeSet<String> = sessions.filter_map(|session| session.user).collect();
    if let Some(generation) = running.acceptor.generation() {
        let state = &running.first.server.state;
        let hosts = generation.hosts.iter();
        let files: Vec<PathBuf> = hosts
            .flat_map(|host| files(&host.config.plugin, state))
            .collect();
        let read = move || files.iter().flat_map(|file| in_file(file)).collect();
        let read = tokio::task::spawn_blocking(read).await;
        let read: Vec<String> = read.unwrap_or_default();
        names.extend(read);
    }
    names
}

/// The files of users that ship.
fn files(plugins: &[Plugin], state: &Path) -> Vec<PathBuf> {
    let shipped = plugins.iter();
    let shipped = shipped.filter(|plugin| plugin.component.starts_with("builtin:"));
    let users = shipped.filter_map(|plugin| plugin.settings.get("users"));
    let files = users.filter_map(file_setting);
    files.map(|file| state.join(file)).collect()
}

fn in_file(file: &Path) -> Vec<String> {
    let Ok(text) = regular::read_text(file) else {
        return Vec::new();
    };
    let json = || serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(&text);
    match text.parse::<toml::Table>() {
        Ok(table) => table.into_iter().map(|(name, _)| name).collect(),
        Err(_) => json().map_or_else(
            |_| Vec::new(),
            |all| all.into_iter().map(|(name, _)| name).collect(),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_of_a_user_or_a_network_or_both() {
        let alice = digest_of("alice");
        let v6: IpNet = "2001:db8:0:1::/64".parse().unwrap();
        let v4: IpNet = "192.0.2.1/32".parse().unwrap();
        assert_eq!(alice, "2bd806c97f0e00af1a1fc3328fa763a9");
        assert_eq!(who(&alice), Some((Some(alice.clone()), None)));
        assert_eq!(who("192.0.2.1"), Some((None, Some(v4))));
        let both = format!("{alice} 2001:db8:0:1::/64");
        assert_eq!(who(&both), Some((Some(alice), Some(v6))));
        for other in ["", "alice", "s 192.0.2.1", "12 34"] {
            assert_eq!(who(other), None, "{other}");
        }
    }
}

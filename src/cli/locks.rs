//! `portcullis locks` and `unlock`: users and networks that the plugin `lockout` keeps out.

use clap::Args;
use http::Method;
use ipnet::IpNet;

use super::{
    Failure, Source,
    control::{act, escaped, get, time},
    output,
    page::PageOptions,
    sessions::network,
};
use crate::server::admin::messages::{Lock, Locks};

/// The locks that are to be lifted; together they say which.
#[derive(Args, Debug)]
pub struct Unlocked {
    /// The user's name
    #[arg(required_unless_present = "network")]
    user: Option<String>,
    /// The virtual host, of whose plugins alone locks are lifted [default: all hosts]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The address or network that the user, or everybody, is locked out from
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Option<IpNet>,
}

/// Shows who is locked out.
pub fn list(source: &Source, page: &PageOptions, json: bool) -> Result<(), Failure> {
    let found: Locks = get(source, &format!("/locks{}", page.query()))?;
    if json {
        output::print(&output::json(&found.locks)?);
        return Ok(());
    }
    if found.total == 0 {
        output::print("Nobody is locked out.\n");
        return Ok(());
    }
    let head = ["USER", "FROM", "FOR", "BY"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(found.locks.iter().map(row));
    output::print(&output::table(&rows));
    output::print(&page.told(found.locks.len(), found.matching, found.total));
    Ok(())
}

fn row(lock: &Lock) -> [String; 4] {
    let user = match (&lock.user, &lock.user_digest) {
        (Some(user), _) => user.clone(),
        (None, Some(digest)) => format!("(unknown, digest {digest})"),
        (None, None) => "everybody".to_owned(),
    };
    let from = match lock.network {
        Some(network) if network.prefix_len() == network.max_prefix_len() => {
            network.addr().to_string()
        }
        Some(network) => network.to_string(),
        None => "anywhere".to_owned(),
    };
    let left = lock.seconds.map_or_else(|| "ever".to_owned(), time);
    [user, from, left, lock.plugin.clone()]
}

/// Lifts locks.
pub fn unlock(source: &Source, wanted: &Unlocked) -> Result<(), Failure> {
    let user = wanted.user.as_deref().map(|user| ("user", escaped(user)));
    let network = wanted.network;
    let network = network.map(|network| ("network", escaped(&network.to_string())));
    let host = wanted.host.as_deref().map(|host| ("host", escaped(host)));
    let parameters = [user, host, network].into_iter().flatten();
    let parameters: Vec<String> = parameters
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let path = format!("/locks?{}", parameters.join("&"));
    act(source, Method::DELETE, &path, None::<&()>)
}

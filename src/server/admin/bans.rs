//! Networks that are not let in.

use std::time::Duration;

use axum::{Extension, Json, extract::State};

use super::{
    Actor, Deed, Query, Refused, Server, Wanted, done,
    messages::{Bans, NewBan, Page, Unban},
};

/// The longest reason that is kept, in bytes.
const REASON: usize = 1000;

pub(super) async fn list(State(running): Server, Query(page): Query<Page>) -> Json<Bans> {
    let all = running.resources.bans().in_force();
    let total = all.len();
    let (bans, matching) = page.of(all);
    Json(Bans {
        total,
        matching,
        bans,
    })
}

pub(super) async fn ban(
    State(running): Server,
    Extension(actor): Extension<Actor>,
    Wanted(new): Wanted<NewBan>,
) -> Deed {
    let (network, length) = (new.network.trunc(), new.seconds.map(Duration::from_secs));
    let reason = new.reason.unwrap_or_default();
    if reason.len() > REASON {
        return Err(Refused::wrong(format!(
            "the reason has more than {REASON} bytes"
        )));
    }
    if length.is_some_and(|length| length.is_zero()) {
        return Err(Refused::wrong("a ban lasts a second at least"));
    }
    let allowed = running.resources.bans().ban(network, length, &reason);
    tracing::warn!(by = %actor, %network, seconds = new.seconds, reason, "banned");
    let mut text = format!("{network} is banned");
    if !new.keep_sessions {
        let bans = running.resources.bans();
        let ended = running.resources.users().sessions.end(
            |info| {
                let client = info.client.ip().to_canonical();
                network.contains(&client) && !bans.lets_in(client)
            },
            "its network was banned",
        );
        match ended {
            0 => {}
            1 => text += ", and 1 session is ended",
            _ => text += &format!(", and {ended} sessions are ended"),
        }
    }
    for network in allowed {
        text += &format!("; {network} is let in all the same (bans.allow)");
    }
    done(text)
}

pub(super) async fn lift(
    State(running): Server,
    Extension(actor): Extension<Actor>,
    Query(Unban { network }): Query<Unban>,
) -> Deed {
    let bans = running.resources.bans();
    // One that another server has made a moment ago is lifted, too.
    bans.exchange().await;
    match bans.lift(network.trunc()) {
        0 => Err(Refused::not_found(format!(
            "nothing is banned within {network}"
        ))),
        count => {
            tracing::info!(by = %actor, %network, count, "bans are lifted");
            match count {
                1 => done("1 ban is lifted"),
                _ => done(format!("{count} bans are lifted")),
            }
        }
    }
}

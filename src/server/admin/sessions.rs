//! The sessions there are, and the end of one.

use axum::{Extension, Json, extract::State};

use super::{
    Actor, Deed, Query, Refused, Server, Wanted, done,
    messages::{EndSessions, Page, Sessions},
};

pub(super) async fn list(State(running): Server, Query(page): Query<Page>) -> Json<Sessions> {
    let table = &running.resources.users().sessions;
    let (all, traffic) = (table.list(), table.traffic());
    let total = all.len();
    let (sessions, matching) = page.of(all);
    Json(Sessions {
        total,
        matching,
        transfers: traffic.transfers,
        moved: traffic.moved,
        sessions,
    })
}

pub(super) async fn end(
    State(running): Server,
    Extension(actor): Extension<Actor>,
    Wanted(wanted): Wanted<EndSessions>,
) -> Deed {
    let EndSessions {
        session,
        user,
        host,
        network,
        reason,
    } = &wanted;
    if session.is_none() && user.is_none() && host.is_none() && network.is_none() {
        return Err(Refused::wrong("say a session, a user, a host or a network"));
    }
    let reason = reason.as_deref().unwrap_or("an operator has ended it");
    let ended = running.resources.users().sessions.end(
        |info| {
            let is = |wanted: &Option<String>, found: Option<&str>| {
                wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
            };
            let logged_in = info.account.as_ref().and(info.user.as_deref());
            is(session, Some(&info.id))
                && is(user, logged_in)
                && is(host, info.virtual_host.name())
                && network.is_none_or(|network| network.contains(&info.client.ip().to_canonical()))
        },
        reason,
    );
    match (ended, session) {
        (0, Some(session)) => Err(Refused::not_found(format!("there is no session {session}"))),
        (0, None) => Err(Refused::not_found("there is no such session")),
        (count, _) => {
            tracing::info!(by = %actor, count, reason, "sessions are ended");
            match count {
                1 => done("1 session is ended"),
                _ => done(format!("{count} sessions are ended")),
            }
        }
    }
}

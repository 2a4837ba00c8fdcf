//! The decisions of a person about uploads in quarantine.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::{
    Actor, Deed, Query, Refused, Server, Wanted, done,
    messages::{Page, Quarantine, Release},
};
use crate::{
    gate::{SessionInfo, event::Event},
    server::Running,
    spool::{QuarantineInfo, QuarantinedUpload, Storage},
    storage::Error,
};

pub(super) async fn list(
    State(running): Server,
    Query(page): Query<Page>,
) -> Result<Json<Quarantine>, Refused> {
    let all = running.quarantined().await.map_err(Refused::conflict)?;
    let total = all.len();
    let (uploads, matching) = page.of(all);
    Ok(Json(Quarantine {
        total,
        matching,
        uploads,
    }))
}

pub(super) async fn release(
    State(running): Server,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    Wanted(Release { replace }): Wanted<Release>,
) -> Deed {
    // It goes on to its end when nobody waits for it any more: half a release would be both published and
    // in quarantine.
    let release = async move { running.release(&id, replace, &actor).await };
    match tokio::spawn(release).await {
        Ok(released) => done(released?),
        Err(error) => Err(Refused::conflict(error.to_string())),
    }
}

pub(super) async fn discard(
    State(running): Server,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
) -> Deed {
    done(running.discard(&id, &actor).await?)
}

impl Running {
    async fn quarantined(&self) -> Result<Vec<QuarantinedUpload>, String> {
        let mut all = Vec::new();
        for (name, (_, storage)) in self.resources.storages() {
            let held = storage.quarantined().await;
            all.extend(held.map_err(|error| format!("storage.{name}: {error}"))?);
        }
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    async fn release(&self, id: &str, replace: bool, actor: &Actor) -> Result<String, Refused> {
        let storage = self.storage_of(id).await?;
        let held = storage.release(id, replace).await.map_err(|error| {
            Refused::conflict(match error {
                Error::Exists => format!(
                    "{id}: there is a file under its name by now; --replace puts it in its place"
                ),
                Error::Unsupported => format!(
                    "{id} is not whole: the verdict came before its end; what there is of it stays in \
                     quarantine"
                ),
                error => format!("{id} stays in quarantine: {error}"),
            })
        })?;
        let (user, path) = (&held.note.user, &held.note.path);
        tracing::info!(
            id,
            user = user.as_str(),
            path = path.as_str(),
            by = %actor,
            "released from quarantine"
        );
        if let Some(generation) = self.acceptor.generation() {
            let hosts = &generation.hosts;
            let host = hosts.by_id(&held.note.host).unwrap_or(hosts.default());
            let event = Event::Released {
                path,
                bytes: held.size,
                sha256: held.note.sha256.as_deref(),
                plugin: &held.note.plugin,
            };
            host.observers.emit(&session_of(&held.note), &event);
        }
        Ok(format!("{path} of {user} is published"))
    }

    async fn discard(&self, id: &str, actor: &Actor) -> Result<String, Refused> {
        let storage = self.storage_of(id).await?;
        let held = storage.discard(id).await;
        let held = held.map_err(|error| Refused::conflict(format!("{id}: {error}")))?;
        let (user, path) = (&held.note.user, &held.note.path);
        tracing::info!(
            id,
            user = user.as_str(),
            path = path.as_str(),
            by = %actor,
            "deleted from quarantine"
        );
        Ok(format!("{id} is deleted, which was to be {path} of {user}"))
    }

    async fn storage_of(&self, id: &str) -> Result<Arc<Storage>, Refused> {
        for (name, (_, storage)) in self.resources.storages() {
            let held = storage.quarantined().await;
            let held =
                held.map_err(|error| Refused::conflict(format!("storage.{name}: {error}")))?;
            if held.iter().any(|held| held.id == id) {
                return Ok(storage);
            }
        }
        Err(Refused::not_found(format!(
            "nothing in quarantine is called {id:?}; see `portcullis quarantine list`"
        )))
    }
}

/// The session that an upload in quarantine came from, as far as that was noted.
fn session_of(note: &QuarantineInfo) -> SessionInfo {
    let nobody = SessionInfo::nobody(&note.session);
    SessionInfo {
        client: note.client.parse().unwrap_or(nobody.client),
        known: true,
        user: Some(note.user.as_str().into()),
        virtual_host: note.host.clone(),
        ..SessionInfo::clone(&nobody)
    }
}

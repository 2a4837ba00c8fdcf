//! How the server is, and a reload.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Extension, Json, extract::State};

use super::{
    Actor, Deed, Query, Refused, Server, done,
    messages::{AcmeStatus, Broken, HostStatus, Page, Plugin, Status, Uploads, seconds_since},
};
use crate::{
    acme, gate::health::PluginHealth, observe, server::Running, session::generation::Generation,
};

pub(super) async fn status(State(running): Server) -> Json<Status> {
    Json(running.status().await)
}

pub(super) async fn uploads(State(running): Server, Query(page): Query<Page>) -> Json<Uploads> {
    let all = running.broken_uploads();
    let total = all.len();
    let (uploads, matching) = page.of(all);
    Json(Uploads {
        total,
        matching,
        uploads,
    })
}

pub(super) async fn reload(
    State(running): State<Arc<Running>>,
    Extension(actor): Extension<Actor>,
) -> Deed {
    match running.reload(&actor.to_string()).await {
        Ok(text) => done(text),
        Err(text) => Err(Refused::wrong(text)),
    }
}

pub(super) async fn drain(State(running): Server, Extension(actor): Extension<Actor>) -> Deed {
    tracing::info!(by = %actor, "the server is to end");
    running.stop.notify_one();
    done("the server ends: no new sessions, and transfers may finish")
}

impl Running {
    /// The health of the plugins that new sessions use.
    pub(in crate::server) fn health(&self) -> Vec<Arc<PluginHealth>> {
        let generation = self.acceptor.generation();
        let hosts = generation
            .iter()
            .flat_map(|generation| generation.hosts.iter());
        hosts
            .flat_map(|host| host.gates.health.iter().cloned())
            .collect()
    }

    pub(in crate::server) async fn status(&self) -> Status {
        let current = self.current.lock().await;
        let generation = self.acceptor.generation();
        let (state_error_age, state_error) = self.resources.host().state_error().unzip();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime: seconds_since(self.started),
            loaded: seconds_since(current.since),
            configuration: current.loaded.file.clone(),
            listening: current
                .listeners
                .iter()
                .map(|serving| serving.listening)
                .collect(),
            hosts: self.hosts(generation.as_deref()),
            admin: self.admin,
            metrics: self.metrics,
            acme: self.acme_status(),
            log_error: observe::failure(),
            log_dropped: observe::dropped(),
            audit_error: self.resources.audit().failure(),
            audit_dropped: self.resources.audit().dropped(),
            sessions: self.acceptor.admission.sessions(),
            generations: self.generations.used(generation.as_ref()),
            instances: Some(self.resources.host().instances()),
            plugins: self.plugins(),
            uploads: self.broken_uploads(),
            state_error,
            state_error_age: state_error_age.map(seconds_since),
            state_file: self.first.state.file.clone(),
            shared_state: self.resources.shared().map(|shared| shared.status().into()),
            staging: self
                .resources
                .storages()
                .iter()
                .map(|(_, (_, storage))| storage.staging().to_owned())
                .collect(),
            walls: self.confinement.walls.clone(),
        }
    }

    fn acme_status(&self) -> Option<AcmeStatus> {
        let report = acme::lock(&self.acme);
        let seconds = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_secs())
        };
        (!report.names.is_empty()).then(|| AcmeStatus {
            names: report.names.clone(),
            expires: report.expires.map(seconds),
            next: report.next.map(seconds),
            error: report.error.clone(),
        })
    }

    /// The virtual hosts besides the default one.
    fn hosts(&self, generation: Option<&Generation>) -> Vec<HostStatus> {
        let mut sessions = self.resources.users().sessions.by_host();
        let mut hosts = Vec::new();
        for host in generation
            .iter()
            .flat_map(|generation| generation.hosts.iter())
        {
            let Some(name) = host.id().name() else {
                continue;
            };
            let aliases = host.config.names.iter().skip(1).cloned();
            hosts.push(HostStatus {
                name: name.to_owned(),
                aliases: aliases.collect(),
                sessions: sessions.remove(host.id()).unwrap_or(0),
            });
        }
        hosts
    }

    /// The plugins that new sessions use.
    fn plugins(&self) -> Vec<Plugin> {
        let Some(generation) = self.acceptor.generation() else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for host in generation.hosts.iter() {
            for health in &host.gates.health {
                let mut plugin = Plugin::from(health.snapshot());
                let mut configured = host.config.plugin.iter();
                if let Some(configured) =
                    configured.find(|one| host.id().qualify(&one.name) == plugin.name)
                {
                    plugin.grants = configured.grants.to_string();
                }
                all.push(plugin);
            }
        }
        all
    }

    fn broken_uploads(&self) -> Vec<Broken> {
        let mut all = Vec::new();
        for (storage, (_, local)) in self.resources.storages() {
            all.extend(local.waiting().into_iter().map(|waiting| {
                let (user, path) = waiting.label.unzip();
                let host = user.as_ref().and_then(|user| user.host.name());
                Broken {
                    storage: storage.clone(),
                    host: host.map(str::to_owned),
                    user: user.map(|user| user.name.to_string()),
                    path,
                    size: waiting.size,
                    age: seconds_since(waiting.modified),
                }
            }));
        }
        all
    }
}

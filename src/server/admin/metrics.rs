//! `/metrics`, `/healthz` and `/readyz`.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::SystemTime,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::Server;
use crate::{
    gate::health::{Durations, PluginHealth},
    observe::metrics::{PREFIX, text},
    server::Running,
};

/// OpenMetrics 1.0, as prometheus-client writes it.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Plugin {
    plugin: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Storage {
    storage: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Certificate {
    key: String,
    subject: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Wall {
    wall: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

type Gauges<L> = Family<L, Gauge<f64, AtomicU64>>;

/// Those for whom the rest of the API is not.
pub(super) fn router(running: Arc<Running>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(running)
}

/// Whether clients are let in.
async fn ready(State(running): Server) -> Response {
    match running.acceptor.generation() {
        Some(_) => "ready\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the server ends\n").into_response(),
    }
}

async fn metrics(State(running): Server) -> Response {
    let counted = running.resources.metrics().text();
    let kind = HeaderValue::from_static(KIND);
    let body = format!("{counted}{}# EOF\n", gauges(&running).await);
    ([(CONTENT_TYPE, kind)], body).into_response()
}

/// The values that are looked at when somebody asks.
async fn gauges(running: &Running) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    let registry = &mut registry;
    let status = running.status().await;
    let traffic = running.resources.users().sessions.traffic();
    let build = Build {
        version: env!("CARGO_PKG_VERSION"),
    };
    family(registry, "build_info", "The version", [(build, 1.0)]);
    one(
        registry,
        "start_time_seconds",
        "When the server started, since 1970",
        seconds(running.started),
    );
    let loaded = SystemTime::now() - std::time::Duration::from_secs(status.loaded);
    one(
        registry,
        "config_loaded_time_seconds",
        "When the configuration was loaded, since 1970",
        seconds(loaded),
    );
    one(
        registry,
        "sessions",
        "Control connections",
        number(status.sessions as u64),
    );
    one(
        registry,
        "transfers_active",
        "Transfers under way",
        number(traffic.transfers as u64),
    );
    count(
        registry,
        "data_bytes",
        "Bytes on the wire of all data connections since the start, TLS included",
        number(traffic.moved),
    );
    one(
        registry,
        "bans",
        "Bans in force",
        number(running.resources.bans().in_force().len() as u64),
    );
    let health = running.health();
    let of = |value: fn(&super::messages::Plugin) -> f64| {
        let plugins = status.plugins.iter();
        plugins.map(move |one| {
            (
                Plugin {
                    plugin: one.name.clone(),
                },
                value(one),
            )
        })
    };
    family(
        registry,
        "plugin_healthy",
        "Whether the plugin is healthy",
        of(|one| f64::from(u8::from(one.healthy))),
    );
    counters(
        registry,
        "plugin_calls",
        "Calls of the plugin since the start",
        of(|one| number(one.calls)),
    );
    counters(
        registry,
        "plugin_failed_calls",
        "Those of them that were faults",
        of(|one| number(one.faults)),
    );
    counters(
        registry,
        "plugin_cpu_seconds",
        "Computing time of the plugin since the start",
        of(|one| one.cpu),
    );
    counters(
        registry,
        "plugin_dropped_events",
        "Events that the listener missed since the start",
        health.iter().map(|one| {
            (
                Plugin {
                    plugin: one.plugin().to_owned(),
                },
                number(one.events_dropped()),
            )
        }),
    );
    registry.register(
        "plugin_call_duration_seconds",
        "Seconds of calls of the plugin, waits for an instance or a client not counted",
        Histograms::of(&health, |all| &all.calls),
    );
    registry.register(
        "plugin_call_cpu_seconds",
        "Computing time of each call of the plugin",
        Histograms::of(&health, |all| &all.cpu),
    );
    registry.register(
        "plugin_wait_seconds",
        "Seconds that each call waited for an instance of the plugin",
        Histograms::of(&health, |all| &all.waits),
    );
    if let Some(taken) = &status.instances {
        let kinds = [
            ("logins", taken.logins),
            ("paths", taken.paths),
            ("uploads", taken.uploads),
            ("events", taken.events),
        ];
        let kinds = kinds.map(|(kind, count)| (Kind { kind }, number(count)));
        family(
            registry,
            "plugin_instances",
            "Instances of plugins by their work",
            kinds,
        );
        one(
            registry,
            "plugin_instances_limit",
            "The most instances",
            number(taken.total),
        );
        one(
            registry,
            "plugin_memory_bytes",
            "Linear memory of instances",
            number(taken.memory),
        );
    }
    let mut waiting = std::collections::BTreeMap::<String, u64>::new();
    for upload in &status.uploads {
        *waiting.entry(upload.storage.clone()).or_default() += 1;
    }
    let mut held = Vec::new();
    for (name, (_, storage)) in running.resources.storages() {
        waiting.entry(name.clone()).or_default();
        if let Ok(quarantined) = storage.count_quarantined().await {
            held.push((Storage { storage: name }, number(quarantined as u64)));
        }
    }
    let waiting = waiting.into_iter();
    let waiting = waiting.map(|(storage, count)| (Storage { storage }, number(count)));
    family(
        registry,
        "broken_uploads",
        "Broken uploads that wait to be resumed",
        waiting,
    );
    family(
        registry,
        "quarantined_uploads",
        "Uploads in quarantine",
        held,
    );
    if let Some(generation) = running.acceptor.generation() {
        let hosts = generation.hosts.iter();
        let ends = hosts.flat_map(|host| host.tls.expiries());
        let ends = ends.map(|(key, subject, end)| {
            #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
            let end = end as f64;
            (Certificate { key, subject }, end)
        });
        family(
            registry,
            "certificate_expiry_time_seconds",
            "When a certificate of the server expires, since 1970",
            ends,
        );
    }
    let walls = status.walls.iter();
    let walls = walls.map(|wall| {
        let stands = f64::from(u8::from(wall.stands));
        (
            Wall {
                wall: wall.name.to_string(),
            },
            stands,
        )
    });
    family(
        registry,
        "wall_stands",
        "Whether a wall around the process stands",
        walls,
    );
    let failing = f64::from(u8::from(status.state_error.is_some()));
    one(
        registry,
        "state_file_failing",
        "Whether the state file cannot be written",
        failing,
    );
    if let Some(shared) = &status.shared_state {
        one(
            registry,
            "shared_state_away",
            "Whether the Redis that state is shared by is away",
            f64::from(u8::from(shared.error.is_some())),
        );
        count(
            registry,
            "shared_state_requests",
            "Requests to the Redis that state is shared by, since the start",
            number(shared.requests),
        );
        count(
            registry,
            "shared_state_failed_requests",
            "Those of them that failed",
            number(shared.failed),
        );
    }
    count(
        registry,
        "log_dropped_lines",
        "Lines of the log that were dropped since the start",
        number(status.log_dropped),
    );
    count(
        registry,
        "audit_dropped_lines",
        "Lines of the audit that were dropped since the start",
        number(status.audit_dropped.unwrap_or(0)),
    );
    text(registry)
}

/// A histogram of each plugin, that the plugin's health keeps.
#[derive(Debug)]
struct Histograms(Vec<(Plugin, Histogram)>);

impl Histograms {
    fn of(health: &[Arc<PluginHealth>], which: fn(&Durations) -> &Histogram) -> Self {
        let each = health.iter().map(|one| {
            let plugin = one.plugin().to_owned();
            (Plugin { plugin }, which(one.durations()).clone())
        });
        Self(each.collect())
    }
}

impl EncodeMetric for Histograms {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (plugin, histogram) in &self.0 {
            histogram.encode(encoder.encode_family(plugin)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

fn one(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Gauge::<f64, AtomicU64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn family<L>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, f64)>,
) where
    L: Clone + std::hash::Hash + Eq + EncodeLabelSet + std::fmt::Debug + Send + Sync + 'static,
    Gauges<L>: EncodeMetric,
{
    let gauges = Gauges::<L>::default();
    for (labels, value) in values {
        gauges.get_or_create(&labels).set(value);
    }
    registry.register(name, help, gauges);
}

/// The same of what only grows.
fn count(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let counter = Counter::<f64, AtomicU64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn counters(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Plugin, f64)>,
) {
    let counters = Family::<Plugin, Counter<f64, AtomicU64>>::default();
    for (labels, value) in values {
        counters.get_or_create(&labels).inc_by(value);
    }
    registry.register(name, help, counters);
}

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64().round()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has no other numbers"
)]
fn number(count: u64) -> f64 {
    count as f64
}

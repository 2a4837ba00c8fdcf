//! Counters of what happens in sessions, in the form that Prometheus reads. No label has a name of a user,
//! a path or an address: there are as many series as the program has words, and plugins.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::gate::{
    SessionInfo,
    event::{Blame, Event, Observer, Transfer, TransferFailed},
};

/// The prefix of all names.
pub const PREFIX: &str = "portcullis";

/// An outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// A kind of transfer, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    direction: &'static str,
    outcome: &'static str,
}

/// A kind of transfer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

/// A transfer that failed, and the side that could do something about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    direction: &'static str,
    cause: &'static str,
}

/// An operation on files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// The protection of a data connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Protection {
    protection: &'static str,
}

/// A version of TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    version: &'static str,
}

/// A fault of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginFault {
    plugin: String,
    kind: String,
}

/// All counters.
pub struct Metrics {
    registry: Registry,
    connections: Counter,
    refused: Counter,
    sessions: Family<Version, Counter>,
    logins: Family<Outcome, Counter>,
    transfers: Family<Ended, Counter>,
    bytes: Family<Direction, Counter>,
    seconds: Family<Direction, Histogram>,
    failures: Family<Failure, Counter>,
    opened: Family<Protection, Counter>,
    dropped: Counter,
    operations: Family<Operation, Counter>,
    denied: Family<Operation, Counter>,
    faults: Family<PluginFault, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        // From 5 milliseconds to three hours.
        let histogram = || Histogram::new(exponential_buckets(0.005, 4.0, 11));
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            connections: Counter::default(),
            refused: Counter::default(),
            sessions: Family::default(),
            logins: Family::default(),
            transfers: Family::default(),
            bytes: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            failures: Family::default(),
            opened: Family::default(),
            dropped: Counter::default(),
            operations: Family::default(),
            denied: Family::default(),
            faults: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let Self { registry, .. } = self;
        let mut add = |name: &str, help: &str, metric: Box<dyn Registered>| {
            metric.register(registry, name, help);
        };
        add(
            "connections",
            "Clients that were let in",
            Box::new(self.connections.clone()),
        );
        add(
            "connections_refused",
            "Clients that were not let in: bans and limits, five a second for each address",
            Box::new(self.refused.clone()),
        );
        add(
            "sessions_ended",
            "Sessions that have ended, by the TLS version of the control connection",
            Box::new(self.sessions.clone()),
        );
        add("logins", "Logins by outcome", Box::new(self.logins.clone()));
        add(
            "transfers",
            "Transfers that have ended, by outcome",
            Box::new(self.transfers.clone()),
        );
        add(
            "transfer_bytes",
            "Bytes of files in whole transfers",
            Box::new(self.bytes.clone()),
        );
        add(
            "transfer_duration_seconds",
            "Seconds of whole transfers, verdicts included",
            Box::new(self.seconds.clone()),
        );
        add(
            "transfer_failures",
            "Transfers that broke off, by cause; no_data_connection: there never was one",
            Box::new(self.failures.clone()),
        );
        add(
            "data_connections",
            "Data connections of transfers: clear, or in TLS by a full or a resumed handshake",
            Box::new(self.opened.clone()),
        );
        add(
            "data_connections_dropped",
            "Data connections from elsewhere, or that did not prove themselves",
            Box::new(self.dropped.clone()),
        );
        add(
            "operations",
            "Changes that were made",
            Box::new(self.operations.clone()),
        );
        add(
            "denied",
            "Operations that were refused",
            Box::new(self.denied.clone()),
        );
        add(
            "plugin_faults",
            "Faults of plugins by kind",
            Box::new(self.faults.clone()),
        );
    }

    /// The counters as text, without the line that ends it.
    #[must_use]
    pub fn text(&self) -> String {
        text(&self.registry)
    }

    fn ended(&self, direction: Transfer, outcome: &'static str) {
        let direction = direction.name();
        self.transfers
            .get_or_create(&Ended { direction, outcome })
            .inc();
    }

    fn whole(&self, direction: Transfer, bytes: u64, lasted: Duration) {
        self.ended(direction, "complete");
        let direction = Direction {
            direction: direction.name(),
        };
        self.bytes.get_or_create(&direction).inc_by(bytes);
        self.seconds
            .get_or_create(&direction)
            .observe(lasted.as_secs_f64());
    }

    fn broken(&self, failed: &TransferFailed<'_>) {
        self.ended(failed.transfer, "failed");
        let cause = match (failed.connected, failed.blame) {
            (false, _) => "no_data_connection",
            (true, Blame::Client) => "client",
            (true, Blame::Operator) => "operator",
            (true, Blame::System) => "system",
        };
        let failure = Failure {
            direction: failed.transfer.name(),
            cause,
        };
        self.failures.get_or_create(&failure).inc();
    }

    fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&Outcome { outcome }).inc();
    }

    fn done(&self, operation: &'static str) {
        self.operations
            .get_or_create(&Operation { operation })
            .inc();
    }

    fn refused(&self, operation: &'static str) {
        self.denied.get_or_create(&Operation { operation }).inc();
    }
}

impl Observer for Metrics {
    fn observe(&self, session: &SessionInfo, event: &Event<'_>) {
        match *event {
            Event::Connected => {
                self.connections.inc();
            }
            Event::ConnectionRefused { .. } => {
                self.refused.inc();
            }
            Event::Disconnected { .. } => {
                let version = session.tls.map_or("none", |tls| tls.version);
                self.sessions.get_or_create(&Version { version }).inc();
            }
            Event::LoggedIn { .. } => self.login("accepted"),
            Event::LoginFailed { .. } => self.login("refused"),
            Event::LoginOutdated { .. } => self.login("outdated"),
            Event::LoggedOut { .. } | Event::Asked(_) => {}
            Event::Uploaded(uploaded) => {
                self.whole(Transfer::Upload, uploaded.bytes, uploaded.lasted);
            }
            Event::Downloaded { bytes, lasted, .. } => {
                self.whole(Transfer::Download, bytes, lasted);
            }
            Event::Released { .. } => self.done("release"),
            Event::DirectoryMade { .. } => self.done("make-directory"),
            Event::DirectoryRemoved { .. } => self.done("remove-directory"),
            Event::Deleted { .. } => self.done("delete"),
            Event::Renamed { .. } => self.done("rename"),
            Event::MetadataChanged { .. } => self.done("change-metadata"),
            Event::Denied { operation, .. } => self.refused(operation),
            Event::Refused(refused) => self.refused(refused.operation),
            Event::StorageFailed { operation, .. } => self.refused(operation),
            Event::TransferFailed(failed) => self.broken(failed),
            Event::NoPort { .. } => self.refused("data-connection"),
            Event::DataConnectionOpened { resumed } => {
                let protection = match resumed {
                    None => "clear",
                    Some(false) => "full",
                    Some(true) => "resumed",
                };
                self.opened.get_or_create(&Protection { protection }).inc();
            }
            Event::DataConnectionDropped { .. } => {
                self.dropped.inc();
            }
            Event::UploadRefused(refused) => {
                let outcome = match refused.quarantine {
                    Some(_) => "quarantined",
                    None => "rejected",
                };
                self.ended(Transfer::Upload, outcome);
            }
            Event::UploadRefusedLate(_) => self.ended(Transfer::Upload, "rejected-late"),
            Event::Faulted { fault, upload, .. } => {
                if upload.is_some() {
                    self.ended(Transfer::Upload, "undecided");
                }
                self.fault(&fault.plugin, &fault.kind.to_string());
            }
            Event::FaultPassed { fault, .. } => {
                self.fault(&fault.plugin, &fault.kind.to_string());
            }
        }
    }
}

impl Metrics {
    fn fault(&self, plugin: &str, kind: &str) {
        let fault = PluginFault {
            plugin: plugin.to_owned(),
            kind: kind.to_owned(),
        };
        self.faults.get_or_create(&fault).inc();
    }
}

/// Something that a registry takes, so that names and texts stand in one list.
trait Registered {
    fn register(self: Box<Self>, registry: &mut Registry, name: &str, help: &str);
}

impl<M: prometheus_client::registry::Metric> Registered for M {
    fn register(self: Box<Self>, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, *self);
    }
}

/// A registry as text, without the line that ends it.
#[must_use]
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // Nothing in it fails to be written into memory.
    let _ = prometheus_client::encoding::text::encode(&mut text, registry);
    text.trim_end_matches("# EOF\n").to_owned()
}

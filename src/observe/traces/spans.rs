//! Spans of events: a trace is a session, and what takes time in it is a child of its span. Attributes are
//! named by OpenTelemetry's semantic conventions, or begin with `portcullis.`.

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor},
};

use super::export;
use crate::{
    config::{Loaded, Problem},
    ftp::path::VirtualPath,
    gate::{
        SessionInfo,
        event::{Answer, Event},
    },
    startup::Startup,
};

/// How long the end of the server waits for the last spans to be sent.
const LAST: Duration = Duration::from_secs(3);

/// Makes spans of events, and hands them to the thread that sends them. Where it does not keep up they
/// are dropped.
pub(super) struct Spans {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Percent of the sessions.
    share: u64,
    /// Ids are digests of sessions' names, so that nothing is kept for a session.
    ids: [RandomState; 3],
    spans: AtomicU64,
}

/// A span, but for its place.
struct Span<'a> {
    name: Cow<'static, str>,
    kind: SpanKind,
    lasted: Duration,
    path: Option<&'a VirtualPath>,
    bytes: Option<u64>,
    /// The kind of the error, and the error.
    error: Option<(String, String)>,
    more: Vec<KeyValue>,
}

impl<'a> Span<'a> {
    fn new(name: impl Into<Cow<'static, str>>, lasted: Duration) -> Self {
        Self {
            name: name.into(),
            kind: SpanKind::Internal,
            lasted,
            path: None,
            bytes: None,
            error: None,
            more: Vec::new(),
        }
    }

    fn of(self, path: Option<&'a VirtualPath>, bytes: Option<u64>) -> Self {
        Self {
            path,
            bytes,
            ..self
        }
    }

    fn failed(self, kind: impl Into<String>, text: impl Into<String>) -> Self {
        let error = Some((kind.into(), text.into()));
        Self { error, ..self }
    }

    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.more.push(KeyValue::new(key, value));
        self
    }
}

impl Spans {
    /// Starts the thread that sends; in a trial, nothing.
    pub(super) fn start(loaded: &Loaded, startup: &Startup) -> Result<Option<Self>, Problem> {
        let traces = &loaded.config.traces;
        let exporter = export::exporter(traces).map_err(|(key, text)| loaded.problem(key, text))?;
        if startup.is_trial() {
            return Ok(None);
        }
        let version = env!("CARGO_PKG_VERSION");
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder()
            .with_service_name("portcullis")
            .with_attribute(KeyValue::new("service.version", version));
        processor.set_resource(&resource.build());
        let scope = InstrumentationScope::builder("portcullis").with_version(version);
        Ok(Some(Self {
            processor,
            scope: scope.build(),
            share: traces.share,
            ids: Default::default(),
            spans: AtomicU64::new(0),
        }))
    }

    /// Sends what there is.
    pub(super) fn flush(&self) {
        // Its errors are in the log.
        let _ = self.processor.shutdown_with_timeout(LAST);
    }

    /// Tells of an event, if it is of a session that is traced and took time.
    pub(super) fn observe(&self, session: &SessionInfo, event: &Event<'_>) {
        let [first, second, root] = self.ids.each_ref().map(|key| key.hash_one(&session.id));
        if first % 100 >= self.share {
            return;
        }
        let Some(span) = span(event) else {
            return;
        };
        let trace = TraceId::from((u128::from(first) << 64) | u128::from(second) | 1);
        let root = SpanId::from(root | 1);
        let (own, parent) = match span.kind {
            SpanKind::Server => (root, SpanId::INVALID),
            _ => {
                let number = self.spans.fetch_add(1, Relaxed);
                let [key, ..] = &self.ids;
                (SpanId::from(key.hash_one((trace, number)) | 1), root)
            }
        };
        let sampled = TraceFlags::SAMPLED;
        let context = SpanContext::new(trace, own, sampled, false, TraceState::NONE);
        let now = SystemTime::now();
        let (status, kind) = match span.error {
            None => (Status::Unset, None),
            Some((kind, text)) => (Status::error(text), Some(kind)),
        };
        let mut attributes = facts(session);
        attributes.extend(kind.map(|kind| KeyValue::new("error.type", kind)));
        let path = span.path.map(|path| path.as_str().to_owned());
        attributes.extend(path.map(|path| KeyValue::new("file.path", path)));
        let bytes = span
            .bytes
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        attributes.extend(bytes.map(|bytes| KeyValue::new("file.size", bytes)));
        attributes.extend(span.more);
        self.processor.on_end(SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: span.kind,
            name: span.name,
            start_time: now.checked_sub(span.lasted).unwrap_or(now),
            end_time: now,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// The attributes that all spans of a session have.
fn facts(session: &SessionInfo) -> Vec<KeyValue> {
    let mut facts = vec![
        KeyValue::new("session.id", session.id.to_string()),
        KeyValue::new("client.address", session.client.ip().to_string()),
        KeyValue::new("client.port", i64::from(session.client.port())),
        KeyValue::new("server.address", session.server.ip().to_string()),
        KeyValue::new("server.port", i64::from(session.server.port())),
        KeyValue::new("network.protocol.name", "ftp"),
    ];
    let version = session.tls.map(|tls| tls.version);
    let version = version.map(|version| version.trim_start_matches("TLSv"));
    facts.extend(version.map(|version| KeyValue::new("tls.protocol.version", version)));
    let user = session.told_user().map(str::to_owned);
    facts.extend(user.map(|user| KeyValue::new("user.name", user)));
    facts
}

/// The span of an event that took time.
fn span<'a>(event: &Event<'a>) -> Option<Span<'a>> {
    Some(match *event {
        Event::Disconnected { lasted } => Span {
            kind: SpanKind::Server,
            ..Span::new("session", lasted)
        },
        Event::ConnectionRefused { cause } => Span {
            kind: SpanKind::Server,
            ..Span::new("session", Duration::ZERO).failed("refused", cause)
        },
        Event::LoggedIn { plugin, lasted, .. } => {
            Span::new("login", lasted).with("portcullis.plugin", plugin.to_owned())
        }
        Event::LoginFailed { reason, lasted, .. } => {
            Span::new("login", lasted).failed("refused", reason)
        }
        Event::Uploaded(uploaded) => {
            Span::new("upload", uploaded.lasted).of(Some(uploaded.to), Some(uploaded.bytes))
        }
        Event::Downloaded {
            path,
            bytes,
            lasted,
        } => Span::new("download", lasted).of(Some(path), Some(bytes)),
        Event::TransferFailed(failed) => Span::new(failed.transfer.name(), failed.lasted)
            .of(failed.path, failed.bytes)
            .failed(failed.code.to_string(), failed.cause.to_string()),
        Event::UploadRefused(refused) => Span::new("upload", refused.lasted)
            .of(Some(refused.path), Some(refused.bytes))
            .failed(
                refused.quarantine.map_or("rejected", |_| "quarantined"),
                refused.reason,
            )
            .with("portcullis.plugin", refused.plugin.to_owned()),
        Event::Faulted {
            path,
            upload: Some(upload),
            fault,
            ..
        } => Span::new("upload", upload.lasted)
            .of(path, Some(upload.bytes))
            .failed(fault.kind.to_string(), fault.text.as_str())
            .with("portcullis.plugin", fault.plugin.to_string()),
        Event::Asked(asked) => {
            let name = format!("{} {}", asked.kind, asked.plugin);
            let span = Span::new(name, asked.lasted)
                .of(asked.path, None)
                .with("portcullis.plugin", asked.plugin.to_owned())
                .with("portcullis.operation", asked.operation);
            match asked.answer {
                Answer::Decided(answer) => span.with("portcullis.answer", answer),
                Answer::Failed(fault) => span.failed(fault.kind.to_string(), fault.text.as_str()),
            }
        }
        _ => return None,
    })
}

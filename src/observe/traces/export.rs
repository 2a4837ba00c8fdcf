//! The way of spans to the collector: OTLP over HTTP, protocol buffers.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http_body_util::Full;
use opentelemetry_http::{Bytes, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use tokio::runtime::{self, Runtime};

use crate::{config, http_client::HttpClient};

/// How long the collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the exporter; connects to nobody yet.
///
/// # Errors
/// The key, and what is wrong with it.
pub(super) fn exporter(traces: &config::Traces) -> Result<SpanExporter, (&'static str, String)> {
    let at_endpoint = |text: String| ("traces.endpoint", text);
    let (_, url) = traces
        .collector()
        .ok_or_else(|| at_endpoint("expected a URL of http or https".to_owned()))?;
    let client = HttpClient::new(traces.authorities.as_deref(), PATIENCE);
    let client = Client {
        http: client.map_err(|text| ("traces.authorities", text))?,
        runtime: Mutex::default(),
        failing: AtomicBool::new(false),
    };
    SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(url.to_string())
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| at_endpoint(error.to_string()))
}

/// Sends batches, on the thread that has them.
struct Client {
    http: HttpClient,
    /// Made, used and dropped on that thread, which is none of another runtime.
    runtime: Mutex<Option<Runtime>>,
    /// Whether the last batch was lost.
    failing: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let url = request.uri().clone();
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = match &*runtime {
            Some(runtime) => runtime,
            None => {
                let made = runtime::Builder::new_current_thread().enable_all().build();
                runtime.insert(made?)
            }
        };
        let answer = runtime.block_on(self.http.send(request.map(Full::new)));
        let failed = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let before = self.failing.swap(failed.is_some(), Relaxed);
        match failed {
            Some(error) if !before => {
                tracing::warn!(%url, error, "traces cannot be sent, and are dropped");
            }
            None if before => tracing::info!(%url, "traces are sent again"),
            _ => {}
        }
        Ok(answer?)
    }
}

impl opentelemetry_http::HttpClient for Client {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        Box::pin(std::future::ready(self.send(request)))
    }
}

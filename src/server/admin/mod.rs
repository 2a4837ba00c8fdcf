//! The administration of a server that runs: one HTTP API, over the control socket and, where it is
//! configured, over TCP.

mod bans;
pub mod messages;
mod quarantine;
mod sessions;
mod state;
mod status;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use self::messages::{Done, Failed};
use super::Running;

/// The prefix of all paths.
pub const PREFIX: &str = "/api/v1";
/// How long the head of a request may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest body of a request.
const BODY: usize = 64 << 10;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    /// A process that can reach the control socket: the server's own user, or root.
    Socket,
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => formatter.write_str("the control socket"),
        }
    }
}

/// The state that requests have in common.
type Server = State<Arc<Running>>;

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    text: String,
}

impl Refused {
    /// There is no such thing.
    fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// Things are not so that it could be done.
    fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, text)
    }

    /// The request makes no sense.
    fn wrong(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, text)
    }

    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, text }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(Failed { error: self.text })).into_response()
    }
}

/// The answer to a request that asks for a deed.
type Deed = Result<Json<Done>, Refused>;

fn done(text: impl Into<String>) -> Deed {
    Ok(Json(Done { text: text.into() }))
}

/// A body of JSON; one that will not do is refused in the API's own form.
struct Wanted<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Wanted<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(Refused::new(error.status(), error.body_text())),
        }
    }
}

/// Parameters behind the question mark, likewise.
struct Query<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(Refused::new(error.status(), error.body_text())),
        }
    }
}

/// All paths of the API.
pub(super) fn router(running: Arc<Running>) -> Router {
    let routes: Vec<(&str, MethodRouter<Arc<Running>>)> = vec![
        ("/status", get(status::status)),
        ("/reload", post(status::reload)),
        ("/sessions", get(sessions::list)),
        ("/sessions/end", post(sessions::end)),
        ("/bans", get(bans::list).post(bans::ban).delete(bans::lift)),
        ("/quarantine", get(quarantine::list)),
        ("/quarantine/{id}", delete(quarantine::discard)),
        ("/quarantine/{id}/release", post(quarantine::release)),
        ("/state", get(state::list)),
        ("/state/{plugin}", delete(state::clear)),
        #[cfg(feature = "misbehave")]
        ("/misbehave", post(super::misbehave::answer)),
    ];
    let mut api = Router::new();
    for (path, methods) in routes {
        api = api.route(path, methods);
    }
    let api = api
        .fallback(async || Refused::not_found("there is no such path"))
        .method_not_allowed_fallback(async || {
            let text = "this path does not take that method";
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .layer(axum::extract::DefaultBodyLimit::max(BODY))
        .with_state(running);
    Router::new()
        .nest(PREFIX, api)
        .fallback(async || Refused::not_found("there is no such path"))
}

/// Serves one connection.
///
/// # Errors
/// Those of the connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    actor: Actor,
) -> hyper::Result<()> {
    let service = TowerToHyperService::new(router.layer(Extension(actor)));
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

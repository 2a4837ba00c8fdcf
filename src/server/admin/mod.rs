//! The administration of a server that runs: one HTTP API, over the control socket and, where it is
//! configured, over TCP.

mod access;
mod bans;
mod certificates;
mod locks;
mod log;
pub mod messages;
mod metrics;
mod openapi;
mod page;
mod quarantine;
mod sessions;
mod state;
mod status;
mod tcp;
pub mod tokens;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request, State},
    http::{StatusCode, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

pub(super) use self::tcp::{AdminListener, AdminSockets};
use self::{
    access::Access,
    messages::{
        Bans, Certificates, Done, EndSessions, Failed, Forget, Locks, LogLevel, NewBan, Page,
        Release, Sessions, States, Unban, Unlock, Uploads,
    },
    openapi::Operation,
};
use super::Running;
use crate::shared::Away;

/// The prefix of all paths.
pub const PREFIX: &str = "/api/v1";
/// How long the head of a request may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest body of a request.
const BODY: usize = 64 << 10;

/// The one that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    /// A process that can reach the control socket: the server's own user, or root.
    Socket,
    /// The holder of the token of this name.
    Token(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => formatter.write_str("the control socket"),
            Self::Token(name) => write!(formatter, "the token {name}"),
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

impl From<Away> for Refused {
    fn from(away: Away) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, away.to_string())
    }
}

/// The text of an answer, for the audit.
#[derive(Clone)]
struct Told(String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let told = Told(self.text.clone());
        let failed = Json(Failed { error: self.text });
        (self.status, Extension(told), failed).into_response()
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        (Extension(Told(self.text.clone())), Json(self)).into_response()
    }
}

/// The answer to a request that asks for a deed.
type Deed = Result<Done, Refused>;

fn done(text: impl Into<String>) -> Deed {
    Ok(Done { text: text.into() })
}

/// Tells the audit of each deed that is asked for, and of what came of it.
async fn audited(State(running): Server, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let actor = request.extensions().get::<Actor>();
    let by = actor.map_or_else(|| "nobody".to_owned(), Actor::to_string);
    let action = format!("{} {}", request.method(), request.uri());
    let answer = next.run(request).await;
    let told = answer.extensions().get::<Told>();
    let text = told.map_or("", |told| told.0.as_str());
    let outcome = match answer.status().is_success() {
        true => Ok(text),
        false => Err(text),
    };
    let audit = running.resources.audit();
    audit.administration(&by, &action, outcome);
    answer
}

/// A body of JSON; one that will not do is refused in the API's own form.
struct Wanted<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Wanted<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let read = timeout(PATIENCE, Json::<T>::from_request(request, state));
        match read.await {
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(error)) => Err(Refused::new(error.status(), error.body_text())),
            Err(_) => {
                let text = "the body did not come in time";
                Err(Refused::new(StatusCode::REQUEST_TIMEOUT, text))
            }
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

/// One path of the API.
struct Route {
    path: &'static str,
    methods: MethodRouter<Arc<Running>>,
    /// Its methods, for the description.
    operations: Vec<Operation>,
}

impl Route {
    fn new(path: &'static str, methods: MethodRouter<Arc<Running>>) -> Self {
        Self {
            path,
            methods,
            operations: Vec::new(),
        }
    }

    /// Describes one of its methods.
    fn says(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }
}

/// All paths of the API: the one list of them.
fn routes() -> Vec<Route> {
    let (list, deed) = (Operation::get, Operation::deed);
    vec![
        Route::new("/status", get(status::status)).says(list("How the server is")),
        Route::new("/reload", post(status::reload)).says(deed(
            "post",
            "Reads configuration, certificates and plugins again",
        )),
        Route::new("/drain", post(status::drain)).says(deed(
            "post",
            "Ends the server: no new sessions, and transfers get server.drain-timeout to end",
        )),
        Route::new("/sessions", get(sessions::list)).says(
            list("The sessions there are")
                .query::<Page>()
                .answers::<Sessions>(),
        ),
        Route::new("/sessions/end", post(sessions::end)).says(
            deed("post", "Ends the sessions that all of this is true of").body::<EndSessions>(),
        ),
        Route::new("/bans", get(bans::list).post(bans::ban).delete(bans::lift))
            .says(
                list("The bans that are in force")
                    .query::<Page>()
                    .answers::<Bans>(),
            )
            .says(deed("post", "Bans a network").body::<NewBan>())
            .says(deed("delete", "Lifts the bans within a network").query::<Unban>()),
        Route::new("/locks", get(locks::list).delete(locks::lift))
            .says(
                list("The users and networks that are locked out")
                    .query::<Page>()
                    .answers::<Locks>(),
            )
            .says(deed("delete", "Lifts the locks that all of this is true of").query::<Unlock>()),
        Route::new("/uploads", get(status::uploads)).says(
            list("The broken uploads that wait to be resumed")
                .query::<Page>()
                .answers::<Uploads>(),
        ),
        Route::new("/certificates", get(certificates::list))
            .says(list("The server's certificates").answers::<Certificates>()),
        Route::new("/quarantine", get(quarantine::list))
            .says(list("The uploads in quarantine, the oldest first").query::<Page>()),
        Route::new("/quarantine/{id}", delete(quarantine::discard))
            .says(deed("delete", "Deletes an upload from quarantine")),
        Route::new("/quarantine/{id}/release", post(quarantine::release))
            .says(deed("post", "Publishes an upload from quarantine").body::<Release>()),
        Route::new("/log-level", get(log::level).post(log::set))
            .says(list("The level of the log").answers::<LogLevel>())
            .says(deed("post", "Changes it, until the next reload").body::<LogLevel>()),
        Route::new("/state", get(state::list))
            .says(list("How much plugins keep").answers::<States>()),
        Route::new("/state/{plugin}", delete(state::clear))
            .says(deed("delete", "Has a plugin forget what it keeps").query::<Forget>()),
        #[cfg(feature = "misbehave")]
        Route::new("/misbehave", post(super::misbehave::answer)),
    ]
}

fn api(running: Arc<Running>) -> Router {
    let mut api = Router::new();
    for route in routes() {
        api = api.route(route.path, route.methods);
    }
    api.route(
        "/openapi.json",
        get(async || Json(openapi::document(&routes()))),
    )
    .fallback(async || Refused::not_found("there is no such path"))
    .method_not_allowed_fallback(async || {
        let text = "this path does not take that method";
        Refused::new(StatusCode::METHOD_NOT_ALLOWED, text)
    })
    .layer(middleware::from_fn_with_state(running.clone(), audited))
    .with_state(running)
}

/// The API for those who can reach the control socket.
pub(super) fn router(running: Arc<Running>) -> Router {
    Router::new()
        .nest(PREFIX, api(running.clone()))
        .merge(metrics::router(running))
        .fallback(async || Refused::not_found("there is no such path"))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(Extension(Actor::Socket))
}

/// The page, and the API for those who have a token.
fn public_router(running: Arc<Running>, access: Arc<Access>) -> Router {
    let authorize = middleware::from_fn_with_state(access.clone(), access::authorize);
    let login = Router::new()
        .route(
            "/login",
            get(access::who)
                .post(access::log_in)
                .delete(access::log_out),
        )
        .with_state(access);
    Router::new()
        .nest(PREFIX, api(running.clone()).layer(authorize.clone()))
        .merge(metrics::router(running).layer(authorize))
        .merge(login)
        .route("/", get(page::index))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .fallback(async || Refused::not_found("there is no such path"))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::map_response(page::with_headers))
}

/// Serves one connection.
///
/// # Errors
/// Those of the connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
) -> hyper::Result<()> {
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

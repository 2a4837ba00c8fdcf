//! An engine that fails now and then, before it has done what it was asked for, or behind that.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::sleep,
};

/// Of so many requests one fails, as a rule.
const ONE_OF: u64 = 12;

/// A way to an engine that fails now and then.
pub struct Faulty {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    engine: SocketAddr,
    fails: AtomicBool,
    /// Of the numbers that decide.
    state: AtomicU64,
    faults: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It answers that it is busy.
    Busy,
    /// It answers that something is wrong.
    Broken,
    /// It does not take the request.
    Away,
    /// It does what it is asked for, and the answer is lost.
    Lost,
    /// A part of the answer comes.
    Cut,
    /// It takes its time.
    Slow,
    /// Its clock, it says, is another one.
    Skewed,
}

const FAULTS: [Fault; 7] = [
    Fault::Busy,
    Fault::Broken,
    Fault::Away,
    Fault::Lost,
    Fault::Cut,
    Fault::Slow,
    Fault::Skewed,
];

impl Shared {
    fn number(&self) -> u64 {
        let step = |mut state: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let taken = self
            .state
            .fetch_update(Relaxed, Relaxed, |state| Some(step(state)));
        taken.unwrap() >> 11
    }

    fn fault(&self) -> Option<Fault> {
        let number = self.number();
        if !self.fails.load(Relaxed) || !number.is_multiple_of(ONE_OF) {
            return None;
        }
        self.faults.fetch_add(1, Relaxed);
        Some(FAULTS[usize::try_from(number / ONE_OF).unwrap() % FAULTS.len()])
    }
}

impl Faulty {
    /// It does not fail yet.
    pub fn start(engine: SocketAddr, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let shared = Arc::new(Shared {
            engine,
            fails: AtomicBool::new(false),
            state: AtomicU64::new(seed | 1),
            faults: AtomicU64::new(0),
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let own = shared.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = own.clone();
                let service = service_fn(move |request| answer(shared.clone(), request));
                tokio::spawn(async move {
                    let serving = server::conn::http1::Builder::new();
                    // The error of a connection that is dropped on purpose.
                    let _ = serving
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            shared,
            _runtime: runtime,
        }
    }

    /// From here on it fails, or does not.
    pub fn set_fails(&self, fails: bool) {
        self.shared.fails.store(fails, Relaxed);
    }

    /// How often it has failed.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Relaxed)
    }
}

/// The body of an answer, which may break off.
type Body = BoxBody<Bytes, io::Error>;

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::from(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

fn says(status: StatusCode, code: &str) -> Response<Body> {
    let xml =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
    let mut response = Response::new(whole(xml));
    *response.status_mut() = status;
    response
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let fault = shared.fault();
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    match fault {
        Some(Fault::Busy) => return Ok(says(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
        Some(Fault::Broken) => return Ok(says(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
        Some(Fault::Skewed) => return Ok(says(StatusCode::FORBIDDEN, "RequestTimeTooSkewed")),
        Some(Fault::Away) => return Err(io::Error::other("away")),
        Some(Fault::Slow) => sleep(Duration::from_millis(shared.number() % 300)).await,
        Some(Fault::Lost | Fault::Cut) | None => {}
    }
    let answer = forward(shared.engine, Request::from_parts(parts, Full::from(body))).await?;
    match fault {
        Some(Fault::Lost) => Err(io::Error::other("lost")),
        Some(Fault::Cut) => {
            // The length that was promised is not reached.
            Ok(answer.map(|body| {
                let half = Ok(Frame::data(body.slice(..body.len() / 2)));
                let broken = Err(io::Error::other("cut"));
                BodyExt::boxed(StreamBody::new(stream::iter([half, broken])))
            }))
        }
        _ => Ok(answer.map(whole)),
    }
}

async fn forward(engine: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<Response<Bytes>> {
    let stream = TcpStream::connect(engine).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

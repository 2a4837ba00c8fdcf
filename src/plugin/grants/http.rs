//! HTTP requests of plugins: the grants behind `wasi:http`.
//!
//! The bindings hand each request to [`WasiHttpHooks::send_request`], which follows no redirect: a
//! guest that does comes here again. HTTP/1.1, one connection for each request.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, uri::Scheme};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, SizeHint},
    client::conn::http1,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, timeout},
};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, io::TokioIo};

use super::{address::public, lenient::Lenient, refusals::Refusals};
use crate::{config::grants::Service, tls::trust::Trust};

/// The most bytes of a request's body, and of an answer's.
const LONGEST: u64 = 1 << 20;

/// The most connections of one instance at a time.
const CONNECTIONS: usize = 16;

/// `wasi:http` for one store.
#[derive(Clone)]
pub(in crate::plugin) struct Web {
    services: Arc<[Service]>,
    trust: Arc<Trust>,
    /// The most that a guest may wait for a connection, for the first byte, for each next one.
    patience: Duration,
    refusals: Arc<Refusals>,
    connections: Arc<Semaphore>,
}

type Sent = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Web {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let asked = Service::of(request.uri());
        let granted = asked.and_then(|asked| {
            let granted = self.services.iter().find(|service| service.is(&asked));
            granted.cloned()
        });
        let Some(service) = granted else {
            // Paths and queries may hold secrets.
            let uri = request.uri();
            let scheme = uri.scheme_str().unwrap_or_default();
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            let place = authority.rsplit('@').next().unwrap_or_default();
            let more = if authority == place { "" } else { "…@" };
            self.refusals.refuse(
                format_args!(
                    "a request to {scheme}://{more}{place}, which grants.http does not have"
                ),
                &format!("http = [\"{scheme}://{place}\"]"),
            );
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        };
        let web = self.clone();
        let options = options.unwrap_or_default();
        Box::new(async move { web.send(&service, request, options).await })
    }
}

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Web {
    pub(super) fn new(
        services: Arc<[Service]>,
        trust: Arc<Trust>,
        patience: Duration,
        refusals: Arc<Refusals>,
    ) -> Self {
        Self {
            services,
            trust,
            patience,
            refusals,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    async fn send(
        self,
        service: &Service,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Sent, Error> {
        let patience =
            |asked: Option<Duration>| asked.map_or(self.patience, |asked| asked.min(self.patience));
        let permit = self.connections.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::ConnectionLimitReached)?;
        let connecting = timeout(patience(options.connect_timeout), self.connect(service));
        let stream = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Aborted when its handle goes: with this future, later with the answer.
        let connection = wasmtime_wasi::runtime::spawn(connection);

        // Only a proxy wants the whole of it in the first line.
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        let request = request.map(|body| Limited::new(body, Error::HttpRequestBodySize, None));
        let answering = timeout(
            patience(options.first_byte_timeout),
            sender.send_request(request),
        );
        let answer = answering
            .await
            .map_err(|_| Error::ConnectionReadTimeout)??;
        let patience = patience(options.between_bytes_timeout);
        let answer = answer.map(|body| {
            let body = body.map_err(Error::from);
            let mut body = Limited::new(body, Error::HttpResponseBodySize, Some(patience));
            body.permit = Some(permit);
            body.boxed_unsync()
        });
        // An answer that came counts: where it is cut off, its body says so.
        let ending = async move {
            let _ = connection.await;
            Ok(())
        };
        Ok((answer, Box::new(ending)))
    }

    async fn connect(&self, service: &Service) -> Result<Box<dyn ByteStream>, Error> {
        let stream = self.reach(service).await?;
        if service.scheme != Scheme::HTTPS {
            return Ok(Box::new(stream));
        }
        let secured = self.trust.handshake(&service.host, stream).await;
        secured.map(|stream| Box::new(stream) as _).map_err(|why| {
            self.refusals
                .say(format_args!("TLS to {}: {why}", service.host));
            Error::TlsCertificateError
        })
    }

    /// Connects to an address that was looked at: a second look-up of the name might differ.
    async fn reach(&self, service: &Service) -> Result<Lenient<TcpStream>, Error> {
        let host = (service.host.as_str(), service.port);
        let found = tokio::net::lookup_host(host).await;
        let found = found.map_err(|error| {
            self.refusals.say(format_args!("{}: {error}", service.host));
            Error::DnsError {
                rcode: None,
                info_code: None,
            }
        })?;
        let (permitted, prohibited): (Vec<SocketAddr>, Vec<_>) =
            found.partition(|address| permits(service, address.ip()));
        if permitted.is_empty() {
            let network = prohibited.first().map(|address| address.ip().to_string());
            let network = network.unwrap_or_else(|| "NETWORK".into());
            self.refusals.refuse(
                format_args!(
                    "a request to {}, which is at {prohibited:?}: the networks of its grant do \
                    not have that",
                    service.host
                ),
                &format!("http = [{{ url = \"{service}\", networks = [\"{network}\"] }}]"),
            );
            return Err(Error::DestinationIpProhibited);
        }
        let connected = TcpStream::connect(permitted.as_slice()).await;
        connected.map(Lenient::new).map_err(|error| {
            self.refusals.say(format_args!("{service}: {error}"));
            Error::ConnectionRefused
        })
    }
}

fn permits(service: &Service, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let itself = service.host.parse().map(|host: IpAddr| host.to_canonical());
    if itself == Ok(address) {
        return true;
    }
    match service.networks.as_slice() {
        [] => public(address),
        networks => networks.iter().any(|network| network.contains(&address)),
    }
}

/// A body that ends with an error where it is too long or stalls.
struct Limited<B> {
    body: B,
    left: u64,
    too_long: fn(Option<u64>) -> Error,
    stall: Option<(Duration, Pin<Box<Sleep>>)>,
    /// Given back with an answer's body.
    permit: Option<OwnedSemaphorePermit>,
}

impl<B> Limited<B> {
    fn new(body: B, too_long: fn(Option<u64>) -> Error, patience: Option<Duration>) -> Self {
        Self {
            body,
            left: LONGEST,
            too_long,
            stall: patience.map(|patience| (patience, Box::pin(sleep(patience)))),
            permit: None,
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Limited<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let Some((_, stalled)) = &mut self.stall else {
                return Poll::Pending;
            };
            ready!(stalled.as_mut().poll(context));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        if let Some((patience, stalled)) = &mut self.stall {
            stalled.as_mut().reset(Instant::now() + *patience);
        }
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(left) = self.left.checked_sub(length) else {
                return Poll::Ready(Some(Err((self.too_long)(Some(LONGEST)))));
            };
            self.left = left;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_public_addresses_or_to_its_networks() {
        let inside = [
            "10.0.0.5",
            "::ffff:10.0.0.5",
            "127.0.0.1",
            "169.254.169.254",
        ];
        let permits = |service: &Service, address: &str| permits(service, address.parse().unwrap());
        let mut service: Service = "https://auth.example.org".parse().unwrap();
        assert!(permits(&service, "1.1.1.1"));
        assert!(inside.iter().all(|address| !permits(&service, address)));
        service.networks = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(permits(&service, "10.0.0.5") && permits(&service, "::ffff:10.0.0.5"));
        assert!(!permits(&service, "1.1.1.1") && !permits(&service, "127.0.0.1"));
        let itself: Service = "http://127.0.0.1:8080".parse().unwrap();
        assert!(permits(&itself, "127.0.0.1") && !permits(&itself, "127.0.0.2"));
    }
}

//! HTTP requests that the server itself sends: HTTP/1.1, a connection for each, no redirects.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Body, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::{config::grants::Service, tls::trust::Trust};

/// The most bytes of an answer.
const LONGEST: usize = 1 << 20;

/// A client of services that the configuration names.
pub struct HttpClient {
    trust: Trust,
    patience: Duration,
}

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl HttpClient {
    /// A client that trusts the system's authorities, and those in the file. A request may take as long as
    /// `patience`, the answer included.
    ///
    /// # Errors
    /// When there are no authorities in the file.
    pub fn new(authorities: Option<&Path>, patience: Duration) -> Result<Self, String> {
        let trust = Trust::new(authorities)?;
        Ok(Self { trust, patience })
    }

    /// Sends a request, and reads the answer to its end.
    ///
    /// # Errors
    /// When there is no whole answer of at most a mebibyte in time, whatever its status.
    pub async fn send<B>(&self, request: Request<B>) -> io::Result<Response<Bytes>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answer = timeout(self.patience, self.exchange(request)).await;
        answer.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", self.patience.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }

    async fn exchange<B>(&self, mut request: Request<B>) -> io::Result<Response<Bytes>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let service = Service::of(request.uri());
        let service = service.ok_or_else(|| io::Error::other("this is no URL of http or https"))?;
        if let Some(authority) = request.uri().authority() {
            let host = authority.as_str().parse().map_err(io::Error::other)?;
            request.headers_mut().insert(http::header::HOST, host);
        }
        // Only a proxy wants the whole of it in the first line.
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;

        let stream = TokioIo::new(self.connect(&service).await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        let answer = async {
            let answer = sender.send_request(request).await;
            let (head, body) = answer.map_err(io::Error::other)?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // All that came has been read: it may be the whole answer.
            _ = connection => answer.await,
        }
    }

    async fn connect(&self, service: &Service) -> io::Result<Box<dyn ByteStream>> {
        let stream = TcpStream::connect((service.host.as_str(), service.port)).await?;
        if service.scheme != http::uri::Scheme::HTTPS {
            return Ok(Box::new(stream));
        }
        let secured = self.trust.handshake(&service.host, stream).await;
        secured
            .map(|stream| Box::new(stream) as _)
            .map_err(io::Error::other)
    }
}

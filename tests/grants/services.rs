//! The servers at the other end.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::TcpListener,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::support::tls::Identity;

/// The state of a server.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    /// Where /moved sends its clients.
    pub elsewhere: Mutex<String>,
}

/// A server: what it speaks goes by the first line that it reads.
pub struct Service {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// The same behind TLS.
    pub async fn secure(identity: &Identity) -> Self {
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.unwrap()], key)
            .unwrap();
        Self::with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), shared.clone());
                tokio::spawn(async move {
                    seen.connections.fetch_add(1, SeqCst);
                    seen.open.fetch_add(1, SeqCst);
                    let _ = match tls {
                        Some(tls) => match tls.accept(client).await {
                            Ok(client) => answer(BufStream::new(client), &seen).await,
                            Err(error) => Err(error),
                        },
                        None => answer(BufStream::new(client), &seen).await,
                    };
                    seen.open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, seen }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// Waits until nobody is connected any more.
    pub async fn left_alone(&self) {
        for _ in 0..500 {
            if self.seen.open.load(SeqCst) == 0 {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("a connection stays open");
    }
}

async fn answer(
    mut client: BufStream<impl AsyncRead + AsyncWrite + Unpin>,
    seen: &Seen,
) -> std::io::Result<()> {
    let mut head = String::new();
    client.read_line(&mut head).await?;
    if head == "hello\n" {
        client.write_all(b"hello yourself\n").await?;
        return client.shutdown().await;
    }
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if path == "/silent" {
        client.read_u8().await?;
        return until_closed(client).await;
    }
    if path == "/early" || path == "/deaf" {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome";
        client.write_all(answer).await?;
        client.flush().await?;
        // Closed with much unread, which resets the connection; or open, and never read.
        return match path.as_str() {
            "/early" => Ok(()),
            _ => std::future::pending().await,
        };
    }
    // The body comes in chunks; the last one is empty.
    let mut body = Vec::new();
    while !body.ends_with(b"0\r\n\r\n") {
        if client.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    let elsewhere = seen.elsewhere.lock().unwrap().clone();
    let (status, header, content) = match path.as_str() {
        "/login" => ("200 OK", "X: x".to_owned(), "welcome"),
        "/moved" => ("302 Found", format!("Location: {elsewhere}"), ""),
        "/unauthorized" => ("401 Unauthorized", "X: x".to_owned(), ""),
        "/unknown" => ("404 Not Found", "X: x".to_owned(), ""),
        "/nonsense" => ("200 OK", "X: x".to_owned(), "no account"),
        "/long" | "/stall" | "/drip" => {
            let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            client.write_all(head).await?;
            client.flush().await?;
            match path.as_str() {
                "/long" => loop {
                    client.write_all(&[b' '; 65536]).await?;
                },
                "/drip" => loop {
                    sleep(Duration::from_millis(100)).await;
                    client.write_all(b" ").await?;
                    client.flush().await?;
                },
                _ => return until_closed(client).await,
            }
        }
        _ => ("500 Internal Server Error", "X: x".to_owned(), ""),
    };
    let length = content.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}"
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}

async fn until_closed(
    mut client: BufStream<impl AsyncRead + AsyncWrite + Unpin>,
) -> std::io::Result<()> {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await?;
    Ok(())
}

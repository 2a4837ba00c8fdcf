//! The answers to an authority that asks whose a name is, for as long as it may ask.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::ClientHello,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::time::{Instant, sleep};

use super::Error;

/// The protocol by which an authority says that it asks (RFC 8737 §4).
const ALPN: &[u8] = b"acme-tls/1";
/// How long the program that publishes records may take.
const PUBLISHED: Duration = Duration::from_secs(600);
/// How often its word is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// Behind a file's name: the program has published it.
const DONE: &str = ".published";

/// The answers that are given now.
#[derive(Default)]
pub struct Challenges {
    by_token: Mutex<HashMap<String, String>>,
    by_name: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

/// An answer that is given, until this is dropped.
pub(super) enum Shown {
    Token(Arc<Challenges>, String),
    Name(Arc<Challenges>, String),
    Record(PathBuf),
}

impl Drop for Shown {
    fn drop(&mut self) {
        match self {
            Self::Token(challenges, token) => {
                lock(&challenges.by_token).remove(token);
            }
            Self::Name(challenges, name) => {
                lock(&challenges.by_name).remove(name);
            }
            Self::Record(file) => {
                let _ = fs::remove_file(done(file));
                let _ = fs::remove_file(file);
            }
        }
    }
}

impl Challenges {
    /// The answer to a token (RFC 8555 §8.3).
    #[must_use]
    pub fn answer(&self, token: &str) -> Option<String> {
        lock(&self.by_token).get(token).cloned()
    }

    /// The TLS for an authority that asks by it (RFC 8737 §3). None for all other clients.
    #[must_use]
    pub fn tls(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        let asks = protocols.any(|protocol| protocol == ALPN);
        let name = hello.server_name().filter(|_| asks)?;
        lock(&self.by_name).get(name).cloned()
    }

    pub(super) fn show_token(self: &Arc<Self>, token: &str, answer: &str) -> Shown {
        lock(&self.by_token).insert(token.to_owned(), answer.to_owned());
        Shown::Token(self.clone(), token.to_owned())
    }

    /// A certificate for the name, with the digest in it.
    pub(super) fn show_name(self: &Arc<Self>, name: &str, digest: &[u8]) -> Result<Shown, Error> {
        let text = |error: &dyn std::fmt::Display| Error(error.to_string());
        let key = KeyPair::generate().map_err(|error| text(&error))?;
        let params = CertificateParams::new(vec![name.to_owned()]);
        let mut params = params.map_err(|error| text(&error))?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = params.self_signed(&key).map_err(|error| text(&error))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|error| text(&error))?;
        // Not by rustls's own way, which refuses the extension that this is all about.
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| text(&error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = name.to_ascii_lowercase();
        lock(&self.by_name).insert(name.clone(), Arc::new(config));
        Ok(Shown::Name(self.clone(), name))
    }
}

/// Puts a record for the name into a file of the directory, a line for each of its values.
pub(super) fn put_record(directory: &Path, name: &str, values: &[String]) -> Result<Shown, Error> {
    let file = directory.join(format!("_acme-challenge.{name}"));
    let problem = |error: io::Error| Error(format!("{}: {error}", file.display()));
    // Of an order that was cut off.
    let _ = fs::remove_file(done(&file));
    let new = directory.join(".new");
    fs::write(&new, values.join("\n") + "\n").map_err(problem)?;
    fs::rename(&new, &file).map_err(problem)?;
    Ok(Shown::Record(file))
}

/// Waits until there is, for each record, a file of the same name with `.published` behind it.
pub(super) async fn published(all: &[Shown]) -> Result<(), Error> {
    let since = Instant::now();
    for shown in all {
        let Shown::Record(file) = shown else { continue };
        let done = done(file);
        while !done.exists() {
            if since.elapsed() > PUBLISHED {
                let done = done.display();
                return Err(format!("nobody has published the record: there is no {done}").into());
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}

fn done(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(DONE);
    name.into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

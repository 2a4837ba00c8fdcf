//! The files of ACME, in the state directory: the certificate and its key, and the account.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::*;
use zeroize::Zeroizing;

use crate::tls::certificates::dns_names;

/// The directory's name, in the state directory.
pub const DIRECTORY: &str = "acme";

/// A directory of the server's own.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// A certificate that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// The first of the chain.
    pub leaf: CertificateDer<'static>,
    /// Its DNS names.
    pub(super) names: Vec<String>,
    pub(super) begin: SystemTime,
    pub(super) end: SystemTime,
    /// An authority has signed it, and not the server.
    pub(super) issued: bool,
}

impl Found {
    pub(super) fn is_issued(&self) -> bool {
        self.issued
    }

    /// Whether it is for these names, and for no others.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        let mut wanted: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        self.names == wanted
    }
}

impl Store {
    /// The store of a server, which is made with its state directory.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self(state.join(DIRECTORY))
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0
    }

    fn chain(&self) -> PathBuf {
        self.0.join(crate::tls::self_signed::CERTIFICATE)
    }

    fn key(&self) -> PathBuf {
        self.0.join(crate::tls::self_signed::PRIVATE)
    }

    /// The certificate; none where it cannot be read.
    pub(super) fn certificate(&self) -> Option<Found> {
        let pem = fs::read(self.chain()).ok()?;
        let leaf = CertificateDer::pem_slice_iter(&pem).next()?.ok()?;
        let (_, parsed) = X509Certificate::from_der(&leaf).ok()?;
        let time = |time: ASN1Time| {
            let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
            UNIX_EPOCH + Duration::from_secs(seconds)
        };
        let (begin, end) = (
            time(parsed.validity().not_before),
            time(parsed.validity().not_after),
        );
        let issued = parsed.subject() != parsed.issuer();
        Some(Found {
            names: dns_names(&leaf),
            begin,
            end,
            issued,
            leaf: leaf.clone(),
        })
    }

    /// Puts another one in its place, the key first.
    pub(super) fn put(&self, chain: &str, key: &str) -> Result<(), String> {
        self.write(&self.key(), key.as_bytes())?;
        self.write(&self.chain(), chain.as_bytes())
    }

    fn account_file(&self, directory: &str) -> PathBuf {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, directory.as_bytes());
        let digest = digest.as_ref().get(..8).unwrap_or_default();
        let name = data_encoding::HEXLOWER.encode(digest);
        self.0.join(format!("account-{name}.json"))
    }

    /// The account at the authority with this directory.
    pub(super) fn account(&self, directory: &str) -> Option<Zeroizing<String>> {
        let text = fs::read_to_string(self.account_file(directory)).ok()?;
        Some(Zeroizing::new(text))
    }

    /// Keeps it.
    pub(super) fn put_account(&self, directory: &str, account: &str) -> Result<(), String> {
        self.write(&self.account_file(directory), account.as_bytes())
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), String> {
        let written = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".portcullis-")
                .permissions(Permissions::from_mode(0o600))
                .tempfile_in(&self.0)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            File::open(&self.0)?.sync_all()
        };
        written().map_err(|error| format!("{}: {error}", path.display()))
    }
}

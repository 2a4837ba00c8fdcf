//! The certificate of a server that was given none.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use zeroize::Zeroizing;

use crate::types::dns::is_dns_name;

/// Where it is, in the state directory.
pub const DIRECTORY: &str = "tls";

/// The certificate's name there.
pub const CERTIFICATE: &str = "certificate.pem";
/// The key's name there.
pub const PRIVATE: &str = "key.pem";

const DAY: Duration = Duration::from_secs(86_400);
/// Apple's clients refuse server certificates of more than 825 days, self-signed ones included.
const VALIDITY: Duration = Duration::from_secs(824 * 86_400);

/// Whether a certificate is there, so that none is made.
#[must_use]
pub fn is_there(directory: &Path) -> bool {
    directory.join(CERTIFICATE).exists()
}

/// The certificate and the key in this directory, made if they are not there: for localhost and the
/// name of this machine. A file that is there is never overwritten.
///
/// # Errors
/// When they cannot be written, or only the certificate is there.
pub fn ensure(directory: &Path) -> io::Result<(PathBuf, PathBuf)> {
    ensure_for(directory, &[])
}

/// The same, and a new certificate is for these addresses, too.
///
/// # Errors
/// When they cannot be written, or only the certificate is there.
pub fn ensure_for(directory: &Path, addresses: &[IpAddr]) -> io::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(PRIVATE));
    match (certificate.exists(), key.exists()) {
        (true, true) => return Ok((certificate, key)),
        (true, false) => {
            let text = format!(
                "{} is there without {}: put its key there, or remove it to have another one made",
                certificate.display(),
                key.display()
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        _ => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?,
    }
    // The key first: should the rest not happen, the next start goes on from there.
    let fresh = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let fresh = Zeroizing::new(fresh);
    write_new(
        &key,
        Zeroizing::new(fresh.serialize_pem()).as_bytes(),
        0o600,
    )?;
    let pem = Zeroizing::new(fs::read_to_string(&key)?);
    let pair = Zeroizing::new(KeyPair::from_pem(&pem).map_err(io::Error::other)?);
    let params = params(names(addresses)).map_err(io::Error::other)?;
    let made = params.self_signed(&*pair).map_err(io::Error::other)?;
    write_new(&certificate, made.pem().as_bytes(), 0o644)?;
    Ok((certificate, key))
}

/// An end entity that is nobody's authority: clients of rustls and GnuTLS take it as it is, when
/// they are told to trust it.
fn params(names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let now = SystemTime::now();
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Portcullis self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Clients' clocks go wrong.
    let begin = now.checked_sub(DAY).unwrap_or(now);
    params.not_before = begin.into();
    params.not_after = (begin + VALIDITY).into();
    Ok(params)
}

fn names(addresses: &[IpAddr]) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend(host_name());
    names.extend(
        addresses
            .iter()
            .filter(|ip| !ip.is_unspecified())
            .map(ToString::to_string),
    );
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| fs::read_to_string("/etc/hostname"))
        .ok()?;
    let name = name.trim().to_ascii_lowercase();
    is_dns_name(&name).then_some(name)
}

/// Writes a file as a whole, unless there is one.
fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn it_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let tls = directory.path().join("state/tls");
        let extra = "192.0.2.7".parse().unwrap();
        let (certificate, key) = ensure_for(&tls, &[extra, "0.0.0.0".parse().unwrap()]).unwrap();
        let first = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&tls), mode(&certificate), mode(&key)),
            (0o700, 0o644, 0o600)
        );
        assert_eq!(ensure(&tls).unwrap(), (certificate.clone(), key.clone()));
        assert_eq!(
            first,
            (fs::read(&certificate).unwrap(), fs::read(&key).unwrap())
        );

        fs::remove_file(&certificate).unwrap();
        ensure(&tls).unwrap();
        assert_eq!(first.1, fs::read(&key).unwrap());
        fs::remove_file(&key).unwrap();
        assert_eq!(ensure(&tls).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn it_is_what_clients_take() {
        let directory = tempfile::tempdir().unwrap();
        let extra = "192.0.2.7".parse().unwrap();
        let (certificate, _) = ensure_for(directory.path(), &[extra]).unwrap();
        let der = CertificateDer::from_pem_file(certificate).unwrap();
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        let validity = leaf.validity();
        assert!(validity.is_valid());
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert!(seconds < 825 * 86_400);
        let names = leaf.subject_alternative_name().unwrap().unwrap().value;
        let addresses = names.general_names.iter().filter_map(|name| match name {
            GeneralName::IPAddress(octets) => Some(octets.to_vec()),
            _ => None,
        });
        let expected = [
            vec![127, 0, 0, 1],
            [vec![0; 15], vec![1]].concat(),
            vec![192, 0, 2, 7],
        ];
        assert_eq!(addresses.collect::<Vec<_>>(), expected);
        assert!(
            names
                .general_names
                .contains(&GeneralName::DNSName("localhost"))
        );
        assert!(!leaf.is_ca());
        assert!(
            leaf.extended_key_usage()
                .unwrap()
                .unwrap()
                .value
                .server_auth
        );
    }
}

//! Responses of OCSP that are stapled to the server's certificates (RFC 6960, RFC 6066 §8).

use aws_lc_rs::digest::{self, Algorithm};
use rustls::{
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer},
    sign::CertifiedKey,
};
use x509_parser::prelude::*;

use super::{
    der::{INTEGER, Items, OCTETS, SEQUENCE, Signature, Signed},
    validity::day,
};

/// How far clocks may differ, in seconds.
const SKEW: i64 = 300;
/// ENUMERATED.
const ENUMERATED: u32 = 10;

/// The hashes that name an authority, by the DER of their object identifiers.
const HASHES: [(&[u8], &Algorithm); 4] = [
    (
        &[0x2b, 0x0e, 0x03, 0x02, 0x1a],
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        &digest::SHA256,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
        &digest::SHA384,
    ),
    (
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        &digest::SHA512,
    ),
];

/// A response that can be stapled.
pub(super) struct Staple {
    /// The place of the certificate that it is about.
    pub certificate: usize,
    /// When it is over, in seconds since 1970; none where newer ones are there at any time.
    pub until: Option<i64>,
}

impl Staple {
    /// Looks at a response to one of these certificates.
    ///
    /// # Errors
    /// Why it cannot be stapled.
    pub fn check(
        der: &[u8],
        certificates: &[&CertifiedKey],
        algorithms: &WebPkiSupportedAlgorithms,
        now: i64,
    ) -> Result<Self, String> {
        const DAMAGED: &str = "it is no OCSP response (DER), or a damaged one";
        let basic = basic(der).ok_or(DAMAGED)??;
        let signed = Signed::parse(basic).ok_or(DAMAGED)?;
        let singles = singles(signed.content).ok_or(DAMAGED)?;
        let mut about = None;
        for (index, certified) in certificates.iter().enumerate() {
            for single in &singles {
                if single.is_about(certified).ok_or(DAMAGED)? {
                    about = Some((index, certified, single));
                }
            }
        }
        let (certificate, certified, single) = about.ok_or_else(|| {
            let serials = singles.iter().map(|single| hex(single.serial));
            format!(
                "it is about another certificate (serial number {}) than those here",
                serials.collect::<Vec<_>>().join(", ")
            )
        })?;
        match single.status {
            Status::Good => {}
            Status::Revoked => return Err("it says that the certificate is revoked".to_owned()),
            Status::Unknown => {
                return Err("it says that the responder does not know the certificate".to_owned());
            }
        }
        if single.begin > now + SKEW {
            return Err(format!("it is not valid before {}", day(single.begin)));
        }
        if single.end.is_some_and(|end| end <= now) {
            let end = single.end.unwrap_or_default();
            return Err(format!("it expired on {}", day(end)));
        }
        if let Some(issuer) = certified.cert.get(1)
            && is_signed_by(&signed, issuer, algorithms) == Some(false)
        {
            return Err(
                "it is signed neither by the certificate's authority, nor by a responder of it"
                    .to_owned(),
            );
        }
        Ok(Self {
            certificate,
            until: single.end,
        })
    }
}

/// The basic response in a response, if the responder gave one.
fn basic(der: &[u8]) -> Option<Result<&[u8], String>> {
    let mut outer = Items(der);
    let mut items = outer.sequence()?;
    outer.0.is_empty().then_some(())?;
    let status = match items.take(ENUMERATED)? {
        [0] => None,
        [1] => Some("malformed request"),
        [2] => Some("internal error"),
        [3] => Some("try later"),
        [5] => Some("the request has to be signed"),
        [6] => Some("unauthorized"),
        _ => Some("an error"),
    };
    if let Some(status) = status {
        return Some(Err(format!("the responder answered with \"{status}\"")));
    }
    let mut bytes = items.optional(0)?.sequence()?;
    // The one type that there is.
    bytes.next()?;
    Some(Ok(bytes.take(OCTETS)?))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Good,
    Revoked,
    Unknown,
}

/// The response about one certificate.
struct Single<'a> {
    /// Of the hash that names the authority.
    hash: &'a [u8],
    issuer_name: &'a [u8],
    issuer_key: &'a [u8],
    serial: &'a [u8],
    status: Status,
    begin: i64,
    end: Option<i64>,
}

/// All responses about certificates in the signed part.
fn singles(content: &[u8]) -> Option<Vec<Single<'_>>> {
    let mut data = Items(content).sequence()?;
    // Version, responder, and when it was made.
    data.optional(0);
    data.next()?;
    data.time()?;
    let mut list = data.sequence()?;
    let mut found = Vec::new();
    while !list.0.is_empty() {
        let mut single = list.sequence()?;
        let mut id = single.sequence()?;
        let mut algorithm = id.sequence()?;
        found.push(Single {
            hash: algorithm.next()?.content,
            issuer_name: id.take(OCTETS)?,
            issuer_key: id.take(OCTETS)?,
            serial: id.take(INTEGER)?,
            status: match single.next()?.context? {
                0 => Status::Good,
                1 => Status::Revoked,
                _ => Status::Unknown,
            },
            begin: single.time()?,
            end: match single.optional(0) {
                Some(mut end) => Some(end.time()?),
                None => None,
            },
        });
    }
    Some(found)
}

impl Single<'_> {
    /// Whether it is about this certificate. Its authority's key is compared where the chain has it.
    fn is_about(&self, certified: &CertifiedKey) -> Option<bool> {
        let (_, leaf) = X509Certificate::from_der(certified.cert.first()?).ok()?;
        if leaf.raw_serial() != self.serial {
            return Some(false);
        }
        let Some((_, hash)) = HASHES.iter().find(|(name, _)| *name == self.hash) else {
            return Some(false);
        };
        let name = digest::digest(hash, leaf.issuer().as_raw());
        if name.as_ref() != self.issuer_name {
            return Some(false);
        }
        let Some(issuer) = certified.cert.get(1) else {
            return Some(true);
        };
        let (_, issuer) = X509Certificate::from_der(issuer).ok()?;
        let key = digest::digest(hash, &issuer.public_key().subject_public_key.data);
        Some(key.as_ref() == self.issuer_key)
    }
}

/// Whether the authority has signed it, or a responder whose certificate is in it and is the
/// authority's. None where the algorithm is not known here.
fn is_signed_by(
    response: &Signed<'_>,
    issuer: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<bool> {
    let authority = public_key(issuer)?;
    match response.verify(algorithms, &authority)? {
        Signature::Good => return Some(true),
        Signature::Bad | Signature::Unknown => {}
    }
    let mut rest = Items(response.rest.0);
    let certificates = rest.optional(0).and_then(|mut all| all.sequence());
    let mut certificates = certificates.unwrap_or(Items(&[]));
    let mut unknown = false;
    while let Some(responder) = certificates.next() {
        if responder.universal != Some(SEQUENCE) {
            return Some(false);
        }
        let (_, facts) = X509Certificate::from_der(responder.raw).ok()?;
        let purposes = facts.extended_key_usage().ok().flatten();
        let certificate = Signed::parse(responder.raw)?;
        let key = public_key(&CertificateDer::from(responder.raw))?;
        let authorised = certificate.verify(algorithms, &authority)?;
        let signed = response.verify(algorithms, &key)?;
        unknown |= authorised == Signature::Unknown || signed == Signature::Unknown;
        if purposes.is_some_and(|purposes| purposes.value.ocsp_signing)
            && authorised == Signature::Good
            && signed == Signature::Good
        {
            return Some(true);
        }
    }
    (!unknown).then_some(false)
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (_, facts) = X509Certificate::from_der(certificate).ok()?;
    Some(facts.public_key().raw.to_vec().into())
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use data_encoding::BASE64;
    use rustls::{crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer};

    use super::*;

    // A response by a responder of the authority, as `openssl ocsp` has made it on 2026-11-27, and the
    // certificate that it is about.
    const RESPONSE: &str = "\
        MIICawoBAKCCAmQwggJgBgkrBgEFBQcwAQEEggJRMIICTTCBiKEOMAwxCjAIBgNVBAMMAXIYDzIwMjYxMTI3MDcy\
        NzE4WjBlMGMwOzAJBgUrDgMCGgUABBT86EnClSPn7LxENAL8GHHCj+kDUQQU/C9MytTPQc3wRuSF2/6z83eJkrwC\
        AhABgAAYDzIwMjYxMTI3MDcyNzE4WqARGA8yMDI2MTEzMDA3MjcxOFowCgYIKoZIzj0EAwIDSQAwRgIhAJFN3vhx\
        OWvMbguK99TGEvz3MJnbZavguk7nMwhTDkECAiEA55qf/2SpWeeGS4w6RJY/cX0TZAsL43vyUVHgkqUQv9igggFn\
        MIIBYzCCAV8wggEFoAMCAQICAhACMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAUEwHhcNMjYxMTI3MDcyNzE4WhcN\
        MjYxMjI3MDcyNzE4WjAMMQowCAYDVQQDDAFyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERrtrf3xtTKG2DxD6\
        PdGa5tIwBxlQbGFh8Kwv1dHeDR6mFLkUP17LHsN3KrK+vJellkgBoL9Qq4sdo+09tQPaEaNXMFUwEwYDVR0lBAww\
        CgYIKwYBBQUHAwkwHQYDVR0OBBYEFP2U+YCuIKZ96/nB0h+wc0n2lMboMB8GA1UdIwQYMBaAFPwvTMrUz0HN8Ebk\
        hdv+s/N3iZK8MAoGCCqGSM49BAMCA0gAMEUCIQCPu8dzPmnFar2baOG6EAHTNlpwRTyzEQlEBG4RYAs6sQIgQUXf\
        coSYYjorBuTkDLMPrjW10LX4VsRmB8t2IaI1hdI=";
    const LEAF: &str = "\
        MIH/MIGnAgIQATAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAFBMB4XDTI2MTEyNzA3MjcxOFoXDTI2MTIyNzA3Mjcx\
        OFowDDEKMAgGA1UEAwwBbDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEHRVs2ony08KM0ryGyCPEEo5gF0CoFR\
        Jo2Mu4Sdox1P3rJr1s1BwW15hJxS8vqZaSzSpiha8IFkuPC94oqzqkQwCgYIKoZIzj0EAwIDRwAwRAIgSddM11aR\
        ZqWHEwVFXPCCqH49GzINvD+Yhdvj+EyfwPUCIGyYnPwj8m59c4WAIWDteol6d2DXs+kB4M8BaAUN8VbH";
    const AUTHORITY: &str = "\
        MIIBbTCCAROgAwIBAgIUNd6irWbfNkh2ASCw+XEnAE6gimgwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBQTAeFw0y\
        NjExMjcwNzI3MThaFw0yNjEyMjcwNzI3MThaMAwxCjAIBgNVBAMMAUEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\
        AAQ21w3vArkqNQ61lMsaJs6xu7rHgxDnoFGFfur9nmT43GMbJkWN/0344iVAj7ln8j71DaiWByQtOHfu2txNgt/A\
        o1MwUTAdBgNVHQ4EFgQU/C9MytTPQc3wRuSF2/6z83eJkrwwHwYDVR0jBBgwFoAU/C9MytTPQc3wRuSF2/6z83eJ\
        krwwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAzzRUc8Y/+jBf0R9OCHKqzwIqcNm6JocPNymI\
        lNAtTesCIFV5M/AZdh5jyhSW+0F6Hu3Dy/5lzOWUY6arwVklD2nP";
    const MADE: i64 = 1_795_766_400;

    fn certified() -> CertifiedKey {
        let key = rcgen::KeyPair::generate().unwrap().serialize_der();
        let key = aws_lc_rs::sign::any_supported_type(&PrivatePkcs8KeyDer::from(key).into());
        let chain = [LEAF, AUTHORITY].map(|text| BASE64.decode(text.as_bytes()).unwrap().into());
        CertifiedKey::new(chain.to_vec(), key.unwrap())
    }

    #[test]
    fn whatever_is_changed_in_a_response_it_is_refused_or_the_same() {
        let certified = Arc::new(certified());
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let good = BASE64.decode(RESPONSE.as_bytes()).unwrap();
        let check = |bytes: &[u8]| Staple::check(bytes, &[&certified], &algorithms, MADE);
        let until = check(&good).unwrap().until;
        assert!(until.is_some_and(|until| (MADE..MADE + 4 * 86_400).contains(&until)));
        for at in 0..good.len() {
            assert!(check(&good[..at]).is_err(), "cut at {at}");
            for change in [1, 0x80, 0xff] {
                let mut changed = good.clone();
                changed[at] ^= change;
                if let Ok(staple) = check(&changed) {
                    assert_eq!(staple.until, until, "{at} ^ {change}");
                }
            }
        }
        let late = Staple::check(&good, &[&certified], &algorithms, MADE + 9 * 86_400);
        assert!(late.is_err_and(|text| text.starts_with("it expired on 2026-11-30")));
    }
}

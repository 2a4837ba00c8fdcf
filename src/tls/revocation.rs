//! Lists of client certificates that are revoked (CRLs, RFC 5280 §5).

use std::path::PathBuf;

use aws_lc_rs::digest::{self, Digest};
use rustls::{
    CertRevocationListError,
    pki_types::{CertificateRevocationListDer, SubjectPublicKeyInfoDer, pem::PemObject},
    server::VerifierBuilderError,
};
use x509_parser::prelude::*;

use super::{
    Error,
    clients::Authorities,
    der::{Signature, Signed},
    key_of, pem_error,
    validity::{self, Period},
};
use crate::config::regular;

/// The key of the configuration.
pub(super) const KEY: &str = "client-revocation";

/// The lists of all files.
pub(super) struct Lists {
    /// The newest first: of several of one authority the first counts.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// When each of them ends.
    pub ends: Vec<End>,
    /// Of all that was read.
    pub digest: Digest,
}

/// When a list ends, by which its authority makes the next.
#[derive(Clone)]
pub(super) struct End {
    period: Period,
    key: String,
    file: PathBuf,
    /// Whether it was said that it is over.
    told: bool,
}

impl End {
    /// The warning, at this time, of a list that is over, or soon will be.
    fn warning(&self, now: i64) -> Option<Error> {
        // From when on it is valid is nothing that a client is refused for.
        let text = self.period.warning(now.max(self.period.begin))?;
        let text = format!(
            "{text}: from then on the certificates of this authority are refused, until there is \
             a newer one"
        );
        Some(Error::file("tls", &self.key, &self.file, &text))
    }
}

impl Lists {
    /// No lists: nothing is looked up.
    pub fn none() -> Self {
        Self {
            lists: Vec::new(),
            ends: Vec::new(),
            digest: digest::digest(&digest::SHA256, b""),
        }
    }

    /// The warnings of lists that are over, or soon will be.
    pub fn warn(&mut self) -> Vec<Error> {
        let now = validity::now();
        let warn = |end: &mut End| {
            end.told = end.period.is_over(now);
            end.warning(now)
        };
        self.ends.iter_mut().filter_map(warn).collect()
    }

    /// The same of those that are over, once.
    pub fn warn_of_ends(&mut self) -> Vec<Error> {
        let now = validity::now();
        let warn = |end: &mut End| {
            let over = !end.told && end.period.is_over(now);
            end.told |= over;
            over.then(|| end.warning(now)).flatten()
        };
        self.ends.iter_mut().filter_map(warn).collect()
    }

    /// Reads all files. Each authority has to have a list, since certificates that cannot be looked up
    /// are refused.
    ///
    /// # Errors
    /// The file that cannot be read or used; an authority without a list.
    pub fn read(files: &[PathBuf], authorities: &Authorities) -> Result<Self, Error> {
        let mut found = Vec::new();
        let mut digest = digest::Context::new(&digest::SHA256);
        for (index, file) in files.iter().enumerate() {
            let key = key_of(KEY, files.len(), index);
            let wrong = |text: &dyn std::fmt::Display| Error::file("tls", &key, file, text);
            let content = regular::read(file).map_err(|error| wrong(&error))?;
            digest.update(&content);
            let lists = parse(content).map_err(|text| wrong(&text))?;
            for list in &lists {
                let (period, issuer) = judge(list, authorities).map_err(|text| wrong(&text))?;
                let end = End {
                    period,
                    key: key.clone(),
                    file: file.clone(),
                    told: false,
                };
                found.push((list.clone(), issuer, end));
            }
            let built = authorities.verifier(lists);
            built.map_err(|error| wrong(&in_words(&error)))?;
        }
        let without = authorities.subjects().find(|(subject, _)| {
            let mut issuers = found.iter().map(|(_, issuer, _)| issuer);
            !issuers.any(|issuer| issuer == subject)
        });
        if let Some((_, name)) = without {
            return Err(Error {
                key: format!("tls.{KEY}"),
                text: format!(
                    "there is no list of {name}, an authority of tls.client-authorities: its \
                     certificates could not be looked up, and would all be refused"
                ),
            });
        }
        found.sort_by_key(|(_, _, end)| std::cmp::Reverse(end.period.begin));
        let (lists, ends) = found.into_iter().map(|(list, _, end)| (list, end)).unzip();
        Ok(Self {
            lists,
            ends,
            digest: digest.finish(),
        })
    }
}

/// The text about a list of another version.
const VERSION: &str = "it is of version 1 of CRLs, and has to be of version 2 (`openssl ca` makes such where \
                       its configuration names `crlnumber`)";

/// The lists of a file, PEM or DER.
fn parse(content: Vec<u8>) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    if !content.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return match content.is_empty() {
            true => Err("the file is empty".to_owned()),
            false => Ok(vec![content.into()]),
        };
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(&content);
    let lists = lists.collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|error| pem_error(&error))?;
    match lists.is_empty() {
        true => Err("no revocation list in it (BEGIN X509 CRL)".to_owned()),
        false => Ok(lists),
    }
}

/// The time that a list is for, and its authority's name in DER.
fn judge(
    list: &CertificateRevocationListDer<'_>,
    authorities: &Authorities,
) -> Result<(Period, Vec<u8>), String> {
    let damaged = || "it is no revocation list, or a damaged one".to_owned();
    let (rest, facts) = CertificateRevocationList::from_der(list).map_err(|_| damaged())?;
    if !rest.is_empty() {
        return Err(damaged());
    }
    // Those of version 1 have no field for it, and webpki takes them for damaged ones.
    if facts.version() != Some(X509Version::V2) {
        return Err(VERSION.to_owned());
    }
    let issuer = facts.issuer();
    let next = facts.next_update();
    let next = next.ok_or_else(|| format!("the list of {issuer} does not say when it ends"))?;
    let signed = Signed::parse(list).ok_or_else(damaged)?;
    // Several authorities may have one name.
    let verified: Vec<_> = authorities
        .keys_of(issuer.as_raw())
        .filter_map(|key: &SubjectPublicKeyInfoDer<'_>| {
            signed.verify(authorities.algorithms(), key)
        })
        .collect();
    if !verified.is_empty() && !verified.contains(&Signature::Good) {
        return Err(match verified.contains(&Signature::Bad) {
            true => format!("the list has not been signed by {issuer}, whose it says it is"),
            false => format!(
                "the list of {issuer} has a signature of a kind that is not taken (SHA-1, say)"
            ),
        });
    }
    let period = Period {
        subject: format!("the list of {issuer}"),
        begin: facts.last_update().timestamp(),
        end: next.timestamp(),
        soon: validity::soon_for_list(facts.last_update().timestamp(), next.timestamp()),
    };
    Ok((period, issuer.as_raw().to_vec()))
}

fn in_words(error: &VerifierBuilderError) -> String {
    use CertRevocationListError as Wrong;
    let VerifierBuilderError::InvalidCrl(wrong) = error else {
        return error.to_string();
    };
    match wrong {
        Wrong::UnsupportedCrlVersion => VERSION.to_owned(),
        Wrong::UnsupportedDeltaCrl => {
            "it is a list of changes (delta CRL), and has to be a whole one".to_owned()
        }
        Wrong::UnsupportedIndirectCrl => {
            "it is a list of several authorities (indirect CRL), and has to be one's own".to_owned()
        }
        Wrong::UnsupportedCriticalExtension => {
            "it has an extension that is critical and not known".to_owned()
        }
        Wrong::UnsupportedRevocationReason => {
            "it is for some reasons of revocation alone, and has to be for all".to_owned()
        }
        _ => "it is no revocation list, or a damaged one".to_owned(),
    }
}

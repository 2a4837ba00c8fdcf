//! Structures of DER, item by item, and the signatures below them.

use rustls::{crypto::WebPkiSupportedAlgorithms, pki_types::SubjectPublicKeyInfoDer};
use x509_parser::asn1_rs::{Any, Class, FromDer, GeneralizedTime};

/// SEQUENCE.
pub(super) const SEQUENCE: u32 = 16;
/// OCTET STRING.
pub(super) const OCTETS: u32 = 4;
/// INTEGER.
pub(super) const INTEGER: u32 = 2;
/// BIT STRING.
const BITS: u32 = 3;

/// Reads one item after the other.
pub(super) struct Items<'a>(pub &'a [u8]);

/// An item.
pub(super) struct Item<'a> {
    /// Its tag, where that is one of ASN.1's own.
    pub universal: Option<u32>,
    /// Its tag, where the structure around it gives it a meaning.
    pub context: Option<u32>,
    /// Behind tag and length.
    pub content: &'a [u8],
    /// All of it.
    pub raw: &'a [u8],
}

impl<'a> Items<'a> {
    /// The next item, if there is one, and all of it.
    pub fn next(&mut self) -> Option<Item<'a>> {
        let (rest, any) = Any::from_der(self.0).ok()?;
        let raw = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        let tag = any.header.tag().0;
        let of = |class| (any.header.class() == class).then_some(tag);
        Some(Item {
            universal: of(Class::Universal),
            context: of(Class::ContextSpecific),
            content: any.as_bytes(),
            raw,
        })
    }

    /// The next item's content, if it is one of this tag.
    pub fn take(&mut self, tag: u32) -> Option<&'a [u8]> {
        let item = self.next()?;
        (item.universal == Some(tag)).then_some(item.content)
    }

    /// The next item, a sequence.
    pub fn sequence(&mut self) -> Option<Self> {
        self.take(SEQUENCE).map(Self)
    }

    /// The content of the next item if it has this tag in this context; else it stays the next.
    pub fn optional(&mut self, context: u32) -> Option<Self> {
        let mut ahead = Self(self.0);
        let item = ahead.next()?;
        (item.context == Some(context)).then(|| {
            self.0 = ahead.0;
            Self(item.content)
        })
    }

    /// The next item, a time, in seconds since 1970.
    pub fn time(&mut self) -> Option<i64> {
        let (rest, time) = GeneralizedTime::from_der(self.0).ok()?;
        self.0 = rest;
        Some(time.utc_datetime().ok()?.unix_timestamp())
    }
}

/// A structure of three parts: what is signed, by which algorithm, and the signature.
pub(super) struct Signed<'a> {
    /// The part that is signed.
    pub content: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    /// The part behind the signature.
    pub rest: Items<'a>,
}

/// Whether a signature is a key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// It is.
    Good,
    /// It is not.
    Bad,
    /// The algorithm is none that TLS takes.
    Unknown,
}

impl<'a> Signed<'a> {
    pub fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = Items(der);
        let mut items = outer.sequence()?;
        outer.0.is_empty().then_some(())?;
        Some(Self {
            content: items.next()?.raw,
            algorithm: items.take(SEQUENCE)?,
            signature: bits(&mut items)?,
            rest: items,
        })
    }

    /// Whether the signature is this key's.
    pub fn verify(
        &self,
        algorithms: &WebPkiSupportedAlgorithms,
        key: &SubjectPublicKeyInfoDer<'_>,
    ) -> Option<Signature> {
        let mut items = Items(key.as_ref()).sequence()?;
        let (kind, key) = (items.take(SEQUENCE)?, bits(&mut items)?);
        let mut fit = algorithms.all.iter().filter(|one| {
            one.signature_alg_id().as_ref() == self.algorithm
                && one.public_key_alg_id().as_ref() == kind
        });
        Some(match fit.next() {
            None => Signature::Unknown,
            Some(one) => match one.verify_signature(key, self.content, self.signature) {
                Ok(()) => Signature::Good,
                Err(_) => Signature::Bad,
            },
        })
    }
}

fn bits<'a>(items: &mut Items<'a>) -> Option<&'a [u8]> {
    match items.take(BITS)? {
        [0, bits @ ..] => Some(bits),
        _ => None,
    }
}

//! Hashes in the forms of crypt(3), as they stand in `/etc/shadow` and in the files of `htpasswd`.

use std::iter::Peekable;

use aws_lc_rs::constant_time;
use data_encoding::{BitOrder, Encoding, Specification};
use sha_crypt::{Sha256Params, Sha512Params};

use super::{Parsed, bounded, md5_crypt, too_much};

const MAX_SHA_ROUNDS: usize = 5_000_000;
const MAX_BCRYPT_COST: u32 = 16;

/// A hash `$2b$`, or of its earlier letters.
pub fn bcrypt(hash: &str) -> Result<Parsed<'_>, String> {
    let malformed =
        || "a malformed hash: expected $2b$, a cost of two digits, $, 53 characters".to_owned();
    let mut parts = hash.split('$').skip(2);
    let (Some(cost), Some(rest), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed());
    };
    if cost.len() != 2 || rest.len() != 53 || !rest.bytes().all(plain) {
        return Err(malformed());
    }
    let cost: u32 = cost.parse().map_err(|_| malformed())?;
    if !(4..=MAX_BCRYPT_COST).contains(&cost) {
        return Err(too_much(&format!("a cost of 4 to {MAX_BCRYPT_COST}")));
    }
    Ok(Box::new(move |password, _| {
        bcrypt::verify(password, hash).map_err(|error| format!("a malformed hash: {error}"))
    }))
}

/// A hash `$6$`.
pub fn sha512(hash: &str) -> Result<Parsed<'_>, String> {
    let malformed = || "a malformed hash: expected $6$, a salt, $, 86 characters".to_owned();
    let mut parts = hash.split('$').skip(2).peekable();
    let rounds = rounds(&mut parts, malformed)?;
    let (salt, digest) = salt_and_digest(parts, 86).ok_or_else(malformed)?;
    let params = Sha512Params::new(rounds).map_err(|_| malformed())?;
    Ok(Box::new(move |password, _| {
        let again = sha_crypt::sha512_crypt_b64(password.as_bytes(), salt.as_bytes(), &params);
        Ok(equal(&again.map_err(|_| malformed())?, digest))
    }))
}

/// A hash `$5$`.
pub fn sha256(hash: &str) -> Result<Parsed<'_>, String> {
    let malformed = || "a malformed hash: expected $5$, a salt, $, 43 characters".to_owned();
    let mut parts = hash.split('$').skip(2).peekable();
    let rounds = rounds(&mut parts, malformed)?;
    let (salt, digest) = salt_and_digest(parts, 43).ok_or_else(malformed)?;
    let params = Sha256Params::new(rounds).map_err(|_| malformed())?;
    Ok(Box::new(move |password, _| {
        let again = sha_crypt::sha256_crypt_b64(password.as_bytes(), salt.as_bytes(), &params);
        Ok(equal(&again.map_err(|_| malformed())?, digest))
    }))
}

/// A hash `$1$` or `$apr1$`.
pub fn md5(hash: &str) -> Result<Parsed<'_>, String> {
    let apache = hash.starts_with("$apr1$");
    let magic = if apache { "$apr1$" } else { "$1$" };
    let (salt, digest) = salt_and_digest(hash.split('$').skip(2), 22)
        .ok_or_else(|| format!("a malformed hash: expected {magic}, a salt, $, 22 characters"))?;
    Ok(Box::new(move |password, _| {
        let again = md5_crypt::digest(password.as_bytes(), magic, salt.as_bytes());
        Ok(equal(&again, digest))
    }))
}

/// A hash `$y$`, with such parameters as crypt(3) gives: one lane of the native mode, passed over once.
pub fn yescrypt(hash: &str) -> Result<Parsed<'_>, String> {
    let malformed =
        || "a malformed hash: expected $y$, parameters, $, a salt, $, 43 characters".to_owned();
    let mut parts = hash.split('$').skip(2);
    let params = parts.next().ok_or_else(malformed)?;
    let params: yescrypt::Params = params.parse().map_err(|_| malformed())?;
    let usual = yescrypt::Params::new(yescrypt::Mode::Rw, params.n(), params.r(), 1);
    if usual != Ok(params) {
        return Err(too_much("yescrypt in its native mode with p=1, t=0, g=0"));
    }
    // Beside the memory itself three blocks, which count when there are hardly more.
    let block = 128 * u64::from(params.r());
    let memory = params.n().saturating_add(3).saturating_mul(block);
    // Filled, a third of it passed over again, and a sixty-fourth of all that beforehand.
    bounded(memory, memory.saturating_mul(2))?;
    let (salt, digest) = salt_and_digest(parts, 43).ok_or_else(malformed)?;
    let encoding = encoding()?;
    let salt = encoding
        .decode(salt.as_bytes())
        .map_err(|_| "a malformed hash: the salt is no base64 of crypt(3)".to_owned())?;
    Ok(Box::new(move |password, _| {
        let mut again = [0; 32];
        yescrypt::yescrypt(password.as_bytes(), &salt, &params, &mut again)
            .map_err(|error| format!("a malformed hash: {error}"))?;
        Ok(equal(&encoding.encode(&again), digest))
    }))
}

/// The base64 of crypt(3), the least bits first.
///
/// # Errors
/// None; the specification is a constant.
pub fn encoding() -> Result<Encoding, String> {
    let mut specification = Specification::new();
    specification.bit_order = BitOrder::LeastSignificantFirst;
    specification
        .symbols
        .push_str("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    specification.encoding().map_err(|error| error.to_string())
}

/// How often a SHA is repeated.
fn rounds<'a>(
    parts: &mut Peekable<impl Iterator<Item = &'a str>>,
    malformed: impl Fn() -> String,
) -> Result<usize, String> {
    let Some(part) = parts.next_if(|part| part.starts_with("rounds=")) else {
        return Ok(5000);
    };
    let rounds = part.trim_start_matches("rounds=");
    let rounds = rounds.parse().map_err(|_| malformed())?;
    if !(1000..=MAX_SHA_ROUNDS).contains(&rounds) {
        return Err(too_much(&format!("1000 to {MAX_SHA_ROUNDS} rounds")));
    }
    Ok(rounds)
}

/// The last two parts, if the digest has its length.
fn salt_and_digest<'a>(
    mut parts: impl Iterator<Item = &'a str>,
    length: usize,
) -> Option<(&'a str, &'a str)> {
    match (parts.next(), parts.next(), parts.next()) {
        (Some(salt), Some(digest), None) if digest.len() == length && digest.bytes().all(plain) => {
            Some((salt, digest))
        }
        _ => None,
    }
}

/// Whether crypt(3) writes a digest with this byte.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/'
}

/// Compares in constant time.
fn equal(again: &str, digest: &str) -> bool {
    constant_time::verify_slices_are_equal(again.as_bytes(), digest.as_bytes()).is_ok()
}

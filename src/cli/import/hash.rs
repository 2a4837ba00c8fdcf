//! Hashes of other servers in the forms that ours verifies.

use data_encoding::{BASE64, BASE64_NOPAD};

use crate::passwords;

/// A hash as the users file has it.
///
/// # Errors
/// Why it cannot be verified.
pub fn carry_over(hash: &str) -> Result<String, String> {
    let kind = hash.split('$').nth(1).unwrap_or_default();
    let carried = match kind {
        "7" => scrypt(hash).ok_or_else(malformed)?,
        "pbkdf2-sha256" | "pbkdf2-sha512" if !hash.contains("$i=") => {
            pbkdf2(hash, kind, false).ok_or_else(malformed)?
        }
        "pbkdf2-b64salt-sha256" => pbkdf2(hash, "pbkdf2-sha256", true).ok_or_else(malformed)?,
        _ => hash.to_owned(),
    };
    passwords::check(&carried).map_err(|why| match unverifiable(hash) {
        Some(kind) => format!("its hash is {kind}, which is not verified here"),
        None => why,
    })?;
    Ok(carried)
}

/// More memory to pass over than this is seconds of computing.
const COSTLY: u64 = 2 << 30;

/// Whether verifying a hash takes so long that a login may be given up before: those that `pure-pw` makes
/// pass over 8 GiB.
pub fn is_costly(hash: &str) -> bool {
    let Some(params) = hash.split('$').find(|part| part.starts_with("m=")) else {
        return false;
    };
    let param = |name: &str| {
        let value = params.split(',').find_map(|param| param.strip_prefix(name));
        value
            .and_then(|value| value.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let kilobytes = param("m=").saturating_mul(param("t="));
    kilobytes.saturating_mul(1024) > COSTLY
}

fn malformed() -> String {
    "a malformed hash".to_owned()
}

/// Kinds that are known, and not verified.
fn unverifiable(hash: &str) -> Option<&'static str> {
    match hash {
        _ if is_des(hash) => Some("of DES"),
        _ if hash.starts_with("{SHA}") => Some("SHA-1 without a salt"),
        _ if hash.starts_with("{SSHA}") => Some("SHA-1"),
        _ if hash.starts_with("{MD5}") => Some("MD5 without a salt"),
        _ if hash.starts_with("$pbkdf2-sha1$") => Some("PBKDF2 of SHA-1"),
        _ if hash.starts_with("$sha1$") => Some("SHA-1"),
        _ => None,
    }
}

/// Whether a text is a hash of the traditional crypt(3), or of its extended form.
pub fn is_des(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '/';
    let digits = match text.strip_prefix('_') {
        Some(digits) if text.len() == 20 => digits,
        _ if text.len() == 13 => text,
        _ => return false,
    };
    digits.chars().all(plain)
}

/// `$7$`, as libsodium writes scrypt: the logarithm of N in one character, r and p in five each, the
/// salt as it is, and the digest in the base64 of crypt(3).
fn scrypt(hash: &str) -> Option<String> {
    let (salt, digest) = hash.strip_prefix("$7$")?.rsplit_once('$')?;
    let encoding = passwords::crypt_encoding().ok()?;
    let (log_n, rest) = salt.split_at_checked(1)?;
    let (r, rest) = rest.split_at_checked(5)?;
    let (p, salt) = rest.split_at_checked(5)?;
    let number = |digits: &str| {
        digits.bytes().rev().try_fold(0_u32, |number, digit| {
            let at = ALPHABET.iter().position(|letter| *letter == digit)?;
            number.checked_mul(64)?.checked_add(u32::try_from(at).ok()?)
        })
    };
    let digest = encoding.decode(digest.as_bytes()).ok()?;
    Some(format!(
        "$scrypt$ln={},r={},p={}${}${}",
        number(log_n)?,
        number(r)?,
        number(p)?,
        BASE64_NOPAD.encode(salt.as_bytes()),
        BASE64_NOPAD.encode(&digest),
    ))
}

/// The digits of crypt(3).
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `$pbkdf2-…$ROUNDS$SALT$DIGEST`, as SFTPGo writes it: the salt as it is, or in base64.
fn pbkdf2(hash: &str, kind: &str, encoded_salt: bool) -> Option<String> {
    let mut parts = hash.split('$').skip(2);
    let (rounds, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
    let rounds: u32 = rounds.parse().ok()?;
    let decode = |text: &str| {
        let padded = BASE64.decode(text.as_bytes());
        padded
            .or_else(|_| BASE64_NOPAD.decode(text.as_bytes()))
            .ok()
    };
    let salt = match encoded_salt {
        true => decode(salt)?,
        false => salt.as_bytes().to_vec(),
    };
    if parts.next().is_some() {
        return None;
    }
    let (salt, digest) = (BASE64_NOPAD.encode(&salt), decode(digest)?);
    let digest = BASE64_NOPAD.encode(&digest);
    Some(format!("${kind}$i={rounds}${salt}${digest}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_the_same_in_another_form() {
        for (password, hash) in [
            // By libsodium, and by SFTPGo's manual.
            (
                "correct horse",
                "$7$86..../....rFNn0ciBQ31QeMp0SMqPqphDwMetmaozsvxmP4GjE9B$hbLIS1vmd/KDWe5/nkQwHiTvN294DoYl9RqEb3UR6x5",
            ),
            (
                "password",
                "$pbkdf2-sha256$150000$E86a9YMX3zC7$R5J62hsSq+pYw00hLLPKBbcGXmq7fj5+/M0IFoYtZbo=",
            ),
            (
                "password",
                "$pbkdf2-b64salt-sha256$150000$RTg2YTlZTVgzekM3$R5J62hsSq+pYw00hLLPKBbcGXmq7fj5+/M0IFoYtZbo=",
            ),
            (
                "correct horse",
                "$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            ),
        ] {
            let carried = carry_over(hash).unwrap();
            assert_eq!(passwords::verify(password, &carried), Ok(true), "{carried}");
            assert_eq!(passwords::verify("x", &carried), Ok(false), "{carried}");
        }
    }

    #[test]
    fn hashes_that_are_not_verified_are_errors_that_name_the_kind() {
        for (hash, words) in [
            ("0FkZ8JRpD7.Kk", "DES"),
            ("{SHA}kGByAB793z4R5tK1eC9Hd/4Dhzk=", "SHA-1 without a salt"),
            ("{MD5}kGByAB793z4R5tK1eC9Hdw==", "MD5"),
            ("$pbkdf2-sha1$1000$salt$aaaa", "PBKDF2 of SHA-1"),
            ("$7$", "malformed"),
            ("$7$C6..../....salt$x", "malformed"),
            ("$7$ä6..../....salt$x", "malformed"),
            ("$pbkdf2-sha256$many$salt$aaaa", "malformed"),
            (
                "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                "256 MiB",
            ),
            ("!", "unknown kind"),
        ] {
            let error = carry_over(hash).unwrap_err();
            assert!(error.contains(words), "{hash}: {error}");
        }
    }
}

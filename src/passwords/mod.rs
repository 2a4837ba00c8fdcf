//! Hashes of passwords: made with Argon2id, verified in all forms that are in use.

mod crypt;
mod md5_crypt;
mod remembered;
mod verifier;

use argon2::{
    Argon2,
    password_hash::{Output, PasswordHash, PasswordHasher, Salt, SaltString},
};
use aws_lc_rs::rand;

use self::verifier::Memory;
pub use self::{crypt::encoding as crypt_encoding, verifier::Verifier};

/// The most memory that verifying one password may take: more is a slip of the operator's, and
/// would end the server rather than the login.
const MAX_MEMORY: u64 = 256 << 20;
/// The most memory to pass over: a few seconds of computing. The `pure-pw` of Pure-FTPd, asked for
/// nothing in particular, makes hashes of 8 MiB that are passed over 1023 times.
const MAX_WORK: u64 = 8 << 30;
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

/// The longest password that is looked at; some of the kinds take the square of its length.
const MAX_PASSWORD: usize = 4096;

/// Characters that cannot be mistaken for another one.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Hashes a password with Argon2id (19 MiB, 2 passes, 1 lane) and a salt of its own.
///
/// # Errors
/// When the system has no random numbers.
pub fn hash(password: &str) -> Result<String, String> {
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| "the system has no random numbers".to_owned())?;
    let salt = SaltString::encode_b64(&salt).map_err(text)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(text)?;
    Ok(hash.to_string())
}

/// Whether a password is the one that was hashed: Argon2, scrypt and PBKDF2 as PHC strings; bcrypt,
/// yescrypt, SHA-512, SHA-256 and MD5 in the forms of crypt(3); Apache's form of MD5.
///
/// # Errors
/// When the hash is malformed, of another kind, or would take too much to verify.
pub fn verify(password: &str, hash: &str) -> Result<bool, String> {
    verify_in(password, hash, &mut Memory::default())
}

/// Whether [`verify`] takes a hash, without any computing.
///
/// # Errors
/// Those of [`verify`].
pub fn check(hash: &str) -> Result<(), String> {
    parse(hash).map(drop)
}

/// As [`verify`], with memory that can be used again.
fn verify_in(password: &str, hash: &str, memory: &mut Memory) -> Result<bool, String> {
    if password.len() > MAX_PASSWORD {
        return Ok(false);
    }
    parse(hash)?(password, memory)
}

/// A hash of which form and cost are in order: whether a password is the one that was hashed.
type Parsed<'a> = Box<dyn FnOnce(&str, &mut Memory) -> Result<bool, String> + 'a>;

fn parse(hash: &str) -> Result<Parsed<'_>, String> {
    match hash.split('$').nth(1).unwrap_or_default() {
        _ if !hash.starts_with('$') => Err(unknown()),
        "2a" | "2b" | "2y" => crypt::bcrypt(hash),
        "y" => crypt::yescrypt(hash),
        "6" => crypt::sha512(hash),
        "5" => crypt::sha256(hash),
        "1" | "apr1" => crypt::md5(hash),
        "argon2i" | "argon2d" | "argon2id" => argon2(hash),
        "scrypt" => scrypt(hash),
        "pbkdf2-sha256" | "pbkdf2-sha512" => pbkdf2(hash),
        _ => Err(unknown()),
    }
}

/// A password that nobody has to like: 24 letters and digits, 139 bits.
#[must_use]
pub fn random() -> String {
    let mut password = String::with_capacity(24);
    while password.len() < 24 {
        let mut bytes = [0; 32];
        if rand::fill(&mut bytes).is_err() {
            // Nothing that could be guessed: an empty password is refused by whoever hashes it.
            return String::new();
        }
        // 4 × 56 of the 256 values: each letter as often as the others.
        let fair = bytes
            .into_iter()
            .filter(|byte| usize::from(*byte) < 4 * ALPHABET.len());
        let letters = fair.filter_map(|byte| ALPHABET.get(usize::from(byte) % ALPHABET.len()));
        password.extend(letters.map(|byte| char::from(*byte)));
    }
    password.truncate(24);
    password
}

/// The kind of a hash, for people; `None` if it is no hash that can be verified.
#[must_use]
pub fn kind(hash: &str) -> Option<&str> {
    match hash.strip_prefix('$')?.split('$').next()? {
        "2a" | "2b" | "2y" => Some("bcrypt"),
        "y" => Some("yescrypt"),
        "6" => Some("sha512-crypt"),
        "5" => Some("sha256-crypt"),
        "1" => Some("md5-crypt"),
        "apr1" => Some("apr1"),
        kind @ ("argon2i" | "argon2d" | "argon2id" | "scrypt" | "pbkdf2-sha256"
        | "pbkdf2-sha512") => Some(kind),
        _ => None,
    }
}

fn unknown() -> String {
    "a hash of an unknown kind; known are argon2id, argon2i, argon2d, scrypt, pbkdf2-sha256, \
     pbkdf2-sha512, bcrypt ($2b$), yescrypt ($y$), sha512-crypt ($6$), sha256-crypt ($5$), \
     md5-crypt ($1$) and Apache's ($apr1$)"
        .to_owned()
}

fn text(error: argon2::password_hash::Error) -> String {
    format!("a malformed hash: {error}")
}

/// A hash in the form of PHC strings.
fn phc(hash: &str) -> Result<(PasswordHash<'_>, Salt<'_>, Output), String> {
    let hash = PasswordHash::new(hash).map_err(text)?;
    // It parses without these, too.
    let (Some(salt), Some(output)) = (hash.salt, hash.hash) else {
        return Err("a malformed hash: it ends before the salt or the digest".to_owned());
    };
    salt.decode_b64(&mut [0; Salt::MAX_LENGTH]).map_err(text)?;
    Ok((hash, salt, output))
}

fn argon2(hash: &str) -> Result<Parsed<'_>, String> {
    let (hash, salt, output) = phc(hash)?;
    let params = argon2::Params::try_from(&hash).map_err(text)?;
    let bytes = u64::from(params.m_cost()) * 1024;
    bounded(bytes, bytes.saturating_mul(params.t_cost().into()))?;
    let malformed = |error: argon2::Error| format!("a malformed hash: {error}");
    let algorithm = argon2::Algorithm::try_from(hash.algorithm).map_err(text)?;
    // Without a version it is the first one, from before versions were written.
    let version = hash.version.unwrap_or(0x10);
    let version = argon2::Version::try_from(version).map_err(malformed)?;
    let length = params
        .output_len()
        .unwrap_or(argon2::Params::DEFAULT_OUTPUT_LEN);
    Ok(Box::new(move |password, memory| {
        let mut decoded = [0; Salt::MAX_LENGTH];
        let salt = salt.decode_b64(&mut decoded).map_err(text)?;
        let blocks = memory.blocks(params.block_count());
        let context = Argon2::new(algorithm, version, params);
        let again = Output::init_with(length, |again| {
            let hashed =
                context.hash_password_into_with_memory(password.as_bytes(), salt, again, blocks);
            hashed.map_err(Into::into)
        });
        // The comparison of `Output` takes constant time.
        Ok(again.map_err(text)? == output)
    }))
}

fn scrypt(hash: &str) -> Result<Parsed<'_>, String> {
    let (hash, salt, output) = phc(hash)?;
    let params = scrypt::Params::try_from(&hash).map_err(text)?;
    let block = 128 * u64::from(params.r());
    let memory = 1_u64
        .checked_shl(params.log_n().into())
        .and_then(|n| n.checked_mul(block));
    let memory = memory.unwrap_or(u64::MAX);
    bounded(memory, memory.saturating_mul(2 * u64::from(params.p())))?;
    bounded(block.saturating_mul(params.p().into()), 0)?;
    Ok(Box::new(move |password, _| {
        let again = scrypt::Scrypt.hash_password_customized(
            password.as_bytes(),
            None,
            hash.version,
            params,
            salt,
        );
        Ok(again.map_err(text)?.hash == Some(output))
    }))
}

fn pbkdf2(hash: &str) -> Result<Parsed<'_>, String> {
    let (hash, salt, output) = phc(hash)?;
    let mut params = pbkdf2::Params::try_from(&hash).map_err(text)?;
    if !(1..=MAX_PBKDF2_ROUNDS).contains(&params.rounds) {
        return Err(too_much(&format!("1 to {MAX_PBKDF2_ROUNDS} rounds")));
    }
    params.output_length = output.len();
    Ok(Box::new(move |password, _| {
        let again = pbkdf2::Pbkdf2.hash_password_customized(
            password.as_bytes(),
            Some(hash.algorithm),
            hash.version,
            params,
            salt,
        );
        Ok(again.map_err(text)?.hash == Some(output))
    }))
}

fn bounded(memory: u64, work: u64) -> Result<(), String> {
    if memory > MAX_MEMORY {
        return Err(too_much("256 MiB of memory at most"));
    }
    if work > MAX_WORK {
        return Err(too_much("8 GiB of memory passed over at most"));
    }
    Ok(())
}

fn too_much(bound: &str) -> String {
    format!("the hash's cost is out of bounds: {bound}")
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Of "password", from the reference implementation's tests.
    const ARGON2: &[&str] = &[
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        "$argon2i$v=16$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    ];

    /// Of "correct horse", by OpenSSL's functions and the C library's crypt(3).
    const OTHERS: &[&str] = &[
        "$scrypt$ln=10,r=8,p=1$c2FsdHNhbHRzYWx0$JLoeRlAiVzz/fmBbrb3a7QkuecDu7wE6R0zHHE5DC7g",
        "$pbkdf2-sha256$i=1000$c2FsdHNhbHRzYWx0$F7o7+5VTVzFAO998X6s3AHrDsJVdMiIlgndIMe19NvY",
        "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0$oSKce4SGrSKsJabCWZfpe2MmVOPtl4paOjoD1njLdjo",
        "$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
        "$6$rounds=1400$anotherlongsalts$BIJq9mRCZh1kev4gsEFy0R5hLBKgZM.fwvpxgy31e6bRJqRdXTpSE8TJFJysi3GwDPeX9bz4aZklq669D26ai0",
    ];

    #[test]
    fn verifies_known_hashes_of_each_kind() {
        let known = ARGON2.iter().map(|hash| ("password", *hash));
        for (password, hash) in known.chain(OTHERS.iter().map(|hash| ("correct horse", *hash))) {
            assert_eq!(verify(password, hash), Ok(true), "{hash}");
            assert_eq!(verify("Password", hash), Ok(false), "{hash}");
            assert_eq!(verify("", hash), Ok(false), "{hash}");
            assert!(kind(hash).is_some() && check(hash).is_ok(), "{hash}");
        }
    }

    #[test]
    fn md5_takes_passwords_of_any_length_and_eight_bytes_of_salt() {
        let long = "a password that is a good deal longer than sixteen bytes";
        for (password, hash) in [
            (long, "$1$01234567$zgQaG9PcUDHzF.UoafmCe."),
            (long, "$1$0123456789$zgQaG9PcUDHzF.UoafmCe."),
            ("", "$1$abc$Or2rbeUYTvt12aiVzMuS/."),
            ("grün", "$apr1$a.$jVFglxGcFJHJx43BVfh3h1"),
        ] {
            assert_eq!(verify(password, hash), Ok(true), "{hash}");
        }
    }

    #[test]
    fn verifies_its_own() {
        let first = hash("grün 🐎").unwrap();
        assert!(
            first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{first}"
        );
        assert_ne!(first, hash("grün 🐎").unwrap());
        assert_eq!(verify("grün 🐎", &first), Ok(true));
        assert_eq!(verify("grun 🐎", &first), Ok(false));
        let other = first.replace("argon2id", "argon2d");
        assert_eq!(verify("grün 🐎", &other), Ok(false));
    }

    #[test]
    fn malformed_and_unknown_hashes_are_errors() {
        let digest = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for hash in [
            "",
            "$",
            "$$$",
            "password",
            "$1$salt$hash",
            "$1$salt",
            "$1$NuzA7WTAelpl95xgBGWN60",
            "$1$saltsalt$NuzA7WTAelpl95xgBGWN6!",
            "$1$saltsalt$NuzA7WTAelpl95xgBGWN60$",
            "$apr1$r31w$dLAay7QtjGpF4kSEyO5ql",
            "$5$salt$hash",
            "$5$rounds=$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC",
            "$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqE",
            "$y$",
            "$y$j75",
            "$y$j75$saltsaltsalt",
            "$y$j75$saltsaltsalt$zQziiNee/3jd",
            "$y$j75$salts!ltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$y$j75$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B$",
            "$y$j7$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$y$!!!$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$7$j75$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$2x$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "$2b$5$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "$2b$05$short",
            "$2b$05$abcdefghijklmnopqrstu!HNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "$2b$05$äbcdefghijklmnopqrstuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "x$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "$6$",
            "$6$salt",
            "$6$salt$short",
            "$6$rounds=x$salt$hash",
            "$argon2id$x",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=17$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2x$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29t!XNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$scrypt$ln=10,r=0,p=1$c2FsdHNhbHRzYWx0$JLoeRlAiVzz/fmBbrb3a7QkuecDu7wE6R0zHHE5DC7g",
            "$pbkdf2-sha256$i=0$c2FsdHNhbHRzYWx0$F7o7+5VTVzFAO998X6s3AHrDsJVdMiIlgndIMe19NvY",
            "$pbkdf2-sha1$i=1000$c2FsdHNhbHRzYWx0$F7o7+5VTVzFAO998X6s3AHrDsJVdMiIlgndIMe19NvY",
            &format!("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ${digest}${digest}"),
        ] {
            assert!(verify("password", hash).is_err(), "{hash}");
            assert!(check(hash).is_err(), "{hash}");
        }
    }

    #[test]
    fn costs_are_bounded() {
        for hash in [
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=65536,t=4000000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$scrypt$ln=31,r=8,p=1$c2FsdHNhbHRzYWx0$JLoeRlAiVzz/fmBbrb3a7QkuecDu7wE6R0zHHE5DC7g",
            "$scrypt$ln=1,r=1,p=1000000000$c2FsdHNhbHRzYWx0$JLoeRlAiVzz/fmBbrb3a7QkuecDu7wE6R0zHHE5DC7g",
            "$scrypt$ln=2,r=1000000,p=1000$c2FsdHNhbHRzYWx0$JLoeRlAiVzz/fmBbrb3a7QkuecDu7wE6R0zHHE5DC7g",
            "$pbkdf2-sha256$i=4294967295$c2FsdHNhbHRzYWx0$F7o7+5VTVzFAO998X6s3AHrDsJVdMiIlgndIMe19NvY",
            "$2b$31$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "$5$rounds=999999999$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC",
            // 512 MiB; as many bytes of memory as there are; passed over a second time; in four lanes.
            "$y$jET$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$y$jzT$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$y$j95//$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$y$j95.0$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B",
            "$6$rounds=999999999$anotherlongsalts$BIJq9mRCZh1kev4gsEFy0R5hLBKgZM.fwvpxgy31e6bRJqRdXTpSE8TJFJysi3GwDPeX9bz4aZklq669D26ai0",
        ] {
            assert!(verify("password", hash).is_err(), "{hash}");
        }
        assert_eq!(
            verify(&"x".repeat(100_000), OTHERS.last().unwrap()),
            Ok(false)
        );
    }

    /// However little memory it asks for, and whatever that makes of its blocks.
    #[test]
    fn small_costs_of_yescrypt_are_no_defect() {
        const DIGITS: &[u8] = b"./0123456789ABCDEF";
        for n in &DIGITS[..7] {
            for r in DIGITS {
                let (n, r) = (char::from(*n), char::from(*r));
                let hash =
                    format!("$y$j{n}{r}$saltsaltsalt$zQziiNee/3jd.PJJvsNgy7GH5uO3HbsUNcQ3Jsopj2B");
                assert_ne!(verify("Password", &hash), Ok(true), "{hash}");
            }
        }
    }

    #[test]
    fn random_passwords_are_long_and_plain() {
        let passwords: Vec<_> = (0..100).map(|_| random()).collect();
        for password in &passwords {
            assert_eq!(password.len(), 24);
            assert!(
                password.bytes().all(|byte| ALPHABET.contains(&byte)),
                "{password}"
            );
        }
        let different: std::collections::BTreeSet<_> = passwords.iter().collect();
        assert_eq!(different.len(), 100);
    }
}

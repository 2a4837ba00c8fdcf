//! Codes, as RFC 6238 and RFC 4226 make them.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The hash function under the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// How codes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The hash function.
    pub algorithm: Algorithm,
    /// How long a code is: 6 to 8.
    pub digits: u32,
    /// Seconds for which one is shown.
    pub period: u32,
    /// Periods that the user's clock may be ahead or behind.
    pub skew: u32,
}

/// What the codes of one user are made of.
pub struct Generator {
    /// How.
    pub form: Form,
    secret: Vec<u8>,
}

/// Fewer bytes can be guessed: the 16 letters that most programs make.
const SHORTEST: usize = 10;

impl Generator {
    /// Reads a secret in base32, in any case, with or without spaces and padding.
    pub fn new(form: Form, secret: &str) -> Result<Self, &'static str> {
        let letters = secret.replace([' ', '-'], "").to_ascii_uppercase();
        let secret = BASE32_NOPAD
            .decode(letters.trim_end_matches('=').as_bytes())
            .map_err(|_| "expected base32: letters and the digits 2 to 7")?;
        if secret.len() < SHORTEST {
            return Err("expected at least 16 letters of base32");
        }
        Ok(Self { form, secret })
    }

    /// The period whose code this is, if there is one about `now`, in seconds since 1970. All of
    /// them are compared, each as a whole, so that the time tells nothing.
    pub fn period_of(&self, code: &str, now: u64) -> Option<u64> {
        let current = now / u64::from(self.form.period.max(1));
        let skew = u64::from(self.form.skew);
        let mut found = None;
        for period in current.saturating_sub(skew)..=current.saturating_add(skew) {
            if equal(&self.code(period), code) {
                found = Some(period);
            }
        }
        found
    }

    /// Takes the code off the end of what was typed, if a right one stands there.
    pub fn split<'a>(&self, typed: &'a str, now: u64) -> (&'a str, Option<&'a str>) {
        let digits = usize::try_from(self.form.digits).unwrap_or(0);
        let place = typed.len().checked_sub(digits);
        let parts = place.and_then(|place| typed.split_at_checked(place));
        match parts {
            Some((rest, code)) if self.period_of(code, now).is_some() => (rest, Some(code)),
            _ => (typed, None),
        }
    }

    fn code(&self, period: u64) -> String {
        let digest = match self.form.algorithm {
            Algorithm::Sha1 => digest::<Hmac<Sha1>>(&self.secret, period),
            Algorithm::Sha256 => digest::<Hmac<Sha256>>(&self.secret, period),
            Algorithm::Sha512 => digest::<Hmac<Sha512>>(&self.secret, period),
        };
        // RFC 4226 §5.3: four bytes from where the last nibble says.
        let offset = digest.last().map_or(0, |last| usize::from(last & 0xf));
        let bytes = digest.iter().skip(offset).take(4);
        let number = bytes.fold(0_u32, |number, &byte| (number << 8) | u32::from(byte));
        let code = (number & 0x7fff_ffff) % 10_u32.pow(self.form.digits);
        format!("{code:0width$}", width = self.form.digits as usize)
    }
}

fn digest<M: Mac + hmac::digest::KeyInit>(secret: &[u8], period: u64) -> Vec<u8> {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = <M as Mac>::new_from_slice(secret) else {
        return Vec::new();
    };
    mac.update(&period.to_be_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn equal(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let difference = pairs.fold(0, |difference, (one, other)| difference | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use Algorithm::{Sha1, Sha256, Sha512};

    fn generator(algorithm: Algorithm, digits: u32, bytes: &[u8]) -> Generator {
        let form = Form {
            algorithm,
            digits,
            period: 30,
            skew: 1,
        };
        Generator::new(form, &BASE32_NOPAD.encode(bytes)).unwrap()
    }

    /// RFC 6238, appendix B, and its erratum 2866: a secret as long as the digest.
    #[test]
    fn vectors() {
        let digits = b"1234567890123456789012345678901234567890123456789012345678901234";
        let by_sha1 = generator(Sha1, 8, &digits[..20]);
        let by_sha256 = generator(Sha256, 8, &digits[..32]);
        let by_sha512 = generator(Sha512, 8, digits);
        for (time, sha1, sha256, sha512) in [
            (59, "94287082", "46119246", "90693936"),
            (1_111_111_109, "07081804", "68084774", "25091201"),
            (1_111_111_111, "14050471", "67062674", "99943326"),
            (1_234_567_890, "89005924", "91819424", "93441116"),
            (2_000_000_000, "69279037", "90698825", "38618901"),
            (20_000_000_000, "65353130", "77737706", "47863826"),
        ] {
            assert_eq!(by_sha1.code(time / 30), sha1);
            assert_eq!(by_sha256.code(time / 30), sha256);
            assert_eq!(by_sha512.code(time / 30), sha512);
        }
        // RFC 4226, appendix D.
        let short = generator(Sha1, 6, &digits[..20]);
        for (count, code) in [(0, "755224"), (1, "287082"), (5, "254676"), (9, "520489")] {
            assert_eq!(short.code(count), code);
        }
    }

    #[test]
    fn a_clock_may_be_one_period_wrong() {
        let generator = generator(Sha1, 6, b"12345678901234567890");
        let code = generator.code(100);
        for (now, right) in [
            (2969, false),
            (2970, true),
            (3000, true),
            (3059, true),
            (3060, false),
        ] {
            assert_eq!(generator.period_of(&code, now).is_some(), right, "{now}");
        }
        assert_eq!(generator.period_of(&generator.code(0), 0), Some(0));
        for wrong in ["", "1", &code[1..], &format!("{code}0"), "\u{663}"] {
            assert_eq!(generator.period_of(wrong, 3000), None);
        }
    }

    #[test]
    fn a_right_code_is_taken_off_the_password() {
        let generator = generator(Sha1, 6, b"12345678901234567890");
        let code = generator.code(100);
        let typed = format!("p\u{e4}ss{code}");
        assert_eq!(
            generator.split(&typed, 3000),
            ("p\u{e4}ss", Some(code.as_str()))
        );
        assert_eq!(generator.split(&code, 3000), ("", Some(code.as_str())));
        for typed in ["", "12345", "password123456", "\u{20ac}\u{20ac}\u{20ac}"] {
            assert_eq!(generator.split(typed, 3000), (typed, None));
        }
    }

    #[test]
    fn secrets_in_base32() {
        let form = generator(Sha1, 6, b"12345678901234567890").form;
        for secret in [
            "JBSWY3DPEHPK3PXP",
            "jbsw y3dp ehpk 3pxp",
            "JBSWY3DPEHPK3PXP====",
        ] {
            assert!(Generator::new(form, secret).is_ok(), "{secret}");
        }
        for secret in ["", "JBSWY3DPEHPK3PX1", "JBSWY3DP", "0123456789abcdef"] {
            assert!(Generator::new(form, secret).is_err(), "{secret}");
        }
    }
}

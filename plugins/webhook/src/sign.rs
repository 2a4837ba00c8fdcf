//! What shows the service that a request is ours.

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// The value of `X-Portcullis-Signature`: HMAC-SHA256 over the body, under the secret.
pub fn signature(secret: &str, body: &[u8]) -> String {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

/// The value of `X-Portcullis-Delivery`: the same for the same events, however often they come.
pub fn delivery(body: &[u8]) -> String {
    let digest = HEXLOWER.encode(&Sha256::digest(body));
    digest.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn vector() {
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}

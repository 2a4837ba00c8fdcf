//! SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL takes it: the name stands in the first message
//! of the connection, and there is no channel binding, since TLS has verified the server by its
//! certificate.

use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// More rounds would be computed for longer than a login may take.
const MOST_ROUNDS: u32 = 100_000;

/// A conversation that has begun.
#[derive(Debug)]
pub struct Scram {
    nonce: String,
}

/// The proof that the server has to give at last.
#[derive(Debug)]
pub struct Expected {
    signature: [u8; 32],
}

impl Scram {
    /// Begins with a nonce of these random bytes.
    pub fn new(random: &[u8]) -> Self {
        Self {
            nonce: BASE64.encode(random),
        }
    }

    /// The first message.
    pub fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// The answer to the server's first message. The password is taken as it is: one with letters
    /// beyond ASCII has to be in the form that RFC 4013 would give it.
    pub fn last(
        &self,
        password: &str,
        challenge: &str,
    ) -> Result<(String, Expected), &'static str> {
        let mut parts = challenge.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let nonce = part("r=").ok_or("SCRAM: no nonce")?;
        let salt = part("s=").ok_or("SCRAM: no salt")?;
        let rounds = part("i=").ok_or("SCRAM: no number of rounds")?;
        // Its part of the nonce comes after ours.
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("SCRAM: the nonce is another one");
        }
        let salt = BASE64.decode(salt.as_bytes());
        let salt = salt.map_err(|_| "SCRAM: the salt is malformed")?;
        let rounds = rounds.parse().ok().filter(|rounds| *rounds > 0);
        let rounds = rounds.ok_or("SCRAM: the number of rounds is malformed")?;
        if rounds > MOST_ROUNDS {
            return Err("SCRAM: more than 100000 rounds");
        }
        let salted = salted(password.as_bytes(), &salt, rounds);

        let client_key = hmac(&salted, b"Client Key");
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.bare());
        let mut proof = hmac(&stored_key, signed.as_bytes());
        for (byte, key) in proof.iter_mut().zip(client_key) {
            *byte ^= key;
        }
        let server_key = hmac(&salted, b"Server Key");
        let signature = hmac(&server_key, signed.as_bytes());
        let message = format!("{without_proof},p={}", BASE64.encode(&proof));
        Ok((message, Expected { signature }))
    }
}

impl Expected {
    /// Whether the server knows the password, too.
    pub fn is(&self, last: &str) -> bool {
        let signature = last.strip_prefix("v=");
        let signature = signature.and_then(|text| text.split(',').next());
        let signature = signature.and_then(|text| BASE64.decode(text.as_bytes()).ok());
        signature.is_some_and(|signature| signature == self.signature)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key may be of any length; where it is longer than a block, its digest counts.
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// PBKDF2 of one block.
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let key = keyed(password);
    let mut mac = key.clone();
    mac.update(salt);
    mac.update(&[0, 0, 0, 1]);
    let mut block: [u8; 32] = mac.finalize().into_bytes().into();
    let mut result = block;
    for _ in 1..rounds {
        let mut mac = key.clone();
        mac.update(&block);
        block = mac.finalize().into_bytes().into();
        for (byte, other) in result.iter_mut().zip(block) {
            *byte ^= other;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3, but for the name, which is part of what is signed there.
    #[test]
    fn keys_as_in_the_standard() {
        let salt = BASE64.decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted(b"pencil", &salt, 4096);
        let signed = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(&hmac(&salted, b"Server Key"), signed.as_bytes());
        assert_eq!(
            BASE64.encode(&signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn both_sides_prove_themselves() {
        let scram = Scram::new(b"random bytes");
        let challenge = format!("r={}theirs,s=c2FsdA==,i=4096", scram.nonce);
        let (answer, expected) = scram.last("secret", &challenge).unwrap();
        assert!(answer.starts_with(&format!("c=biws,r={}theirs,p=", scram.nonce)));
        let right = format!("v={}", BASE64.encode(&expected.signature));
        assert!(expected.is(&right));
        for wrong in ["", "v=", "v=AAAA", "e=other-error", &right[2..]] {
            assert!(!expected.is(wrong), "{wrong}");
        }
    }

    #[test]
    fn hostile_challenges_are_refused() {
        let scram = Scram::new(b"random bytes");
        let ours = &scram.nonce;
        for challenge in [
            String::new(),
            "r=".into(),
            format!("r={ours},s=c2FsdA==,i=4096"),
            "r=theirs alone, and longer,s=c2FsdA==,i=4096".into(),
            format!("r={ours}x,s=?,i=4096"),
            format!("r={ours}x,s=c2FsdA==,i=0"),
            format!("r={ours}x,s=c2FsdA==,i=-1"),
            format!("r={ours}x,s=c2FsdA==,i=2147483647"),
            format!("r={ours}x,s=c2FsdA=="),
            format!("m=new,r={ours}x,s=c2FsdA==,i=4096"),
        ] {
            assert!(scram.last("secret", &challenge).is_err(), "{challenge}");
        }
    }
}

//! A ticket key of a session's own.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    rand,
};
use rustls::server::ProducesTickets;

/// Seals and opens the tickets of one control session. A ticket that opens was given to the client
/// of that session, so whoever resumes it is that client.
///
/// One key for the life of the session: it never reaches another one, and 2^32 tickets are out of
/// reach.
pub struct SessionTickets {
    key: LessSafeKey,
}

impl SessionTickets {
    /// A new random key.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self, Unspecified> {
        let mut key = [0; 32];
        rand::fill(&mut key)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?) })
    }
}

impl fmt::Debug for SessionTickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionTickets")
    }
}

impl ProducesTickets for SessionTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        12 * 60 * 60
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let sealed = ticket.get_mut(NONCE_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.key.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn only_the_session_that_sealed_a_ticket_opens_it() {
        let (own, other) = (SessionTickets::new().unwrap(), SessionTickets::new().unwrap());
        let ticket = own.encrypt(b"resumption secret").unwrap();
        assert_eq!(own.decrypt(&ticket).unwrap(), b"resumption secret");
        assert_eq!(own.decrypt(&ticket).unwrap(), b"resumption secret", "as often as wanted");
        assert_eq!(other.decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[at] ^= 1;
            assert_eq!(own.decrypt(&damaged), None);
            assert_eq!(own.decrypt(&ticket[..at]), None);
        }
    }
}

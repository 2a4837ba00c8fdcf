//! Tickets that prove who a data connection belongs to.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    rand,
};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// Connections whose tickets are remembered, the control connection apart: a client that keeps an
/// older one than that has to take the control connection's.
const TRUSTED: usize = 256;
/// Bytes in front of a session's tickets, by which a connection is brought to its session.
const LABEL_LEN: usize = 8;
/// Bytes of a connection's number behind them.
const NUMBER_LEN: usize = 4;
/// The control connection's number.
const CONTROL: u32 = 0;

/// The ticket key of one control session, which no other session has.
///
/// A ticket says, under the key's authentication, which connection it was given on. It opens only if
/// that was the control connection, or a data connection that had proven itself by resuming: a
/// stranger's full handshake gets a ticket before it is refused (TLS 1.2 cannot but give one), and
/// must not come back with it as a friend.
///
/// One key for the life of the session, whose nonces are counted.
pub struct SessionTickets {
    key: Zeroizing<[u8; 32]>,
    /// The same with all that is computed of it, from one use of it on until it [rests](Issuer::rest).
    cipher: Mutex<Option<LessSafeKey>>,
    /// The next nonce.
    nonce: AtomicU64,
    /// Proves nothing: it is sent in the clear.
    label: [u8; LABEL_LEN],
    connections: AtomicU32,
    trusted: Mutex<VecDeque<u32>>,
}

/// Gives and takes the tickets of one connection of a session.
#[derive(Clone)]
pub struct Issuer {
    session: Arc<SessionTickets>,
    number: u32,
    gives: bool,
    given: Given,
}

/// Whether a connection has made tickets of TLS 1.3, which follow its handshake.
pub type Given = Arc<AtomicBool>;

impl SessionTickets {
    /// A new random key; the issuer is the control connection's.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn control() -> Result<Issuer, Unspecified> {
        let mut random = Zeroizing::new([0; 32 + LABEL_LEN]);
        rand::fill(&mut *random)?;
        let (key, label) = random.split_first_chunk().ok_or(Unspecified)?;
        let session = Self {
            label: label.try_into().map_err(|_| Unspecified)?,
            key: Zeroizing::new(*key),
            cipher: Mutex::default(),
            nonce: AtomicU64::new(0),
            connections: AtomicU32::new(CONTROL),
            trusted: Mutex::default(),
        };
        Ok(Issuer {
            session: Arc::new(session),
            number: CONTROL,
            gives: true,
            given: Given::default(),
        })
    }

    fn with_cipher<T>(&self, work: impl FnOnce(&LessSafeKey) -> Option<T>) -> Option<T> {
        let mut cipher = self.cipher.lock().unwrap_or_else(PoisonError::into_inner);
        if cipher.is_none() {
            let key = UnboundKey::new(&AES_256_GCM, &*self.key).ok()?;
            *cipher = Some(LessSafeKey::new(key));
        }
        work(cipher.as_ref()?)
    }

    fn trusts(&self, number: u32) -> bool {
        number == CONTROL
            || self
                .trusted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&number)
    }
}

impl Issuer {
    /// The issuer of a further connection of the same session, which is not trusted yet.
    #[must_use]
    pub fn next(&self) -> Self {
        let number = self
            .session
            .connections
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        Self {
            session: self.session.clone(),
            number: number.max(CONTROL + 1),
            gives: true,
            given: Given::default(),
        }
    }

    /// No tickets are given or taken for now: a session that only waits takes less memory.
    pub fn rest(&self) {
        let cipher = self.session.cipher.lock();
        *cipher.unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether a ticket is one of this session, as far as that can be seen from outside.
    #[must_use]
    pub fn labels(&self, ticket: &[u8]) -> bool {
        ticket.starts_with(&self.session.label)
    }

    /// Whether a data connection of this session has resumed.
    #[must_use]
    pub fn has_been_resumed(&self) -> bool {
        let trusted = self.session.trusted.lock();
        !trusted.unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Set when the first ticket of TLS 1.3 is made, and before it is sent.
    #[must_use]
    pub fn given(&self) -> Given {
        self.given.clone()
    }

    /// The same without new tickets. For TLS 1.2, where rustls opens tickets all the same, and leaves
    /// out the extension that announces a new one; in TLS 1.3 it opens none.
    #[must_use]
    pub fn that_gives_none(self) -> Self {
        Self {
            gives: false,
            ..self
        }
    }

    /// This connection has proven itself: its tickets open from now on.
    pub fn trust(&self) {
        let mut trusted = self
            .session
            .trusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if trusted.len() >= TRUSTED {
            trusted.pop_front();
        }
        trusted.push_back(self.number);
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Issuer")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl ProducesTickets for Issuer {
    fn enabled(&self) -> bool {
        self.gives
    }

    fn lifetime(&self) -> u32 {
        12 * 60 * 60
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        let count = self.session.nonce.fetch_add(1, Ordering::Relaxed);
        nonce
            .first_chunk_mut()
            .map(|begin| *begin = count.to_be_bytes())?;
        let number = self.number.to_be_bytes();
        let head = LABEL_LEN + NUMBER_LEN + NONCE_LEN;
        let mut ticket = Vec::with_capacity(head + plain.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&self.session.label);
        ticket.extend_from_slice(&number);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let sealed = ticket.get_mut(head..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.session.with_cipher(|cipher| {
            let sealed = cipher.seal_in_place_separate_tag(nonce, Aad::from(number), sealed);
            sealed.ok()
        })?;
        ticket.extend_from_slice(tag.as_ref());
        if is_tls13(plain) {
            self.given.store(true, Ordering::Relaxed);
        }
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let ticket = ticket.strip_prefix(&self.session.label)?;
        let (number, rest) = ticket.split_first_chunk::<NUMBER_LEN>()?;
        if !self.session.trusts(u32::from_be_bytes(*number)) {
            return None;
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.session.with_cipher(|cipher| {
            let opened = cipher.open_in_place(nonce, Aad::from(*number), &mut sealed);
            opened.ok().map(|plain| plain.len())
        })?;
        sealed.truncate(length);
        Some(sealed)
    }
}

/// Whether a session, as rustls writes it, is one of TLS 1.3: its version stands behind the name that
/// the client asked for. In TLS 1.2 the ticket is a part of the handshake.
fn is_tls13(session: &[u8]) -> bool {
    let version = match session {
        [0, rest @ ..] => rest.first_chunk(),
        [1, length, rest @ ..] => rest
            .get(usize::from(*length)..)
            .and_then(|rest| rest.first_chunk()),
        _ => None,
    };
    version == Some(&[3, 4])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn only_the_session_that_sealed_a_ticket_opens_it() {
        let (own, other) = (
            SessionTickets::control().unwrap(),
            SessionTickets::control().unwrap(),
        );
        let ticket = own.encrypt(b"resumption secret").unwrap();
        assert_eq!(own.decrypt(&ticket).unwrap(), b"resumption secret");
        assert_eq!(
            own.next().decrypt(&ticket).unwrap(),
            b"resumption secret",
            "as often as wanted"
        );
        assert_eq!(other.decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[at] ^= 1;
            assert_eq!(own.decrypt(&damaged), None);
            assert_eq!(own.decrypt(&ticket[..at]), None);
        }
    }

    #[test]
    fn tickets_of_a_connection_open_once_it_has_proven_itself() {
        let control = SessionTickets::control().unwrap();
        let (friend, stranger) = (control.next(), control.next());
        let tickets = [&friend, &stranger].map(|issuer| issuer.encrypt(b"secret").unwrap());
        assert_eq!(control.next().decrypt(&tickets[0]), None, "not proven yet");
        friend.trust();
        assert_eq!(control.next().decrypt(&tickets[0]).unwrap(), b"secret");
        assert_eq!(control.next().decrypt(&tickets[1]), None);
        // Nobody can call a ticket the control connection's.
        let mut renamed = tickets[1].clone();
        renamed[LABEL_LEN..LABEL_LEN + NUMBER_LEN].copy_from_slice(&CONTROL.to_be_bytes());
        assert_eq!(control.next().decrypt(&renamed), None);
        // The number of those that are remembered is bounded; the control connection stays.
        for _ in 0..2 * TRUSTED {
            control.next().trust();
        }
        assert_eq!(control.next().decrypt(&tickets[0]), None);
        assert!(
            control
                .next()
                .decrypt(&control.encrypt(b"secret").unwrap())
                .is_some()
        );
    }
}

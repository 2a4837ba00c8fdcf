//! The TLS 1.2 session of a client that takes no tickets.

use std::sync::{Arc, OnceLock};

use rustls::server::StoresServerSessions;

/// Keeps the control connection's session, and gives it as often as wanted: curl turns tickets off
/// in TLS 1.2, and resumes by the session's number alone.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    session: Arc<OnceLock<(Vec<u8>, Vec<u8>)>>,
    read_only: bool,
}

impl Remembered {
    /// For data connections, which take from it and put nothing in: none of them can vouch for
    /// another, and a stranger's not for itself.
    pub fn read_only(&self) -> Self {
        Self {
            session: self.session.clone(),
            read_only: true,
        }
    }

    /// Whether a session of TLS 1.2 has this number.
    pub fn has(&self, number: &[u8]) -> bool {
        self.session.get().is_some_and(|(own, _)| own == number)
    }
}

impl StoresServerSessions for Remembered {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        !self.read_only && self.session.set((key, value)).is_ok()
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.session
            .get()
            .filter(|(own, _)| own == key)
            .map(|(_, value)| value.clone())
    }

    /// Asked by TLS 1.3 without tickets alone.
    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn can_cache(&self) -> bool {
        !self.read_only
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_connections_put_nothing_in() {
        let control = Remembered::default();
        let data = control.read_only();
        assert!(!data.put(b"stranger".into(), b"secret".into()));
        assert_eq!(control.get(b"stranger"), None);
        assert!(control.put(b"own".into(), b"secret".into()));
        assert!(!control.put(b"other".into(), b"secret".into()));
        assert_eq!(data.get(b"own"), Some(b"secret".into()));
        assert_eq!(data.get(b"other"), None);
    }
}

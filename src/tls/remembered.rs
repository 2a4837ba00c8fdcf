//! The TLS 1.2 session of a client that takes no tickets.

use std::sync::OnceLock;

use rustls::server::StoresServerSessions;

/// Keeps the first session that is put into it, the control connection's, and gives it as often as
/// wanted: curl turns tickets off in TLS 1.2, and resumes by the session's number alone. What data
/// connections put in is dropped, so that none of them can vouch for another.
#[derive(Debug, Default)]
pub(super) struct Remembered(OnceLock<(Vec<u8>, Vec<u8>)>);

impl StoresServerSessions for Remembered {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.set((key, value)).is_ok()
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get().filter(|(own, _)| own == key).map(|(_, value)| value.clone())
    }

    /// Asked by TLS 1.3 without tickets alone.
    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn can_cache(&self) -> bool {
        true
    }
}

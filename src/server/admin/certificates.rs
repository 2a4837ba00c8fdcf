//! The server's certificates.

use axum::{Json, extract::State};

use super::{
    Server,
    messages::{Certificate, Certificates},
};

pub(super) async fn list(State(running): Server) -> Json<Certificates> {
    let mut certificates = Vec::new();
    if let Some(generation) = running.acceptor.generation() {
        for host in generation.hosts.iter() {
            let ends = host.tls.expiries().into_iter();
            certificates.extend(ends.map(|(key, subject, end)| Certificate {
                host: host.config.names.first().cloned(),
                key,
                subject,
                expires: u64::try_from(end).unwrap_or(0),
            }));
        }
    }
    Json(Certificates { certificates })
}

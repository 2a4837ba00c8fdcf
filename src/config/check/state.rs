//! The Redis that several servers share.

use super::{
    super::{State, StateAway},
    Findings,
};

/// Looks at `[state]`.
pub(super) fn state(state: &State, findings: &mut Findings) {
    let place = match state.redis() {
        Ok(place) => place,
        Err(text) => return findings.error("state.url", text),
    };
    for (key, is_set) in [
        ("state.password-file", state.password_file.is_some()),
        ("state.authorities", state.authorities.is_some()),
    ] {
        if is_set && place.is_none() {
            findings.error(key, "is of no use without state.url");
        }
    }
    let Some(place) = place else { return };
    if state.file.is_some() {
        findings.error(
            "state.file",
            "is of no use beside state.url: the state is kept there",
        );
    }
    if state.authorities.is_some() && !place.tls {
        findings.error("state.authorities", "is of no use without TLS (rediss://)");
    }
    if state.prefix.is_empty() || state.prefix.chars().any(char::is_control) {
        findings.error(
            "state.prefix",
            "expected text that sets this service apart, such as \"portcullis:\"",
        );
    }
    if state.away == StateAway::Allow {
        findings.warn(
            "state.away",
            "is \"allow\": while Redis is away, each server counts failed logins and used codes by itself",
        );
    }
    let is_here = place.host == "localhost"
        || place
            .host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if !place.tls && !is_here {
        findings.warn(
            "state.url",
            "is without TLS: whoever can listen on the way learns the password, and can forge what is kept",
        );
    }
}

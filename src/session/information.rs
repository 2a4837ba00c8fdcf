//! FEAT, HELP, STAT, LANG.

use super::{UserSession, connection::Connection};
use crate::ftp::{command::Switch, help, reply::Reply};

impl Connection {
    /// Whether the configuration has what some commands need.
    pub(super) fn is_on(&self, switch: Switch) -> bool {
        match switch {
            Switch::ActiveMode => self.generation.config.data.active,
            // Implicit TLS has no other state to go back to.
            Switch::ClearControl => self.host.config.tls.allow_ccc && !self.implicit,
        }
    }

    pub(super) fn feat(&self) -> Reply {
        let parameters = &self.parameters;
        let features = help::features(&parameters.facts, parameters.hash, |switch| {
            self.is_on(switch)
        });
        Reply::multi(211, "Features", features, "End")
    }
}

impl UserSession<'_> {
    pub(super) fn status(&self) -> Reply {
        let mut lines = vec![format!("Connected from {}", self.connection.facts.client)];
        lines.push(match self.connection.facts.tls {
            Some(tls) => format!("Control connection: {}, {}", tls.version, tls.cipher_suite),
            None => "Control connection: in the clear".into(),
        });
        lines.push(format!(
            "Logged in as {}, in {}",
            self.user.id.name, self.user.cwd
        ));
        let kind = if self.connection.parameters.ascii {
            "A"
        } else {
            "I"
        };
        lines.push(format!("TYPE {kind}, MODE S, STRU F"));
        let level = if self.connection.parameters.private {
            "P"
        } else {
            "C"
        };
        lines.push(format!("Data connections: PROT {level}"));
        Reply::multi(211, "Status of the server", lines, "End of status")
    }
}

/// RFC 2640 §4.
pub(super) fn language_reply(wanted: Option<&str>) -> Reply {
    let primary = wanted.and_then(|wanted| wanted.split('-').next());
    match primary {
        Some(primary) if !primary.eq_ignore_ascii_case("en") => {
            Reply::new(504, "EN is the only language")
        }
        _ => Reply::new(200, "The language is EN"),
    }
}

//! FEAT, HELP, SYST, NOOP, STAT, CLNT, LANG.

use super::{Session, State};
use crate::{
    ftp::{command::Command, help, reply::Reply},
    gate::session::line,
};

impl Session {
    pub(super) fn information(&self, command: &Command) -> Reply {
        match command {
            Command::Feat => self.feat(),
            Command::Help(command) => help::help(command.as_deref(), &self.off()),
            Command::Syst => Reply::new(215, "UNIX Type: L8"),
            Command::Stat(_) => self.status(),
            Command::Lang(None) => Reply::new(200, "The language is EN"),
            Command::Lang(Some(language)) => match language.split('-').next() {
                Some(primary) if primary.eq_ignore_ascii_case("en") => {
                    Reply::new(200, "The language is EN")
                }
                _ => Reply::new(504, "EN is the only language"),
            },
            Command::Clnt(client) | Command::Csid(client) => {
                line!(debug, self.facts, software = client.as_str(), "client");
                Reply::new(200, "Noted")
            }
            _ => Reply::new(200, "NOOP done"),
        }
    }

    /// Verbs that the configuration refuses: neither HELP nor FEAT tells them.
    fn off(&self) -> Vec<&'static str> {
        let config = &self.context.config;
        let mut off = Vec::new();
        if !config.data.active {
            off.extend(["EPRT", "PORT"]);
        }
        if !config.tls.allow_ccc || self.implicit {
            off.push("CCC");
        }
        off
    }

    /// RFC 2389 §3: just what is there.
    fn feat(&self) -> Reply {
        let off = self.off();
        let mut features: Vec<String> = ["AUTH TLS", "AVBL", "CCC", "CLNT", "EPRT", "EPSV"]
            .into_iter()
            .filter(|feature| !off.contains(feature))
            .map(str::to_owned)
            .collect();
        features.push(self.parameters.hash.feature_line());
        features.extend(
            ["HOST", "LANG EN*", "MDTM", "MFF Modify;UNIX.mode;", "MFMT"].map(str::to_owned),
        );
        features.push(self.parameters.facts.feature_line());
        features.extend(
            [
                "PBSZ",
                "PROT",
                "RANG STREAM",
                "REST STREAM",
                "SIZE",
                "TVFS",
                "UTF8",
                "XCRC",
                "XMD5",
                "XSHA1",
                "XSHA256",
                "XSHA512",
            ]
            .map(str::to_owned),
        );
        Reply::multi(211, "Features", features, "End")
    }

    fn status(&self) -> Reply {
        let mut lines = vec![format!("Connected from {}", self.facts.client)];
        lines.push(match self.facts.tls {
            Some(tls) => format!("Control connection: {}, {}", tls.version, tls.cipher_suite),
            None => "Control connection: in the clear".into(),
        });
        lines.push(match &self.state {
            State::LoggedIn(user) => format!("Logged in as {}, in {}", user.user, user.cwd),
            _ => "Not logged in".into(),
        });
        let kind = if self.parameters.ascii { "A" } else { "I" };
        lines.push(format!("TYPE {kind}, MODE S, STRU F"));
        let level = if self.parameters.private { "P" } else { "C" };
        lines.push(format!("Data connections: PROT {level}"));
        Reply::multi(211, "Status of the server", lines, "End of status")
    }
}

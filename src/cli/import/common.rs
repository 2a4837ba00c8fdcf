//! Keys that all products have in one form or another.

use std::path::PathBuf;

use toml_edit::{Array, Value};

use super::{
    draft::Draft,
    report::{Place, Report},
    source,
};

/// More of anything that is counted is no limit that somebody wants.
const MOST: u64 = 1_000_000_000;

impl Draft {
    /// The addresses to listen on, all with one port.
    pub fn listen(
        &mut self,
        addresses: &[String],
        port: u64,
        implicit: bool,
        comment: &str,
        report: &mut Report,
    ) {
        if port > u64::from(u16::MAX) {
            report.error(format!("{comment}: expected a port, found {port}"));
            return;
        }
        let sockets = addresses.iter().map(|address| match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        });
        self.sockets(sockets.collect(), implicit, comment);
    }

    /// Adds sockets to listen on.
    pub fn sockets(&mut self, sockets: Vec<String>, implicit: bool, comment: &str) {
        let (used, other) = match implicit {
            true => ("listen-implicit", "listen"),
            false => ("listen", "listen-implicit"),
        };
        let mut list = match self.get("server", used) {
            Some(Value::Array(list)) => list.clone(),
            _ => Array::new(),
        };
        list.extend(sockets);
        self.set_because("server", used, list, comment);
        if self.get("server", other).is_none() {
            self.set_because("server", other, Array::new(), "");
        }
    }

    /// Certificates and their keys.
    pub fn certificates(&mut self, pairs: &[(PathBuf, PathBuf, Place)]) {
        let text = |path: &PathBuf| path.display().to_string();
        match pairs {
            [] => {}
            [(certificate, key, place)] => {
                self.set("tls", "certificate", text(certificate), place);
                self.set("tls", "key", text(key), place);
            }
            [(_, _, place), ..] => {
                let certificates = pairs.iter().map(|(certificate, _, _)| text(certificate));
                self.set("tls", "certificate", certificates.collect::<Array>(), place);
                let keys = pairs.iter().map(|(_, key, _)| text(key));
                self.set("tls", "key", keys.collect::<Array>(), place);
            }
        }
    }

    /// The other server does not know TLS, so clients may not either.
    pub fn without_tls(&mut self, name: &str, place: &Place, report: &mut Report) {
        let comment = "there is no TLS there: remove this as soon as all clients speak it";
        self.set_because("tls", "required", false, comment);
        self.set_because("tls", "data-required", false, comment);
        report.note(
            place,
            name,
            "there is no TLS there, so none is required here: passwords and files cross the network in \
             the clear. Remove tls.required and tls.data-required as soon as all clients speak TLS",
        );
    }

    /// The ports of passive data connections.
    pub fn passive_ports(&mut self, first: u64, last: u64, place: &Place, report: &mut Report) {
        match (first, last) {
            (1024.., ..=65_535) if first <= last => {
                self.set("data", "passive-ports", format!("{first}-{last}"), place);
            }
            (1..1024, ..=65_535) if first <= last => {
                let why = "ports below 1024 are not used: data.passive-ports";
                report.lost(place, "passive ports", why);
            }
            _ => report.wrong(
                place,
                "passive ports",
                "a range of ports",
                &format!("{first}-{last}"),
            ),
        }
    }

    /// The address that PASV tells.
    pub fn advertise(&mut self, address: &str, place: &Place, report: &mut Report) {
        let v4 = address.parse::<std::net::Ipv4Addr>().is_ok();
        let v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
        match v4 || crate::types::dns::is_dns_name(address) {
            true => self.set("data", "advertise", address, place),
            false if v6 => {
                let why = "PASV is about IPv4 alone, and EPSV tells no address";
                report.lost(place, "the address of PASV", why);
            }
            false => report.wrong(
                place,
                "the address of PASV",
                "an address or a name",
                address,
            ),
        }
    }

    /// A number of `[limits]`, of which 0 is no limit.
    pub fn limit(
        &mut self,
        key: &'static str,
        number: u64,
        name: &str,
        place: &Place,
        report: &mut Report,
    ) {
        match (number, i64::try_from(number)) {
            (MOST.., _) => report.wrong(place, name, "a smaller number", &number.to_string()),
            (0, _) if key == "login-attempts" => {
                report.lost(
                    place,
                    name,
                    "there is no such thing as no limit: limits.login-attempts",
                );
            }
            (_, Ok(number)) => self.set("limits", key, number, place),
            (_, Err(_)) => {}
        }
    }

    /// A time of `[limits]`, in seconds.
    pub fn time(
        &mut self,
        key: &'static str,
        seconds: u64,
        name: &str,
        place: &Place,
        report: &mut Report,
    ) {
        match seconds {
            0 if key != "login-delay" => {
                let why = format!("never is no time here: limits.{key}");
                report.lost(place, name, why);
            }
            ..MOST => self.set("limits", key, source::seconds(seconds), place),
            _ => report.wrong(place, name, "a shorter time", &seconds.to_string()),
        }
    }

    /// The text of 220.
    pub fn greeting(&mut self, text: &str, name: &str, place: &Place, report: &mut Report) {
        match source::greeting(text) {
            Some(text) => self.set("server", "greeting", text, place),
            None => report.lost(
                place,
                name,
                "server.greeting is one line of 500 bytes at most",
            ),
        }
    }

    /// The same, of a file.
    pub fn greeting_of_file(&mut self, file: &str, name: &str, place: &Place, report: &mut Report) {
        let path = place.resolve(file);
        match source::read_if_there(&path) {
            Ok(Some(text)) => self.greeting(&text, name, place, report),
            Ok(None) => report.lost(place, name, format!("{} is not there", path.display())),
            Err(error) => report.lost(place, name, error),
        }
    }
}

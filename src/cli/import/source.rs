//! Lines and values of sources.

use std::{io, path::Path};

use super::report::{Fate, Fates, Place, Report};
use crate::{cli::files, config::regular};

/// One directive of a line.
#[derive(Clone, Debug)]
pub struct Directive {
    pub place: Place,
    pub name: String,
    pub values: Vec<String>,
}

/// Reads a file of text.
///
/// # Errors
/// When it cannot be read; the line in which it is not UTF-8.
pub fn read(path: &Path) -> Result<String, String> {
    let bytes = regular::read(path).map_err(|error| files::failed(path, "read", &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{}: it is not UTF-8", Place::new(path, line))
    })
}

/// The same of a file that need not be there.
///
/// # Errors
/// As [`read`], but that there is none.
pub fn read_if_there(path: &Path) -> Result<Option<String>, String> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read(path).map(Some),
    }
}

/// The lines that say something, with their places, and without white space around them.
pub fn lines<'a>(path: &Path, text: &'a str) -> impl Iterator<Item = (Place, &'a str)> {
    let first = Place::new(path, 0);
    text.lines()
        .enumerate()
        .map(move |(index, line)| (first.line(index + 1), line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

impl Directive {
    /// All values as one text.
    pub fn text(&self) -> String {
        self.values.join(" ")
    }

    /// The only value.
    pub fn one(&self, report: &mut Report) -> Option<&str> {
        match self.values.as_slice() {
            [one] if !one.is_empty() => Some(one),
            _ => {
                report.wrong(&self.place, &self.name, "one value", &self.text());
                None
            }
        }
    }

    /// Yes or no, in any of the words that these servers take.
    pub fn switch(&self, report: &mut Report) -> Option<bool> {
        let value = self.one(report)?;
        match value.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" | "1" => Some(true),
            "no" | "off" | "false" | "0" => Some(false),
            _ => {
                report.wrong(&self.place, &self.name, "yes or no", value);
                None
            }
        }
    }

    /// A number that the configuration has room for.
    pub fn number(&self, report: &mut Report) -> Option<u64> {
        let value = self.one(report)?;
        self.number_in(value, report)
    }

    /// The same of a part of the values.
    pub fn number_in(&self, value: &str, report: &mut Report) -> Option<u64> {
        let number = value.parse().ok().filter(|number| *number <= LARGEST);
        if number.is_none() {
            report.wrong(&self.place, &self.name, "a number", value);
        }
        number
    }

    /// The bits that new files have, of the umask in octal digits.
    pub fn mask(&self, digits: &str, all: u32, report: &mut Report) -> Option<String> {
        match u32::from_str_radix(digits, 8) {
            Ok(mask) if mask <= 0o7777 => Some(mode(all & !mask)),
            _ => {
                let expected = "a umask in octal digits";
                report.wrong(&self.place, &self.name, expected, digits);
                None
            }
        }
    }
}

/// The directives of a source of which each is said once; a later line comes before an earlier one.
#[derive(Default)]
pub struct Settings(pub Vec<Directive>);

impl Settings {
    pub fn push(&mut self, directive: Directive) {
        self.0.push(directive);
    }

    /// Takes a directive out. Earlier ones of its name are named.
    pub fn take(&mut self, name: &str, report: &mut Report) -> Option<Directive> {
        let all = self.take_all(name);
        let (last, earlier) = all.split_last()?;
        for directive in earlier {
            let why = format!("{} says it again, and counts", last.place.short());
            report.needless(&directive.place, &directive.name, why);
        }
        Some(last.clone())
    }

    /// The same, as yes or no.
    pub fn switch(&mut self, name: &str, report: &mut Report) -> Option<(bool, Place)> {
        let directive = self.take(name, report)?;
        Some((directive.switch(report)?, directive.place))
    }

    /// The same, as a number.
    pub fn number(&mut self, name: &str, report: &mut Report) -> Option<(u64, Place)> {
        let directive = self.take(name, report)?;
        Some((directive.number(report)?, directive.place))
    }

    /// The same of a number that may have octal digits behind a 0.
    pub fn number_or_octal(&mut self, name: &str, report: &mut Report) -> Option<(u32, Place)> {
        let directive = self.take(name, report)?;
        let value = directive.one(report)?;
        let number = match value.strip_prefix('0') {
            Some(digits) if !digits.is_empty() => u32::from_str_radix(digits, 8),
            _ => value.parse(),
        };
        match number {
            Ok(number @ ..=0o7777) => Some((number, directive.place)),
            _ => {
                report.wrong(&directive.place, name, "a mode such as 022", value);
                None
            }
        }
    }

    /// Takes all directives of this name out.
    pub fn take_all(&mut self, name: &str) -> Vec<Directive> {
        let is = |directive: &Directive| directive.name.eq_ignore_ascii_case(name);
        self.0.extract_if(.., |directive| is(directive)).collect()
    }

    /// The same, as text that is not empty.
    pub fn text(&mut self, name: &str, report: &mut Report) -> Option<(String, Place)> {
        let directive = self.take(name, report)?;
        let text = directive.text();
        if text.is_empty() {
            report.needless(&directive.place, name, "it is empty");
            return None;
        }
        Some((text, directive.place))
    }

    /// Names all that nobody has taken.
    pub fn rest(self, product: &str, fates: Fates, report: &mut Report) {
        for Directive {
            place,
            name,
            values,
        } in self.0
        {
            let value = values
                .first()
                .map_or("", String::as_str)
                .to_ascii_lowercase();
            let off = values.len() == 1 && ["no", "off", "false", "none"].contains(&value.as_str());
            let known = fates
                .iter()
                .find(|(known, _)| match known.strip_suffix('*') {
                    Some(start) => name
                        .get(..start.len())
                        .is_some_and(|found| found.eq_ignore_ascii_case(start)),
                    None => known.eq_ignore_ascii_case(&name),
                });
            match known {
                Some((_, Fate::Lost(_))) if off => {
                    report.needless(&place, &name, "it is off there")
                }
                Some((_, fate)) => report.fate(&place, &name, *fate),
                None => report.fate(&place, &name, Fate::Lost(unknown(product))),
            }
        }
    }
}

fn unknown(product: &str) -> &'static str {
    match product {
        "vsftpd" => "vsftpd has no such option, or one that is not known here",
        "ProFTPD" => "ProFTPD has no such directive, or one that is not known here",
        "Pure-FTPd" => "Pure-FTPd has no such directive, or one that is not known here",
        _ => "there is no such key, or it is not known here",
    }
}

/// Every number that is carried over fits an integer of TOML.
const LARGEST: u64 = i64::MAX as u64;

/// A mode as the configuration has it; the server has to read and enter what is its own.
pub fn mode(bits: u32) -> String {
    let own = if bits & 0o111 == 0 { 0o600 } else { 0o700 };
    format!("{:04o}", bits & 0o777 | own)
}

/// Whole seconds as a duration of the configuration.
pub fn seconds(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let whole = units
        .iter()
        .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or(&(1, "s"));
    format!("{}{name}", seconds / unit)
}

/// Bytes as a size of the configuration.
pub fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or(&(1, ""));
    format!("{}{name}", bytes / unit)
}

/// One line of text without control characters, of 500 bytes at most.
pub fn greeting(text: &str) -> Option<&str> {
    let text = text.trim();
    let good = !text.is_empty() && text.len() <= 500 && !text.chars().any(char::is_control);
    good.then_some(text)
}

/// A network as the users file has it: addresses, prefixes, netmasks, and prefixes that end in a dot.
pub fn network(text: &str) -> Option<String> {
    use std::net::IpAddr;

    use ipnet::IpNet;
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(network.trunc().to_string());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    if let Some((address, mask)) = text.split_once('/')
        && let (Ok(address), Ok(mask)) = (address.parse::<IpAddr>(), mask.parse::<IpAddr>())
    {
        return Some(IpNet::with_netmask(address, mask).ok()?.trunc().to_string());
    }
    let octets: Vec<&str> = text.strip_suffix('.')?.split('.').collect();
    let length = octets.len();
    if length > 3 {
        return None;
    }
    let mut whole = octets.join(".");
    whole.push_str(&".0".repeat(4 - length));
    let network = format!("{whole}/{}", 8 * length).parse::<IpNet>().ok()?;
    Some(network.to_string())
}

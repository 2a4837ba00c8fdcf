//! The subcommands of SITE.

use jiff::Timestamp;

use crate::ftp::text::digits;
use crate::ftp::time::parse_time_val;

use super::{
    ParseError,
    argument::{Argument, Words},
};

/// The argument of SITE (RFC 959 §4.1.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Site {
    /// `CHMOD 0644 path`: the permission bits, `0o7777` at most, and the path.
    Chmod(u32, String),
    /// `UTIME YYYYMMDDhhmm[ss] path`, or `UTIME path atime mtime ctime UTC`: the time of the last
    /// change and the path.
    Utime(Timestamp, String),
    /// `QUOTA`.
    Quota,
    /// `WHOAMI`.
    Whoami,
    /// `HELP [command]`.
    Help(Option<String>),
    /// Anything else: its first word in upper case.
    Unknown(String),
}

const MALFORMED: ParseError = ParseError::Malformed("SITE");

/// A subcommand of SITE. It comes after the login, and waits for a transfer to end, as SITE does.
pub struct SiteVerb {
    /// In upper case.
    pub name: &'static str,
    /// The syntax of what follows the name.
    pub syntax: &'static str,
    parse: fn(Words<'_>) -> Result<Site, ParseError>,
}

/// Every subcommand of SITE, by its name.
pub static SITE_VERBS: &[SiteVerb] = &[
    verb("CHMOD", "mode path", chmod),
    verb("HELP", "[command]", |mut words| {
        Ok(Site::Help(words.next().map(str::to_owned)))
    }),
    verb("QUOTA", "", |_| Ok(Site::Quota)),
    verb("UTIME", "YYYYMMDDhhmm[ss] path", utime),
    verb("WHOAMI", "", |_| Ok(Site::Whoami)),
];

const fn verb(
    name: &'static str,
    syntax: &'static str,
    parse: fn(Words<'_>) -> Result<Site, ParseError>,
) -> SiteVerb {
    SiteVerb {
        name,
        syntax,
        parse,
    }
}

impl Site {
    pub(super) fn parse(argument: Argument<'_>) -> Result<Self, ParseError> {
        let mut words = argument.words()?;
        let name = words.next().ok_or(argument.missing())?;
        match SITE_VERBS
            .iter()
            .find(|verb| verb.name.eq_ignore_ascii_case(name))
        {
            Some(verb) => (verb.parse)(words),
            None => Ok(Self::Unknown(name.to_ascii_uppercase())),
        }
    }
}

fn chmod(mut words: Words<'_>) -> Result<Site, ParseError> {
    let mode = words.next().and_then(parse_mode).ok_or(MALFORMED)?;
    Ok(Site::Chmod(
        mode,
        words.path()?.ok_or(MALFORMED)?.to_owned(),
    ))
}

/// One to four octal digits, or five with a zero in front.
fn parse_mode(text: &str) -> Option<u32> {
    digits::<u32>(text)?;
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| text.len() <= 5 && *mode <= 0o7777)
}

fn utime(mut words: Words<'_>) -> Result<Site, ParseError> {
    // Both forms have a path that may hold blanks; only the end of the longer one is unmistakable.
    let (path, modified) = match utime_of_three(words) {
        Some((path, modified)) => (path.path()?, modified),
        None => {
            let time = words.next().and_then(parse_minutes).ok_or(MALFORMED)?;
            (words.path()?, time)
        }
    };
    Ok(Site::Utime(modified, path.ok_or(MALFORMED)?.to_owned()))
}

fn utime_of_three(mut words: Words<'_>) -> Option<(Words<'_>, Timestamp)> {
    words
        .last()
        .filter(|zone| zone.eq_ignore_ascii_case("UTC"))?;
    let (changed, modified, accessed) = (words.last()?, words.last()?, words.last()?);
    parse_minutes(changed).and(parse_minutes(accessed))?;
    Some((words, parse_minutes(modified)?))
}

/// `YYYYMMDDhhmm[ss]`.
fn parse_minutes(text: &str) -> Option<Timestamp> {
    match text.len() {
        12 => parse_time_val(&format!("{text}00")).ok(),
        _ => parse_time_val(text).ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn subcommands() {
        let path = || "a b ".to_owned();
        let time = parse_time_val("20240102030405").unwrap();
        let minute = parse_time_val("20240102030400").unwrap();
        for (argument, expected) in [
            ("CHMOD 0644 a b ", Site::Chmod(0o644, path())),
            ("chmod 755 a b ", Site::Chmod(0o755, path())),
            ("CHMOD 7777 a b ", Site::Chmod(0o7777, path())),
            ("CHMOD 04755 a b ", Site::Chmod(0o4755, path())),
            ("CHMOD 0 a b ", Site::Chmod(0, path())),
            (" CHMOD  0\ta b ", Site::Chmod(0, path())),
            ("CHMOD 0  a", Site::Chmod(0, " a".into())),
            ("UTIME  20240102030405 a b ", Site::Utime(time, path())),
            (
                " UTIME a b  20200101000000  20240102030405\t20200101000000  UTC ",
                Site::Utime(time, "a b ".into()),
            ),
            ("QUOTA ", Site::Quota),
            ("HELP  chmod ", Site::Help(Some("chmod".into()))),
            ("UTIME 20240102030405 a b ", Site::Utime(time, path())),
            ("UTIME 202401020304 a b ", Site::Utime(minute, path())),
            (
                "UTIME a 20200101000000 20240102030405 20200101000000 UTC",
                Site::Utime(time, "a".into()),
            ),
            (
                "utime a b 20200101000000 20240102030405 20200101000000 utc",
                Site::Utime(time, "a b".into()),
            ),
            (
                "UTIME 20240102030405 x UTC",
                Site::Utime(time, "x UTC".into()),
            ),
            ("Quota", Site::Quota),
            ("whoami", Site::Whoami),
            ("WHO", Site::Unknown("WHO".into())),
            ("HELP", Site::Help(None)),
            ("HELP ", Site::Help(None)),
            ("help chmod", Site::Help(Some("chmod".into()))),
            ("exec ls", Site::Unknown("EXEC".into())),
            ("CHMODX 1 a", Site::Unknown("CHMODX".into())),
        ] {
            let found = Site::parse(Argument::new("SITE", argument.as_bytes()));
            assert_eq!(found, Ok(expected), "{argument:?}");
        }
    }

    #[test]
    fn wrong_arguments() {
        for argument in [
            "CHMOD",
            "CHMOD 644",
            "CHMOD 644 ",
            "CHMOD 648 a",
            "CHMOD 10000 a",
            "CHMOD 000644 a",
            "CHMOD -644 a",
            "CHMOD +644 a",
            "CHMOD u+x a",
            "CHMOD 99999999999999999999 a",
            "UTIME",
            "UTIME 20240102030405",
            "UTIME 20240102030405 ",
            "UTIME 20240132030405 a",
            "UTIME 2024010203 a",
            "UTIME a 20240102030405",
            "UTIME a 20200101000000 20240102030405 UTC",
            "UTIME a 20200101000000 20241302030405 20200101000000 UTC",
            "UTIME 20200101000000 20240102030405 20200101000000 UTC",
            "UTIME a 20200101000000 20240102030405 20200101000000 CET",
        ] {
            let found = Site::parse(Argument::new("SITE", argument.as_bytes()));
            assert_eq!(found, Err(MALFORMED), "{argument:?}");
        }
    }
}

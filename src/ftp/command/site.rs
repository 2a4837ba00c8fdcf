//! The subcommands of SITE.

use jiff::Timestamp;

use crate::ftp::text::digits;
use crate::ftp::time::parse_time_val;

use super::ParseError;

/// What is asked for by SITE (RFC 959 §4.1.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Site {
    /// `CHMOD 0644 path`: the permission bits, `0o7777` at most, and the path.
    Chmod(u32, String),
    /// `UTIME YYYYMMDDhhmm[ss] path`, or `UTIME path atime mtime ctime UTC`: the time of the last
    /// change and the path.
    Utime(Timestamp, String),
    /// `QUOTA`.
    Quota,
    /// `WHO`.
    Who,
    /// `HELP [command]`.
    Help(Option<String>),
    /// Anything else: its first word in upper case.
    Unknown(String),
}

const MALFORMED: ParseError = ParseError::Malformed("SITE");

impl Site {
    pub(super) fn parse(argument: &str) -> Result<Self, ParseError> {
        let (verb, rest) = argument.split_once(' ').unwrap_or((argument, ""));
        Ok(match verb.to_ascii_uppercase().as_str() {
            "CHMOD" => chmod(rest).ok_or(MALFORMED)?,
            "UTIME" => utime(rest).ok_or(MALFORMED)?,
            "QUOTA" => Self::Quota,
            "WHO" => Self::Who,
            "HELP" => Self::Help(Some(rest.to_owned()).filter(|text| !text.is_empty())),
            "" => return Err(MALFORMED),
            other => Self::Unknown(other.to_owned()),
        })
    }
}

fn chmod(rest: &str) -> Option<Site> {
    let (mode, path) = rest.split_once(' ').filter(|(_, path)| !path.is_empty())?;
    Some(Site::Chmod(parse_mode(mode)?, path.to_owned()))
}

/// One to four octal digits, or five with a zero in front.
fn parse_mode(text: &str) -> Option<u32> {
    digits::<u32>(text)?;
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| text.len() <= 5 && *mode <= 0o7777)
}

fn utime(rest: &str) -> Option<Site> {
    // Both forms have a path that may hold blanks; only the end of the longer one is unmistakable.
    let (path, modified) = utime_of_three(rest).or_else(|| {
        let (time, path) = rest.split_once(' ')?;
        Some((path, parse_minutes(time)?))
    })?;
    (!path.is_empty()).then(|| Site::Utime(modified, path.to_owned()))
}

fn utime_of_three(rest: &str) -> Option<(&str, Timestamp)> {
    let mut words = rest.rsplitn(5, ' ');
    words
        .next()
        .filter(|zone| zone.eq_ignore_ascii_case("UTC"))?;
    let (changed, modified, accessed) = (words.next()?, words.next()?, words.next()?);
    parse_minutes(changed).and(parse_minutes(accessed))?;
    Some((words.next()?, parse_minutes(modified)?))
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
            ("WHO", Site::Who),
            ("HELP", Site::Help(None)),
            ("HELP ", Site::Help(None)),
            ("help chmod", Site::Help(Some("chmod".into()))),
            ("exec ls", Site::Unknown("EXEC".into())),
            ("CHMODX 1 a", Site::Unknown("CHMODX".into())),
        ] {
            assert_eq!(Site::parse(argument), Ok(expected), "{argument:?}");
        }
    }

    #[test]
    fn wrong_arguments() {
        for argument in [
            " ",
            " CHMOD 644 a",
            "CHMOD",
            "CHMOD 644",
            "CHMOD 644 ",
            "CHMOD 648 a",
            "CHMOD 10000 a",
            "CHMOD 000644 a",
            "CHMOD -644 a",
            "CHMOD +644 a",
            "CHMOD u+x a",
            "CHMOD  644 a",
            "CHMOD 99999999999999999999 a",
            "UTIME",
            "UTIME 20240102030405",
            "UTIME 20240102030405 ",
            "UTIME 20240132030405 a",
            "UTIME 2024010203 a",
            "UTIME a 20240102030405",
            "UTIME a 20200101000000 20240102030405 UTC",
            "UTIME a 20200101000000 20241302030405 20200101000000 UTC",
            "UTIME  20200101000000 20240102030405 20200101000000 UTC",
            "UTIME a 20200101000000 20240102030405 20200101000000 CET",
        ] {
            assert_eq!(Site::parse(argument), Err(MALFORMED), "{argument:?}");
        }
    }
}

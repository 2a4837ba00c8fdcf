//! From a line to a command.

use crate::ftp::address::{EprtError, parse_eprt, parse_port};
use crate::ftp::digest::Algorithm;
use crate::ftp::facts::Facts;
use crate::ftp::text::digits;
use crate::ftp::time::parse_time_val;

use super::argument::Argument;
use super::host::parse_host;
use super::table::{self, DuringTransfer, Phase, Verb};
use super::{
    Any, Command, Epsv, File, Foreign, ListArguments, Mdtm, Opts, Parameter, ParseError,
    Protection, Transfer, Type,
};

/// No verb is longer, of FTP or of what else may knock.
const LONGEST_VERB: usize = 16;

/// Verbs of HTTP. None of these is a command of FTP, PUT and DELETE included.
const HTTP: &[&str] = &[
    "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI",
];

/// Verbs of SMTP.
const SMTP: &[&str] = &[
    "EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "STARTTLS",
];

/// A line that is a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// Its row of the table; none if it is no command of FTP.
    pub verb: Option<&'static Verb>,
    /// The command itself.
    pub command: Command,
}

impl Parsed {
    /// The canonical verb in upper case, `?` for what is no command of FTP.
    pub fn name(&self) -> &'static str {
        self.verb.map_or("?", |verb| verb.name)
    }

    /// From when on it is taken.
    pub fn phase(&self) -> Phase {
        self.verb.map_or(Phase::Any, Verb::phase)
    }

    /// How it is treated while a transfer runs.
    pub fn during_transfer(&self) -> DuringTransfer {
        match (self.verb, &self.command) {
            // A listing is a command like any other.
            (_, Command::Transfer(Transfer::Stat(Some(_)))) | (None, _) => DuringTransfer::Waits,
            (Some(verb), _) => verb.during_transfer,
        }
    }
}

/// Reads one line, without its line end.
pub fn parse(line: &[u8]) -> Result<Parsed, ParseError> {
    if line.is_empty() {
        return Err(ParseError::Empty);
    }
    if line.starts_with(&[0x16, 0x03]) {
        return Ok(no_verb(Command::Foreign(Foreign::Tls)));
    }
    let mut parts = line.splitn(2, |byte| *byte == b' ');
    let name = parts
        .next()
        .and_then(|name| std::str::from_utf8(name).ok())
        .unwrap_or_default();
    let known = (1..=LONGEST_VERB).contains(&name.len());
    if !known || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(ParseError::NoVerb);
    }
    let Some(verb) = table::find(name) else {
        return Ok(no_verb(unknown(name.to_ascii_uppercase())));
    };
    let command = verb.parse(parts.next().unwrap_or_default())?;
    Ok(Parsed {
        verb: Some(verb),
        command,
    })
}

fn no_verb(command: Command) -> Parsed {
    Parsed {
        verb: None,
        command,
    }
}

fn unknown(name: String) -> Command {
    if HTTP.contains(&&*name) {
        Command::Foreign(Foreign::Http)
    } else if SMTP.contains(&&*name) {
        Command::Foreign(Foreign::Smtp)
    } else {
        Command::Any(Any::Unknown(name))
    }
}

pub(super) fn host(argument: Argument<'_>) -> Result<String, ParseError> {
    parse_host(argument.word()?).ok_or(argument.malformed())
}

pub(super) fn protection(argument: Argument<'_>) -> Result<Protection, ParseError> {
    match argument.word()?.to_ascii_uppercase().as_str() {
        "C" => Ok(Protection::Clear),
        "P" => Ok(Protection::Private),
        // RFC 4217 §9: TLS gives no integrity without confidentiality, nor the reverse.
        "S" | "E" => Err(ParseError::ProtectionLevel),
        _ => Err(argument.not_implemented()),
    }
}

pub(super) fn epsv(argument: Argument<'_>) -> Result<Epsv, ParseError> {
    match argument.trimmed()? {
        "" => Ok(Epsv::Any),
        "1" => Ok(Epsv::V4),
        "2" => Ok(Epsv::V6),
        all if all.eq_ignore_ascii_case("ALL") => Ok(Epsv::All),
        other if other.bytes().all(|byte| byte.is_ascii_digit()) => Err(ParseError::UnknownFamily),
        _ => Err(argument.malformed()),
    }
}

pub(super) fn port(argument: Argument<'_>) -> Result<Parameter, ParseError> {
    parse_port(argument.word()?)
        .map(Parameter::Port)
        .map_err(|_| argument.malformed())
}

pub(super) fn eprt(argument: Argument<'_>) -> Result<Parameter, ParseError> {
    parse_eprt(argument.word()?)
        .map(Parameter::Eprt)
        .map_err(|error| match error {
            EprtError::Syntax => argument.malformed(),
            EprtError::UnknownFamily => ParseError::UnknownFamily,
        })
}

pub(super) fn representation(argument: Argument<'_>) -> Result<Type, ParseError> {
    let mut words = argument.words()?;
    let first = words.next().ok_or(argument.missing())?;
    let (first, second) = (first.to_ascii_uppercase(), words.next());
    let second = second.map(str::to_ascii_uppercase);
    match (first.as_str(), second.as_deref(), words.next()) {
        ("A", None | Some("N"), None) => Ok(Type::Ascii),
        ("I", None, None) => Ok(Type::Image),
        // RFC 1123 §4.1.2.1: with bytes of eight bits, local is image.
        ("L", Some("8"), None) | ("L8", None, None) => Ok(Type::Image),
        ("A" | "E", None | Some("N" | "T" | "C"), None) => Err(argument.not_implemented()),
        ("L", Some(size), None) if digits::<u64>(size).is_some() => Err(argument.not_implemented()),
        ("A" | "E" | "I" | "L", _, _) => Err(argument.malformed()),
        (word, None, None) if word.len() == 1 => Err(unknown_letter(argument, word)),
        _ => Err(argument.malformed()),
    }
}

/// The one letter that MODE or STRU takes.
pub(super) fn letter<T>(argument: Argument<'_>, wanted: char, value: T) -> Result<T, ParseError> {
    let text = argument.word()?;
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(found), None) if found.eq_ignore_ascii_case(&wanted) => Ok(value),
        (Some(_), None) => Err(unknown_letter(argument, text)),
        _ => Err(argument.malformed()),
    }
}

/// RFC 959 §5.4: a letter that stands for nothing here is 504, what is no letter is 501.
fn unknown_letter(argument: Argument<'_>, text: &str) -> ParseError {
    let letters = text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if letters {
        argument.not_implemented()
    } else {
        argument.malformed()
    }
}

/// `bytes` or `bytes R record-size`.
pub(super) fn allo(argument: Argument<'_>) -> Result<u64, ParseError> {
    let mut words = argument.words()?;
    let bytes = digits(words.next().ok_or(argument.missing())?);
    let fits = match (words.next(), words.next(), words.next()) {
        (None, _, _) => true,
        (Some("R" | "r"), Some(size), None) => digits::<u64>(size).is_some(),
        _ => false,
    };
    bytes.filter(|_| fits).ok_or(argument.malformed())
}

pub(super) fn word_or_none(argument: Argument<'_>) -> Result<Option<String>, ParseError> {
    Ok(Some(argument.trimmed()?)
        .filter(|word| !word.is_empty())
        .map(str::to_owned))
}

/// As LIST, but without anything it asks for the server's state.
pub(super) fn stat(argument: Argument<'_>) -> Result<Option<ListArguments>, ParseError> {
    if argument.trimmed().is_ok_and(str::is_empty) {
        return Ok(None);
    }
    ListArguments::parse(argument.words()?).map(Some)
}

pub(super) fn mdtm(argument: Argument<'_>) -> Result<Mdtm, ParseError> {
    let whole = argument.name()?;
    let dated = whole.split_once(' ').filter(|(_, path)| !path.is_empty());
    let dated = dated.and_then(|(time, path)| Some((parse_time_val(time).ok()?, path.to_owned())));
    Ok(match dated {
        Some((time, path)) => Mdtm::Set { time, path, whole },
        None => Mdtm::Get(whole),
    })
}

pub(super) fn mfmt(argument: Argument<'_>) -> Result<File, ParseError> {
    let (time, path) = word_and_path(argument)?;
    let time = parse_time_val(time).map_err(|_| argument.malformed())?;
    Ok(File::Mfmt(time, path.to_owned()))
}

/// `fact=value;fact=value; path`.
pub(super) fn mff(argument: Argument<'_>) -> Result<File, ParseError> {
    let (facts, path) = word_and_path(argument)?;
    let facts = facts.strip_suffix(';').ok_or(argument.malformed())?;
    let facts = facts.split(';').map(|fact| {
        let (name, value) = fact.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    let facts: Option<Vec<_>> = facts.collect();
    Ok(File::Mff(
        facts.ok_or(argument.malformed())?,
        path.to_owned(),
    ))
}

/// A first word, and the path behind it.
fn word_and_path<'a>(argument: Argument<'a>) -> Result<(&'a str, &'a str), ParseError> {
    let mut words = argument.words()?;
    let word = words.next().ok_or(argument.missing())?;
    Ok((word, words.path()?.ok_or(argument.malformed())?))
}

pub(super) fn opts(argument: Argument<'_>) -> Result<Opts, ParseError> {
    let mut words = argument.words()?;
    let verb = words.next().ok_or(argument.missing())?;
    let rest = words.rest();
    Ok(match verb.to_ascii_uppercase().as_str() {
        "UTF8" | "UTF-8" => match rest.to_ascii_uppercase().as_str() {
            // Clients that leave out the word mean ON.
            "ON" | "" => Opts::Utf8(true),
            "OFF" => Opts::Utf8(false),
            _ => return Err(argument.malformed()),
        },
        "MLST" => Opts::Mlst(Facts::select(rest)),
        "HASH" if rest.is_empty() => Opts::Hash(None),
        "HASH" => Opts::Hash(Some(
            Algorithm::parse(rest).ok_or(ParseError::UnknownAlgorithm)?,
        )),
        other => Opts::Unknown(other.to_owned()),
    })
}

/// A path, in quotes or without: clients of these commands send both.
pub(super) fn digest(argument: Argument<'_>, algorithm: Algorithm) -> Result<Transfer, ParseError> {
    let text = argument.required()?;
    let inside = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let path = inside
        .filter(|inside| !inside.is_empty())
        .unwrap_or(text)
        .to_owned();
    Ok(Transfer::Digest { algorithm, path })
}

pub(super) fn rang(argument: Argument<'_>) -> Result<Parameter, ParseError> {
    let mut words = argument.words()?;
    let first = words.next().ok_or(argument.missing())?;
    let range = digits(first).zip(digits(words.rest()));
    // A range that ends before it begins is none, but for the one that takes back the last.
    let (first, last): (u64, u64) = range.ok_or(argument.malformed())?;
    let sound = first <= last || (first, last) == (1, 0);
    if sound {
        Ok(Parameter::Rang(first, last))
    } else {
        Err(argument.malformed())
    }
}

//! From a line to a command.

use crate::ftp::address::{EprtError, parse_eprt, parse_port};
use crate::ftp::digest::Algorithm;
use crate::ftp::facts::Facts;
use crate::ftp::secret::Secret;
use crate::ftp::text::digits;
use crate::ftp::time::parse_time_val;

use super::argument::Argument;
use super::host::parse_host;
use super::{
    Command, Epsv, Foreign, ListArguments, Mdtm, Mode, Opts, ParseError, Protection, Site,
    Structure, Type,
};

/// No verb is longer, of FTP or of what else may knock.
const LONGEST_VERB: usize = 16;

/// Reads one line, without its line end.
pub fn parse(line: &[u8]) -> Result<Command, ParseError> {
    if line.is_empty() {
        return Err(ParseError::Empty);
    }
    if line.starts_with(&[0x16, 0x03]) {
        return Ok(Command::Foreign(Foreign::Tls));
    }
    let mut parts = line.splitn(2, |byte| *byte == b' ');
    let verb = parts
        .next()
        .and_then(|verb| std::str::from_utf8(verb).ok())
        .unwrap_or_default();
    let known = (1..=LONGEST_VERB).contains(&verb.len());
    if !known || !verb.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(ParseError::NoVerb);
    }
    command(&verb.to_ascii_uppercase(), parts.next().unwrap_or_default())
}

fn command(verb: &str, bytes: &[u8]) -> Result<Command, ParseError> {
    let of = |verb: &'static str| Argument::new(verb, bytes);
    Ok(match verb {
        "USER" => Command::User(of("USER").name()?),
        // An empty password is a password, with its blank or without.
        "PASS" => Command::Pass(Secret::new(of("PASS").text()?)),
        "ACCT" => Command::Acct(Secret::new(of("ACCT").required()?)),
        "HOST" => Command::Host(host(of("HOST"))?),
        "AUTH" => Command::Auth(of("AUTH").word()?.to_ascii_uppercase()),
        "PBSZ" => Command::Pbsz(of("PBSZ").number()?),
        "PROT" => Command::Prot(protection(of("PROT"))?),
        "EPSV" => Command::Epsv(epsv(of("EPSV"))?),
        "PORT" => port(of("PORT"))?,
        "EPRT" => eprt(of("EPRT"))?,
        "TYPE" => Command::Type(representation(of("TYPE"))?),
        "MODE" => Command::Mode(letter(of("MODE"), 'S', Mode::Stream)?),
        "STRU" => Command::Stru(letter(of("STRU"), 'F', Structure::File)?),
        "CWD" | "XCWD" => Command::Cwd(of("CWD").name()?),
        "RETR" => Command::Retr(of("RETR").name()?),
        "STOR" => Command::Stor(of("STOR").name()?),
        "APPE" => Command::Appe(of("APPE").name()?),
        "STOU" => Command::Stou(of("STOU").optional()?),
        // RFC 3659 §5.3: digits alone.
        "REST" => Command::Rest(of("REST").number()?),
        "ALLO" => Command::Allo(allo(of("ALLO"))?),
        "DELE" => Command::Dele(of("DELE").name()?),
        "RNFR" => Command::Rnfr(of("RNFR").name()?),
        "RNTO" => Command::Rnto(of("RNTO").name()?),
        "MKD" | "XMKD" => Command::Mkd(of("MKD").name()?),
        "RMD" | "XRMD" => Command::Rmd(of("RMD").name()?),
        "SIZE" => Command::Size(of("SIZE").name()?),
        "MDTM" => Command::Mdtm(mdtm(of("MDTM"))?),
        "MFMT" => mfmt(of("MFMT"))?,
        "MFF" => mff(of("MFF"))?,
        "MLST" => Command::Mlst(of("MLST").optional()?),
        "MLSD" => Command::Mlsd(of("MLSD").optional()?),
        "LIST" => Command::List(ListArguments::parse(of("LIST").words()?)?),
        "NLST" => Command::Nlst(ListArguments::parse(of("NLST").words()?)?),
        "STAT" => Command::Stat(stat(of("STAT"))?),
        "HELP" => Command::Help(word_or_none(of("HELP"))?),
        "OPTS" => Command::Opts(opts(of("OPTS"))?),
        "SITE" => Command::Site(Site::parse(of("SITE"))?),
        "CLNT" => Command::Clnt(of("CLNT").word()?.to_owned()),
        "CSID" => Command::Csid(of("CSID").word()?.to_owned()),
        "HASH" => Command::Hash(of("HASH").name()?),
        "XCRC" => digest(Algorithm::Crc32, bytes)?,
        "XMD5" => digest(Algorithm::Md5, bytes)?,
        "XSHA" | "XSHA1" => digest(Algorithm::Sha1, bytes)?,
        "XSHA256" => digest(Algorithm::Sha256, bytes)?,
        "XSHA512" => digest(Algorithm::Sha512, bytes)?,
        "RANG" => rang(of("RANG"))?,
        "AVBL" => Command::Avbl(of("AVBL").optional()?),
        "LANG" => Command::Lang(word_or_none(of("LANG"))?),
        "SMNT" => Command::Smnt(of("SMNT").name()?),
        // RFC 2389 §3: FEAT with an argument is an error. The others change the session.
        "FEAT" => of("FEAT").none().map(|()| Command::Feat)?,
        "REIN" => of("REIN").none().map(|()| Command::Rein)?,
        "CCC" => of("CCC").none().map(|()| Command::Ccc)?,
        "CDUP" | "XCUP" => of("CDUP").none().map(|()| Command::Cdup)?,
        // Servers commonly take these with anything behind, and clients have come to send it.
        "NOOP" => Command::Noop,
        "PASV" => Command::Pasv,
        "PWD" | "XPWD" => Command::Pwd,
        "QUIT" => Command::Quit,
        "SYST" => Command::Syst,
        "ABOR" => Command::Abor,
        "ADAT" => Command::Unsupported("ADAT"),
        "CONF" => Command::Unsupported("CONF"),
        "ENC" => Command::Unsupported("ENC"),
        "LPRT" => Command::Unsupported("LPRT"),
        "LPSV" => Command::Unsupported("LPSV"),
        "MFCT" => Command::Unsupported("MFCT"),
        "MIC" => Command::Unsupported("MIC"),
        // None of these is a command of FTP, PUT and DELETE included.
        "GET" | "POST" | "PUT" | "HEAD" | "DELETE" | "OPTIONS" | "CONNECT" | "PATCH" | "TRACE"
        | "PRI" => Command::Foreign(Foreign::Http),
        "EHLO" | "HELO" | "LHLO" | "MAIL" | "RCPT" | "DATA" | "BDAT" | "STARTTLS" => {
            Command::Foreign(Foreign::Smtp)
        }
        other => Command::Unknown(other.to_owned()),
    })
}

fn host(argument: Argument<'_>) -> Result<String, ParseError> {
    parse_host(argument.word()?).ok_or(argument.malformed())
}

fn protection(argument: Argument<'_>) -> Result<Protection, ParseError> {
    match argument.word()?.to_ascii_uppercase().as_str() {
        "C" => Ok(Protection::Clear),
        "P" => Ok(Protection::Private),
        // RFC 4217 §9: TLS gives no integrity without confidentiality, nor the reverse.
        "S" | "E" => Err(ParseError::ProtectionLevel),
        _ => Err(argument.not_implemented()),
    }
}

fn epsv(argument: Argument<'_>) -> Result<Epsv, ParseError> {
    match argument.trimmed()? {
        "" => Ok(Epsv::Any),
        "1" => Ok(Epsv::V4),
        "2" => Ok(Epsv::V6),
        all if all.eq_ignore_ascii_case("ALL") => Ok(Epsv::All),
        other if other.bytes().all(|byte| byte.is_ascii_digit()) => Err(ParseError::UnknownFamily),
        _ => Err(argument.malformed()),
    }
}

fn port(argument: Argument<'_>) -> Result<Command, ParseError> {
    parse_port(argument.word()?)
        .map(Command::Port)
        .map_err(|_| argument.malformed())
}

fn eprt(argument: Argument<'_>) -> Result<Command, ParseError> {
    parse_eprt(argument.word()?)
        .map(Command::Eprt)
        .map_err(|error| match error {
            EprtError::Syntax => argument.malformed(),
            EprtError::UnknownFamily => ParseError::UnknownFamily,
        })
}

fn representation(argument: Argument<'_>) -> Result<Type, ParseError> {
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
fn letter<T>(argument: Argument<'_>, wanted: char, value: T) -> Result<T, ParseError> {
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
fn allo(argument: Argument<'_>) -> Result<u64, ParseError> {
    let mut words = argument.words()?;
    let bytes = digits(words.next().ok_or(argument.missing())?);
    let fits = match (words.next(), words.next(), words.next()) {
        (None, _, _) => true,
        (Some("R" | "r"), Some(size), None) => digits::<u64>(size).is_some(),
        _ => false,
    };
    bytes.filter(|_| fits).ok_or(argument.malformed())
}

fn word_or_none(argument: Argument<'_>) -> Result<Option<String>, ParseError> {
    Ok(Some(argument.trimmed()?)
        .filter(|word| !word.is_empty())
        .map(str::to_owned))
}

/// As LIST, but without anything it asks for the server's state.
fn stat(argument: Argument<'_>) -> Result<Option<ListArguments>, ParseError> {
    if argument.trimmed().is_ok_and(str::is_empty) {
        return Ok(None);
    }
    ListArguments::parse(argument.words()?).map(Some)
}

fn mdtm(argument: Argument<'_>) -> Result<Mdtm, ParseError> {
    let whole = argument.name()?;
    let dated = whole.split_once(' ').filter(|(_, path)| !path.is_empty());
    let dated = dated.and_then(|(time, path)| Some((parse_time_val(time).ok()?, path.to_owned())));
    Ok(match dated {
        Some((time, path)) => Mdtm::Set { time, path, whole },
        None => Mdtm::Get(whole),
    })
}

fn mfmt(argument: Argument<'_>) -> Result<Command, ParseError> {
    let (time, path) = word_and_path(argument)?;
    let time = parse_time_val(time).map_err(|_| argument.malformed())?;
    Ok(Command::Mfmt(time, path.to_owned()))
}

/// `fact=value;fact=value; path`.
fn mff(argument: Argument<'_>) -> Result<Command, ParseError> {
    let (facts, path) = word_and_path(argument)?;
    let facts = facts.strip_suffix(';').ok_or(argument.malformed())?;
    let facts = facts.split(';').map(|fact| {
        let (name, value) = fact.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    let facts: Option<Vec<_>> = facts.collect();
    Ok(Command::Mff(
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

fn opts(argument: Argument<'_>) -> Result<Opts, ParseError> {
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
fn digest(algorithm: Algorithm, bytes: &[u8]) -> Result<Command, ParseError> {
    let text = Argument::new(algorithm.verb(), bytes).required()?;
    let inside = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let path = inside
        .filter(|inside| !inside.is_empty())
        .unwrap_or(text)
        .to_owned();
    Ok(Command::Digest { algorithm, path })
}

fn rang(argument: Argument<'_>) -> Result<Command, ParseError> {
    let mut words = argument.words()?;
    let first = words.next().ok_or(argument.missing())?;
    let range = digits(first).zip(digits(words.rest()));
    // A range that ends before it begins is none, but for the one that takes back the last.
    let (first, last): (u64, u64) = range.ok_or(argument.malformed())?;
    let sound = first <= last || (first, last) == (1, 0);
    if sound {
        Ok(Command::Rang(first, last))
    } else {
        Err(argument.malformed())
    }
}

//! The table of commands: one row says all that is known of a verb, apart from what it does.
//!
//! The parser, HELP, FEAT, "not before TLS", "not before the login" and "while a transfer runs" read it.
//! From when on a command is taken follows from its family: a row cannot say it of a command that the
//! session carries out elsewhere.

use crate::ftp::digest::Algorithm;
use crate::ftp::facts::Facts;
use crate::ftp::secret::Secret;

use super::argument::Argument;
use super::parse::{
    allo, digest, eprt, epsv, host, letter, mdtm, mff, mfmt, opts, port, protection, rang,
    representation, stat, word_or_none,
};
use super::{
    Any, Command, File, ListArguments, Login, Mode, Parameter, ParseError, Site, Structure,
    Transfer,
};

/// A verb, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// The canonical one, in upper case.
    pub name: &'static str,
    /// Others for the same, which HELP does not tell.
    pub aliases: &'static [&'static str],
    /// The syntax of the argument. None: it is answered by 502, and neither HELP nor FEAT tells it.
    pub syntax: Option<&'static str>,
    /// Its line of FEAT.
    pub feature: Feature,
    /// How it is treated while a transfer runs.
    pub during_transfer: DuringTransfer,
    /// Without this it is refused, and neither HELP nor FEAT tells it.
    pub switch: Option<Switch>,
    parser: Parser,
}

/// From when on a command is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// In every state.
    Any,
    /// When TLS is on, or need not be.
    Login,
    /// After the login.
    Active,
}

/// How a command is treated that comes while a transfer runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DuringTransfer {
    /// It waits its turn.
    Waits,
    /// It waits its turn, and is counted rather than kept.
    Counted,
    /// It waits its turn, and is the last one: nothing behind it is taken.
    Last,
    /// It ends the transfer at once.
    Aborts,
    /// It tells at once how far the transfer is, unless there is an argument.
    Reports,
}

/// A line of FEAT (RFC 2389 §3.2).
#[derive(Clone, Copy, Debug)]
pub enum Feature {
    /// The verb belongs to FTP as it always was.
    Basic,
    /// The verb itself.
    Named,
    /// This text.
    Text(&'static str),
    /// It depends on what OPTS has chosen.
    Chosen(fn(&Facts, Algorithm) -> String),
}

/// A part of the configuration without which some commands are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switch {
    /// Data connections to the client.
    ActiveMode,
    /// An end of TLS on the control connection.
    ClearControl,
}

/// Makes the command of an argument, for each family.
#[derive(Clone, Copy, Debug)]
enum Parser {
    Any(fn(Argument<'_>) -> Result<Any, ParseError>),
    Login(fn(Argument<'_>) -> Result<Login, ParseError>),
    Parameter(fn(Argument<'_>) -> Result<Parameter, ParseError>),
    File(fn(Argument<'_>) -> Result<File, ParseError>),
    Transfer(fn(Argument<'_>) -> Result<Transfer, ParseError>),
}

/// Every verb, by its name.
#[rustfmt::skip]
pub static VERBS: &[Verb] = &[
    any("ABOR", "", |_| Ok(Any::Abor)).during_transfer(DuringTransfer::Aborts),
    login("ACCT", "account", |argument| Ok(Login::Acct(Secret::new(argument.required()?)))),
    any("ADAT", "", unsupported).unlisted(),
    parameter("ALLO", "bytes [R bytes]", |argument| allo(argument).map(Parameter::Allo)),
    transfer("APPE", "path", |argument| argument.name().map(Transfer::Appe)),
    any("AUTH", "TLS", |argument| Ok(Any::Auth(argument.word()?.to_ascii_uppercase())))
        .feature(Feature::Text("AUTH TLS")),
    file("AVBL", "[path]", |argument| argument.optional().map(File::Avbl)).feature(Feature::Named),
    any("CCC", "", |argument| argument.none().map(|()| Any::Ccc))
        .feature(Feature::Named).only_with(Switch::ClearControl),
    file("CDUP", "", |argument| argument.none().map(|()| File::Cdup)).also(&["XCUP"]),
    any("CLNT", "name", |argument| Ok(Any::Clnt(argument.word()?.to_owned())))
        .feature(Feature::Named),
    any("CONF", "", unsupported).unlisted(),
    any("CSID", "name=value; ...", |argument| Ok(Any::Csid(argument.word()?.to_owned()))),
    file("CWD", "path", |argument| argument.name().map(File::Cwd)).also(&["XCWD"]),
    file("DELE", "path", |argument| argument.name().map(File::Dele)),
    any("ENC", "", unsupported).unlisted(),
    parameter("EPRT", "|1|address|port| or |2|address|port|", eprt)
        .feature(Feature::Named).only_with(Switch::ActiveMode),
    parameter("EPSV", "[1 | 2 | ALL]", |argument| epsv(argument).map(Parameter::Epsv))
        .feature(Feature::Named),
    // RFC 2389 §3: an argument is an error.
    any("FEAT", "", |argument| argument.none().map(|()| Any::Feat)),
    transfer("HASH", "path", |argument| argument.name().map(Transfer::Hash))
        .feature(Feature::Chosen(|_, algorithm| algorithm.feature_line())),
    any("HELP", "[command]", |argument| word_or_none(argument).map(Any::Help)),
    any("HOST", "name", |argument| host(argument).map(Any::Host)).feature(Feature::Named),
    any("LANG", "[tag]", |argument| word_or_none(argument).map(Any::Lang))
        .feature(Feature::Text("LANG EN*")),
    transfer("LIST", "[-al] [path or pattern]", |argument| {
        ListArguments::parse(argument.words()?).map(Transfer::List)
    }),
    any("LPRT", "", unsupported).unlisted(),
    any("LPSV", "", unsupported).unlisted(),
    file("MDTM", "path", |argument| mdtm(argument).map(File::Mdtm)).feature(Feature::Named),
    any("MFCT", "", unsupported).unlisted(),
    file("MFF", "fact=value; path", mff).feature(Feature::Text("MFF Modify;UNIX.mode;")),
    file("MFMT", "YYYYMMDDhhmmss path", mfmt).feature(Feature::Named),
    any("MIC", "", unsupported).unlisted(),
    file("MKD", "path", |argument| argument.name().map(File::Mkd)).also(&["XMKD"]),
    transfer("MLSD", "[path]", |argument| argument.optional().map(Transfer::Mlsd)),
    file("MLST", "[path]", |argument| argument.optional().map(File::Mlst))
        .feature(Feature::Chosen(|facts, _| facts.feature_line())),
    parameter("MODE", "S", |argument| letter(argument, 'S', Mode::Stream).map(Parameter::Mode)),
    transfer("NLST", "[-al] [path or pattern]", |argument| {
        ListArguments::parse(argument.words()?).map(Transfer::Nlst)
    }),
    // Servers commonly take this one with anything behind, and clients have come to send it; so it is
    // with ABOR, PASV, PWD, QUIT and SYST.
    any("NOOP", "", |_| Ok(Any::Noop)).during_transfer(DuringTransfer::Counted),
    any("OPTS", "UTF8 ON | MLST [fact;...] | HASH [algorithm]", |argument| {
        opts(argument).map(Any::Opts)
    }),
    // An empty password is a password, with its blank or without.
    login("PASS", "password", |argument| Ok(Login::Pass(Secret::new(argument.text()?)))),
    parameter("PASV", "", |_| Ok(Parameter::Pasv)),
    any("PBSZ", "0", |argument| argument.number().map(Any::Pbsz)).feature(Feature::Named),
    parameter("PORT", "h1,h2,h3,h4,p1,p2", port).only_with(Switch::ActiveMode),
    any("PROT", "C | P", |argument| protection(argument).map(Any::Prot)).feature(Feature::Named),
    file("PWD", "", |_| Ok(File::Pwd)).also(&["XPWD"]),
    any("QUIT", "", |_| Ok(Any::Quit)).during_transfer(DuringTransfer::Last),
    parameter("RANG", "first last", rang).feature(Feature::Text("RANG STREAM")),
    any("REIN", "", |argument| argument.none().map(|()| Any::Rein)),
    // RFC 3659 §5.3: digits alone.
    parameter("REST", "offset", |argument| argument.number().map(Parameter::Rest))
        .feature(Feature::Text("REST STREAM")),
    transfer("RETR", "path", |argument| argument.name().map(Transfer::Retr)),
    file("RMD", "path", |argument| argument.name().map(File::Rmd)).also(&["XRMD"]),
    file("RNFR", "path", |argument| argument.name().map(File::Rnfr)),
    file("RNTO", "path", |argument| argument.name().map(File::Rnto)),
    file("SITE", "command (see SITE HELP)", |argument| Site::parse(argument).map(File::Site)),
    file("SIZE", "path", |argument| argument.name().map(File::Size)).feature(Feature::Named),
    file("SMNT", "path", |argument| argument.name().map(File::Smnt)).unlisted(),
    transfer("STAT", "[-al] [path or pattern]", |argument| stat(argument).map(Transfer::Stat))
        .during_transfer(DuringTransfer::Reports),
    transfer("STOR", "path", |argument| argument.name().map(Transfer::Stor)),
    transfer("STOU", "", |argument| argument.optional().map(Transfer::Stou)),
    parameter("STRU", "F", |argument| letter(argument, 'F', Structure::File).map(Parameter::Stru)),
    any("SYST", "", |_| Ok(Any::Syst)),
    parameter("TYPE", "A [N] | I | L 8", |argument| {
        representation(argument).map(Parameter::Type)
    }),
    login("USER", "name", |argument| argument.name().map(Login::User)),
    transfer("XCRC", "path", |argument| digest(argument, Algorithm::Crc32)).feature(Feature::Named),
    transfer("XMD5", "path", |argument| digest(argument, Algorithm::Md5)).feature(Feature::Named),
    transfer("XSHA1", "path", |argument| digest(argument, Algorithm::Sha1))
        .feature(Feature::Named).also(&["XSHA"]),
    transfer("XSHA256", "path", |argument| digest(argument, Algorithm::Sha256))
        .feature(Feature::Named),
    transfer("XSHA512", "path", |argument| digest(argument, Algorithm::Sha512))
        .feature(Feature::Named),
];

/// The row of a verb, in any case.
pub(super) fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| {
        let mut aliases = verb.aliases.iter();
        verb.name.eq_ignore_ascii_case(name)
            || aliases.any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// The syntax of a command, `RETR path`, or the verb itself if it has none to show.
pub(super) fn syntax(name: &str) -> String {
    let verb = VERBS.iter().find(|verb| verb.name == name);
    let arguments = verb.and_then(|verb| verb.syntax).unwrap_or_default();
    format!("{name} {arguments}").trim_end().to_owned()
}

fn unsupported(argument: Argument<'_>) -> Result<Any, ParseError> {
    Ok(Any::Unsupported(argument.verb()))
}

const fn any(
    name: &'static str,
    syntax: &'static str,
    parse: fn(Argument<'_>) -> Result<Any, ParseError>,
) -> Verb {
    Verb::new(name, syntax, Parser::Any(parse))
}

const fn login(
    name: &'static str,
    syntax: &'static str,
    parse: fn(Argument<'_>) -> Result<Login, ParseError>,
) -> Verb {
    Verb::new(name, syntax, Parser::Login(parse))
}

const fn parameter(
    name: &'static str,
    syntax: &'static str,
    parse: fn(Argument<'_>) -> Result<Parameter, ParseError>,
) -> Verb {
    Verb::new(name, syntax, Parser::Parameter(parse))
}

const fn file(
    name: &'static str,
    syntax: &'static str,
    parse: fn(Argument<'_>) -> Result<File, ParseError>,
) -> Verb {
    Verb::new(name, syntax, Parser::File(parse))
}

const fn transfer(
    name: &'static str,
    syntax: &'static str,
    parse: fn(Argument<'_>) -> Result<Transfer, ParseError>,
) -> Verb {
    Verb::new(name, syntax, Parser::Transfer(parse))
}

impl Verb {
    const fn new(name: &'static str, syntax: &'static str, parser: Parser) -> Self {
        Self {
            name,
            aliases: &[],
            syntax: Some(syntax),
            feature: Feature::Basic,
            during_transfer: DuringTransfer::Waits,
            switch: None,
            parser,
        }
    }

    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn unlisted(mut self) -> Self {
        self.syntax = None;
        self
    }

    const fn feature(mut self, feature: Feature) -> Self {
        self.feature = feature;
        self
    }

    const fn during_transfer(mut self, what: DuringTransfer) -> Self {
        self.during_transfer = what;
        self
    }

    const fn only_with(mut self, switch: Switch) -> Self {
        self.switch = Some(switch);
        self
    }

    /// From when on it is taken.
    pub fn phase(&self) -> Phase {
        match self.parser {
            Parser::Any(_) => Phase::Any,
            Parser::Login(_) => Phase::Login,
            Parser::Parameter(_) | Parser::File(_) | Parser::Transfer(_) => Phase::Active,
        }
    }

    /// The command of an argument: all that follows the verb and exactly one blank.
    pub(super) fn parse(&self, argument: &[u8]) -> Result<Command, ParseError> {
        let argument = Argument::new(self.name, argument);
        match self.parser {
            Parser::Any(parse) => parse(argument).map(Command::Any),
            Parser::Login(parse) => parse(argument).map(Command::Login),
            Parser::Parameter(parse) => parse(argument).map(Command::Parameter),
            Parser::File(parse) => parse(argument).map(Command::File),
            Parser::Transfer(parse) => parse(argument).map(Command::Transfer),
        }
    }
}

/// A name has one row.
impl PartialEq for Verb {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Verb {}

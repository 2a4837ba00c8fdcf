//! The commands of a client, as values.
//!
//! All that is known of a verb stands in one row of [`VERBS`]; what it does stands in the session, in
//! the match of its family.

mod argument;
mod error;
mod host;
mod listing;
mod parse;
mod site;
mod table;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, SocketAddrV4};

use jiff::Timestamp;

use super::digest::Algorithm;
use super::facts::Facts;
use super::secret::Secret;

pub use error::ParseError;
pub use listing::ListArguments;
pub use parse::{Parsed, parse};
pub use site::{SITE_VERBS, Site, SiteVerb};
pub use table::{DuringTransfer, Feature, Phase, Switch, VERBS, Verb};

/// A command, parsed, in its family: each has a match of its own where it is carried out. Paths are as
/// the client wrote them: the session resolves them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Taken in every state.
    Any(Any),
    /// The login.
    Login(Login),
    /// For the transfers of a user who is logged in.
    Parameter(Parameter),
    /// On a user's files, answered at once.
    File(File),
    /// On a user's files, and long enough that the client is heard meanwhile.
    Transfer(Transfer),
    /// The start of another protocol: the peer was tricked into it (ALPACA), or is lost.
    Foreign(Foreign),
}

/// The commands that are taken in every state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Any {
    /// RFC 959 §4.1.1.
    Rein,
    /// RFC 959 §4.1.1.
    Quit,
    /// RFC 7151: a host name or a literal address, in lower case.
    Host(String),
    /// RFC 4217 §4: the mechanism in upper case.
    Auth(String),
    /// RFC 4217 §8.
    Pbsz(u32),
    /// RFC 4217 §9.
    Prot(Protection),
    /// RFC 4217 §12.
    Ccc,
    /// RFC 959 §4.1.3.
    Help(Option<String>),
    /// RFC 959 §4.1.3.
    Noop,
    /// RFC 959 §4.1.3.
    Syst,
    /// RFC 2389 §3.
    Feat,
    /// RFC 2389 §4.
    Opts(Opts),
    /// The client's name and version, a habit.
    Clnt(String),
    /// draft-peterson-streamlined-ftp-command-extensions: the client's name and version.
    Csid(String),
    /// RFC 2640 §4.
    Lang(Option<String>),
    /// RFC 959 §4.1.3.
    Abor,
    /// A command that is known and not implemented: ADAT, CONF, ENC, LPRT, LPSV, MFCT, MIC.
    Unsupported(&'static str),
    /// A verb, in upper case, that is no command of FTP.
    Unknown(String),
}

/// The commands of the login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Login {
    /// RFC 959 §4.1.1.
    User(String),
    /// RFC 959 §4.1.1; the password may be empty.
    Pass(Secret),
    /// RFC 959 §4.1.1.
    Acct(Secret),
}

/// The commands that say how the transfers to come are to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parameter {
    /// RFC 959 §4.1.2.
    Pasv,
    /// RFC 2428 §3.
    Epsv(Epsv),
    /// RFC 959 §4.1.2; that the address may be used is yet to be checked.
    Port(SocketAddrV4),
    /// RFC 2428 §2; that the address may be used is yet to be checked.
    Eprt(SocketAddr),
    /// RFC 959 §3.1.1.
    Type(Type),
    /// RFC 959 §3.4.
    Mode(Mode),
    /// RFC 959 §3.1.2.
    Stru(Structure),
    /// RFC 3659 §5.
    Rest(u64),
    /// RFC 959 §4.1.3; the record size after `R` says nothing here.
    Allo(u64),
    /// draft-bryan-ftp-range: the first and the last byte; `1 0` takes back what was set.
    Rang(u64, u64),
}

/// The commands on files and directories that are answered at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum File {
    /// RFC 959 §4.1.1; also XCWD.
    Cwd(String),
    /// RFC 959 §4.1.1; also XCUP.
    Cdup,
    /// RFC 959 §4.1.3; also XPWD.
    Pwd,
    /// RFC 959 §4.1.3.
    Dele(String),
    /// RFC 959 §4.1.3.
    Rnfr(String),
    /// RFC 959 §4.1.3.
    Rnto(String),
    /// RFC 959 §4.1.3; also XMKD.
    Mkd(String),
    /// RFC 959 §4.1.3; also XRMD.
    Rmd(String),
    /// RFC 3659 §4.
    Size(String),
    /// RFC 3659 §3.
    Mdtm(Mdtm),
    /// draft-somers-ftp-mfxx §3.
    Mfmt(Timestamp, String),
    /// draft-somers-ftp-mfxx §5: facts, their names in lower case, and the path.
    Mff(Vec<(String, String)>, String),
    /// RFC 3659 §7.
    Mlst(Option<String>),
    /// draft-peterson-streamlined-ftp-command-extensions §4.
    Avbl(Option<String>),
    /// RFC 959 §4.1.1, not implemented.
    Smnt(String),
    /// RFC 959 §4.1.3.
    Site(Site),
}

/// The commands on files and directories during which the client is heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// RFC 959 §4.1.3.
    Retr(String),
    /// RFC 959 §4.1.3.
    Stor(String),
    /// RFC 959 §4.1.3.
    Appe(String),
    /// RFC 959 §4.1.3; a name to begin with is a habit of clients.
    Stou(Option<String>),
    /// RFC 3659 §7.
    Mlsd(Option<String>),
    /// RFC 959 §4.1.3.
    List(ListArguments),
    /// RFC 959 §4.1.3.
    Nlst(ListArguments),
    /// RFC 959 §4.1.3; with anything behind, a listing over the control connection.
    Stat(Option<ListArguments>),
    /// draft-bryan-ftpext-hash §3.
    Hash(String),
    /// XCRC, XMD5, XSHA1 (also XSHA), XSHA256, XSHA512: habits that came before HASH.
    Digest {
        /// The hash that the verb names.
        algorithm: Algorithm,
        /// The file.
        path: String,
    },
}

/// The protection of data connections (RFC 4217 §9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// `C`: in the clear.
    Clear,
    /// `P`: by TLS.
    Private,
}

/// The argument of EPSV (RFC 2428 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Epsv {
    /// None: the protocol of the control connection.
    Any,
    /// `1`: IPv4.
    V4,
    /// `2`: IPv6.
    V6,
    /// `ALL`: from here on, nothing but EPSV will be used.
    All,
}

/// How content is represented (RFC 959 §3.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// `A`, `A N`: text, its lines ended by CRLF on the wire.
    Ascii,
    /// `I`, `L 8` (RFC 1123 §4.1.2.1): bytes.
    Image,
}

/// How content is transmitted (RFC 959 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// `S`: the end of the connection is the end of the file.
    Stream,
}

/// How content is structured (RFC 959 §3.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structure {
    /// `F`: not at all.
    File,
}

/// The argument of MDTM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mdtm {
    /// RFC 3659 §3: a path, whose time is asked for.
    Get(String),
    /// A time, a blank and a path, by which some clients set times. It may also be a path that
    /// looks like that, so the session looks for `whole` first.
    Set {
        /// The time to set.
        time: Timestamp,
        /// The path after the time.
        path: String,
        /// The whole argument, as a path.
        whole: String,
    },
}

/// The argument of OPTS (RFC 2389 §4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opts {
    /// `UTF8 ON` or `OFF` (also `UTF-8`): names are UTF-8 in any case.
    Utf8(bool),
    /// RFC 3659 §7.9: the facts that are to be shown from now on.
    Mlst(Facts),
    /// draft-bryan-ftpext-hash §4: an algorithm to use, or none to hear which one is in use.
    Hash(Option<Algorithm>),
    /// A command that has no options, in upper case.
    Unknown(String),
}

/// A protocol that is not FTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Foreign {
    /// A method of HTTP.
    Http,
    /// A verb of SMTP.
    Smtp,
    /// A TLS record, where TLS has to be asked for with AUTH first.
    Tls,
}

//! The commands and their syntax, for HELP, SITE HELP and the answers to wrong arguments.
//!
//! Only what is done here is told; a command that is known, and answered by 502, is not in the tables.

use super::reply::Reply;

/// Every command that is carried out, with its syntax.
pub const COMMANDS: &[(&str, &str)] = &[
    ("ABOR", ""),
    ("ACCT", "account"),
    ("ALLO", "bytes [R bytes]"),
    ("APPE", "path"),
    ("AUTH", "TLS"),
    ("AVBL", "[path]"),
    ("CCC", ""),
    ("CDUP", ""),
    ("CLNT", "name"),
    ("CSID", "name=value; ..."),
    ("CWD", "path"),
    ("DELE", "path"),
    ("EPRT", "|1|address|port| or |2|address|port|"),
    ("EPSV", "[1 | 2 | ALL]"),
    ("FEAT", ""),
    ("HASH", "path"),
    ("HELP", "[command]"),
    ("HOST", "name"),
    ("LANG", "[tag]"),
    ("LIST", "[-al] [path or pattern]"),
    ("MDTM", "path"),
    ("MFF", "fact=value; path"),
    ("MFMT", "YYYYMMDDhhmmss path"),
    ("MKD", "path"),
    ("MLSD", "[path]"),
    ("MLST", "[path]"),
    ("MODE", "S"),
    ("NLST", "[-al] [path or pattern]"),
    ("NOOP", ""),
    ("OPTS", "UTF8 ON | MLST [fact;...] | HASH [algorithm]"),
    ("PASS", "password"),
    ("PASV", ""),
    ("PBSZ", "0"),
    ("PORT", "h1,h2,h3,h4,p1,p2"),
    ("PROT", "C | P"),
    ("PWD", ""),
    ("QUIT", ""),
    ("RANG", "first last"),
    ("REIN", ""),
    ("REST", "offset"),
    ("RETR", "path"),
    ("RMD", "path"),
    ("RNFR", "path"),
    ("RNTO", "path"),
    ("SITE", "command (see SITE HELP)"),
    ("SIZE", "path"),
    ("STAT", "[-al] [path or pattern]"),
    ("STOR", "path"),
    ("STOU", ""),
    ("STRU", "F"),
    ("SYST", ""),
    ("TYPE", "A [N] | I | L 8"),
    ("USER", "name"),
    ("XCRC", "path"),
    ("XMD5", "path"),
    ("XSHA1", "path"),
    ("XSHA256", "path"),
    ("XSHA512", "path"),
];

/// The subcommands of SITE, with their syntax.
pub const SITE_COMMANDS: &[(&str, &str)] = &[
    ("CHMOD", "mode path"),
    ("HELP", "[command]"),
    ("QUOTA", ""),
    ("UTIME", "YYYYMMDDhhmm[ss] path"),
];

/// The answer to HELP (RFC 959 §4.1.3): 214, or 502 for a command that does not exist. `off` are the
/// verbs that the configuration refuses.
pub fn help(command: Option<&str>, off: &[&str]) -> Reply {
    let on = COMMANDS.iter().filter(|(verb, _)| !off.contains(verb));
    answer("", &on.copied().collect::<Vec<_>>(), command)
}

/// The answer to SITE HELP.
pub fn site_help(command: Option<&str>) -> Reply {
    answer("SITE ", SITE_COMMANDS, command)
}

/// The names of all subcommands of SITE, for a text.
pub fn site_commands() -> String {
    let verbs: Vec<&str> = SITE_COMMANDS.iter().map(|(verb, _)| *verb).collect();
    verbs.join(", ")
}

/// The syntax of a command, `RETR path`, or the verb itself if it has none to show.
pub fn syntax(verb: &str) -> String {
    find(COMMANDS, verb).map_or_else(|| verb.to_owned(), line)
}

fn answer(prefix: &str, table: &[(&str, &str)], command: Option<&str>) -> Reply {
    let Some(command) = command.map(str::trim).filter(|command| !command.is_empty()) else {
        let rows = table.chunks(8).map(|row| {
            let verbs = row
                .iter()
                .map(|(verb, _)| format!("{verb:<8}"))
                .collect::<String>();
            verbs.trim_end().to_owned()
        });
        let last = format!("{prefix}HELP with a command shows its syntax");
        return Reply::multi(214, "These commands are known:", rows, last);
    };
    match find(table, command) {
        Some(found) => Reply::new(214, format!("Syntax: {prefix}{}", line(found))),
        None => Reply::new(502, format!("There is no such {prefix}command")),
    }
}

fn find<'a>(table: &[(&'a str, &'a str)], verb: &str) -> Option<(&'a str, &'a str)> {
    table
        .iter()
        .copied()
        .find(|(known, _)| known.eq_ignore_ascii_case(verb))
}

fn line((verb, arguments): (&str, &str)) -> String {
    format!("{verb} {arguments}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn one_command() {
        for (command, expected) in [
            ("RETR", "214 Syntax: RETR path\r\n"),
            ("retr", "214 Syntax: RETR path\r\n"),
            ("NOOP", "214 Syntax: NOOP\r\n"),
            ("PUT", "502 There is no such command\r\n"),
            ("a\r\nb", "502 There is no such command\r\n"),
            ("SMNT", "502 There is no such command\r\n"),
        ] {
            assert_eq!(encoded(&help(Some(command), &[])), expected);
        }
        assert_eq!(
            encoded(&site_help(Some("chmod"))),
            "214 Syntax: SITE CHMOD mode path\r\n"
        );
        assert_eq!(
            encoded(&site_help(Some("EXEC"))),
            "502 There is no such SITE command\r\n"
        );
    }

    #[test]
    fn all_commands() {
        for command in [None, Some(""), Some(" ")] {
            let text = encoded(&help(command, &[]));
            assert!(text.starts_with("214-These commands are known:\r\n ABOR    ACCT "));
            assert!(COMMANDS.iter().all(|(verb, _)| text.contains(verb)));
            assert!(text.lines().all(|line| line.len() <= 80));
        }
        assert!(encoded(&site_help(None)).contains("\r\n CHMOD   HELP "));
        assert!(!encoded(&help(None, &["PORT"])).contains("PORT"));
        assert!(encoded(&help(Some("port"), &["PORT"])).starts_with("502 "));
    }

    #[test]
    fn the_tables_are_sorted() {
        assert!(COMMANDS.is_sorted_by(|(left, _), (right, _)| left < right));
        assert!(SITE_COMMANDS.is_sorted_by(|(left, _), (right, _)| left < right));
    }
}

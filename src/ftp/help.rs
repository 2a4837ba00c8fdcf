//! HELP, SITE HELP and FEAT.
//!
//! Only what is done here is told: not a command that is known, and answered by 502.

use super::{
    command::{Feature, SITE_VERBS, Switch, VERBS, Verb},
    digest::Algorithm,
    facts::Facts,
    reply::Reply,
};

/// Features that belong to no verb: RFC 3659 §6, RFC 2640 §3.
const WITHOUT_VERB: [&str; 2] = ["TVFS", "UTF8"];

/// The answer to HELP (RFC 959 §4.1.3): 214, or 502 for a command that does not exist. `is_on` tells
/// whether the configuration has what some commands need.
pub fn help(command: Option<&str>, is_on: impl Fn(Switch) -> bool) -> Reply {
    let listed = listed(&is_on).filter_map(|verb| Some((verb.name, verb.syntax?)));
    answer("", &listed.collect::<Vec<_>>(), command)
}

/// The answer to SITE HELP.
pub fn site_help(command: Option<&str>) -> Reply {
    let listed = SITE_VERBS.iter().map(|verb| (verb.name, verb.syntax));
    answer("SITE ", &listed.collect::<Vec<_>>(), command)
}

/// The names of all subcommands of SITE, for a text.
pub fn site_commands() -> String {
    let verbs: Vec<&str> = SITE_VERBS.iter().map(|verb| verb.name).collect();
    verbs.join(", ")
}

/// The lines of FEAT (RFC 2389 §3): just what is there. `facts` and `algorithm` are those that OPTS
/// has chosen.
pub fn features(
    facts: &Facts,
    algorithm: Algorithm,
    is_on: impl Fn(Switch) -> bool,
) -> Vec<String> {
    let of_verbs = listed(&is_on).filter_map(|verb| match verb.feature {
        Feature::Basic => None,
        Feature::Named => Some(verb.name.to_owned()),
        Feature::Text(text) => Some(text.to_owned()),
        Feature::Chosen(line) => Some(line(facts, algorithm)),
    });
    let mut features: Vec<String> = of_verbs.chain(WITHOUT_VERB.map(str::to_owned)).collect();
    features.sort_unstable();
    features
}

/// Commands that are carried out, as the configuration is.
fn listed(is_on: &impl Fn(Switch) -> bool) -> impl Iterator<Item = &'static Verb> {
    VERBS
        .iter()
        .filter(move |verb| verb.syntax.is_some() && verb.switch.is_none_or(is_on))
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
            assert_eq!(encoded(&help(Some(command), |_| true)), expected);
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
            let text = encoded(&help(command, |_| true));
            assert!(text.starts_with("214-These commands are known:\r\n ABOR    ACCT "));
            assert!(
                VERBS
                    .iter()
                    .all(|verb| text.contains(verb.name) == verb.syntax.is_some())
            );
            assert!(text.lines().all(|line| line.len() <= 80));
        }
        assert!(encoded(&site_help(None)).contains("\r\n CHMOD   HELP "));
        assert!(!encoded(&help(None, |_| false)).contains("PORT"));
        assert!(encoded(&help(Some("port"), |_| false)).starts_with("502 "));
    }

    #[test]
    fn the_tables_are_sorted() {
        assert!(VERBS.is_sorted_by(|left, right| left.name < right.name));
        assert!(SITE_VERBS.is_sorted_by(|left, right| left.name < right.name));
    }

    /// Each line of it, in its order, as clients have always had it.
    #[test]
    fn all_features() {
        let features = |on: bool| {
            features(&Facts::default(), Algorithm::default(), |_| on)
                .into_iter()
                .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        let all = [
            "AUTH", "AVBL", "CCC", "CLNT", "EPRT", "EPSV", "HASH", "HOST", "LANG", "MDTM", "MFF",
            "MFMT", "MLST", "PBSZ", "PROT", "RANG", "REST", "SIZE", "TVFS", "UTF8", "XCRC", "XMD5",
            "XSHA1", "XSHA256", "XSHA512",
        ];
        assert_eq!(features(true), all);
        let off: Vec<_> = all
            .into_iter()
            .filter(|name| !["CCC", "EPRT"].contains(name))
            .collect();
        assert_eq!(features(false), off);
    }
}

//! The arguments of LIST and NLST, and of STAT with any.

use super::{ParseError, argument::Words};

/// Options in the manner of `ls`, and what to list. RFC 959 knows no options; clients send them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListArguments {
    /// `-a`, `-A`: names that begin with a dot, too.
    pub all: bool,
    /// `-l`: as LIST does, also for NLST.
    pub long: bool,
    /// A path or a pattern; none for the working directory.
    pub path: Option<String>,
}

/// The letters of `ls` that may make up an option. All but `a`, `A` and `l` are passed over, `R`
/// among them: a client walks a tree itself, as far as it may.
const LETTERS: &str = "1aAbBcCdDfFgGhHiIklLmnNoOpqQrRsStTuUvxXZ";

impl ListArguments {
    /// Takes options off the front, up to `--`. A word like `-x.txt` is none of them but the path; a
    /// name that looks like an option is reached by `./-l` or `-- -l`. Blanks alone are no path.
    pub(super) fn parse(argument: Words<'_>) -> Result<Self, ParseError> {
        let mut found = Self::default();
        let mut rest = argument;
        loop {
            let mut ahead = rest;
            match ahead.next().and_then(|word| word.strip_prefix('-')) {
                Some("-") => {
                    rest = ahead;
                    break;
                }
                Some(letters) if is_option(letters) => {
                    found.all |= letters.contains(['a', 'A']);
                    found.long |= letters.contains('l');
                    rest = ahead;
                }
                _ => break,
            }
        }
        if !rest.rest().is_empty() {
            found.path = rest.path()?.map(str::to_owned);
        }
        Ok(found)
    }
}

fn is_option(letters: &str) -> bool {
    !letters.is_empty() && letters.chars().all(|letter| LETTERS.contains(letter))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::argument::Argument;
    use super::*;

    fn parsed(argument: &str) -> Result<ListArguments, ParseError> {
        ListArguments::parse(Argument::new("LIST", argument.as_bytes()).words()?)
    }

    #[test]
    fn options_and_paths() {
        for (argument, all, long, path) in [
            ("", false, false, None),
            (" ", false, false, None),
            (" \t ", false, false, None),
            ("-a", true, false, None),
            ("-al", true, true, None),
            ("-la ", true, true, None),
            ("-la   ", true, true, None),
            ("-la\t", true, true, None),
            ("  -la", true, true, None),
            ("-l -a", true, true, None),
            ("-l   -a  ", true, true, None),
            ("-A", true, false, None),
            ("-1", false, false, None),
            ("-l dir", false, true, Some("dir")),
            ("-a -l dir", true, true, Some("dir")),
            ("-a\t-l\tdir", true, true, Some("dir")),
            ("-R dir", false, false, Some("dir")),
            ("-alR /a b ", true, true, Some("/a b ")),
            ("-a *.txt", true, false, Some("*.txt")),
            // A path is as it is, behind one blank.
            ("-a  b", true, false, Some(" b")),
            (" b", false, false, Some(" b")),
            ("b ", false, false, Some("b ")),
            ("a -l", false, false, Some("a -l")),
            ("-", false, false, Some("-")),
            ("-a -", true, false, Some("-")),
            ("-x.txt", false, false, Some("-x.txt")),
            ("-é", false, false, Some("-é")),
            // Names that look like options.
            ("./-a", false, false, Some("./-a")),
            ("--", false, false, None),
            ("-- ", false, false, None),
            ("-- -l", false, false, Some("-l")),
            ("-a -- -l", true, false, Some("-l")),
            ("-- --", false, false, Some("--")),
            ("--  b", false, false, Some(" b")),
            ("--all", false, false, Some("--all")),
        ] {
            let path = path.map(str::to_owned);
            let expected = Ok(ListArguments { all, long, path });
            assert_eq!(parsed(argument), expected, "{argument:?}");
        }
        for argument in ["a\tb", "-l a\tb", "-l\t\tb", "\ta", "a\0", "-\r"] {
            assert_eq!(
                parsed(argument),
                Err(ParseError::ControlCharacter),
                "{argument:?}"
            );
        }
    }
}

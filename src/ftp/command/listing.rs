//! The arguments of LIST and NLST.

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
    /// Takes options off the front. A word like `-x.txt` is none of them but the path.
    pub(super) fn parse(argument: &str) -> Self {
        let mut found = Self::default();
        let mut rest = argument;
        while let Some((letters, after)) = option(rest) {
            found.all |= letters.contains(['a', 'A']);
            found.long |= letters.contains('l');
            rest = after;
        }
        found.path = Some(rest)
            .filter(|path| !path.is_empty())
            .map(str::to_owned);
        found
    }
}

/// The letters of the option in front, and what follows the blank behind it.
fn option(text: &str) -> Option<(&str, &str)> {
    let (word, after) = text.split_once(' ').unwrap_or((text, ""));
    let letters = word
        .strip_prefix('-')
        .filter(|letters| !letters.is_empty())?;
    letters
        .chars()
        .all(|letter| LETTERS.contains(letter))
        .then_some((letters, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_paths() {
        for (argument, all, long, path) in [
            ("", false, false, None),
            ("-a", true, false, None),
            ("-al", true, true, None),
            ("-la ", true, true, None),
            ("-l -a", true, true, None),
            ("-A", true, false, None),
            ("-1", false, false, None),
            ("-R dir", false, false, Some("dir")),
            ("-alR /a b ", true, true, Some("/a b ")),
            ("-a  b", true, false, Some(" b")),
            ("-a *.txt", true, false, Some("*.txt")),
            ("a -l", false, false, Some("a -l")),
            (" -a", false, false, Some(" -a")),
            ("-", false, false, Some("-")),
            ("--", false, false, Some("--")),
            ("-x.txt", false, false, Some("-x.txt")),
            ("-é", false, false, Some("-é")),
            ("-a -", true, false, Some("-")),
            ("./-a", false, false, Some("./-a")),
        ] {
            let path = path.map(str::to_owned);
            assert_eq!(
                ListArguments::parse(argument),
                ListArguments { all, long, path }
            );
        }
    }
}

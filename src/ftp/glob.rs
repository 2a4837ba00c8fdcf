//! Patterns of names in LIST and NLST, such as `*.txt`.

use std::str::Chars;

/// The longest pattern in bytes: no name is longer, and matching stays within 255 × 255 steps.
const LONGEST: usize = 255;

/// A pattern of one name: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before a character that is meant
/// itself. A name that begins with a dot is only met by a pattern that does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(char),
    One,
    Many,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// Compiles a pattern; one that is too long is none. A bracket that is never closed, a
    /// backslash at the end and braces are meant themselves.
    pub fn new(pattern: &str) -> Option<Self> {
        if pattern.len() > LONGEST {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = pattern.chars();
        while let Some(character) = rest.next() {
            match character {
                '*' if parts.last() == Some(&Part::Many) => {}
                '*' => parts.push(Part::Many),
                '?' => parts.push(Part::One),
                '[' => match class(&rest) {
                    Some((part, after)) => {
                        parts.push(part);
                        rest = after;
                    }
                    None => parts.push(Part::Literal('[')),
                },
                '\\' => parts.push(Part::Literal(rest.next().unwrap_or('\\'))),
                other => parts.push(Part::Literal(other)),
            }
        }
        Some(Self { parts })
    }

    /// Whether a whole name fits.
    ///
    /// Only the last `*` is ever tried again, which is enough and keeps the steps below the
    /// product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        if name.starts_with('.') && self.parts.first() != Some(&Part::Literal('.')) {
            return false;
        }
        let mut parts = self.parts.iter();
        let mut rest = name.chars();
        let mut retry = None;
        loop {
            let before = rest.clone();
            let fits = match (parts.next(), rest.next()) {
                (Some(Part::Many), _) => {
                    rest = before.clone();
                    retry = Some((parts.clone(), before));
                    true
                }
                (Some(part), Some(character)) => part.fits(character),
                (None, None) => return true,
                (None, Some(_)) => false,
                // The name ends too soon, and would end sooner still after a longer `*`.
                (Some(_), None) => return false,
            };
            if !fits {
                // The last `*` takes one character more.
                let Some((after, taken)) = &mut retry else {
                    return false;
                };
                if taken.next().is_none() {
                    return false;
                }
                parts = after.clone();
                rest = taken.clone();
            }
        }
    }
}

/// Whether a text has a character with a meaning in patterns.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl Part {
    fn fits(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::One | Self::Many => true,
            Self::Class { negated, ranges } => {
                let within = ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&character));
                within != *negated
            }
        }
    }
}

/// Reads what follows `[` up to its `]`, and gives what comes after.
fn class<'a>(inside: &Chars<'a>) -> Option<(Part, Chars<'a>)> {
    let mut rest = inside.clone();
    let negated = matches!(rest.clone().next(), Some('!' | '^'));
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            // A bracket in the first place is meant itself (POSIX).
            ']' if !ranges.is_empty() => return Some((Part::Class { negated, ranges }, rest)),
            '\\' => rest.next()?,
            other => other,
        };
        let mut ahead = rest.clone();
        let high = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(']') | None) => low,
            (Some('-'), Some('\\')) => {
                rest = ahead;
                rest.next()?
            }
            (Some('-'), Some(high)) => {
                rest = ahead;
                high
            }
            _ => low,
        };
        ranges.push((low, high));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn patterns() {
        for (pattern, met, missed) in [
            ("a", &["a"][..], &["", "b", "aa", "A"][..]),
            ("*", &["", "a", "ab.c"], &[".a"]),
            ("**", &["", "a"], &[".a"]),
            ("?", &["a", "é", "文"], &["", "ab", "."]),
            (
                "*.txt",
                &["a.txt", "a.b.txt", "a.txt.txt"],
                &[".txt", "a.txt ", "a.tx", "txt"],
            ),
            ("a*b*c", &["abc", "aXbXc", "abcbc"], &["ab", "acb", "abcd"]),
            ("*ab", &["ab", "aab", "abab"], &["aba", "b"]),
            ("a?c", &["abc", "a.c"], &["ac", "abbc"]),
            ("[a-c]x", &["ax", "bx", "cx"], &["dx", "x", "-x"]),
            ("[!a-c]x", &["dx", "-x"], &["ax", "x"]),
            ("[^a]", &["b"], &["a", ""]),
            ("[]a]", &["]", "a"], &["b", "[]a]"]),
            ("[!]a]", &["b"], &["]", "a"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[-a]", &["a", "-"], &["b"]),
            ("[z-a]", &[], &["a", "m", "z", "-"]),
            (r"[\]]", &["]"], &[r"\", r"\]"]),
            (r"[Z-\]]", &["Z", "[", "]"], &["a", "-"]),
            (r"[Z-\]]]", &["[]"], &["["]),
            ("[а-я]", &["ж"], &["z"]),
            ("[a", &["[a"], &["a"]),
            ("[", &["["], &[""]),
            ("[!", &["[!"], &["a"]),
            ("a]", &["a]"], &["a"]),
            (r"\*", &["*"], &["a", r"\*"]),
            (r"a\[b", &["a[b"], &["ab"]),
            (r"a\", &[r"a\"], &["a"]),
            (r"\\", &[r"\"], &[r"\\"]),
            ("{{{{*}}}}", &["{{{{}}}}", "{{{{a}}}}"], &["", "a", "{{{{"]),
            ("{a,b}", &["{a,b}"], &["a", "b"]),
            ("", &[""], &["a"]),
        ] {
            for name in met {
                assert!(fits(pattern, name), "{pattern:?} meets {name:?}");
            }
            for name in missed {
                assert!(!fits(pattern, name), "{pattern:?} misses {name:?}");
            }
        }
    }

    #[test]
    fn hidden_names_need_a_dot_in_the_pattern() {
        for (pattern, expected) in [
            (".*", true),
            (".a", true),
            (r"\.a", true),
            ("*", false),
            ("?a", false),
            ("[.]a", false),
            ("[!x]a", false),
            ("*a", false),
        ] {
            assert_eq!(fits(pattern, ".a"), expected, "{pattern}");
        }
    }

    #[test]
    fn regression_hostile_patterns_take_no_time() {
        let name = "a".repeat(255);
        let hostile = [
            "*a".repeat(127) + "b",
            "*a*a*a*a*b".to_owned(),
            "*".repeat(255),
            "?*".repeat(127) + "b",
            format!("*{}b", "[a-z]".repeat(50)),
            format!("*[{}]b", "a-z".repeat(80)),
            "{{{{*}}}}".to_owned(),
            "[".repeat(255),
            "[!".repeat(127),
        ];
        let begin = std::time::Instant::now();
        for pattern in &hostile {
            for _ in 0..100 {
                let _ = fits(pattern, &name);
            }
        }
        assert!(begin.elapsed().as_secs() < 5);
        assert!(fits(&"*".repeat(255), &name));
        assert!(!fits(&("*a".repeat(127) + "b"), &name));
        assert_eq!(Glob::new(&"a".repeat(256)), None);
    }

    /// The obvious matcher, to compare with.
    fn recursive(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                recursive(rest, name)
                    || matches!(name, [_, after @ ..] if recursive(pattern, after))
            }
            (['?', rest @ ..], [_, after @ ..]) => recursive(rest, after),
            ([literal, rest @ ..], [first, after @ ..]) => {
                literal == first && recursive(rest, after)
            }
            _ => false,
        }
    }

    #[test]
    fn every_short_pattern_agrees_with_the_obvious_matcher() {
        fn words(alphabet: &[char], longest: usize) -> Vec<Vec<char>> {
            let mut all = vec![Vec::new()];
            let mut last = all.clone();
            for _ in 0..longest {
                let longer = last.iter().flat_map(|word: &Vec<char>| {
                    alphabet
                        .iter()
                        .map(|next| word.iter().chain([next]).copied().collect())
                });
                last = longer.collect();
                all.extend(last.clone());
            }
            all
        }
        let names = words(&['a', 'b'], 5);
        for pattern in words(&['a', 'b', '*', '?'], 5) {
            let glob = Glob::new(&pattern.iter().collect::<String>()).unwrap();
            for name in &names {
                let text: String = name.iter().collect();
                assert_eq!(
                    glob.matches(&text),
                    recursive(&pattern, name),
                    "{pattern:?} {text}"
                );
            }
        }
    }

    #[test]
    fn patterns_are_recognised() {
        for text in ["*", "a?", "[a]", "a[", r"\*"] {
            assert!(is_pattern(text), "{text}");
        }
        for text in ["", "a", "a]b", "{a,b}", r"a\b", "-al"] {
            assert!(!is_pattern(text), "{text}");
        }
    }
}

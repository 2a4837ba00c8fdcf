//! Patterns of paths and of names.
//!
//! | form | matches |
//! |---|---|
//! | `*` | anything within one component |
//! | `**` | as a whole component: any number of components |
//! | `?` | one byte other than `/`: a character of ASCII |
//! | `[a-z]`, `[!a-z]` | one of these characters of ASCII, one of the other bytes but `/` |
//! | `{a,b}` | one of these |
//! | `\` | the next character as it is |
//!
//! A path's pattern goes from `/` on and has to match the whole path. `/in/**` matches what lies
//! below `/in`, at any depth, but not `/in` itself; `/in{,/**}` matches both. `**/.git` matches an
//! entry of that name anywhere. Case counts.

use crate::Error;
use fast_glob::glob_match;

/// Characters that may mean something else than themselves.
const SPECIAL: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

const USER: &str = "{user}";

/// A pattern, made ready for a path after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Everything.
    Any,
    /// This and nothing else.
    Exactly(String),
    /// What starts so, and goes on: "/in/" for `/in/**`.
    Below(String),
    /// Where the last component is of this form: `**/*.csv`.
    Last(Component),
    /// Where a component before the last is of this form: `**/.git/**`.
    Within(Component),
    /// Anything else. What has to come first is compared before the rest.
    Glob {
        /// The part before the first special character.
        prefix: String,
        /// The pattern.
        glob: String,
    },
}

/// A pattern of a single component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// This and nothing else.
    Exactly(String),
    /// What starts so: `.*`.
    Starts(String),
    /// What ends so: `*.csv`.
    Ends(String),
    /// Anything else.
    Glob(String),
}

/// A pattern of paths in which `{user}` may stand for the user's name.
#[derive(Debug)]
pub enum PathPattern {
    /// The same for all.
    Fixed(Pattern),
    /// The pattern's text.
    ForUser(String),
}

impl Pattern {
    /// The pattern of a user's or a group's name.
    pub fn name(text: &str) -> Result<Self, String> {
        check(text)?;
        Ok(Self::compile(text))
    }

    /// The pattern of a path.
    pub fn path(text: &str) -> Result<Self, String> {
        check(text)?;
        if !text.starts_with('/') && !text.starts_with("**/") && text != "**" {
            return Err(format!(
                "{text:?}: expected a pattern that starts with / or **/"
            ));
        }
        if text.len() > 1 && text.ends_with('/') {
            return Err(format!("{text:?}: no path ends with /"));
        }
        Ok(Self::compile(text))
    }

    /// Whether `text` as a whole is what the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(path) => path == text,
            Self::Below(prefix) => text.len() > prefix.len() && text.starts_with(prefix.as_str()),
            Self::Last(component) => component.matches(split(text).1),
            Self::Within(component) => {
                let mut names = split(text).0.split(|byte| *byte == b'/');
                names.any(|name| component.matches(name))
            }
            Self::Glob { prefix, glob } => {
                text.starts_with(prefix.as_str()) && glob_match(glob, text)
            }
        }
    }

    fn compile(text: &str) -> Self {
        if let Some(rest) = text.strip_prefix("**/") {
            let (component, within) = match rest.strip_suffix("/**") {
                Some(component) => (component, true),
                None => (rest, false),
            };
            if !component.is_empty() && component != "**" && !component.contains('/') {
                let component = Component::compile(component);
                return if within {
                    Self::Within(component)
                } else {
                    Self::Last(component)
                };
            }
        }
        let special = text.find(SPECIAL);
        let (prefix, rest) = text.split_at(special.unwrap_or(text.len()));
        match rest {
            "" => Self::Exactly(text.into()),
            "**" if prefix.is_empty() || prefix == "/" => Self::Any,
            "**" if prefix.ends_with('/') => Self::Below(prefix.into()),
            _ => Self::Glob {
                prefix: prefix.into(),
                glob: text.into(),
            },
        }
    }
}

impl Component {
    /// Inlined, as it is called for every component of every path.
    #[inline]
    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Exactly(text) => name == text.as_bytes(),
            Self::Starts(start) => name.starts_with(start.as_bytes()),
            Self::Ends(end) => name.ends_with(end.as_bytes()),
            Self::Glob(glob) => glob_match(glob, name),
        }
    }

    fn compile(text: &str) -> Self {
        let plain = |text: &str| !text.contains(SPECIAL);
        match (text.strip_suffix('*'), text.strip_prefix('*')) {
            _ if plain(text) => Self::Exactly(text.into()),
            (Some(start), _) if plain(start) => Self::Starts(start.into()),
            (_, Some(end)) if plain(end) => Self::Ends(end.into()),
            _ => Self::Glob(text.into()),
        }
    }
}

impl PathPattern {
    /// The pattern for this user.
    pub fn of(&self, user: &str) -> Result<Pattern, Error> {
        match self {
            Self::Fixed(pattern) => Ok(pattern.clone()),
            Self::ForUser(_) if matches!(user, "" | "." | "..") || user.contains('/') => Err(
                format!("paths: {user:?} cannot stand for {USER}: it is no directory's name"),
            ),
            Self::ForUser(text) => Pattern::path(&text.replace(USER, &literal(user))),
        }
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // As good as any name, to find out now whether the rest is a pattern.
        let fixed = Pattern::path(&text.replace(USER, "user"))?;
        Ok(match text.contains(USER) {
            true => Self::ForUser(text.into()),
            false => Self::Fixed(fixed),
        })
    }
}

/// What stands before the last "/", and after it. Names are short: a loop takes less time than to
/// set up a search.
fn split(path: &str) -> (&[u8], &[u8]) {
    let bytes = path.as_bytes();
    let mut parts = bytes.rsplitn(2, |byte| *byte == b'/');
    let last = parts.next().unwrap_or_default();
    (parts.next().unwrap_or_default(), last)
}

/// Refuses what would match something else than its author thinks.
fn check(text: &str) -> Result<(), String> {
    fast_glob::validate(text).map_err(|error| format!("{text:?}: {error}"))?;
    if text.starts_with('!') {
        return Err(format!("{text:?}: a pattern cannot be negated by \"!\""));
    }
    if text.is_empty() {
        return Err("an empty pattern matches nothing".into());
    }
    let mut class = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            // "\n" would be the end of a line.
            '\\' if characters.next().is_some_and(char::is_alphanumeric) => {
                return Err(format!(
                    "{text:?}: \"\\\" goes before special characters only"
                ));
            }
            '[' => class = true,
            ']' => class = false,
            // Characters are compared by their bytes.
            _ if class && !c.is_ascii() => {
                return Err(format!(
                    "{text:?}: {c:?} cannot be in brackets, use {{{c},...}}"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `text` as a pattern that matches it and nothing else.
pub fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '*' | '?' | '[' | ']' | '{' | '}' | ',' | '!' | '^' | '-' | '\\'
        ) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let compiled = Pattern::path(pattern).unwrap().matches(path);
        let interpreted = glob_match(pattern, path);
        assert_eq!(compiled, interpreted, "{pattern} {path}");
        compiled
    }

    #[test]
    fn matches_what_it_says() {
        for (pattern, path) in [
            ("/in/**", "/in/x"),
            ("/in/**", "/in/x/y"),
            ("/in{,/**}", "/in"),
            ("/in{,/**}", "/in/x/y"),
            ("/in/*", "/in/x"),
            ("/in/*", "/in/.x"),
            ("**", "/"),
            ("**", "/x/y"),
            ("/**", "/"),
            ("/**", "/x/y"),
            ("**/.*", "/.x"),
            ("**/.*", "/a/b/.x"),
            ("**/.*/**", "/a/.git/x/y"),
            ("/a/**/b", "/a/b"),
            ("/a/**/b", "/a/x/y/b"),
            ("/*/in/*.csv", "/x/in/y.csv"),
            ("/?", "/u"),
            ("/{ü,ö}", "/ö"),
            ("/ü*", "/üö"),
            ("/[a-c]", "/b"),
            ("/[!a-c]", "/d"),
            ("/*.{jpg,png}", "/x.png"),
            ("/a b'\"$", "/a b'\"$"),
            (r"/\*", "/*"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn matches_nothing_else() {
        for (pattern, path) in [
            ("/in/**", "/in"),
            ("/in/**", "/inn/x"),
            ("/in/**", "/x/in/y"),
            ("/in/*", "/in/x/y"),
            ("/in", "/in/x"),
            ("/in", "/IN"),
            ("**/.*", "/a/.b/c"),
            ("/*.csv", "/x/y.csv"),
            ("/?", "//"),
            ("/a?b", "/a/b"),
            ("/[!a]", "//"),
            ("/a[!x]b", "/a/b"),
            (r"/\*", "/x"),
            ("/in{,/**}", "/inner"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn refuses_what_is_malformed() {
        for pattern in [
            "",
            "!/x",
            "/{a,b",
            "/[a",
            "/a\\",
            "x/*",
            "*.exe",
            "/[ü]",
            "/\\n",
            "incoming/**",
            "**/",
            "/x/",
        ] {
            assert!(Pattern::path(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::name("a*").unwrap().matches("alice"));
        assert!(!Pattern::name("a").unwrap().matches("alice"));
    }

    #[test]
    fn a_user_is_no_pattern() {
        let pattern = PathPattern::parse("/home/{user}/**").unwrap();
        assert!(pattern.of("*").unwrap().matches("/home/*/x"));
        assert!(!pattern.of("*").unwrap().matches("/home/bob/x"));
        assert!(pattern.of("bob").unwrap().matches("/home/bob/x"));
        for name in ["", ".", "..", "bob/x"] {
            assert!(pattern.of(name).is_err(), "{name}");
        }
    }

    #[test]
    fn literally_is_literally() {
        for name in [
            "*", "**", "a*b", "[a]", "{a,b}", "!x", "\\", "a\\nb", "x-y^z", "ü,", "]", "}",
        ] {
            let pattern = Pattern::path(&format!("/home/{}/**", literal(name))).unwrap();
            assert!(pattern.matches(&format!("/home/{name}/x")), "{name}");
            for other in ["a", "ab", "x", "n", "axb", "a\nb", ""] {
                assert!(
                    !pattern.matches(&format!("/home/{other}/x")),
                    "{name} {other}"
                );
            }
        }
    }

    /// Every short path against every short pattern, by a program of another author.
    #[test]
    fn agrees_with_globset() {
        let parts = ["*", "**", "a", "b", "/", "?", "[ab]", "{a,/b}"];
        let letters = ["a", "b", "/", ".", "ab"];
        let mut patterns = vec![String::from("/"), String::from("**/")];
        let mut paths = vec![String::from("/")];
        for _ in 0..4 {
            let longer: Vec<String> = patterns
                .iter()
                .flat_map(|start| parts.map(|part| format!("{start}{part}")))
                .collect();
            patterns.extend(longer);
            patterns.sort();
            patterns.dedup();
            let longer: Vec<String> = paths
                .iter()
                .flat_map(|start| letters.map(|part| format!("{start}{part}")))
                .collect();
            paths.extend(longer);
            paths.sort();
            paths.dedup();
        }
        paths.retain(|path| !path.contains("//") && (path == "/" || !path.ends_with('/')));
        // "**" beside other characters is "*" to one and an error or more to the other, and an
        // empty component never is in a path.
        patterns.retain(|pattern| {
            let whole = |part: &str| part == "**" || !part.contains("**");
            !pattern.contains("//")
                && (pattern == "/" || !pattern.ends_with('/'))
                && pattern.split('/').all(whole)
        });
        let mut tried = 0;
        for pattern in &patterns {
            let other = globset::GlobBuilder::new(pattern)
                .literal_separator(true)
                .build()
                .unwrap();
            let other = other.compile_matcher();
            let ours = Pattern::path(pattern).unwrap();
            for path in &paths {
                tried += 1;
                assert_eq!(ours.matches(path), other.is_match(path), "{pattern} {path}");
            }
        }
        assert!(tried > 100_000, "{tried}");
    }

    /// No pattern and no path is a panic, however odd.
    #[test]
    fn takes_anything() {
        let parts = [
            "*", "**", "/", "?", "[", "]", "{", "}", ",", "!", "^", "-", "\\", "a", "b", ".", "ü",
            "{user}",
        ];
        let mut random = 1_u64;
        let mut any = |longest: u64| {
            let mut next = |below: u64| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (random >> 33) % below
            };
            (0..next(longest))
                .map(|_| parts[next(parts.len() as u64) as usize])
                .collect::<String>()
        };
        let mut valid = 0;
        for _ in 0..200_000 {
            let (pattern, path) = (format!("/{}", any(12)), format!("/{}", any(20)));
            if let Ok(pattern) = Pattern::path(&pattern) {
                valid += 1;
                pattern.matches(&path);
            }
            assert!(
                Pattern::path(&format!("/{}", literal(&path)))
                    .is_ok_and(|same| same.matches(&format!("/{path}")))
                    || path.ends_with('/'),
                "{path}"
            );
        }
        assert!(valid > 10_000, "{valid}");
    }

    /// A hostile path must not make the server compute for long.
    #[test]
    fn takes_time_in_proportion() {
        let long = format!("/{}", "a/".repeat(2000));
        let deep = format!("/{}", "a".repeat(4000));
        let start = std::time::Instant::now();
        for pattern in [
            "/**/a/**/a/**/a/**/b",
            "/*a*a*a*a*a*a*b",
            "/**/*a*a*a*a*/**/*a*b",
            "/{a,b}{a,b}{a,b}*{a,b}*{a,b}*c",
        ] {
            let pattern = Pattern::path(pattern).unwrap();
            assert!(!pattern.matches(&long) && !pattern.matches(&deep));
        }
        assert!(start.elapsed().as_millis() < 2000, "{:?}", start.elapsed());
    }
}

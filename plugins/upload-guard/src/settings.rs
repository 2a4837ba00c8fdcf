//! What the operator may say.

use sdk::{Error, Table};

/// The plugin's settings.
#[derive(Debug)]
pub struct Settings {
    /// The most bytes that a file may have.
    pub max_size: Option<u64>,
    /// About names.
    pub names: Names,
    /// Whether the content has to fit the extension.
    pub content: bool,
    /// Whether to look for the EICAR test file.
    pub eicar: bool,
    /// What becomes of files whose content is refused.
    pub action: Action,
}

/// Which names are refused. All in lower case.
#[derive(Debug)]
pub struct Names {
    /// Extensions.
    pub deny: Vec<String>,
    /// The only extensions; none is all.
    pub allow: Option<Vec<String>>,
    /// Whether to look at every extension, not only at the last.
    pub every: bool,
    /// Patterns of the whole name.
    pub patterns: Vec<String>,
}

/// What becomes of a file whose content is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing is kept.
    Reject,
    /// It is kept for a person to look at.
    Quarantine,
}

impl Settings {
    /// Reads the plugin's settings.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let settings = Self {
            max_size: table.bytes("max-size")?.filter(|size| *size > 0),
            names: Names {
                deny: extensions(&mut table, "deny-extensions")?.unwrap_or_default(),
                allow: extensions(&mut table, "allow-extensions")?.filter(|list| !list.is_empty()),
                every: table.switch("all-extensions")?.unwrap_or(false),
                patterns: patterns(&mut table)?,
            },
            content: table.switch("content")?.unwrap_or(true),
            eicar: table.switch("eicar")?.unwrap_or(true),
            action: action(&mut table)?,
        };
        table.finish()?;
        Ok(settings)
    }
}

fn extensions(table: &mut Table, key: &str) -> Result<Option<Vec<String>>, Error> {
    let Some(texts) = table.texts(key)? else {
        return Ok(None);
    };
    let extension = |text: &String| {
        let extension = text.strip_prefix('.').unwrap_or(text).to_lowercase();
        if extension.contains(['.', '/', '*']) {
            return Err(table.wrong(
                key,
                &format!("expected an extension such as \"exe\", found {text:?}"),
            ));
        }
        Ok(extension)
    };
    texts
        .iter()
        .map(extension)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn patterns(table: &mut Table) -> Result<Vec<String>, Error> {
    let patterns = table.texts("deny-names")?.unwrap_or_default();
    for pattern in &patterns {
        let wrong = |what: &str| table.wrong("deny-names", &format!("{pattern:?}: {what}"));
        fast_glob::validate(pattern).map_err(|error| wrong(&error.to_string()))?;
        if pattern.is_empty() || pattern.starts_with('!') || pattern.contains('/') {
            return Err(wrong("expected a pattern of names such as \"*.tmp\""));
        }
    }
    Ok(patterns
        .iter()
        .map(|pattern| pattern.to_lowercase())
        .collect())
}

fn action(table: &mut Table) -> Result<Action, Error> {
    match table.text("action")?.as_deref() {
        None | Some("reject") => Ok(Action::Reject),
        Some("quarantine") => Ok(Action::Quarantine),
        Some(other) => Err(table.wrong(
            "action",
            &format!("expected \"reject\" or \"quarantine\", found {other:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_content_and_eicar() {
        let settings = Settings::parse("{}").unwrap();
        assert!(settings.content && settings.eicar && settings.max_size.is_none());
        assert_eq!(settings.action, Action::Reject);
    }

    #[test]
    fn names_the_key() {
        for (json, error) in [
            (
                r#"{"max-size": "2 apples"}"#,
                "max-size: expected a number of bytes",
            ),
            (
                r#"{"deny-extensions": ["tar.gz"]}"#,
                "deny-extensions: expected an extension",
            ),
            (
                r#"{"deny-extension": ["exe"]}"#,
                "deny-extension: there is no such key",
            ),
            (
                r#"{"deny-names": ["a/b"]}"#,
                "deny-names: \"a/b\": expected a pattern of names",
            ),
            (r#"{"deny-names": ["[a"]}"#, "deny-names: \"[a\": unclosed"),
            (r#"{"action": "delete"}"#, "action: expected \"reject\" or"),
            (r#"{"eicar": 1}"#, "eicar: expected true or false, found 1"),
        ] {
            let found = Settings::parse(json).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn zero_and_an_empty_list_are_no_limit() {
        let settings = Settings::parse(r#"{"max-size": 0, "allow-extensions": []}"#).unwrap();
        assert!(settings.max_size.is_none() && settings.names.allow.is_none());
    }
}

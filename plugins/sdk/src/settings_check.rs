//! The world `settings-checker`: what a plugin says of its settings when it is loaded.

pub use crate::bindings::settings_checker::export;
pub use crate::bindings::settings_checker::exports::portcullis::plugin::settings_check::{
    Guest, Problem,
};
use crate::table::Error;

/// What to answer with, of settings that were read.
pub fn checked<T>(settings: Result<T, Error>) -> Result<(), Vec<Problem>> {
    match settings {
        Ok(_) => Ok(()),
        Err(error) => Err(vec![problem(&error)]),
    }
}

/// The same of several errors, or none.
pub fn found(errors: &[Error]) -> Result<(), Vec<Problem>> {
    match errors {
        [] => Ok(()),
        errors => Err(errors.iter().map(|error| problem(error)).collect()),
    }
}

/// Takes the key out of an error: "rule 2: effect: …" is about `rules[1].effect`.
fn problem(error: &str) -> Problem {
    let (mut key, mut place, mut rest) = (String::new(), "", error);
    while let Some((part, more)) = rest.split_once(": ") {
        let numbered = part.strip_prefix("rule ");
        let numbered = numbered.and_then(|number| number.parse::<usize>().ok());
        let named = part.strip_prefix("user \"");
        let named = named.and_then(|name| name.strip_suffix('"'));
        let next = match (numbered, named) {
            (Some(number), _) => format!("rules[{}]", number.saturating_sub(1)),
            (None, Some(name)) => format!("users.{name}"),
            (None, None) if is_key(part) => part.to_owned(),
            (None, None) => break,
        };
        if numbered.is_some() || named.is_some() {
            place = part;
        }
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(&next);
        rest = more;
    }
    let reason = match place {
        "" => rest.to_owned(),
        place => format!("{place}: {rest}"),
    };
    Problem { key, reason }
}

fn is_key(part: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !part.is_empty() && part != "needed" && part.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_out_of_errors() {
        for (error, key, reason) in [
            ("url: needed", "url", "needed"),
            (
                "rule 2: effect: expected \"deny\": found \"forbid\"",
                "rules[1].effect",
                "rule 2: expected \"deny\": found \"forbid\"",
            ),
            (
                "rule 1: paths: needed: patterns such as \"/a\"",
                "rules[0].paths",
                "rule 1: needed: patterns such as \"/a\"",
            ),
            (
                "user \"bob\": home: expected a text, found 1",
                "users.bob.home",
                "user \"bob\": expected a text, found 1",
            ),
            ("headers: Host: no", "headers.Host", "no"),
            ("expected a table, found 1", "", "expected a table, found 1"),
        ] {
            let found = problem(error);
            assert_eq!((found.key.as_str(), found.reason.as_str()), (key, reason));
        }
        assert!(checked(Ok(())).is_ok() && found(&[]).is_ok());
    }
}

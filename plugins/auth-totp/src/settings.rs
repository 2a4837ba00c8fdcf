//! What an operator can say.

use crate::code::{Algorithm, Form, Generator};
use sdk::{Error, Table, Value};

/// The plugin's settings, but for the users.
#[derive(Debug)]
pub struct Settings {
    /// What holds for users who say nothing else.
    pub form: Form,
    /// Whether a right password without a code is answered by asking for one.
    pub ask: bool,
    /// What the client is asked.
    pub prompt: String,
    /// Whether users without codes stay out.
    pub required: bool,
}

impl Settings {
    /// The keys.
    pub const KEYS: &[&str] = &[
        "ask",
        "prompt",
        "required",
        "algorithm",
        "digits",
        "period",
        "skew",
    ];

    /// Reads them, of which `get` gives each as the server has it.
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        // Not all at once: the users may be many.
        let value = |key: &str| {
            let text = get(key)?;
            let value = match key {
                "prompt" | "algorithm" => Value::String(text),
                _ => text.parse().unwrap_or(Value::String(text)),
            };
            Some((key.to_owned(), value))
        };
        let values = Self::KEYS.iter().copied().filter_map(value).collect();
        let mut table = Table::new("", Value::Object(values))?;
        let usual = Form {
            algorithm: Algorithm::Sha1,
            digits: 6,
            period: 30,
            skew: 1,
        };
        Ok(Self {
            form: form(&mut table, usual)?,
            ask: table.switch("ask")?.unwrap_or(true),
            prompt: table
                .text("prompt")?
                .unwrap_or_else(|| "Code from your app".into()),
            required: table.switch("required")?.unwrap_or(false),
        })
    }

    /// Reads a user's key `totp`: a secret, or a table with it and what is different.
    pub fn generator(&self, user: &str, totp: Value) -> Result<Generator, Error> {
        let place = format!("user {user:?}: totp");
        if let Value::String(secret) = totp {
            return Generator::new(self.form, &secret).map_err(|what| format!("{place}: {what}"));
        }
        let mut table = Table::new(&place, totp)?;
        let secret = table.text("secret")?;
        let secret = secret.ok_or_else(|| table.wrong("secret", "needed"))?;
        let form = form(&mut table, self.form)?;
        table.finish()?;
        Generator::new(form, &secret).map_err(|what| table.wrong("secret", what))
    }
}

fn form(table: &mut Table, usual: Form) -> Result<Form, Error> {
    let algorithm = match table.text("algorithm")?.as_deref() {
        None => usual.algorithm,
        Some("SHA1") => Algorithm::Sha1,
        Some("SHA256") => Algorithm::Sha256,
        Some("SHA512") => Algorithm::Sha512,
        Some(other) => {
            let what = format!("expected \"SHA1\", \"SHA256\" or \"SHA512\", found {other:?}");
            return Err(table.wrong("algorithm", &what));
        }
    };
    let mut within = |key: &str, usual: u32, from: u32, to: u32| match table.number(key)? {
        Some(number) if !(from..=to).contains(&number) => {
            let what = format!("expected {from} to {to}, found {number}");
            Err(table.wrong(key, &what))
        }
        number => Ok(number.unwrap_or(usual)),
    };
    Ok(Form {
        algorithm,
        digits: within("digits", usual.digits, 6, 8)?,
        period: within("period", usual.period, 10, 300)?,
        skew: within("skew", usual.skew, 0, 10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Settings, Error> {
        Settings::parse(|asked| (asked == key).then(|| value.into()))
    }

    #[test]
    fn has_defaults_and_names_what_is_wrong() {
        let settings = parse("", "").unwrap();
        assert!(settings.ask && !settings.required);
        assert_eq!((settings.form.digits, settings.form.skew), (6, 1));
        assert_eq!(parse("digits", "8").unwrap().form.digits, 8);
        assert_eq!(parse("prompt", "123").unwrap().prompt, "123");
        for (key, value, error) in [
            ("digits", "9", "digits: expected 6 to 8, found 9"),
            (
                "digits",
                "six",
                "digits: expected a number from 0 on, found \"six\"",
            ),
            ("ask", "1", "ask: expected true or false, found 1"),
            ("algorithm", "MD5", "algorithm: expected \"SHA1\""),
        ] {
            let found = parse(key, value).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn a_user_may_have_another_form() {
        let settings = parse("", "").unwrap();
        let read = |json: &str| settings.generator("bob", json.parse().unwrap());
        assert_eq!(read(r#""JBSWY3DPEHPK3PXP""#).ok().unwrap().form.digits, 6);
        let other = read(r#"{"secret": "JBSWY3DPEHPK3PXP", "digits": 8, "algorithm": "SHA256"}"#);
        let form = other.ok().unwrap().form;
        assert_eq!((form.digits, form.algorithm), (8, Algorithm::Sha256));
        for (json, error) in [
            (r#""JBSWY3DP""#, "user \"bob\": totp: expected at least 16"),
            ("{}", "user \"bob\": totp: secret: needed"),
            ("5", "user \"bob\": totp: expected a table, found 5"),
            (
                r#"{"secret": "JBSWY3DPEHPK3PXP", "digit": 8}"#,
                "user \"bob\": totp: digit: there is no such key",
            ),
        ] {
            let found = read(json).err().unwrap();
            assert!(found.starts_with(error), "{found}");
        }
    }
}

//! From what a case file says to what is asked.

use std::{path::Path, sync::Arc};

use super::{
    Call, Case, Expect, Session, Wrong, events,
    form::{Form, Question},
    login, paths, upload,
};
use crate::{
    config::{ConfigError, Document, Grants, Instances, PluginLimits, Problem},
    gate::{Gates, SessionInfo},
    plugin::PluginKind,
};

/// The forms of calls, of which each kind of plugin has one.
static FORMS: [Form; 4] = [login::FORM, paths::FORM, upload::FORM, events::FORM];

/// The kinds of a loaded plugin.
pub fn kinds(gates: &Gates) -> impl Iterator<Item = &'static PluginKind> {
    let forms = FORMS.iter().filter(|form| (form.fits)(gates));
    forms.map(|form| form.kind)
}

/// A case that makes sense.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As `[plugin.settings]`.
    pub settings: toml::Table,
    /// As `[plugin.grants]`.
    pub grants: Grants,
    /// As `[plugin.limits]`.
    pub limits: PluginLimits,
    /// How long instances live.
    pub instances: Option<Instances>,
    /// The questions, in this order.
    pub calls: Vec<Asked>,
    source: Document<Case>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Asked {
    /// For people.
    pub name: String,
    /// The session that it is about.
    pub session: Arc<SessionInfo>,
    /// The kind of plugin that is asked.
    pub kind: &'static PluginKind,
    /// The question.
    pub question: Arc<dyn Question>,
    /// The expected answer.
    pub expect: Expect,
}

impl Plan {
    /// Finds fault with a key of the case file.
    #[must_use]
    pub fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        self.source.problem(key, text)
    }
}

pub(super) fn plan(source: Document<Case>, directory: &Path) -> Result<Plan, ConfigError> {
    let case = &source.value;
    let mut problems = Vec::new();
    let mut grants = case.grants.clone();
    for (_, path) in grants.paths() {
        *path = directory.join(&*path);
    }
    let mut calls = Vec::new();
    match case.session.facts(directory) {
        Ok((before, after)) => {
            if case.call.is_empty() {
                problems.push(source.problem("call", "there is no [[call]]: nothing is asked"));
            }
            let sessions = [Arc::new(before), Arc::new(after)];
            for (index, call) in case.call.iter().enumerate() {
                match asked(call, index, &case.session, &sessions, directory) {
                    Ok(asked) => calls.push(asked),
                    Err((key, text)) => {
                        let key = match key.as_str() {
                            "" => format!("call[{index}]"),
                            key => format!("call[{index}].{key}"),
                        };
                        problems.push(source.problem(&key, text));
                    }
                }
            }
        }
        Err((key, text)) => problems.push(source.problem(&format!("session.{key}"), text)),
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    Ok(Plan {
        settings: case.settings.clone(),
        grants,
        limits: case.limits.clone(),
        instances: case.instances,
        calls,
        source,
    })
}

fn asked(
    call: &Call,
    index: usize,
    session: &Session,
    sessions: &[Arc<SessionInfo>; 2],
    directory: &Path,
) -> Result<Asked, Wrong> {
    let given: Vec<&str> = call.given().collect();
    let mut forms = FORMS.iter().filter(|form| starts(form, &given));
    let (Some(form), None) = (forms.next(), forms.next()) else {
        return Err((String::new(), expected()));
    };
    let kind = form.kind;
    let question = (form.read)(call, directory)?;
    if let Some(key) = given.iter().find(|key| !form.keys.contains(key)) {
        let of = FORMS.iter().find(|form| form.keys.contains(key));
        let of = of.map_or("none", |form| form.kind.name);
        return Err((
            (*key).into(),
            format!("is for calls of the kind {of}, and this is one of the kind {kind}"),
        ));
    }
    call.expect
        .fits(form)
        .map_err(|(key, text)| (format!("expect.{key}"), text))?;
    let name = call.name.clone().unwrap_or_else(|| {
        let name = question.describe().replace(char::is_control, " ");
        format!("{name} (call {})", index + 1)
    });
    Ok(Asked {
        name,
        session: question.session(session, sessions),
        kind,
        question,
        expect: call.expect.clone(),
    })
}

/// The keys of which a call has one, with the one whom it asks.
fn expected() -> String {
    let mut text = "expected one of ".to_owned();
    for (index, form) in FORMS.iter().enumerate() {
        let key = form.keys.first().copied().unwrap_or_default();
        let asks = form.asks;
        text += &match index {
            0 => format!("{key} (which asks {asks})"),
            _ if index + 1 == FORMS.len() => format!(" and {key} ({asks})"),
            _ => format!(", {key} ({asks})"),
        };
    }
    text
}

/// Whether a call with these keys is of the form.
fn starts(form: &Form, given: &[&str]) -> bool {
    form.keys.first().is_some_and(|first| given.contains(first))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let read = Document::parse("case.toml", text);
        let planned = read.and_then(|source| plan(source, Path::new(".")));
        planned
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, said) in [
            (
                "[[call]]\nuser = \"a\"\npasword = \"b\"",
                "case.toml:3: call[0].pasword: unknown key; did you mean \"password\"?",
            ),
            ("", "there is no [[call]]"),
            (
                "[[call]]\nname = \"x\"",
                "case.toml:1: call[0]: expected one of user (which asks an authenticator), requests (a path \
 guard), path (an upload inspector) and events (an event listener)",
            ),
            (
                "[[call]]\npath = \"/a\"\npassword = \"b\"",
                "case.toml:3: call[0].password: is for calls of the kind authenticator",
            ),
            (
                "[[call]]\nuser = \"a\"\nexpect.outcome = \"yes\"",
                "case.toml:3: call[0].expect.outcome: expected \"accept\"",
            ),
            (
                "[[call]]\nuser = \"a\"\nexpect.verdict = \"accept\"",
                "case.toml:3: call[0].expect.verdict: ",
            ),
            (
                "[[call]]\nrequests = [\"see /a\",\n\"walk /a\"]",
                "case.toml:3: call[0].requests[1]: there is no operation \"walk\"",
            ),
            (
                "[[call]]\npath = \"/a\"\nbase64 = \"?\"",
                "case.toml:3: call[0].base64: ",
            ),
            (
                "[[call]]\npath = \"/a\"\nfile = \"nowhere.bin\"",
                "case.toml:3: call[0].file: ./nowhere.bin: ",
            ),
            (
                "[session.account]\npermissions = [\"fly\"]",
                "case.toml:2: session.account.permissions: there is no permission \"fly\"",
            ),
            (
                "[session]\ntls-version = \"SSLv3\"",
                "case.toml:2: session.tls-version: expected \"none\"",
            ),
            (
                "[limits]\nmemory = \"much\"",
                "case.toml:2: limits.memory: expected a size",
            ),
        ] {
            let text = wrong(text);
            assert!(text.starts_with(said) || text.contains(said), "{text}");
        }
    }
}

//! The expected result of a call, and the result.

use super::{Expect, form::Form};
use crate::gate::{Account, Fault, FaultKind, path_policy::Decision};

/// The result of a call.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The outcome or verdict in the contract's word; "decided" and "ok" where there is no other;
    /// "unavailable", "internal" or "fault"; "interrupted" for an upload that was cut off.
    pub word: &'static str,
    /// Why, or a challenge's prompt, or a failure's text.
    pub reason: Option<String>,
    /// The account that was let in.
    pub account: Option<Box<Account>>,
    /// Of accept-as.
    pub path: Option<String>,
    /// Of a path guard.
    pub decisions: Vec<Decision>,
    /// The fault, if there was one.
    pub fault: Option<Fault>,
}

impl Answer {
    /// An answer that is one word.
    #[must_use]
    pub fn word(word: &'static str) -> Self {
        Self {
            word,
            ..Self::default()
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(self, reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        let word = match fault.kind {
            FaultKind::Unavailable => "unavailable",
            FaultKind::Internal => "internal",
            FaultKind::Trap
            | FaultKind::Timeout
            | FaultKind::TooBig
            | FaultKind::Busy
            | FaultKind::InvalidResponse => "fault",
        };
        Self {
            fault: Some(fault.clone()),
            ..Self::word(word).because(fault.text)
        }
    }
}

/// The failures that any plugin may come to.
const FAILURES: [&str; 3] = ["unavailable", "internal", "fault"];

impl Expect {
    /// Whether what is expected can come of a call to this kind of plugin.
    pub(super) fn fits(&self, form: &Form) -> Result<(), (&'static str, String)> {
        let Form { kind, words, .. } = form;
        let keys = [
            ("outcome", self.outcome.is_some()),
            ("verdict", self.verdict.is_some()),
            ("account", self.account.is_some()),
            ("decisions", self.decisions.is_some()),
            ("path", self.path.is_some()),
        ];
        let fits = |key| key == form.outcome || form.expects.contains(&key);
        if let Some((key, _)) = keys.into_iter().find(|(key, given)| *given && !fits(*key)) {
            return Err((key, format!("is nothing that the kind {kind} answers with")));
        }
        for (key, word) in [("outcome", &self.outcome), ("verdict", &self.verdict)] {
            if let Some(word) = word
                && !words.iter().chain(&FAILURES).any(|known| known == word)
            {
                let known: Vec<String> = words
                    .iter()
                    .chain(&FAILURES)
                    .map(|known| format!("{known:?}"))
                    .collect();
                return Err((
                    key,
                    format!("expected {}, found {word:?}", known.join(", ")),
                ));
            }
        }
        Ok(())
    }

    /// The differences between the answer and the expected one, a line each. A failure that nobody
    /// expected is one.
    #[must_use]
    pub fn compare(
        &self,
        answer: &Answer,
        log: &[String],
        state: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        // The server does not look at the verdict on an upload that was broken off.
        let verdict = self
            .verdict
            .as_ref()
            .filter(|_| answer.word != "interrupted");
        match self.outcome.as_ref().or(verdict) {
            Some(word) if word != answer.word => {
                let key = if self.outcome.is_some() {
                    "outcome"
                } else {
                    "verdict"
                };
                differences.push(format!("{key}: expected {word:?}, found {:?}", answer.word));
            }
            None if answer.fault.is_some() => {
                differences.push(format!("expected an answer, found {:?}", answer.word));
            }
            _ => {}
        }
        if let Some(expected) = &self.reason {
            match &answer.reason {
                Some(found) if found.contains(expected) => {}
                Some(found) => {
                    differences.push(format!("reason: expected {expected:?} in {found:?}"))
                }
                None => differences.push(format!("reason: expected {expected:?}, found none")),
            }
        }
        match (&self.account, &answer.account) {
            (Some(expected), Some(found)) => differences.extend(expected.compare(found)),
            (Some(_), None) => differences.push("account: expected one, found none".into()),
            (None, _) => {}
        }
        if let Some(expected) = &self.path
            && answer.path.as_ref() != Some(expected)
        {
            let found = answer.path.as_deref().unwrap_or("none");
            differences.push(format!("path: expected {expected:?}, found {found:?}"));
        }
        if let Some(expected) = &self.decisions {
            differences.extend(decisions(expected, &answer.decisions));
        }
        for expected in &self.log {
            if !log.iter().any(|line| line.contains(expected)) {
                differences.push(format!("log: no line has {expected:?}"));
            }
        }
        for (key, expected) in &self.state {
            let found = state(key).map(|value| String::from_utf8_lossy(&value).into_owned());
            if found.as_ref() != Some(expected) {
                let found = found.map_or_else(|| "none".into(), |found| format!("{found:?}"));
                differences.push(format!("state.{key}: expected {expected:?}, found {found}"));
            }
        }
        differences
    }
}

fn decisions(expected: &[String], found: &[Decision]) -> Vec<String> {
    if expected.len() != found.len() {
        let (expected, found) = (expected.len(), found.len());
        return vec![format!("decisions: expected {expected}, found {found}")];
    }
    let differs = |(index, (expected, found)): (usize, (&String, &Decision))| {
        let fits = match (expected.split_once(": "), found) {
            (None, Decision::Allow) => expected == "allow",
            (None, Decision::Hide) => expected == "hide",
            (None, Decision::Deny(_)) => expected == "deny",
            (Some(("deny", reason)), Decision::Deny(found)) => found.contains(reason),
            (Some(_), _) => false,
        };
        let found = decision(found);
        (!fits).then(|| format!("decisions[{index}]: expected {expected:?}, found {found:?}"))
    };
    let pairs = expected.iter().zip(found).enumerate();
    pairs.filter_map(differs).collect()
}

/// A decision as case files write it.
#[must_use]
pub fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Allow => "allow".into(),
        Decision::Hide => "hide".into(),
        Decision::Deny(reason) => format!("deny: {reason}"),
    }
}

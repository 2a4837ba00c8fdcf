//! How a path is decided.

use crate::operation::Operation;
use crate::rule::{Effect, Policy, Rule};
use sdk::{Pattern, pattern::PathPattern};

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The user's name.
    pub user: String,
    /// The groups that the user is in.
    pub groups: Vec<String>,
}

/// What is left of the rules for one user, a list for each operation.
#[derive(Debug)]
pub struct View {
    chains: Vec<Chain>,
}

/// The rules for one operation.
#[derive(Debug)]
struct Chain {
    steps: Vec<(Vec<Pattern>, Effect)>,
    otherwise: Effect,
}

impl Policy {
    /// Whether it matters who asks.
    pub fn is_personal(&self) -> bool {
        self.rules.iter().any(Rule::is_personal)
    }

    /// The rules as they are for `subject`.
    pub fn view(&self, subject: &Subject) -> Result<View, String> {
        let mut view = View { chains: Vec::new() };
        for operation in Operation::ALL {
            let applies =
                |rule: &&Rule| rule.operations.contains(operation) && rule.applies(subject);
            let rules = self.rules.iter().filter(applies);
            view.chains
                .push(Chain::new(rules, &self.default, &subject.user)?);
        }
        Ok(view)
    }
}

impl Rule {
    fn is_personal(&self) -> bool {
        let mut paths = self.paths.iter().flatten();
        let for_user = |path| matches!(path, &PathPattern::ForUser(_));
        self.users.is_some() || self.groups.is_some() || paths.any(for_user)
    }

    fn applies(&self, subject: &Subject) -> bool {
        let has = |patterns: &Option<Vec<Pattern>>, names: &[String]| {
            let Some(patterns) = patterns else {
                return true;
            };
            let named = |pattern: &Pattern| names.iter().any(|name| pattern.matches(name));
            patterns.iter().any(named)
        };
        has(&self.users, std::slice::from_ref(&subject.user)) && has(&self.groups, &subject.groups)
    }
}

impl View {
    /// What becomes of the operation on the path.
    pub fn decide(&self, operation: Operation, path: &str) -> &Effect {
        // There is a chain for every operation.
        self.chains
            .get(operation as usize)
            .map_or(&Effect::Hide, |chain| chain.decide(path))
    }
}

impl Chain {
    fn new<'a>(
        rules: impl Iterator<Item = &'a Rule>,
        default: &Effect,
        user: &str,
    ) -> Result<Self, String> {
        let mut chain = Self {
            steps: Vec::new(),
            otherwise: default.clone(),
        };
        for rule in rules {
            let paths = rule.paths.iter().flatten();
            let paths = paths
                .map(|path| path.of(user))
                .collect::<Result<Vec<_>, _>>()?;
            if rule.paths.is_none() || paths.contains(&Pattern::Any) {
                chain.otherwise = rule.effect.clone();
                break; // what comes after is never reached
            }
            chain.steps.push((paths, rule.effect.clone()));
        }
        // Where the end says the same anyway there is nothing to look at.
        while chain
            .steps
            .last()
            .is_some_and(|(_, effect)| *effect == chain.otherwise)
        {
            chain.steps.pop();
        }
        Ok(chain)
    }

    fn decide(&self, path: &str) -> &Effect {
        let matches = |(paths, _): &&(Vec<Pattern>, Effect)| {
            paths.iter().any(|pattern| pattern.matches(path))
        };
        let step = self.steps.iter().find(matches);
        step.map_or(&self.otherwise, |(_, effect)| effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::*;

    fn view(rules: &str, user: &str, groups: &[&str]) -> View {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let user = user.to_owned();
        Policy::parse(rules)
            .unwrap()
            .view(&Subject { user, groups })
            .unwrap()
    }

    fn denied(reason: &str) -> Effect {
        Effect::Deny(reason.into())
    }

    #[test]
    fn without_rules_the_default_decides() {
        for (settings, effect) in [
            ("{}", Effect::Allow),
            (r#"{"default": "hide"}"#, Effect::Hide),
            (r#"{"default": "deny"}"#, denied("Not permitted here")),
        ] {
            assert_eq!(*view(settings, "bob", &[]).decide(Delete, "/x"), effect);
        }
    }

    #[test]
    fn the_first_that_matches_decides() {
        let view = view(
            r#"{"rules": [
                {"effect": "hide", "paths": ["**/.*", "**/.*/**"]},
                {"effect": "allow", "operations": ["read"]},
                {"effect": "allow", "operations": ["create"], "paths": ["/incoming/{user}/**"]},
                {"effect": "deny", "reason": "Only new files in your own folder"}]}"#,
            "bob",
            &[],
        );
        for (operation, path, effect) in [
            (See, "/x", Effect::Allow),
            (See, "/.git", Effect::Hide),
            (Download, "/a/.git/config", Effect::Hide),
            (Create, "/incoming/bob/x", Effect::Allow),
            (Create, "/incoming/bob/.x", Effect::Hide),
            (
                Create,
                "/incoming/eve/x",
                denied("Only new files in your own folder"),
            ),
            (
                Create,
                "/incoming/bob",
                denied("Only new files in your own folder"),
            ),
            (
                Overwrite,
                "/incoming/bob/x",
                denied("Only new files in your own folder"),
            ),
            (
                RenameTo,
                "/incoming/bob/x",
                denied("Only new files in your own folder"),
            ),
        ] {
            assert_eq!(
                *view.decide(operation, path),
                effect,
                "{operation:?} {path}"
            );
        }
    }

    #[test]
    fn users_and_groups_both_have_to_match() {
        let rules = r#"{"default": "deny", "rules": [
            {"effect": "allow", "users": ["a*", "bob"], "groups": ["staff", "x-*"]}]}"#;
        let allowed = |user, groups| *view(rules, user, groups).decide(See, "/") == Effect::Allow;
        assert!(allowed("alice", &["staff"]));
        assert!(allowed("bob", &["other", "x-1"]));
        assert!(!allowed("bob", &[]));
        assert!(!allowed("eve", &["staff"]));
    }

    #[test]
    fn an_empty_list_matches_nothing() {
        for list in ["users", "groups", "operations", "paths"] {
            let rules = format!(r#"{{"rules": [{{"effect": "deny", "{list}": []}}]}}"#);
            assert_eq!(
                *view(&rules, "bob", &["g"]).decide(See, "/x"),
                Effect::Allow,
                "{list}"
            );
        }
    }

    #[test]
    fn asks_for_no_more_than_is_needed() {
        let view = view(
            r#"{"rules": [
                {"effect": "allow", "paths": ["/a"]},
                {"effect": "deny", "operations": ["write"], "paths": ["/b"]},
                {"effect": "allow", "paths": ["/c"]}]}"#,
            "bob",
            &[],
        );
        let steps = |operation: Operation| view.chains[operation as usize].steps.len();
        assert_eq!((steps(See), steps(Delete)), (0, 2));
    }

    #[test]
    fn knows_whether_it_matters_who_asks() {
        for (rule, personal) in [
            ("{\"effect\": \"deny\"}", false),
            ("{\"effect\": \"deny\", \"users\": []}", true),
            ("{\"effect\": \"deny\", \"groups\": [\"g\"]}", true),
            ("{\"effect\": \"deny\", \"paths\": [\"/x\"]}", false),
            (
                "{\"effect\": \"deny\", \"paths\": [\"/x\", \"/{user}\"]}",
                true,
            ),
        ] {
            let policy = Policy::parse(&format!("{{\"rules\": [{rule}]}}")).unwrap();
            assert_eq!(policy.is_personal(), personal, "{rule}");
        }
    }
}

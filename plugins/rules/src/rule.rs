//! What the operator may say in the settings.

use crate::operation::Operations;
use sdk::{Error, Pattern, Table, Value, pattern::PathPattern};

/// All settings.
#[derive(Debug)]
pub struct Policy {
    /// The first that matches decides.
    pub rules: Vec<Rule>,
    /// What happens where none does.
    pub default: Effect,
}

/// One rule. What it does not name, it does not ask about.
#[derive(Debug)]
pub struct Rule {
    /// What happens when the rule matches.
    pub effect: Effect,
    /// Names of users.
    pub users: Option<Vec<Pattern>>,
    /// Names of groups, of which the user has to be in one.
    pub groups: Option<Vec<Pattern>>,
    /// Operations.
    pub operations: Operations,
    /// Paths.
    pub paths: Option<Vec<PathPattern>>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Leaves it to the next guard.
    Allow,
    /// Refuses, with a reason that the client is told.
    Deny(String),
    /// Pretends that nothing is there.
    Hide,
}

const REASON: &str = "Not permitted here";

impl Policy {
    /// Reads the plugin's settings.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut table = Table::parse("", json)?;
        let rules = table.list("rules")?.unwrap_or_default();
        let rules = rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::parse(index + 1, rule));
        let default = table.text("default")?;
        let default = default.as_deref().unwrap_or("allow");
        let default =
            Effect::named(default, None).ok_or_else(|| unknown(&table, "default", default))?;
        let policy = Self {
            rules: rules.collect::<Result<_, _>>()?,
            default,
        };
        table.finish()?;
        Ok(policy)
    }
}

impl Rule {
    /// Operators count from 1.
    fn parse(number: usize, rule: Value) -> Result<Self, Error> {
        let mut table = Table::new(&format!("rule {number}"), rule)?;
        let Some(effect) = table.text("effect")? else {
            return Err(table.wrong("effect", "needed"));
        };
        let reason = table.text("reason")?;
        if reason.is_some() && effect != "deny" {
            return Err(table.wrong(
                "reason",
                "only a client that is denied something is told why",
            ));
        }
        let rule = Self {
            effect: Effect::named(&effect, reason)
                .ok_or_else(|| unknown(&table, "effect", &effect))?,
            users: patterns(&mut table, "users", Pattern::name)?,
            groups: patterns(&mut table, "groups", Pattern::name)?,
            operations: operations(&mut table)?,
            paths: patterns(&mut table, "paths", PathPattern::parse)?,
        };
        table.finish()?;
        Ok(rule)
    }
}

impl Effect {
    fn named(name: &str, reason: Option<String>) -> Option<Self> {
        Some(match name {
            "allow" => Self::Allow,
            "deny" => Self::Deny(reason.unwrap_or_else(|| REASON.into())),
            "hide" => Self::Hide,
            _ => return None,
        })
    }
}

fn patterns<T>(
    table: &mut Table,
    key: &str,
    parse: fn(&str) -> Result<T, Error>,
) -> Result<Option<Vec<T>>, Error> {
    let Some(texts) = table.texts(key)? else {
        return Ok(None);
    };
    let patterns = texts
        .iter()
        .map(|text| parse(text).map_err(|what| table.wrong(key, &what)));
    patterns.collect::<Result<_, _>>().map(Some)
}

fn operations(table: &mut Table) -> Result<Operations, Error> {
    let Some(names) = table.texts("operations")? else {
        return Ok(Operations::ALL);
    };
    names.iter().try_fold(Operations::NONE, |set, name| {
        let operations = Operations::named(name);
        operations
            .map(|operations| set.and(operations))
            .ok_or_else(|| unknown(table, "operations", name))
    })
}

fn unknown(table: &Table, key: &str, name: &str) -> Error {
    table.wrong(key, &format!("there is no {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_rule_and_the_key() {
        for (rule, error) in [
            ("{}", "effect: needed"),
            (r#"{"effect": "alow"}"#, "effect: there is no \"alow\""),
            (
                r#"{"effect": "allow", "path": ["/x"]}"#,
                "path: there is no such key",
            ),
            (
                r#"{"effect": "allow", "paths": "/x"}"#,
                "paths: expected a list of texts, found \"/x\"",
            ),
            (
                r#"{"effect": "allow", "paths": ["x"]}"#,
                "paths: \"x\": expected a pattern that starts with / or **/",
            ),
            (
                r#"{"effect": "allow", "operations": ["stor"]}"#,
                "operations: there is no \"stor\"",
            ),
            (
                r#"{"effect": "hide", "reason": "x"}"#,
                "reason: only a client that is denied something is told why",
            ),
            ("1", "expected a table, found 1"),
        ] {
            let json = format!(r#"{{"rules": [{{"effect": "allow"}}, {rule}]}}"#);
            assert_eq!(
                Policy::parse(&json).unwrap_err(),
                format!("rule 2: {error}")
            );
        }
        for (json, error) in [
            (r#"{"default": "maybe"}"#, "default: there is no \"maybe\""),
            (r#"{"rule": []}"#, "rule: there is no such key"),
            (r#"{"rules": {}}"#, "rules: expected a list, found a table"),
        ] {
            assert_eq!(Policy::parse(json).unwrap_err(), error);
        }
        let bad = Policy::parse(r#"{"rules": [{"effect": "allow", "paths": ["/{a"]}]}"#);
        assert!(
            bad.unwrap_err()
                .starts_with("rule 1: paths: \"/{a\": unclosed brace")
        );
    }
}

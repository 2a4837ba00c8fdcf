//! The results of a case, for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Done, Repeated};
use crate::{
    gate::Account,
    kit::{
        case::{decision, granted},
        figures::Figures,
        subject::Subject,
    },
};

/// One object, and a newline.
pub fn report(component: &str, subject: &Subject, loaded: Duration, done: &[Done<'_>]) -> String {
    let kinds: Vec<&str> = subject.kinds().map(|kind| kind.name).collect();
    let report = json!({
        "component": component,
        "kinds": kinds,
        "load-us": micros(loaded),
        "met": done.iter().all(|call| call.problems.is_empty()),
        "calls": done.iter().map(call).collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}

fn call(done: &Done<'_>) -> Value {
    let ran = &done.ran;
    let answer = &ran.answer;
    let log = ran
        .log
        .iter()
        .map(|line| json!({ "level": line.level.to_string().to_lowercase(), "text": line.text }));
    json!({
        "name": done.asked.name,
        "answer": answer.word,
        "reason": answer.reason,
        "account": answer.account.as_deref().map(account),
        "path": answer.path,
        "decisions": answer.decisions.iter().map(decision).collect::<Vec<_>>(),
        "fault": answer.fault.as_ref().map(|fault| fault.kind.to_string()),
        "log": log.collect::<Vec<_>>(),
        "cpu-us": micros(ran.usage.cpu),
        "wall-us": micros(ran.wall),
        "memory": ran.usage.memory,
        "met": done.problems.is_empty(),
        "problems": done.problems,
        "repeated": done.repeated.as_ref().map(repeated),
    })
}

fn account(account: &Account) -> Value {
    json!({
        "home": account.home.as_str(),
        "storage": account.storage,
        "permissions": granted(account.permissions),
        "groups": account.groups,
        "attributes": account.attributes,
        "max-sessions": account.max_sessions,
        "idle-timeout": account.idle_timeout.map(|timeout| timeout.as_secs()),
        "upload-rate": account.upload_rate,
        "download-rate": account.download_rate,
        "max-upload-size": account.max_upload_size,
        "quota": account.quota,
        "quota-files": account.quota_files,
        "expires": account.expires_at(),
        "greeting": account.greeting,
    })
}

fn repeated(repeated: &Repeated) -> Value {
    json!({
        "calls": repeated.calls,
        "faults": repeated.faults,
        "cpu-us": figures(repeated.cpu),
        "wall-us": figures(repeated.wall),
        "per-second": repeated.per_second,
    })
}

fn figures(figures: Figures) -> Value {
    json!({
        "min": micros(figures.min),
        "median": micros(figures.median),
        "p99": micros(figures.p99),
    })
}

/// With one decimal.
fn micros(taken: Duration) -> f64 {
    (taken.as_secs_f64() * 1e7).round() / 10.0
}

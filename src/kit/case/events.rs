//! Calls to event listeners.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Answer,
    form::{Answering, Asking, Form, Question, absent},
};
use crate::{
    gate::SessionInfo,
    plugin::{PluginKind, settings_file::json},
};

pub(super) const FORM: Form = Form {
    kind: &PluginKind::EVENT_LISTENER,
    asks: "an event listener",
    keys: &["events"],
    outcome: "outcome",
    words: &["ok"],
    expects: &[],
    read: |call, _| {
        let events = call.events.iter().flatten();
        Ok(Arc::new(Batch(events.map(event).collect())))
    },
    fits: |gates| !gates.listeners.is_empty(),
};

#[derive(Debug)]
struct Batch(Arc<[String]>);

impl Question for Batch {
    fn describe(&self) -> String {
        format!("{} events", self.0.len())
    }

    fn ask<'a>(&'a self, asking: &'a Asking, _: Arc<SessionInfo>) -> Answering<'a> {
        Box::pin(async move {
            let member = asking.gates.listeners.first().ok_or_else(absent)?;
            member.gate.notify(self.0.clone()).await?;
            Ok(Answer::word("ok"))
        })
    }
}

/// As the server writes it: with its time.
fn event(table: &toml::Table) -> String {
    let mut event = json(&toml::Value::Table(table.clone()));
    if let Value::Object(fields) = &mut event {
        let now = Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default();
        fields
            .entry("time")
            .or_insert_with(|| Value::String(now.to_string()));
    }
    event.to_string()
}

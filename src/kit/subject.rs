//! A plugin that is asked without a server.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::FutureExt;

use super::{
    case::{Answer, Asked, Asking, NAME, Plan, kinds},
    log::{Line, Log},
};
use crate::{
    config::{self, PluginHost},
    gate::health::Usage,
    plugin::{Host, LoadError, PluginKind},
    types::OnFailure,
};

/// A loaded plugin, and all that it keeps between calls.
pub struct Subject {
    host: Host,
    asking: Asking,
    log: Log,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The answer.
    pub answer: Answer,
    /// The time that it took, where the plugin was reached at all.
    pub usage: Usage,
    /// From the question to the answer.
    pub wall: Duration,
    /// The lines that were logged.
    pub log: Vec<Line>,
}

impl Subject {
    /// Loads a component, a file or `builtin:NAME`, as the plan says; compiled code is kept in
    /// `cache`, and files that the settings name are relative to `directory`.
    ///
    /// # Errors
    /// When the server would not load it either.
    pub async fn load(
        component: &str,
        plan: &Plan,
        directory: &Path,
        cache: &Path,
        log: Log,
    ) -> Result<Self, LoadError> {
        let host = Host::new(&PluginHost::default(), cache, None)?;
        let configured = config::Plugin {
            name: NAME.into(),
            component: component.into(),
            sha256: None,
            on_failure: OnFailure::Deny,
            instances: plan.instances,
            settings: plan.settings.clone(),
            limits: plan.limits.clone(),
            grants: plan.grants.clone(),
        };
        let gates = host.gates(&[configured], directory).await?;
        let guard = gates.policies.first().map(|policy| policy.gate.guard());
        let _ = log.take();
        Ok(Self {
            host,
            asking: Asking { gates, guard },
            log,
        })
    }

    /// The kinds of question that it answers.
    pub fn kinds(&self) -> impl Iterator<Item = &'static PluginKind> {
        kinds(&self.asking.gates)
    }

    /// A value of its `state`.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        // It is in memory, and nobody waits for it.
        self.host.state(NAME, key).now_or_never()?.ok()?
    }

    /// Makes a call.
    pub async fn ask(&self, asked: &Asked) -> Ran {
        let began = Instant::now();
        let question = &asked.question;
        let answer = question.ask(&self.asking, asked.session.clone()).await;
        let wall = began.elapsed();
        let health = self.asking.gates.health.first();
        let usage = health.and_then(|health| health.snapshot().last);
        Ran {
            answer: answer.unwrap_or_else(Answer::from),
            usage: usage.unwrap_or_default(),
            wall,
            log: self.log.take(),
        }
    }
}

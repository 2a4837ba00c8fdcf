//! A plugin that is asked without a server.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    case::{Answer, Asked, Plan, Question},
    contract::World,
    log::{Line, Log},
};
use crate::{
    config::{self, PluginHost},
    gate::{
        Fault, FaultKind, Gates, Named, SessionInfo,
        authentication::Outcome,
        health::Usage,
        path_policy::Guard,
        upload::{Inspection, Inspector, Record, Refusal, Upload, UploadFacts, Verdict},
    },
    plugin::{Host, LoadError},
    types::{BoxFuture, OnFailure, Staged},
};

/// The name that the plugin has for its log lines and its state.
const NAME: &str = "plugin";

/// A loaded plugin, and all that it keeps between calls.
pub struct Subject {
    host: Host,
    gates: Gates,
    guard: Option<Box<dyn Guard>>,
    log: Log,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What it came to.
    pub answer: Answer,
    /// What it took, where the plugin was reached at all.
    pub usage: Usage,
    /// From the question to the answer.
    pub wall: Duration,
    /// What was logged.
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
            gates,
            guard,
            log,
        })
    }

    /// What it can be asked.
    #[must_use]
    pub fn worlds(&self) -> Vec<World> {
        let gates = &self.gates;
        [
            (World::Authenticator, gates.authenticators.is_empty()),
            (World::PathGuard, gates.policies.is_empty()),
            (World::UploadInspector, gates.inspectors.is_empty()),
            (World::EventListener, gates.listeners.is_empty()),
        ]
        .into_iter()
        .filter(|(_, none)| !none)
        .map(|(world, _)| world)
        .collect()
    }

    /// A value of its `state`.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.host.state(NAME, key)
    }

    /// Makes a call.
    pub async fn ask(&self, asked: &Asked) -> Ran {
        let began = Instant::now();
        let answer = self.answer(asked).await;
        let wall = began.elapsed();
        let health = self.gates.health.first();
        let usage = health.and_then(|health| health.snapshot().last);
        Ran {
            answer: answer.unwrap_or_else(Answer::from),
            usage: usage.unwrap_or_default(),
            wall,
            log: self.log.take(),
        }
    }

    async fn answer(&self, asked: &Asked) -> Result<Answer, Fault> {
        let session = asked.session.clone();
        match &asked.question {
            Question::Login(credentials) => {
                let Some(member) = self.gates.authenticators.first() else {
                    return Err(absent());
                };
                let outcome = member.gate.authenticate(session, credentials.clone());
                Ok(match outcome.await? {
                    Outcome::Accept(account) => Answer {
                        account: Some(account),
                        ..Answer::word("accept")
                    },
                    Outcome::Deny(why) => Answer::word("deny").because(why),
                    Outcome::Challenge(prompt) => Answer::word("challenge").because(prompt),
                    Outcome::Abstain => Answer::word("abstain"),
                })
            }
            Question::Paths(requests) => {
                let guard = self.guard.as_ref().ok_or_else(absent)?;
                let decisions = guard.decide(session, requests.clone()).await?;
                Ok(Answer {
                    decisions,
                    ..Answer::word("decided")
                })
            }
            Question::Upload { .. } => self.upload(&session, &asked.question).await,
            Question::Events(events) => {
                let member = self.gates.listeners.first().ok_or_else(absent)?;
                member.gate.notify(events.clone()).await?;
                Ok(Answer::word("ok"))
            }
        }
    }

    /// As the server's pump does it: piece by piece, until the end or a refusal.
    async fn upload(
        &self,
        session: &Arc<SessionInfo>,
        question: &Question,
    ) -> Result<Answer, Fault> {
        let Question::Upload {
            path,
            mode,
            announced_size,
            content,
            chunk,
            cut_at,
        } = question
        else {
            return Err(absent());
        };
        let member = self.gates.inspectors.first().ok_or_else(absent)?;
        let (ended, mut end) = mpsc::channel(1);
        let watched = Named::<dyn Inspector> {
            name: member.name.clone(),
            on_failure: OnFailure::Deny,
            gate: Arc::new(Watched {
                inspector: member.gate.clone(),
                ended,
            }),
        };
        let facts = UploadFacts {
            path: path.clone(),
            mode: *mode,
            announced_size: *announced_size,
            staged: Some(Arc::new(Content(content.clone()))),
            record: Record::default(),
        };
        let mut inspection = Inspection::start(&[watched], session, &facts);
        let mut rest = match cut_at {
            Some(at) => content.slice(..content.len().min(*at)),
            None => content.clone(),
        };
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(*chunk));
            if let Err(refusal) = inspection.push(piece).await {
                return refused(refusal);
            }
        }
        if cut_at.is_some() {
            drop(inspection);
            return match end.recv().await {
                Some(Err(fault)) => Err(fault),
                _ => Ok(Answer::word("interrupted")),
            };
        }
        match inspection.finish().await {
            Ok(approval) => Ok(match approval.accept_as() {
                None => Answer::word("accept"),
                Some(path) => Answer {
                    path: Some(path.to_owned()),
                    ..Answer::word("accept-as")
                },
            }),
            Err(refusal) => refused(refusal),
        }
    }
}

fn refused(refusal: Refusal) -> Result<Answer, Fault> {
    match refusal {
        Refusal::Rejected(_, why) => Ok(Answer::word("reject").because(why)),
        Refusal::Quarantined(_, why) => Ok(Answer::word("quarantine").because(why)),
        Refusal::Failed(fault) => Err(fault),
    }
}

/// Whoever asks looks first at what the plugin can be asked.
fn absent() -> Fault {
    Fault {
        plugin: NAME.into(),
        kind: FaultKind::InvalidResponse,
        text: "the plugin is of another kind".into(),
    }
}

/// An inspector whose end is known even where nobody waits for its verdict.
struct Watched {
    inspector: Arc<dyn Inspector>,
    ended: mpsc::Sender<Result<Verdict, Fault>>,
}

impl Inspector for Watched {
    fn inspect(
        &self,
        session: Arc<SessionInfo>,
        upload: Upload,
    ) -> BoxFuture<'static, Result<Verdict, Fault>> {
        let (inspector, ended) = (self.inspector.clone(), self.ended.clone());
        Box::pin(async move {
            let verdict = inspector.inspect(session, upload).await;
            let _ = ended.try_send(verdict.clone());
            verdict
        })
    }
}

/// What was sent, for digests that are asked for late.
struct Content(Bytes);

impl Staged for Content {
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, std::io::Result<Bytes>> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = from.min(self.0.len());
        let to = from.saturating_add(length).min(self.0.len());
        let bytes = self.0.slice(from..to);
        Box::pin(async move { Ok(bytes) })
    }
}

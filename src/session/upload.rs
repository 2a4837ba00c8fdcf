//! One upload, from the open data connection to its verdict, and what becomes of it then.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    cuts::RecentCuts,
    errors::{self, Failure},
    retrieve,
    transfer::{Guard, aborted, stalled_reply},
};
use crate::{
    config::{LateVerdict, Uploads},
    data::{
        Channel,
        download::PumpError,
        ending::End,
        rate::Rate,
        upload::{Gathered, Receiver, Showing, UploadError},
    },
    ftp::{path::VirtualPath, reply::Reply},
    gate::{
        Named, SessionFacts,
        events::{self, Event, Events},
        path_policy::{Operation, Policy, UploadMode},
        upload::{Inspection, Inspector, Record, Refusal, UploadFacts},
    },
    storage::{Error, Note, Part, Tree},
};

/// How long an upload that ended by FIN alone waits for ABOR, or for the end of the control
/// connection: a client that is killed loses both connections at once, in whatever order that comes.
const FIN_GRACE: Duration = Duration::from_millis(100);

/// The reason that events give.
const UNCLOSED: &str = "it ended without TLS close_notify";

/// How many bytes a file may have, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    bytes: Option<u64>,
    /// The quota, if that is what limits.
    quota: Option<u64>,
}

impl Limit {
    /// Of one file; 0 is no limit.
    pub(super) fn size(bytes: u64) -> Self {
        Self {
            bytes: (bytes > 0).then_some(bytes),
            quota: None,
        }
    }

    /// The lower of this one and what is left of a quota, of which other files use so much.
    pub(super) fn and_quota(self, quota: u64, used: u64) -> Self {
        let left = quota.saturating_sub(used);
        match self.bytes {
            Some(bytes) if bytes <= left => self,
            _ => Self {
                bytes: Some(left),
                quota: Some(quota),
            },
        }
    }

    /// 552 for a file of that size.
    pub(super) fn refuses(&self, size: Option<u64>) -> Option<Reply> {
        let refuses = size.zip(self.bytes).is_some_and(|(size, most)| size > most);
        refuses.then(|| self.reply())
    }

    /// RFC 959: "Exceeded storage allocation".
    fn reply(&self) -> Reply {
        match self.quota {
            Some(quota) => quota_exceeded(quota),
            None => {
                let text = format!("Uploads have {} bytes at most", self.bytes.unwrap_or(0));
                Reply::new(552, text)
            }
        }
    }
}

pub(super) fn quota_exceeded(quota: u64) -> Reply {
    Reply::new(552, format!("The quota of {quota} bytes is exceeded"))
}

/// One upload.
pub(super) struct Upload {
    pub(super) facts: Arc<SessionFacts>,
    pub(super) events: Events,
    pub(super) policy: Arc<Policy>,
    pub(super) tree: Arc<dyn Tree>,
    pub(super) user: String,
    pub(super) inspectors: Vec<Named<dyn Inspector>>,
    pub(super) settings: Uploads,
    pub(super) rates: Vec<Arc<Rate>>,
    pub(super) path: VirtualPath,
    pub(super) mode: UploadMode,
    pub(super) announced_size: Option<u64>,
    pub(super) limit: Limit,
    pub(super) quota: Option<u64>,
    pub(super) cuts: RecentCuts,
    pub(super) ascii: bool,
    /// FIN alone has ended it, without `close_notify`.
    pub(super) unclosed: bool,
}

/// How an inspection ended, or did not.
enum Decision {
    Accepted(Option<String>),
    Refused(Refusal),
    /// ABOR came, or what is staged cannot be read.
    Broken(Reply),
    /// It took longer than the configuration allows, and is to go on after the file is published.
    Late,
}

impl Upload {
    pub(super) async fn run(
        mut self,
        mut part: Box<dyn Part>,
        mut channel: Channel,
        guard: Guard,
    ) -> Reply {
        let session = self.facts.id.clone();
        let facts = UploadFacts {
            path: self.path.clone(),
            mode: self.mode,
            announced_size: self.announced_size,
            staged: Some(part.staged()),
            record: Record::default(),
        };
        let inspection = Inspection::start(&self.inspectors, &self.facts, &facts);
        let mut showing = Showing::new(inspection, &*part);
        let received = {
            let mut receiver = Receiver {
                part: &mut *part,
                showing: &mut showing,
                // Where nothing is left, it was refused before.
                limit: self.limit.bytes.unwrap_or(0),
                ascii: self.ascii,
                rates: &self.rates,
                stall_timeout: guard.stall_timeout(),
                ending: guard.ending(),
                announced: self.announced_size,
                gathered: Gathered::default(),
                whole: false,
            };
            let received = tokio::select! {
                biased;
                result = receiver.receive(&mut channel) => Some(result),
                () = guard.abort.notified() => None,
            };
            let whole = receiver.whole;
            if received.is_none() {
                // What cannot be staged cannot be kept.
                let _ = receiver.give_up().await;
            }
            received.map(|received| (received, whole))
        };
        let Some((received, whole)) = received else {
            drop(channel);
            return self.broken(part, aborted()).await;
        };
        match received {
            Ok(End::Fin) => self.unclosed = true,
            Ok(End::CloseNotify | End::Clear) => {}
            Err(UploadError::Ended(why)) => {
                tracing::info!(session = &*session, path = self.path.as_str(), reason = %why,
                    "the data connection broke");
                let reply = Reply::new(426, format!("{why}, transfer aborted"));
                return self.broken(part, reply).await;
            }
            Err(UploadError::Refused(refusal)) => {
                let reply = self.refused(part, &refusal, whole, &facts.record).await;
                channel.refuse().await;
                return reply;
            }
            Err(UploadError::TooLarge) => {
                showing.too_large().await;
                channel.refuse().await;
                return self.limit.reply();
            }
            Err(UploadError::Stalled) => return self.broken(part, stalled_reply()).await,
            // Others of the same account have taken the room meanwhile.
            Err(UploadError::Pump(PumpError::Storage(Error::Quota))) => {
                showing.too_large().await;
                channel.refuse().await;
                return quota_exceeded(self.quota.unwrap_or(0));
            }
            Err(UploadError::Pump(error @ PumpError::Storage(_))) => {
                let reply = retrieve::failed(&error, &session, self.path.as_str());
                channel.refuse().await;
                return self.broken(part, reply).await;
            }
            Err(UploadError::Pump(error)) => {
                let reply = retrieve::failed(&error, &session, self.path.as_str());
                return self.broken(part, reply).await;
            }
        }
        // Where ALLO has told the size, nothing can be missing.
        if self.unclosed && self.announced_size.is_none() {
            tokio::select! {
                biased;
                () = guard.abort.notified() => return self.broken(part, aborted()).await,
                () = sleep(FIN_GRACE) => {}
            }
        }
        let completed = tokio::select! {
            biased;
            () = guard.abort.notified() => None,
            completed = part.completed() => Some(completed),
        };
        let Some(completed) = completed else {
            drop(channel);
            return self.broken(part, aborted()).await;
        };
        if let Err(error) = completed {
            let reply = errors::storage(&error, &session);
            channel.refuse().await;
            return self.broken(part, reply).await;
        }
        // Clients that end TLS in both directions wait for this before they read the reply.
        if let Err(error) = channel.finish().await {
            tracing::debug!(session = &*session, %error, "the end of the data connection");
        }
        guard.inspecting();
        match self.decision(&mut showing, &guard).await {
            Decision::Accepted(accept_as) => {
                let published = self.publish(part, accept_as, &facts.record, None).await;
                published.unwrap_or_else(|reply| reply)
            }
            Decision::Refused(refusal) => self.refused(part, &refusal, true, &facts.record).await,
            Decision::Broken(reply) => self.broken(part, reply).await,
            Decision::Late => self.publish_unjudged(part, showing, &facts.record).await,
        }
    }

    /// All bytes have come: waits for the verdicts.
    async fn decision(&self, showing: &mut Showing, guard: &Guard) -> Decision {
        let after = self.settings.verdict_after;
        let late = async {
            if after.is_zero() {
                std::future::pending::<()>().await;
            }
            sleep(after).await;
        };
        let decided = |verdict: Result<_, _>| match verdict {
            Ok(accept_as) => Decision::Accepted(accept_as),
            Err(UploadError::Refused(refusal)) => Decision::Refused(refusal),
            Err(UploadError::Pump(error)) => {
                let path = self.path.as_str();
                Decision::Broken(retrieve::failed(&error, &self.facts.id, path))
            }
            Err(UploadError::TooLarge) => Decision::Broken(self.limit.reply()),
            Err(UploadError::Stalled) => Decision::Broken(stalled_reply()),
            Err(UploadError::Ended(why)) => Decision::Broken(Reply::new(426, why.to_string())),
        };
        tokio::select! {
            biased;
            () = guard.abort.notified() => return Decision::Broken(aborted()),
            verdict = showing.verdict() => return decided(verdict),
            () = late => {}
        }
        let undecided = showing.undecided();
        tracing::warn!(
            session = &*self.facts.id,
            user = self.user.as_str(),
            path = self.path.as_str(),
            plugins = undecided.join(", "),
            ?after,
            then = ?self.settings.verdict_late,
            "the verdict is late"
        );
        match self.settings.verdict_late {
            LateVerdict::Wait => tokio::select! {
                biased;
                () = guard.abort.notified() => Decision::Broken(aborted()),
                verdict = showing.verdict() => decided(verdict),
            },
            LateVerdict::Quarantine => {
                let plugin = undecided.into_iter().next().unwrap_or_default();
                let reason = "The inspection takes too long, the file is kept for a person".into();
                Decision::Refused(Refusal::Quarantined(plugin, reason))
            }
            LateVerdict::Accept => Decision::Late,
        }
    }

    /// The file becomes visible before all inspectors have decided; what they say later is told.
    async fn publish_unjudged(
        self,
        part: Box<dyn Part>,
        mut showing: Showing,
        record: &Record,
    ) -> Reply {
        let bytes = part.length();
        let why = "its verdict was late";
        let accept_as = showing.accept_as();
        let published = self.publish(part, accept_as, record, Some(why)).await;
        let reply = match published {
            Ok(reply) => reply,
            Err(reply) => return reply,
        };
        let record = record.clone();
        tokio::spawn(async move {
            let verdict = showing.verdict().await;
            let (session, path) = (&*self.facts.id, self.path.as_str());
            let (plugin, reason) = match &verdict {
                Ok(_) => {
                    tracing::info!(session, path, "the late verdict is: accepted");
                    return;
                }
                Err(UploadError::Refused(
                    Refusal::Rejected(plugin, reason) | Refusal::Quarantined(plugin, reason),
                )) => (plugin, reason),
                Err(UploadError::Refused(Refusal::Failed(fault))) => (&fault.plugin, &fault.text),
                Err(error) => {
                    tracing::error!(session, path, ?error, "the late verdict will never come");
                    return;
                }
            };
            tracing::error!(
                session,
                user = self.user.as_str(),
                path,
                plugin = &**plugin,
                reason = reason.as_str(),
                "the late verdict is: refused; the file can be seen"
            );
            self.events.tell(|| {
                let event = Event::of(events::Kind::UploadRefusedLate, &self.facts);
                let event = event.path(&self.path).size(bytes).sha256(record.get());
                event.plugin(plugin).reason(reason)
            });
        });
        reply
    }

    /// The file becomes visible. `unjudged` says why it does although not all have decided.
    async fn publish(
        &self,
        mut part: Box<dyn Part>,
        accept_as: Option<String>,
        record: &Record,
        unjudged: Option<&str>,
    ) -> Result<Reply, Reply> {
        let session = &*self.facts.id;
        let (path, mode) = match accept_as {
            None => (self.path.clone(), self.mode),
            Some(other) => match self.other_path(&other).await {
                Ok(path) => (path, UploadMode::Create),
                Err(failure) => {
                    let reply = failure.reply(session);
                    // Another time it may be stored: what has come is worth keeping.
                    if reply.code() < 500 {
                        let _ = part.keep().await;
                    }
                    return Err(reply);
                }
            },
        };
        let bytes = part.length();
        if self.quota.is_some() {
            // Others of the same account may have stored something since this began.
            if let Err(error) = self.tree.usage().await {
                let _ = part.keep().await;
                return Err(errors::storage(&error, session));
            }
        }
        if let Some(digest) = record.get() {
            part.record(digest);
        }
        let published = match part.publish(&path, mode != UploadMode::Create).await {
            // Somebody else was faster: that makes it another operation.
            Err(Error::Exists) => {
                let overwrite = Operation::Upload(UploadMode::Overwrite);
                if let Err(refusal) = self.policy.check(overwrite, &path).await {
                    return Err(errors::policy(&refusal, session));
                }
                part.publish(&path, true).await
            }
            result => result,
        };
        if let Err(error) = published {
            let reply = errors::storage(&error, session);
            // What is over the quota would be kept in vain.
            if !matches!(error, Error::Quota) {
                let _ = part.keep().await;
            }
            return Err(reply);
        }
        tracing::info!(
            session,
            user = self.user.as_str(),
            path = path.as_str(),
            bytes,
            close_notify = self.unclosed.then_some(false),
            "stored"
        );
        self.events.tell(|| {
            let event = Event::of(events::Kind::Upload, &self.facts);
            let event = event.path(&self.path).size(bytes).sha256(record.get());
            let event = match path == self.path {
                true => event,
                false => event.to(&path),
            };
            let unclosed = self.unclosed.then_some(UNCLOSED);
            let reasons: Vec<&str> = unjudged.into_iter().chain(unclosed).collect();
            match reasons.is_empty() {
                false => event.reason(reasons.join("; ")),
                true => event,
            }
        });
        let mut text = "Transfer complete".to_owned();
        if self.unclosed {
            text += ", ended without TLS close_notify";
        }
        if unjudged.is_some() {
            text += ", not inspected to the end";
        }
        if path != self.path {
            text += &format!(", stored as {path}");
        }
        if let Some(digest) = record.get() {
            text += &format!(", SHA-256 {digest}");
        }
        Ok(Reply::new(226, text))
    }

    /// Another name that an inspector chose, checked like any other.
    async fn other_path(&self, name: &str) -> Result<VirtualPath, Failure> {
        let nonsense = |text: String| {
            tracing::error!(session = &*self.facts.id, error = text, "accept-as");
            Failure::from(Reply::new(
                451,
                "The upload cannot be stored under its new name",
            ))
        };
        if name.split('/').any(|component| component == "..") {
            return Err(nonsense(format!(
                "an inspector named a path outside of the tree: {name:?}"
            )));
        }
        let path = VirtualPath::parse(name, &VirtualPath::root())
            .map_err(|error| nonsense(format!("{name:?}: {error}")))?;
        self.policy
            .check(Operation::Upload(UploadMode::Create), &path)
            .await?;
        Ok(path)
    }

    /// The transfer broke: what came so far waits to be resumed.
    async fn broken(&self, part: Box<dyn Part>, reply: Reply) -> Reply {
        let bytes = part.length();
        tracing::info!(
            session = &*self.facts.id,
            user = self.user.as_str(),
            path = self.path.as_str(),
            bytes,
            code = reply.code(),
            "upload broken off"
        );
        if let Err(error) = part.keep().await {
            tracing::warn!(session = &*self.facts.id, %error, "the broken upload cannot be kept");
        }
        if self.mode == UploadMode::Overwrite {
            self.cuts.note(&self.path);
        }
        reply
    }

    /// An inspector said no, or nothing: no client ever sees the file.
    async fn refused(
        &self,
        part: Box<dyn Part>,
        refusal: &Refusal,
        whole: bool,
        record: &Record,
    ) -> Reply {
        let session = &*self.facts.id;
        let bytes = part.length();
        let event = |kind| {
            let event = Event::of(kind, &self.facts).path(&self.path).size(bytes);
            let event = event.sha256(record.get());
            match refusal {
                Refusal::Quarantined(plugin, reason) | Refusal::Rejected(plugin, reason) => {
                    event.plugin(plugin).reason(reason)
                }
                Refusal::Failed(fault) => event.fault(fault),
            }
        };
        match refusal {
            Refusal::Quarantined(..) => {
                self.events.tell(|| event(events::Kind::UploadQuarantined));
            }
            Refusal::Rejected(..) => self.events.tell(|| event(events::Kind::UploadRefused)),
            Refusal::Failed(_) => {
                self.events
                    .tell(|| event(events::Kind::Fault).operation("upload"));
                self.events.tell(|| event(events::Kind::UploadRefused));
            }
        }
        match refusal {
            Refusal::Quarantined(plugin, reason) => {
                let note = Note {
                    user: self.user.clone(),
                    path: self.path.as_str().to_owned(),
                    mode: self.mode,
                    client: self.facts.client.to_string(),
                    session: session.to_owned(),
                    plugin: plugin.as_ref().to_owned(),
                    reason: reason.clone(),
                    whole,
                    sha256: record.get().map(str::to_owned),
                };
                match part.quarantine(note).await {
                    Ok(name) => tracing::warn!(session, file = name, "kept in quarantine"),
                    Err(error) => {
                        tracing::error!(session, %error, "quarantine failed, the upload is gone")
                    }
                }
            }
            // It could not be decided: the client may come again and go on where it was.
            Refusal::Failed(_) => {
                let _ = part.keep().await;
            }
            Refusal::Rejected(..) => drop(part),
        }
        errors::upload(refusal, session)
    }
}

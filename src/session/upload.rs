//! One upload, from the open data connection to its verdict, and what becomes of it then.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    cuts::RecentCuts,
    errors::{self, At, Failure},
    journal::{self, Blame, Broken, Journal, Stored},
    transfer::{Ended, Guard},
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
    gate::event::Event,
    gate::{
        Named, SessionInfo,
        path_policy::{Operation, Policy},
        session::line,
        upload::{Inspection, Inspector, Record, Refusal, UploadFacts},
    },
    storage::{Error, Part, QuarantineInfo, Tree},
    types::{UploadMode, UserId},
};

/// How long an upload that ended by FIN alone waits for ABOR, or for the end of the control
/// connection: a client that is killed loses both connections at once, in whatever order that comes.
const FIN_GRACE: Duration = Duration::from_millis(100);

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
    pub(super) fn refuses(&self, size: Option<u64>) -> Option<Failure> {
        let refuses = size.zip(self.bytes).is_some_and(|(size, most)| size > most);
        refuses.then(|| Failure::OverLimit {
            reply: self.reply(),
            bytes: size,
        })
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
    pub(super) facts: Arc<SessionInfo>,
    pub(super) journal: Journal,
    pub(super) policy: Arc<Policy>,
    pub(super) tree: Arc<dyn Tree>,
    pub(super) user: UserId,
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

/// Why an upload is not whole, or not stored for now.
enum Cut {
    /// From outside, or as nothing came.
    Ended(Ended),
    /// The connection or the storage.
    Pump(PumpError),
    /// The storage, after all has come.
    Storage(Error),
    /// Anything else: the reply, and the cause for the log.
    Other(Reply, String),
}

impl Cut {
    fn reply(&self) -> Reply {
        match self {
            Self::Ended(ended) => ended.reply(),
            Self::Pump(error) => errors::pump(error),
            Self::Storage(error) => errors::storage(error),
            Self::Other(reply, _) => reply.clone(),
        }
    }
}

impl From<&'static str> for Cut {
    fn from(cause: &'static str) -> Self {
        Self::Ended(Ended::Aborted(cause))
    }
}

/// How an inspection ended, or did not.
enum Decision {
    Accepted(Option<String>),
    Refused(Refusal),
    /// ABOR came, or what is staged cannot be read.
    Broken(Cut),
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
                result = receiver.receive(&mut channel) => Ok(result),
                cause = guard.abort.come() => Err(cause),
            };
            let whole = receiver.whole;
            if received.is_err() {
                // What cannot be staged cannot be kept.
                let _ = receiver.give_up().await;
            }
            received.map(|received| (received, whole))
        };
        let (received, whole) = match received {
            Ok(received) => received,
            Err(cause) => {
                drop(channel);
                return self.broken(part, cause.into()).await;
            }
        };
        match received {
            Ok(End::Fin) => self.unclosed = true,
            Ok(End::CloseNotify | End::Clear) => {}
            Err(UploadError::Ended(why)) => {
                let reply = Reply::new(426, format!("{why}, transfer aborted"));
                let cut = Cut::Other(reply, why.to_string());
                return self.broken(part, cut).await;
            }
            Err(UploadError::Refused(refusal)) => {
                let reply = self.refused(part, &refusal, whole, &facts.record).await;
                channel.refuse().await;
                return reply;
            }
            Err(UploadError::TooLarge) => {
                showing.too_large().await;
                channel.refuse().await;
                return self.over_limit(self.limit.reply());
            }
            Err(UploadError::Stalled) => {
                return self.broken(part, Cut::Ended(Ended::Stalled)).await;
            }
            // Others of the same account have taken the room meanwhile.
            Err(UploadError::Pump(PumpError::Storage(Error::Quota))) => {
                showing.too_large().await;
                channel.refuse().await;
                return self.over_limit(quota_exceeded(self.quota.unwrap_or(0)));
            }
            Err(UploadError::Pump(error @ PumpError::Storage(_))) => {
                channel.refuse().await;
                return self.broken(part, Cut::Pump(error)).await;
            }
            Err(UploadError::Pump(error)) => return self.broken(part, Cut::Pump(error)).await,
        }
        // Where ALLO has told the size, nothing can be missing.
        if self.unclosed && self.announced_size.is_none() {
            tokio::select! {
                biased;
                cause = guard.abort.come() => return self.broken(part, cause.into()).await,
                () = sleep(FIN_GRACE) => {}
            }
        }
        let completed = tokio::select! {
            biased;
            cause = guard.abort.come() => Err(Cut::from(cause)),
            completed = part.completed() => Ok(completed),
        };
        match completed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                channel.refuse().await;
                return self.broken(part, Cut::Storage(error)).await;
            }
            Err(cut) => {
                drop(channel);
                return self.broken(part, cut).await;
            }
        }
        // Clients that end TLS in both directions wait for this before they read the reply.
        if let Err(error) = channel.finish().await {
            line!(debug, self.facts, path = self.path.as_str(), %error, "the end of the data connection");
        }
        guard.inspecting();
        match self.decision(&mut showing, &guard).await {
            Decision::Accepted(accept_as) => {
                let published = self.publish(part, accept_as, &facts.record, None).await;
                published.unwrap_or_else(|reply| reply)
            }
            Decision::Refused(refusal) => self.refused(part, &refusal, true, &facts.record).await,
            Decision::Broken(cut) => self.broken(part, cut).await,
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
            Err(UploadError::Pump(error)) => Decision::Broken(Cut::Pump(error)),
            Err(UploadError::TooLarge) => {
                let reply = self.limit.reply();
                let cause = reply.text().to_owned();
                Decision::Broken(Cut::Other(reply, cause))
            }
            Err(UploadError::Stalled) => Decision::Broken(Cut::Ended(Ended::Stalled)),
            Err(UploadError::Ended(why)) => {
                let why = why.to_string();
                Decision::Broken(Cut::Other(Reply::new(426, why.clone()), why))
            }
        };
        tokio::select! {
            biased;
            cause = guard.abort.come() => return Decision::Broken(cause.into()),
            verdict = showing.verdict() => return decided(verdict),
            () = late => {}
        }
        let undecided = showing.undecided();
        line!(
            warn,
            self.facts,
            path = self.path.as_str(),
            plugins = undecided.join(", "),
            ?after,
            then = ?self.settings.verdict_late,
            "the verdict is late"
        );
        match self.settings.verdict_late {
            LateVerdict::Wait => tokio::select! {
                biased;
                cause = guard.abort.come() => Decision::Broken(cause.into()),
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
            let path = self.path.as_str();
            let (plugin, reason) = match &verdict {
                Ok(_) => {
                    line!(info, self.facts, path, "the late verdict is: accepted");
                    return;
                }
                Err(UploadError::Refused(
                    Refusal::Rejected(plugin, reason) | Refusal::Quarantined(plugin, reason),
                )) => (plugin, reason),
                Err(UploadError::Refused(Refusal::Failed(fault))) => (&fault.plugin, &fault.text),
                Err(error) => {
                    line!(
                        error,
                        self.facts,
                        path,
                        ?error,
                        "the late verdict will never come"
                    );
                    return;
                }
            };
            let digest = record.get();
            let journal = &self.journal;
            journal.refused_late(&self.path, bytes, digest, plugin, reason);
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
        let (path, mode) = match accept_as {
            None => (self.path.clone(), self.mode),
            Some(other) => match self.other_path(&other).await {
                Ok(path) => (path, UploadMode::Create),
                Err(failure) => {
                    let reply = failure.reply(&At {
                        journal: &self.journal,
                        operation: "upload",
                        path: &self.path,
                    });
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
                self.journal.storage("upload", &path, &error);
                return Err(errors::storage(&error));
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
                    return Err(errors::policy(&refusal));
                }
                part.publish(&path, true).await
            }
            result => result,
        };
        if let Err(error) = published {
            self.journal.not_published(&path, bytes, &error);
            let reply = errors::storage(&error);
            // What is over the quota would be kept in vain.
            if !matches!(error, Error::Quota) {
                let _ = part.keep().await;
            }
            return Err(reply);
        }
        self.journal.emit(&Event::Uploaded(&Stored {
            path: &self.path,
            to: &path,
            bytes,
            sha256: record.get(),
            unclosed: self.unclosed,
            unjudged,
        }));
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
            line!(
                error,
                self.facts,
                path = self.path.as_str(),
                error = text,
                "accept-as"
            );
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

    /// The upload is more than it may be, and gone.
    fn over_limit(&self, reply: Reply) -> Reply {
        self.journal
            .over_limit(Some(&self.path), None, reply.text());
        reply
    }

    /// The transfer broke: what came so far waits to be resumed.
    async fn broken(&self, part: Box<dyn Part>, cut: Cut) -> Reply {
        let (bytes, reply) = (part.length(), cut.reply());
        let (operation, path) = (journal::Operation::Upload, Some(&self.path));
        match &cut {
            Cut::Ended(ended) => self.journal.ended(operation, path, Some(bytes), *ended),
            Cut::Pump(error) => self.journal.pump(operation, path, Some(bytes), error),
            Cut::Storage(error) => self.journal.broken(&Broken {
                operation,
                path,
                bytes: Some(bytes),
                code: reply.code(),
                cause: &journal::cause(error),
                fault: journal::blame(error),
            }),
            Cut::Other(reply, cause) => self.journal.broken(&Broken {
                operation,
                path,
                bytes: Some(bytes),
                code: reply.code(),
                cause,
                fault: Blame::Client,
            }),
        }
        if let Err(error) = part.keep().await {
            line!(warn, self.facts, path = self.path.as_str(), %error,
                "the broken upload cannot be kept");
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
        let bytes = part.length();
        let mut kept = None;
        match refusal {
            Refusal::Quarantined(plugin, reason) => {
                let note = QuarantineInfo {
                    user: self.user.name.to_string(),
                    host: self.user.host.clone(),
                    path: self.path.as_str().to_owned(),
                    mode: self.mode,
                    client: self.facts.client.to_string(),
                    session: self.facts.id.as_ref().to_owned(),
                    plugin: plugin.as_ref().to_owned(),
                    reason: reason.clone(),
                    whole,
                    sha256: record.get().map(str::to_owned),
                };
                match part.quarantine(note).await {
                    Ok(name) => kept = Some(name),
                    Err(error) => line!(error, self.facts, path = self.path.as_str(), %error,
                        "quarantine failed, the upload is gone"),
                }
            }
            // It could not be decided: the client may come again and go on where it was.
            Refusal::Failed(_) => {
                let _ = part.keep().await;
            }
            Refusal::Rejected(..) => drop(part),
        }
        let (journal, digest) = (&self.journal, record.get());
        journal.upload_refused(&self.path, bytes, digest, refusal, kept.as_deref());
        errors::upload(refusal)
    }
}

//! One upload, from the open data connection to its verdict, and what becomes of it then.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    cuts::RecentCuts,
    errors,
    journal::{self, Blame, Broken, Journal},
    size_limit::{Limit, quota_exceeded},
    transfer::{Ended, Guard},
};
use crate::{
    config::{LateVerdict, Uploads},
    data::{
        Channel,
        download::PumpError,
        ending::End,
        inspection_feed::{FeedError, InspectionFeed},
        rate::Rate,
        upload::{Gathered, Receiver, UploadError},
    },
    ftp::{ascii::FromNetwork, path::VirtualPath, reply::Reply},
    gate::{
        Named, SessionInfo,
        inspection::Inspection,
        path_policy::Policy,
        session::line,
        upload::{Approval, Inspector, Record, Refusal, UploadFacts},
    },
    spool::{Failed, Incoming, QuarantineInfo, Quota, StagedUpload, Tree},
    storage::Error,
    types::{UploadMode, UserId},
};

/// How long an upload that ended by FIN alone waits for ABOR, or for the end of the control
/// connection: a client that is killed loses both connections at once, in whatever order that comes.
const FIN_GRACE: Duration = Duration::from_millis(100);

/// One upload.
pub(super) struct Upload {
    pub(super) facts: Arc<SessionInfo>,
    pub(super) journal: Journal,
    pub(super) policy: Arc<Policy>,
    pub(super) tree: Arc<Tree>,
    pub(super) user: UserId,
    pub(super) inspectors: Vec<Named<dyn Inspector>>,
    pub(super) settings: Uploads,
    pub(super) rates: Vec<Arc<Rate>>,
    pub(super) path: VirtualPath,
    pub(super) mode: UploadMode,
    pub(super) announced_size: Option<u64>,
    pub(super) limit: Limit,
    pub(super) quota: Quota,
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
    Accepted(Approval),
    Refused(Refusal),
    /// ABOR came, or what is staged cannot be read.
    Broken(Cut),
    /// It took longer than the configuration allows, and is to go on after the file is published.
    Late,
}

impl Upload {
    pub(super) async fn run(
        mut self,
        mut incoming: Incoming,
        mut channel: Channel,
        guard: Guard,
    ) -> Reply {
        let facts = UploadFacts {
            path: self.path.clone(),
            mode: self.mode,
            announced_size: self.announced_size,
            staged: Some(incoming.staged()),
            record: Record::default(),
        };
        let inspection = Inspection::start(
            &self.inspectors,
            &self.facts,
            self.journal.observers(),
            &facts,
        );
        let mut feed = InspectionFeed::new(inspection, &incoming);
        let received = {
            let mut receiver = Receiver {
                upload: &mut incoming,
                feed: &mut feed,
                // Where nothing is left, it was refused before.
                limit: self.limit.bytes.unwrap_or(0),
                ascii: self.ascii,
                rates: &self.rates,
                stall_timeout: guard.stall_timeout(),
                ending: guard.ending(),
                announced: self.announced_size,
                gathered: Gathered::default(),
                complete: false,
                convert: FromNetwork::new(),
            };
            let received = tokio::select! {
                biased;
                result = receiver.receive(&mut channel) => Ok(result),
                cause = guard.abort.come() => Err(cause),
            };
            match received {
                Ok(received) => Ok((received, receiver.complete)),
                // Bytes that cannot be staged cannot be kept.
                Err(cause) => {
                    let whole = receiver.give_up(&mut channel, guard.abort.patience()).await;
                    Err((cause, whole.unwrap_or(false)))
                }
            }
        };
        let (received, complete) = match received {
            Ok(received) => received,
            Err((cause, complete)) => {
                drop(channel);
                // Of one that lacks nothing but its verdict, the client has something left to send.
                let upload = match complete {
                    true => incoming
                        .complete()
                        .map_or_else(|failed| failed.upload.into(), Into::into),
                    false => incoming.into(),
                };
                return self.broken(upload, cause.into()).await;
            }
        };
        match received {
            Ok(End::Fin) => self.unclosed = true,
            Ok(End::CloseNotify | End::Clear) => {}
            Err(UploadError::Ended(why)) => {
                let reply = Reply::new(426, format!("{why}, transfer aborted"));
                let cut = Cut::Other(reply, why.to_string());
                return self.broken(incoming.into(), cut).await;
            }
            Err(UploadError::Refused(refusal)) => {
                let reply = self
                    .refused(incoming.into(), &refusal, complete, &facts.record)
                    .await;
                channel.refuse().await;
                return reply;
            }
            Err(UploadError::TooLarge) => {
                feed.too_large().await;
                channel.refuse().await;
                return self.over_limit(self.limit.reply());
            }
            Err(UploadError::Stalled) => {
                return self
                    .broken(incoming.into(), Cut::Ended(Ended::Stalled))
                    .await;
            }
            // Others of the same account have taken the room meanwhile.
            Err(UploadError::Pump(PumpError::Storage(error @ Error::Quota))) => {
                feed.too_large().await;
                channel.refuse().await;
                return self.over_limit(quota_exceeded(self.quota, &error));
            }
            Err(UploadError::Pump(error @ PumpError::Storage(_))) => {
                channel.refuse().await;
                return self.broken(incoming.into(), Cut::Pump(error)).await;
            }
            Err(UploadError::Pump(error)) => {
                return self.broken(incoming.into(), Cut::Pump(error)).await;
            }
        }
        // Where ALLO has told the size, nothing can be missing.
        if self.unclosed && self.announced_size.is_none() {
            tokio::select! {
                biased;
                cause = guard.abort.come() => return self.broken(incoming.into(), cause.into()).await,
                () = sleep(FIN_GRACE) => {}
            }
        }
        let settled = tokio::select! {
            biased;
            cause = guard.abort.come() => Err(Cut::from(cause)),
            settled = incoming.settle() => Ok(settled),
        };
        let failed = match settled {
            Ok(settled) => settled.err(),
            Err(cut) => {
                drop(channel);
                return self.broken(incoming.into(), cut).await;
            }
        };
        let completed = match failed {
            None => incoming.complete(),
            Some(error) => Err(Box::new(Failed {
                upload: incoming,
                error,
            })),
        };
        let received = match completed {
            Ok(received) => received,
            Err(failed) => {
                channel.refuse().await;
                let Failed { upload, error } = *failed;
                return self.broken(upload.into(), Cut::Storage(error)).await;
            }
        };
        // Clients that end TLS in both directions wait for this before they read the reply.
        if let Err(error) = channel.finish().await {
            line!(debug, self.facts, path = self.path.as_str(), %error, "the end of the data connection");
        }
        guard.inspecting();
        let (upload, record) = (received, &facts.record);
        match self.decision(&mut feed, &guard).await {
            Decision::Accepted(approval) => {
                let published = self.publish(upload, approval, None).await;
                published.unwrap_or_else(|reply| reply)
            }
            Decision::Refused(refusal) => self.refused(upload.into(), &refusal, true, record).await,
            Decision::Broken(cut) => self.broken(upload.into(), cut).await,
            Decision::Late => self.publish_unjudged(upload, feed, record).await,
        }
    }

    /// All bytes have come: waits for the verdicts.
    async fn decision(&self, feed: &mut InspectionFeed, guard: &Guard) -> Decision {
        let after = self.settings.verdict_after;
        let late = async {
            if after.is_zero() {
                std::future::pending::<()>().await;
            }
            sleep(after).await;
        };
        let decided = |verdict| match verdict {
            Ok(approval) => Decision::Accepted(approval),
            Err(FeedError::Refused(refusal)) => Decision::Refused(refusal),
            Err(FeedError::Unreadable(error)) => {
                Decision::Broken(Cut::Pump(PumpError::Storage(error.into())))
            }
        };
        tokio::select! {
            biased;
            cause = guard.abort.come() => return Decision::Broken(cause.into()),
            verdict = feed.verdict() => return decided(verdict),
            () = late => {}
        }
        let undecided = feed.undecided();
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
                verdict = feed.verdict() => decided(verdict),
            },
            LateVerdict::Quarantine => {
                let plugin = undecided.into_iter().next().unwrap_or_default();
                let reason = "The inspection takes too long, the file is kept for a person".into();
                Decision::Refused(Refusal::Quarantined(plugin, reason))
            }
            LateVerdict::Accept => Decision::Late,
        }
    }

    /// The upload is more than it may be, and gone.
    fn over_limit(&self, reply: Reply) -> Reply {
        self.journal
            .over_limit(Some(&self.path), None, reply.text());
        reply
    }

    /// The transfer broke: what came so far waits to be resumed.
    async fn broken(&self, upload: StagedUpload, cut: Cut) -> Reply {
        let (bytes, reply) = (upload.length(), cut.reply());
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
        if let Err(error) = upload.keep().await {
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
        upload: StagedUpload,
        refusal: &Refusal,
        whole: bool,
        record: &Record,
    ) -> Reply {
        let bytes = upload.length();
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
                match upload.quarantine(note).await {
                    Ok(name) => kept = Some(name),
                    Err(error) => line!(
                        error,
                        self.facts,
                        path = self.path.as_str(),
                        error = journal::cause(&error),
                        "quarantine failed, the upload is gone"
                    ),
                }
            }
            // It could not be decided: the client may come again and go on where it was.
            Refusal::Failed(_) => {
                let _ = upload.keep().await;
            }
            Refusal::Rejected(..) => drop(upload),
        }
        let (journal, digest) = (&self.journal, record.get());
        journal.upload_refused(&self.path, bytes, digest, refusal, kept.as_deref());
        errors::upload(refusal)
    }
}

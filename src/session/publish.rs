//! An upload becomes visible.

use super::{
    errors::{self, At, Failure},
    journal::Stored,
    upload::Upload,
};
use crate::{
    data::inspection_feed::{FeedError, InspectionFeed},
    ftp::{path::VirtualPath, reply::Reply},
    gate::{
        event::Event,
        path_policy::Operation,
        session::line,
        upload::{Approval, Record, Refusal},
    },
    spool::{Failed, Received},
    storage::Error,
    types::UploadMode,
};

impl Upload {
    /// The file becomes visible before all inspectors have decided; what they say later is told.
    pub(super) async fn publish_unjudged(
        self,
        upload: Received,
        mut feed: InspectionFeed,
        record: &Record,
    ) -> Reply {
        let bytes = upload.length();
        let (approval, why) = (feed.approve_unjudged(), "its verdict was late");
        let published = self.publish(upload, approval, Some(why)).await;
        let reply = match published {
            Ok(reply) => reply,
            Err(reply) => return reply,
        };
        let record = record.clone();
        tokio::spawn(async move {
            let verdict = feed.verdict().await;
            let path = self.path.as_str();
            let (plugin, reason) = match &verdict {
                Ok(_) => {
                    line!(info, self.facts, path, "the late verdict is: accepted");
                    return;
                }
                Err(FeedError::Refused(
                    Refusal::Rejected(plugin, reason) | Refusal::Quarantined(plugin, reason),
                )) => (plugin, reason),
                Err(FeedError::Refused(Refusal::Failed(fault))) => (&fault.plugin, &fault.text),
                Err(FeedError::Unreadable(error)) => {
                    line!(error, self.facts, path, %error, "the late verdict will never come");
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
    pub(super) async fn publish(
        &self,
        upload: Received,
        approval: Approval,
        unjudged: Option<&str>,
    ) -> Result<Reply, Reply> {
        let (path, mode) = match approval.accept_as() {
            None => (self.path.clone(), self.mode),
            Some(other) => match self.other_path(other).await {
                Ok(path) => (path, UploadMode::Create),
                Err(failure) => {
                    let reply = failure.reply(&At {
                        journal: &self.journal,
                        operation: "upload",
                        path: &self.path,
                    });
                    // Another time it may be stored: what has come is worth keeping.
                    if reply.code() < 500 {
                        let _ = upload.keep().await;
                    }
                    return Err(reply);
                }
            },
        };
        let bytes = upload.length();
        if self.quota.is_limited() {
            // Others of the same account may have stored something since this began.
            if let Err(error) = self.tree.usage().await {
                let _ = upload.keep().await;
                self.journal.storage("upload", &path, &error);
                return Err(errors::storage(&error));
            }
        }
        let sha256 = approval.sha256().map(str::to_owned);
        let approved = upload.approve(approval);
        let mut published = approved.publish(&path, mode != UploadMode::Create).await;
        // Somebody else was faster: that makes it another operation.
        if let Err(failed) = &mut published
            && matches!(failed.error, Error::Exists)
            && let Some(approved) = failed.upload.take()
        {
            let overwrite = Operation::Upload(UploadMode::Overwrite);
            if let Err(refusal) = self.policy.check(overwrite, &path).await {
                return Err(errors::policy(&refusal));
            }
            published = approved.publish(&path, true).await;
        }
        if let Err(failed) = published {
            let Failed { upload, error } = *failed;
            self.journal.not_published(&path, bytes, &error);
            let reply = errors::storage(&error);
            // An upload over the quota would be kept in vain.
            if !matches!(error, Error::Quota | Error::QuotaFiles)
                && let Some(upload) = upload
            {
                let _ = upload.keep().await;
            }
            return Err(reply);
        }
        let sha256 = sha256.as_deref();
        self.journal.emit(&Event::Uploaded(&Stored {
            path: &self.path,
            to: &path,
            bytes,
            sha256,
            unclosed: self.unclosed,
            unjudged,
            lasted: self.journal.lasted(),
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
        if let Some(digest) = sha256 {
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
}

//! STOR, APPE, STOU: staged, inspected, and published only then.

use std::{io, sync::Arc};

use super::{
    Next, Session,
    errors::{self, Failure},
    retrieve,
    transfer::{Guard, Handle, Work, aborted, stalled_reply},
};
use crate::{
    data::{
        Channel,
        download::PumpError,
        rate::Rate,
        upload::{Receiver, UploadError},
    },
    ftp::{metadata::Kind, path::VirtualPath, reply::Reply},
    gate::{
        Named, SessionFacts,
        events::{self, Event, Events},
        path_policy::{Operation, Policy, UploadMode},
        upload::{Inspection, Inspector, Refusal, UploadFacts},
    },
    storage::{Error, From, Part},
    tls::session::Direction,
};

/// Names that STOU tries.
const UNIQUE_TRIES: usize = 16;

impl Session {
    pub(super) async fn stor(&mut self, argument: &str) -> io::Result<Next> {
        let from = match std::mem::take(&mut self.parameters.restart) {
            0 => From::Start,
            offset => From::Offset(offset),
        };
        let path = self.resolve(argument);
        self.store(path, from, None).await
    }

    pub(super) async fn appe(&mut self, argument: &str) -> io::Result<Next> {
        self.parameters.restart = 0;
        let path = self.resolve(argument);
        self.store(path, From::End, None).await
    }

    /// A name that nobody has, told in the form of RFC 1123 §4.1.2.9.
    pub(super) async fn stou(&mut self) -> io::Result<Next> {
        self.parameters.restart = 0;
        let path = self.unique_name().await;
        let announcement = match &path {
            Ok(path) => Some(format!("FILE: {}", path.file_name().unwrap_or_default())),
            Err(_) => None,
        };
        self.store(path, From::Start, announcement).await
    }

    async fn unique_name(&self) -> Result<VirtualPath, Failure> {
        let user = self.logged_in()?;
        for _ in 0..UNIQUE_TRIES {
            let mut random = [0; 8];
            aws_lc_rs::rand::fill(&mut random)
                .map_err(|_| Error::Io(io::Error::other("no random numbers")))?;
            let name = format!("upload-{}", crate::gate::upload::hex(&random));
            let path = user.cwd.join(&name).map_err(|error| error.reply())?;
            if let Err(Error::NotFound) = user.tree.metadata(&path).await {
                return Ok(path);
            }
        }
        Err(Reply::new(450, "No unique name was found").into())
    }

    async fn store(
        &mut self,
        path: Result<VirtualPath, Failure>,
        from: From,
        announcement: Option<String>,
    ) -> io::Result<Next> {
        let prepared = match path {
            Ok(path) => self.upload(path, from, announcement).await,
            Err(failure) => Err(failure),
        };
        match prepared {
            Ok((announcement, work, handle)) => self.transfer(announcement, work, handle).await,
            Err(failure) => self.answer(failure.reply(self.id())).await,
        }
    }

    async fn upload(
        &mut self,
        path: VirtualPath,
        from: From,
        announcement: Option<String>,
    ) -> Result<(String, Work, Handle), Failure> {
        let announced_size = self.parameters.announced_size.take();
        self.parameters.range = None;
        let limit = self.upload_limit();
        let user = self.logged_in()?;
        let mode = match user.tree.metadata(&path).await {
            Ok(found) if found.kind == Kind::Directory => {
                return Err(Reply::new(553, "A directory has that name").into());
            }
            Ok(_) if from == From::End => UploadMode::Append,
            Ok(_) => UploadMode::Overwrite,
            Err(Error::NotFound) => UploadMode::Create,
            Err(error) => return Err(error.into()),
        };
        user.policy
            .check(Operation::Upload(mode), &path)
            .await
            .map_err(Failure::from)?;
        if announced_size.is_some_and(|size| limit > 0 && size > limit) {
            return Err(Reply::new(552, format!("Uploads have {limit} bytes at most")).into());
        }
        let (tree, policy, name) = (user.tree.clone(), user.policy.clone(), user.user.clone());
        let rates = user.upload_rates.clone();
        let (transfer, handle) = self.prepare(Direction::Receive)?;
        let part = tree.stage(&path, from).await?;
        let announcement = announcement.unwrap_or_else(|| {
            let kind = if self.parameters.ascii {
                "ASCII"
            } else {
                "BINARY"
            };
            format!(
                "Opening {kind} mode data connection for {}",
                path.file_name().unwrap_or("/")
            )
        });
        let upload = Upload {
            facts: self.facts.clone(),
            events: self.context.events.clone(),
            policy,
            user: name,
            inspectors: self.context.gates.inspectors.clone(),
            rates,
            path,
            mode,
            announced_size,
            limit,
            ascii: self.parameters.ascii,
        };
        let work = async move {
            match transfer.open().await {
                Ok((channel, guard)) => upload.run(part, channel, guard).await,
                Err(reply) => {
                    // What an earlier attempt left is still good.
                    if part.length() > 0 {
                        let _ = part.keep().await;
                    }
                    reply
                }
            }
        };
        Ok((announcement, Box::pin(work), handle))
    }
}

/// One upload, from the open data connection to its verdict.
struct Upload {
    facts: Arc<SessionFacts>,
    events: Events,
    policy: Arc<Policy>,
    user: String,
    inspectors: Vec<Named<dyn Inspector>>,
    rates: Vec<Arc<Rate>>,
    path: VirtualPath,
    mode: UploadMode,
    announced_size: Option<u64>,
    limit: u64,
    ascii: bool,
}

impl Upload {
    async fn run(self, mut part: Box<dyn Part>, mut channel: Channel, guard: Guard) -> Reply {
        let session = self.facts.id.clone();
        let facts = UploadFacts {
            path: self.path.clone(),
            mode: self.mode,
            announced_size: self.announced_size,
            staged: Some(part.staged()),
        };
        let mut inspection = Inspection::start(&self.inspectors, &self.facts, &facts);
        let received = {
            let mut receiver = Receiver {
                part: &mut *part,
                inspection: &mut inspection,
                limit: self.limit,
                ascii: self.ascii,
                rates: &self.rates,
                stall_timeout: guard.stall_timeout(),
            };
            tokio::select! {
                biased;
                result = async {
                    receiver.replay().await?;
                    receiver.receive(&mut channel).await
                } => result,
                () = guard.abort.notified() => {
                    drop(channel);
                    return self.broken(part, aborted()).await;
                }
            }
        };
        match received {
            Ok(()) => {}
            Err(UploadError::Refused(refusal)) => {
                let reply = self.refused(part, &refusal).await;
                channel.refuse().await;
                return reply;
            }
            Err(UploadError::TooLarge) => {
                inspection.too_large().await;
                channel.refuse().await;
                return Reply::new(552, format!("Uploads have {} bytes at most", self.limit));
            }
            Err(UploadError::Stalled) => return self.broken(part, stalled_reply()).await,
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
        // Clients that end TLS in both directions wait for this before they read the reply.
        if let Err(error) = channel.finish().await {
            tracing::debug!(session = &*session, %error, "the end of the data connection");
        }
        let verdict = tokio::select! {
            biased;
            verdict = inspection.finish() => verdict,
            () = guard.abort.notified() => return self.broken(part, aborted()).await,
        };
        match verdict {
            Ok(accept_as) => self.publish(part, accept_as).await,
            Err(refusal) => self.refused(part, &refusal).await,
        }
    }

    /// The file becomes visible.
    async fn publish(self, mut part: Box<dyn Part>, accept_as: Option<String>) -> Reply {
        let session = &*self.facts.id;
        let (path, mode) = match accept_as {
            None => (self.path.clone(), self.mode),
            Some(other) => match self.other_path(&other).await {
                Ok(path) => (path, UploadMode::Create),
                Err(failure) => return failure.reply(session),
            },
        };
        let bytes = part.length();
        let published = match part.publish(&path, mode != UploadMode::Create).await {
            // Somebody else was faster: that makes it another operation.
            Err(Error::Exists) => {
                let overwrite = Operation::Upload(UploadMode::Overwrite);
                if let Err(refusal) = self.policy.check(overwrite, &path).await {
                    return errors::policy(&refusal, session);
                }
                part.publish(&path, true).await
            }
            result => result,
        };
        match published {
            Ok(()) => {
                tracing::info!(
                    session,
                    user = self.user.as_str(),
                    path = path.as_str(),
                    bytes,
                    "stored"
                );
                let event = || Event::of(events::Kind::Upload, &self.facts).path(&self.path);
                let stored = |event: Event| match path == self.path {
                    true => event,
                    false => event.to(&path),
                };
                self.events.tell(|| stored(event()).size(bytes));
                let text = if path == self.path {
                    "Transfer complete".to_owned()
                } else {
                    format!("Transfer complete, stored as {path}")
                };
                Reply::new(226, text)
            }
            Err(error) => {
                let reply = errors::storage(&error, session);
                let _ = part.keep().await;
                reply
            }
        }
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
        reply
    }

    /// An inspector said no, or nothing: no client ever sees the file.
    async fn refused(&self, part: Box<dyn Part>, refusal: &Refusal) -> Reply {
        let session = &*self.facts.id;
        let bytes = part.length();
        let event = |kind| {
            let event = Event::of(kind, &self.facts).path(&self.path).size(bytes);
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
                let note = serde_json::json!({
                    "user": self.user, "path": self.path.as_str(), "session": session,
                    "client": self.facts.client.to_string(), "plugin": &**plugin, "reason": reason,
                    "bytes": bytes,
                });
                match part.quarantine(&note.to_string()).await {
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

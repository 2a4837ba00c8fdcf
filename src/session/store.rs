//! STOR, APPE, STOU: what is checked before an upload begins.

use std::io;

use data_encoding::HEXLOWER;

use super::{
    Next, UserSession,
    errors::Failure,
    journal,
    size_limit::{Limit, quota_exceeded},
    transfer::{Handle, Work},
    upload::Upload,
};
use crate::{
    config::UploadDigest,
    ftp::{metadata::Kind, path::VirtualPath, reply::Reply},
    gate::{digester::Digester, path_policy::Operation},
    spool::StartAt,
    storage::Error,
    tls::session::Direction,
    types::UploadMode,
};

/// Names that STOU tries.
const UNIQUE_TRIES: usize = 16;

impl UserSession<'_> {
    pub(super) async fn stor(&mut self, argument: &str) -> io::Result<Next> {
        let from = match std::mem::take(&mut self.connection.parameters.restart) {
            0 => StartAt::Start,
            offset => StartAt::Offset(offset),
        };
        let path = self.resolve(argument);
        self.store(path, from, None).await
    }

    pub(super) async fn appe(&mut self, argument: &str) -> io::Result<Next> {
        self.connection.parameters.restart = 0;
        let path = self.resolve(argument);
        self.store(path, StartAt::End, None).await
    }

    /// A name that nobody has, told in the form of RFC 1123 §4.1.2.9.
    pub(super) async fn stou(&mut self) -> io::Result<Next> {
        self.connection.parameters.restart = 0;
        let path = self.unique_name().await;
        let announcement = match &path {
            Ok(path) => Some(format!("FILE: {}", path.file_name().unwrap_or_default())),
            Err(_) => None,
        };
        self.store(path, StartAt::Start, announcement).await
    }

    async fn unique_name(&self) -> Result<VirtualPath, Failure> {
        let user = &*self.user;
        for _ in 0..UNIQUE_TRIES {
            let mut random = [0; 8];
            aws_lc_rs::rand::fill(&mut random)
                .map_err(|_| Error::Io(io::Error::other("no random numbers")))?;
            let name = format!("upload-{}", HEXLOWER.encode(&random));
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
        from: StartAt,
        announcement: Option<String>,
    ) -> io::Result<Next> {
        let named = path.as_ref().map_or("", VirtualPath::as_str).to_owned();
        let prepared = match path {
            Ok(path) => self.upload(path, from, announcement).await,
            Err(failure) => Err(failure),
        };
        match prepared {
            Ok((announcement, work, handle)) => self.announce(announcement, work, handle).await,
            Err(failure) => {
                let reply = self.failed_at("upload", &named, failure);
                self.answer(reply).await
            }
        }
    }

    async fn upload(
        &mut self,
        path: VirtualPath,
        from: StartAt,
        announcement: Option<String>,
    ) -> Result<(String, Work, Handle), Failure> {
        let announced_size = self.connection.parameters.announced_size.take();
        self.connection.parameters.range = None;
        let mut limit = Limit::size(self.upload_limit());
        let user = &*self.user;
        let (mode, replaced) = match user.tree.metadata(&path).await {
            Ok(found) if found.kind == Kind::Directory => {
                return Err(Reply::new(553, "A directory has that name").into());
            }
            Ok(found) if from == StartAt::End => (UploadMode::Append, found.size),
            Ok(found) => (UploadMode::Overwrite, found.size),
            Err(Error::NotFound) => (UploadMode::Create, 0),
            Err(error) => return Err(error.into()),
        };
        user.policy
            .check(Operation::Upload(mode), &path)
            .await
            .map_err(Failure::from)?;
        if let Some(refusal) = limit.refuses(announced_size) {
            return Err(refusal);
        }
        let (tree, policy, name) = (user.tree.clone(), user.policy.clone(), user.id.clone());
        let (rates, quota) = (user.upload_rates.clone(), user.quota());
        let (transfer, handle) = self
            .prepare(Direction::Receive, journal::Operation::Upload, Some(&path))
            .await?;
        let mut incoming = tree.stage(&path, from).await?;
        if quota.is_limited() {
            // Uploads that wait to be resumed count, the one that is resumed now does not.
            let used = match tree.usage().await {
                Ok(used) => used.bytes.saturating_sub(replaced),
                Err(error) => {
                    let _ = incoming.keep().await;
                    return Err(error.into());
                }
            };
            if let Some(bytes) = quota.bytes {
                limit = limit.and_quota(bytes, used);
            }
            let refusal = limit.refuses(announced_size);
            if let Some(refusal) = refusal.or_else(|| limit.refuses(Some(incoming.length().max(1))))
            {
                let _ = incoming.keep().await;
                return Err(refusal);
            }
            // Others of the same account may be under way.
            if let Err(error) = incoming.set_quota(quota) {
                let _ = incoming.keep().await;
                return Err(Failure::OverLimit {
                    reply: quota_exceeded(quota, &error),
                    bytes: None,
                });
            }
        }
        let announcement = announcement.unwrap_or_else(|| {
            let kind = if self.connection.parameters.ascii {
                "ASCII"
            } else {
                "BINARY"
            };
            format!(
                "Opening {kind} mode data connection for {}",
                path.file_name().unwrap_or("/")
            )
        });
        let settings = self.connection.host.config.uploads;
        let mut inspectors = self.connection.host.gates.inspectors.clone();
        if settings.digest == UploadDigest::Sha256 {
            inspectors.push(Digester::named());
        }
        let upload = Upload {
            facts: self.connection.facts.clone(),
            journal: transfer.journal.clone(),
            policy,
            tree,
            user: name,
            inspectors,
            settings,
            rates,
            path,
            mode,
            announced_size,
            limit,
            quota,
            cuts: self.cuts(),
            ascii: self.connection.parameters.ascii,
            unclosed: false,
        };
        let work = async move {
            match transfer.open().await {
                Ok((channel, guard)) => upload.run(incoming, channel, guard).await,
                Err(reply) => {
                    // The bytes that an earlier attempt left are still good.
                    if incoming.length() > 0 {
                        let _ = incoming.keep().await;
                    }
                    reply
                }
            }
        };
        Ok((announcement, Box::pin(work), handle))
    }
}

//! HASH, and the X commands that came before them (draft-bryan-ftpext-hash).

use std::io;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use md5::Digest as _;

use super::{
    Next, UserSession,
    errors::{self, Failure},
    transfer::{Work, aborted},
};
use crate::{
    ftp::{digest::Algorithm, path::VirtualPath, reply::Reply},
    gate::path_policy::Operation,
    storage::{self, Content},
};

/// The most bytes of one read.
const CHUNK: usize = 256 << 10;

impl UserSession<'_> {
    /// `213 SHA-256 0-49 6169… path`.
    pub(super) async fn hash(&mut self, argument: &str) -> io::Result<Next> {
        let algorithm = self.connection.parameters.hash;
        let range = self.connection.parameters.range.take();
        self.digest_of(algorithm, argument, range, true).await
    }

    /// XCRC and its like: the digest alone.
    pub(super) async fn digest(&mut self, algorithm: Algorithm, path: &str) -> io::Result<Next> {
        self.digest_of(algorithm, path, None, false).await
    }

    async fn digest_of(
        &mut self,
        algorithm: Algorithm,
        argument: &str,
        range: Option<(u64, u64)>,
        whole_line: bool,
    ) -> io::Result<Next> {
        match self
            .digest_work(algorithm, argument, range, whole_line)
            .await
        {
            Ok((work, handle)) => self.during(work, handle).await,
            Err(failure) => {
                let reply = self.failed_at("download", argument, failure);
                self.answer(reply).await
            }
        }
    }

    async fn digest_work(
        &mut self,
        algorithm: Algorithm,
        argument: &str,
        range: Option<(u64, u64)>,
        whole_line: bool,
    ) -> Result<(Work, super::transfer::Handle), Failure> {
        let path: VirtualPath = self.resolve(argument)?;
        let user = &*self.user;
        // A digest tells about the content as much as a download does.
        user.policy.check(Operation::Download, &path).await?;
        let source = user.tree.read(&path).await?;
        self.not_held_back(&path).await?;
        let size = source.metadata().size;
        let (first, end) = match range {
            None => (0, size),
            Some((first, last)) if first < size => (first, last.saturating_add(1).min(size)),
            Some(_) => return Err(Reply::new(501, "The range lies behind the end").into()),
        };
        let handle = self.no_data();
        let (abort, journal) = (handle.abort(), self.connection.journal());
        let argument = argument.to_owned();
        let recorded = match algorithm {
            Algorithm::Sha256 if (first, end) == (0, size) => source.sha256(),
            _ => None,
        };
        let work = async move {
            let digest = match recorded {
                Some(digest) => Ok(digest),
                None => tokio::select! {
                    digest = compute(&*source, algorithm, first, end) => digest,
                    _ = abort.come() => return aborted(),
                },
            };
            match digest {
                Ok(digest) if whole_line => {
                    let last = end.saturating_sub(1).max(first);
                    let name = algorithm.name();
                    Reply::new(213, format!("{name} {first}-{last} {digest} {argument}"))
                }
                Ok(digest) => Reply::new(250, digest),
                Err(error) => {
                    journal.storage("download", &path, &error);
                    errors::storage(&error)
                }
            }
        };
        Ok((Box::pin(work), handle))
    }
}

enum Running {
    Aws(digest::Context),
    Md5(Box<md5::Md5>),
    Crc32(crc32fast::Hasher),
}

impl Running {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Aws(digest::Context::new(&digest::SHA256)),
            Algorithm::Sha512 => Self::Aws(digest::Context::new(&digest::SHA512)),
            Algorithm::Sha1 => Self::Aws(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Md5 => Self::Md5(Box::default()),
            Algorithm::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Aws(context) => context.update(bytes),
            Self::Md5(context) => context.update(bytes),
            Self::Crc32(context) => context.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Aws(context) => HEXLOWER.encode(context.finish().as_ref()),
            Self::Md5(context) => HEXLOWER.encode(&context.finalize()),
            Self::Crc32(context) => HEXLOWER.encode(&context.finalize().to_be_bytes()),
        }
    }
}

/// Reads by the storage's own waiting path: hashing is long enough to let others run in between.
async fn compute(
    source: &dyn Content,
    algorithm: Algorithm,
    first: u64,
    end: u64,
) -> storage::Result<String> {
    let mut running = Running::new(algorithm);
    let (mut buffer, mut at) = (vec![0; CHUNK], first);
    while at < end {
        let (back, length) = source.read_at(buffer, at).await?;
        let taken = length.min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let Some(chunk) = back.get(..taken).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        running.update(chunk);
        at += taken as u64;
        buffer = back;
        tokio::task::yield_now().await;
    }
    Ok(running.finish())
}

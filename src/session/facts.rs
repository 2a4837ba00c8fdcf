//! SIZE, MDTM, MLST, MFMT, MFF, SITE CHMOD, SITE UTIME, AVBL.

use jiff::Timestamp;

use super::{UserSession, cuts::RecentCuts, errors::Failure};
use crate::{
    ftp::{
        ascii::ToNetwork,
        command::Mdtm,
        facts::{Allowed, EntryKind, write_mlsx},
        metadata::{Kind, Metadata},
        path::VirtualPath,
        reply::Reply,
        time,
    },
    gate::event::Event,
    gate::{
        Permissions,
        path_policy::{Operation, Policy, Request},
    },
    spool::Tree,
    storage::Error,
};

/// The size in TYPE A takes reading the whole file: not of larger ones.
const COUNTED: u64 = 16 << 20;

impl UserSession<'_> {
    /// Overwrites by this user, from this address, that were cut a moment ago.
    pub(super) fn cuts(&self) -> RecentCuts {
        let window = self.connection.host.config.uploads.resume_overwrites;
        RecentCuts::new(
            self.connection.generation.users.cuts.clone(),
            self.connection.facts.clone(),
            window,
        )
    }

    /// No size that was told may be contradicted: 450 while a broken upload may be told of in the
    /// place of the file.
    pub(super) async fn not_held_back(&self, path: &VirtualPath) -> Result<(), Failure> {
        if self.cuts().holds_back(path)
            && let Some(part) = self.user.tree.partial(path).await?
        {
            let text = format!(
                "An upload of this file was cut after {0} bytes: go on with it by REST {0} and STOR, \
                 begin anew, or come back later",
                part.size
            );
            return Err(Reply::new(450, text).into());
        }
        Ok(())
    }

    /// The facts that the client is told of a path.
    async fn seen(&self, argument: &str) -> Result<(VirtualPath, Metadata), Failure> {
        let path = self.resolve(argument)?;
        let user = &*self.user;
        user.policy.check(Operation::See, &path).await?;
        let metadata = told(&user.tree, &user.policy, &self.cuts(), &path).await?;
        Ok((path, metadata))
    }

    /// RFC 3659 §4: exactly what a transfer would carry, so it depends on TYPE.
    pub(super) async fn size(&self, argument: &str) -> Result<Reply, Failure> {
        let (path, metadata) = self.seen(argument).await?;
        regular(&metadata)?;
        if !self.connection.parameters.ascii {
            return Ok(Reply::new(213, metadata.size.to_string()));
        }
        if metadata.size > COUNTED {
            return Err(Reply::new(550, "The size in TYPE A is not known, use TYPE I").into());
        }
        let tree = &self.user.tree;
        // How much of the wire's bytes a broken upload was made of is not kept.
        if metadata.is_partial() {
            let text = "The size of a broken upload is not known in TYPE A, use TYPE I";
            return Err(Reply::new(550, text).into());
        }
        let source = tree.read(&path).await?;
        let (mut convert, mut out) = (ToNetwork::new(), Vec::new());
        let (mut buffer, mut at, mut size) = (vec![0; 64 << 10], 0, 0);
        loop {
            let (back, length) = source.read_at(buffer, at).await?;
            buffer = back;
            let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else {
                break;
            };
            out.clear();
            convert.convert(chunk, &mut out);
            at += length as u64;
            size += out.len() as u64;
        }
        Ok(Reply::new(213, size.to_string()))
    }

    /// Reads the time, or, as some clients do, sets it.
    pub(super) async fn mdtm(&self, what: Mdtm) -> Result<Reply, Failure> {
        let path = match what {
            Mdtm::Get(path) => path,
            Mdtm::Set { time, path, whole } => {
                if self.seen(&whole).await.is_err() {
                    self.set_time(&path, time).await?;
                    return Ok(Reply::new(213, time::format_time_val(time)));
                }
                whole
            }
        };
        let (_, metadata) = self.seen(&path).await?;
        regular(&metadata)?;
        Ok(Reply::new(
            213,
            time::format_time_val(time::timestamp(metadata.modified)),
        ))
    }

    /// draft-somers-ftp-mfxx: the new fact, and the path.
    pub(super) async fn mfmt(&self, time: Timestamp, path: &str) -> Result<Reply, Failure> {
        self.set_time(path, time).await?;
        Ok(Reply::new(
            213,
            format!("Modify={}; {path}", time::format_time_val(time)),
        ))
    }

    /// draft-somers-ftp-mfxx §5: several facts at once.
    pub(super) async fn mff(
        &self,
        facts: Vec<(String, String)>,
        path: &str,
    ) -> Result<Reply, Failure> {
        enum Change {
            Time(Timestamp),
            Mode(u32),
        }
        let wrong = || Failure::from(Reply::new(501, "Facts that can be set: Modify, UNIX.mode"));
        let mut changes = Vec::new();
        for (fact, value) in &facts {
            changes.push(match fact.as_str() {
                "modify" => Change::Time(time::parse_time_val(value).map_err(|_| wrong())?),
                "unix.mode" => Change::Mode(u32::from_str_radix(value, 8).map_err(|_| wrong())?),
                _ => return Err(Reply::new(504, "Facts that can be set: Modify, UNIX.mode").into()),
            });
        }
        let mut done = String::new();
        for (change, (fact, value)) in changes.into_iter().zip(&facts) {
            match change {
                Change::Time(time) => self.set_time(path, time).await?,
                Change::Mode(mode) => self.set_mode(path, mode).await?,
            }
            let name = if fact == "modify" {
                "Modify"
            } else {
                "UNIX.mode"
            };
            done += &format!("{name}={value};");
        }
        Ok(Reply::new(213, format!("{done} {path}")))
    }

    pub(super) async fn set_time(&self, argument: &str, time: Timestamp) -> Result<(), Failure> {
        let path = self.resolve(argument)?;
        let user = &*self.user;
        user.policy.check(Operation::ChangeMetadata, &path).await?;
        user.tree
            .set_times(&path, time::system_time(time), None)
            .await?;
        self.connection
            .emit(&Event::MetadataChanged { path: &path });
        Ok(())
    }

    /// Set-user-ID and its like are not for clients to give.
    pub(super) async fn set_mode(&self, argument: &str, mode: u32) -> Result<(), Failure> {
        if mode > 0o777 {
            return Err(Reply::new(501, "A mode has three octal digits").into());
        }
        let path = self.resolve(argument)?;
        let user = &*self.user;
        user.policy.check(Operation::ChangeMetadata, &path).await?;
        user.tree.set_mode(&path, mode).await?;
        self.connection
            .emit(&Event::MetadataChanged { path: &path });
        Ok(())
    }

    /// RFC 3659 §7: one entry over the control connection.
    pub(super) async fn mlst(&self, argument: Option<String>) -> Result<Reply, Failure> {
        let argument = argument.unwrap_or_else(|| ".".into());
        let (path, metadata) = self.seen(&argument).await?;
        let allowed = allowed(self.user.policy.permissions());
        let mut out = Vec::new();
        write_mlsx(
            &mut out,
            path.as_str(),
            &metadata,
            &self.connection.parameters.facts,
            EntryKind::Plain,
            allowed,
        );
        let line = String::from_utf8_lossy(&out).into_owned();
        Ok(Reply::multi(250, "Facts", [line], "End"))
    }

    /// draft-peterson-streamlined-ftp-command-extensions §4.
    pub(super) async fn avbl(&self, argument: Option<String>) -> Result<Reply, Failure> {
        let path = self.resolve(&argument.unwrap_or_else(|| ".".into()))?;
        let user = &*self.user;
        user.policy.check(Operation::List, &path).await?;
        match user.tree.metadata(&path).await?.kind {
            Kind::Directory => {}
            Kind::Link => return Err(Error::DanglingLink.into()),
            _ => return Err(Error::NotDirectory.into()),
        }
        Ok(Reply::new(
            213,
            user.tree.available(&path).await?.to_string(),
        ))
    }
}

/// The facts that a client is told of a path: of what RETR would send (RFC 3659 §4). Only where nothing is
/// published, or what is may not be downloaded, it is the broken upload that can be gone on with.
pub(super) async fn told(
    tree: &Tree,
    policy: &Policy,
    cuts: &RecentCuts,
    path: &VirtualPath,
) -> Result<Metadata, Failure> {
    let found = match tree.metadata(path).await {
        Err(Error::NotFound) => return Ok(tree.partial(path).await?.ok_or(Error::NotFound)?),
        found => found?,
    };
    if found.kind != Kind::File {
        return Ok(found);
    }
    let Some(part) = tree.partial(path).await? else {
        return Ok(found);
    };
    let found = Metadata {
        partial: part.partial,
        ..found
    };
    if cuts.is_told(path) {
        return Ok(found.or_partial());
    }
    let request = Request {
        operation: Operation::Download,
        path: path.clone(),
    };
    match policy.may(vec![request]).await[..] {
        [true] => Ok(found),
        _ => Ok(found.or_partial()),
    }
}

/// That it is a file.
fn regular(metadata: &Metadata) -> Result<(), Error> {
    match metadata.kind {
        Kind::File => Ok(()),
        Kind::Link => Err(Error::DanglingLink),
        Kind::Directory | Kind::Other => Err(Error::NotRegular),
    }
}

/// The `perm` fact as far as the account goes; guards may take away more.
pub(super) fn allowed(permissions: Permissions) -> Allowed {
    let may = |permission| permissions.contains(permission);
    Allowed {
        list: may(Permissions::LIST),
        enter: may(Permissions::LIST),
        download: may(Permissions::DOWNLOAD),
        upload: may(Permissions::OVERWRITE),
        append: may(Permissions::APPEND),
        delete: may(Permissions::DELETE),
        rename: may(Permissions::RENAME),
        make_directory: may(Permissions::MAKE_DIRECTORY),
        remove_directory: may(Permissions::REMOVE_DIRECTORY),
        create: may(Permissions::UPLOAD),
    }
}

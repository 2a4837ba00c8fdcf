//! Verbs that touch paths and answer at once: CWD, MKD, DELE, RNFR and their like.

use std::io;

use super::{
    Next, UserSession,
    errors::{At, Failure},
};
use crate::{
    ftp::{
        command::{File, Mdtm, Site},
        help,
        metadata::Kind,
        path::VirtualPath,
        reply::{Reply, quoted},
    },
    gate::event::Event,
    gate::path_policy::{Operation, Request},
    storage::Error,
    types::UploadMode,
};

/// The contract's word for what a command does, and the path that it is about.
fn about(command: &File) -> (&'static str, &str) {
    match command {
        File::Cwd(path) => ("list", path),
        File::Cdup => ("list", ".."),
        File::Mkd(path) => ("make-directory", path),
        File::Rmd(path) => ("remove-directory", path),
        File::Dele(path) => ("delete", path),
        File::Rnfr(path) => ("rename-from", path),
        File::Rnto(path) => ("rename-to", path),
        File::Mfmt(_, path)
        | File::Mff(_, path)
        | File::Mdtm(Mdtm::Set { path, .. })
        | File::Site(Site::Chmod(_, path) | Site::Utime(_, path)) => ("change-metadata", path),
        File::Size(path) | File::Mdtm(Mdtm::Get(path)) => ("see", path),
        File::Mlst(path) | File::Avbl(path) => ("see", path.as_deref().unwrap_or("")),
        File::Pwd
        | File::Smnt(_)
        | File::Site(Site::Help(_) | Site::Quota | Site::Whoami | Site::Unknown(_)) => ("see", ""),
    }
}

/// The root can be neither removed nor renamed.
fn root_stays() -> Failure {
    Reply::new(550, "Permission denied").into()
}

impl UserSession<'_> {
    /// A path as it is told, where it may be none.
    pub(super) fn named(&self, argument: &str) -> VirtualPath {
        let cwd = &self.user.cwd;
        match argument {
            "" => cwd.clone(),
            argument => self.resolve(argument).unwrap_or_else(|_| cwd.clone()),
        }
    }

    /// The reply to what failed.
    pub(super) fn failed_at(
        &self,
        operation: &'static str,
        argument: &str,
        failure: Failure,
    ) -> Reply {
        failure.reply(&At {
            journal: &self.connection.journal(),
            operation,
            path: &self.named(argument),
        })
    }

    pub(super) async fn file(&mut self, command: File) -> io::Result<Next> {
        let (operation, path) = about(&command);
        let path = path.to_owned();
        let result = match command {
            File::Cwd(path) => self.cwd(&path).await,
            File::Cdup => self.cwd("..").await,
            File::Pwd => Ok(self.pwd()),
            File::Mkd(path) => self.mkd(&path).await,
            File::Rmd(path) => self.rmd(&path).await,
            File::Dele(path) => self.dele(&path).await,
            File::Rnfr(path) => self.rnfr(&path).await,
            File::Rnto(path) => self.rnto(&path).await,
            File::Size(path) => self.size(&path).await,
            File::Mdtm(what) => self.mdtm(what).await,
            File::Mfmt(time, path) => self.mfmt(time, &path).await,
            File::Mff(facts, path) => self.mff(facts, &path).await,
            File::Mlst(path) => self.mlst(path).await,
            File::Avbl(path) => self.avbl(path).await,
            File::Smnt(_) => Ok(Reply::new(502, "SMNT is not implemented")),
            File::Site(site) => self.site(site).await,
        };
        let reply = result.unwrap_or_else(|failure| self.failed_at(operation, &path, failure));
        self.answer(reply).await
    }

    fn pwd(&self) -> Reply {
        let cwd = quoted(self.user.cwd.as_str());
        Reply::new(257, format!("{cwd} is the current directory"))
    }

    async fn cwd(&mut self, argument: &str) -> Result<Reply, Failure> {
        let path = self.resolve(argument)?;
        let user = &mut *self.user;
        user.policy.check(Operation::List, &path).await?;
        match user.tree.metadata(&path).await?.kind {
            Kind::Directory => {}
            Kind::Link => return Err(Error::DanglingLink.into()),
            _ => return Err(Error::NotDirectory.into()),
        }
        user.cwd = path;
        let cwd = quoted(user.cwd.as_str());
        Ok(Reply::new(250, format!("{cwd} is the current directory")))
    }

    async fn mkd(&self, argument: &str) -> Result<Reply, Failure> {
        let path = self.resolve(argument)?;
        let user = &*self.user;
        user.policy.check(Operation::MakeDirectory, &path).await?;
        user.tree.make_directory(&path).await?;
        self.connection.emit(&Event::DirectoryMade { path: &path });
        Ok(Reply::new(
            257,
            format!("{} created", quoted(path.as_str())),
        ))
    }

    async fn rmd(&self, argument: &str) -> Result<Reply, Failure> {
        let path = self.resolve(argument)?;
        let user = &*self.user;
        if path.is_root() {
            return Err(root_stays());
        }
        user.policy.check(Operation::RemoveDirectory, &path).await?;
        user.tree.remove_directory(&path).await?;
        self.connection
            .emit(&Event::DirectoryRemoved { path: &path });
        Ok(Reply::new(250, "Directory removed"))
    }

    async fn dele(&self, argument: &str) -> Result<Reply, Failure> {
        let path = self.resolve(argument)?;
        let user = &*self.user;
        user.policy.check(Operation::Delete, &path).await?;
        user.tree.remove_file(&path).await?;
        self.connection.emit(&Event::Deleted { path: &path });
        Ok(Reply::new(250, "File deleted"))
    }

    async fn rnfr(&mut self, argument: &str) -> Result<Reply, Failure> {
        let path = self.resolve(argument)?;
        let user = &*self.user;
        user.policy.check(Operation::See, &path).await?;
        if path.is_root() {
            return Err(root_stays());
        }
        user.tree.metadata(&path).await?;
        self.connection.parameters.rename_from = Some(path);
        Ok(Reply::new(350, "RNTO comes next"))
    }

    async fn rnto(&mut self, argument: &str) -> Result<Reply, Failure> {
        let Some(from) = self.connection.parameters.rename_from.take() else {
            return Err(Reply::new(503, "RNFR comes first").into());
        };
        let to = self.resolve(argument)?;
        let user = &*self.user;
        if to.is_root() || (to != from && to.starts_with(&from)) {
            return Err(Reply::new(553, "A directory cannot be moved into itself").into());
        }
        let mut requests = vec![
            Request {
                operation: Operation::RenameFrom(to.clone()),
                path: from.clone(),
            },
            Request {
                operation: Operation::RenameTo(from.clone()),
                path: to.clone(),
            },
        ];
        // A file that would be replaced is overwritten, and asked about as such.
        let replaces = match user.tree.metadata(&to).await {
            Ok(_) if to != from => true,
            Ok(_) | Err(Error::NotFound) => false,
            Err(error) => return Err(error.into()),
        };
        if replaces {
            let operation = Operation::Upload(UploadMode::Overwrite);
            requests.push(Request {
                operation,
                path: to.clone(),
            });
        }
        if let Some(refusal) = user
            .policy
            .check_all(requests)
            .await?
            .into_iter()
            .flatten()
            .next()
        {
            return Err(refusal.into());
        }
        user.tree.rename(&from, &to, replaces).await?;
        self.connection.emit(&Event::Renamed {
            from: &from,
            to: &to,
        });
        Ok(Reply::new(250, "Renamed"))
    }

    async fn site(&self, site: Site) -> Result<Reply, Failure> {
        match site {
            Site::Chmod(mode, path) => {
                self.set_mode(&path, mode).await?;
                Ok(Reply::new(200, "Mode set"))
            }
            Site::Utime(time, path) => {
                self.set_time(&path, time).await?;
                Ok(Reply::new(200, "Time set"))
            }
            Site::Help(command) => Ok(help::site_help(command.as_deref())),
            Site::Quota => self.quota().await,
            Site::Whoami => Ok(self.whoami()),
            Site::Unknown(_) => {
                let text = format!("SITE knows {}", help::site_commands());
                Err(Reply::new(504, text).into())
            }
        }
    }

    async fn quota(&self) -> Result<Reply, Failure> {
        let user = &*self.user;
        let quota = user.quota();
        let left = match user.tree.available(&VirtualPath::root()).await {
            // A bucket has no end.
            Err(Error::Unsupported) => String::new(),
            available => format!(", {} bytes left on the storage", available?),
        };
        if !quota.is_limited() {
            return Ok(Reply::new(200, format!("No quota{left}")));
        }
        let used = user.tree.usage().await?;
        let of = |used: u64, limit: Option<u64>| match limit {
            Some(limit) => format!("{used}/{limit}"),
            None => format!("{used}/unlimited"),
        };
        // The form of ProFTPD's mod_quotatab, which people and clients know. It has a word for
        // downloads, too, which no quota here limits.
        let lines = [
            format!("Name: {}", user.id.name),
            "Quota Type: User".to_owned(),
            "Per Session: False".to_owned(),
            "Limit Type: Hard".to_owned(),
            format!("  Uploaded bytes: {}", of(used.bytes, quota.bytes)),
            "  Downloaded bytes: unlimited".to_owned(),
            format!("  Uploaded files: {}", of(used.files, quota.files)),
            "  Downloaded files: unlimited".to_owned(),
        ];
        Ok(Reply::multi(
            200,
            "The current quota for this session are [current/limit]:",
            lines,
            format!("All files in the home count{left}"),
        ))
    }

    fn whoami(&self) -> Reply {
        let user = &*self.user;
        let groups = match &user.account.groups[..] {
            [] => "no groups".to_owned(),
            groups => format!("groups: {}", groups.join(", ")),
        };
        let home = quoted(VirtualPath::root().as_str());
        let text = format!("User {}, home {home}, {groups}", user.id.name);
        Reply::new(200, text)
    }
}

//! `portcullis import`: a configuration and users out of those of another server.
//!
//! Each product has a file of its own here, which reads the source line by line. A line has one of
//! three ends: it is carried over, it needs no counterpart, or it is lost. The last two are named
//! with their places, so that nothing is dropped silently.

mod accounts;
mod common;
mod draft;
mod hash;
mod permissions;
mod proftpd;
mod pure_ftpd;
mod report;
mod rules;
mod sftpgo;
mod source;
mod storages;
mod users;
mod vsftpd;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use self::{draft::Draft, report::Report, users::Users};
use super::{Failure, files, output};
use crate::config;

/// Where the users are, in the state directory of the configuration that is written.
const USERS: &str = "var/users.toml";
const CONFIG: &str = "config.toml";

/// The server that is left.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Product {
    /// vsftpd.conf; --users FILE has NAME:HASH lines, as of htpasswd, shadow or passwd
    Vsftpd,
    /// proftpd.conf, with all that it includes and its AuthUserFile
    Proftpd,
    /// pure-ftpd.conf, or the directory /etc/pure-ftpd/conf; --users FILE is pureftpd.passwd
    PureFtpd,
    /// sftpgo.json or sftpgo.yaml; --users FILE is a dump of the data, which may also stand alone
    Sftpgo,
}

const EXAMPLES: &str = "\
Examples:
  portcullis import vsftpd /etc/vsftpd.conf --users /etc/passwd --users /etc/shadow --out new
  portcullis import proftpd /etc/proftpd/proftpd.conf --out new
  portcullis import pure-ftpd /etc/pure-ftpd/conf --users /etc/pure-ftpd/pureftpd.passwd --out new
  portcullis import sftpgo /etc/sftpgo/sftpgo.json --users dump.json --out new
      Writes new/config.toml and new/var/users.toml, and names all that is not carried over.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    /// The server that is left
    product: Product,
    /// Its configuration
    file: PathBuf,
    /// A file of its users, if the configuration names none; as often as wanted
    #[arg(long, value_name = "FILE")]
    users: Vec<PathBuf>,
    /// Where config.toml and var/users.toml are written; files that are there are left alone
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// All that a source is turned into.
#[derive(Default)]
struct Imported {
    draft: Draft,
    users: Users,
    report: Report,
}

/// The texts that are written.
struct Made {
    config: String,
    users: String,
    /// How many users there are.
    summary: String,
}

pub fn run(import: &Import) -> Result<(), Failure> {
    let (mut report, made) = make(import);
    output::warning(&report.told());
    let made = made?;
    write(&import.out, &made)?;
    let config = import.out.join(CONFIG);
    output::print(&format!(
        "wrote {} and {}: {}\nnext: portcullis check --config {}, as the user that is to serve\n",
        files::short(&config),
        files::short(&import.out.join(USERS)),
        made.summary,
        files::for_shell(&config),
    ));
    report.summary();
    Ok(())
}

/// Reads the sources, and makes the texts of them.
fn make(import: &Import) -> (Report, Result<Made, Failure>) {
    let mut imported = Imported::default();
    let (file, users) = (&import.file, &import.users);
    let read = match import.product {
        Product::Vsftpd => vsftpd::import(file, users, &mut imported),
        Product::Proftpd => proftpd::import(file, users, &mut imported),
        Product::PureFtpd => pure_ftpd::import(file, users, &mut imported),
        Product::Sftpgo => sftpgo::import(file, users, &mut imported),
    };
    let Imported {
        mut draft,
        mut users,
        mut report,
    } = imported;
    if let Err(error) = read {
        report.error(error);
    }
    storages::place(&mut draft, &mut users, &mut report);
    let users_text = users.text(&mut report);
    draft.slow_logins = users.costly;
    let config_text = draft.text(import.product.name(), file);
    let made = match (report.errors(), users_text, config_text) {
        (Some(errors), _, _) => Err(Failure::Configuration(errors)),
        (None, Ok(users_text), Ok(config)) => Ok(Made {
            config,
            users: users_text,
            summary: users.summary(),
        }),
        (None, Err(error), _) | (None, _, Err(error)) => Err(Failure::Running(error)),
    };
    (report, made)
}

impl Product {
    /// As people write it.
    fn name(self) -> &'static str {
        match self {
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "ProFTPD",
            Self::PureFtpd => "Pure-FTPd",
            Self::Sftpgo => "SFTPGo",
        }
    }
}

/// Writes both files, or none.
fn write(out: &Path, made: &Made) -> Result<(), Failure> {
    let state = out.join(USERS);
    let (config_path, users_path) = (out.join(CONFIG), state.as_path());
    for path in [config_path.as_path(), users_path] {
        if fs::symlink_metadata(path).is_ok() {
            let text = format!(
                "{} is there already, and not overwritten; nothing was written",
                path.display()
            );
            return Err(Failure::Running(text));
        }
    }
    fs::create_dir_all(out).map_err(|error| files::failed(out, "made", &error))?;
    if let Some(directory) = users_path.parent() {
        files::make_private_directory(directory)?;
    }
    // Read as the server would, so that nothing is written that it refuses.
    let trial = tempfile::Builder::new()
        .prefix(".portcullis-")
        .suffix(".toml")
        .tempfile_in(out)
        .map_err(|error| files::failed(out, "written", &error))?;
    fs::write(trial.path(), &made.config)
        .map_err(|error| files::failed(trial.path(), "written", &error))?;
    config::load(Some(trial.path()), &[]).map_err(|error| {
        Failure::Configuration(format!(
            "these sources make no valid configuration; nothing was written\n{error}"
        ))
    })?;
    create(users_path, 0o600, &made.users)?;
    create(&config_path, 0o640, &made.config).inspect_err(|_| {
        let _ = fs::remove_file(users_path);
    })?;
    Ok(())
}

/// Makes a file that is not there.
fn create(path: &Path, mode: u32, text: &str) -> Result<(), String> {
    let failed = |error| files::failed(path, "written", &error);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(path).map_err(failed)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        failed(error)
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests;

//! `portcullis user`.

mod add;
mod defaults;
mod keys;
mod list;
mod moment;
mod set;
mod show;

use std::path::Path;

use clap::{Subcommand, builder::PossibleValuesParser};
use serde_json::{Map, Value};

use self::add::Add;
pub(super) use self::add::check_name;
use super::{Failure, Source, files, output, page::PageOptions, users_file};
use crate::config::Loaded;

const PERMISSIONS: [&str; 13] = [
    "all",
    "read",
    "write",
    "list",
    "download",
    "upload",
    "overwrite",
    "append",
    "delete",
    "rename",
    "make-directory",
    "remove-directory",
    "change-metadata",
];

const ADD_EXAMPLES: &str = "\
Examples:
  portcullis user add alice --home /shared --group staff --group night
  portcullis user add reader --permissions read
  pwgen 24 1 | portcullis user add robot --password-stdin --permissions list,upload";

const SET_EXAMPLES: &str = "\
Examples:
  portcullis user set alice quota=10GB upload-rate=2MiB/s expires=friday
      For so much room, so many bytes a second, and until the end of Friday (UTC).
  portcullis user set alice expires= max-sessions=2 attributes.department=sales
      For ever, twice at a time, and a fact for other plugins.

Keys: addresses, attributes.NAME, certificates, disabled, download-rate, expires, greeting, groups,
home, idle-timeout, max-sessions, max-upload-size, permissions, quota, quota-files,
require-certificate, storage, upload-rate.
Lists are split at commas; certificates, whose names have commas, at semicolons.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a user
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        #[command(flatten)]
        new: Add,
        #[command(flatten)]
        source: Source,
    },
    /// Give a user another password
    Passwd {
        /// The user
        name: String,
        /// Read the password from standard input instead of asking for it
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Keep a user out, whose sessions end if the server runs
    Disable {
        /// The user
        name: String,
        #[command(flatten)]
        source: Source,
    },
    /// Let a user in again
    Enable {
        /// The user
        name: String,
        #[command(flatten)]
        source: Source,
    },
    /// Say the most that a user may do; sessions with other permissions end if the server runs
    Permissions {
        /// The user
        name: String,
        /// All that the user may do
        #[arg(value_name = "P,…", value_delimiter = ',', required = true,
            value_parser = PossibleValuesParser::new(PERMISSIONS))]
        permissions: Vec<String>,
        #[command(flatten)]
        source: Source,
    },
    /// Change other keys of a user; sessions end if the server runs, unless it is told otherwise
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// The user
        name: String,
        /// A key and its value; without one, the key is removed
        #[arg(required = true, value_name = "KEY=VALUE")]
        pairs: Vec<String>,
        #[command(flatten)]
        source: Source,
    },
    /// Show what holds for a user and where that is said: the file, a group, or the configuration
    Show {
        /// The user
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
    /// List the users
    List {
        /// As JSON, without the hashes
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        source: Source,
    },
    /// Remove a user; the files stay
    Remove {
        /// The user
        name: String,
        #[command(flatten)]
        source: Source,
    },
}

pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { new, source: later } => add::add(&source.then(later).load()?, new),
        Command::Passwd {
            name,
            password_stdin,
            source: later,
        } => {
            let loaded = source.then(later).load()?;
            add::passwd(&loaded, &name, || add::password(password_stdin))
        }
        Command::Disable {
            name,
            source: later,
        } => set(
            &source.then(later).load()?,
            &name,
            "disabled",
            Some(true.into()),
        ),
        Command::Enable {
            name,
            source: later,
        } => set(&source.then(later).load()?, &name, "disabled", None),
        Command::Permissions {
            name,
            permissions,
            source: later,
        } => {
            let list: toml_edit::Array = permissions.iter().collect();
            let loaded = source.then(later).load()?;
            set(&loaded, &name, "permissions", Some(list.into()))
        }
        Command::Set {
            name,
            pairs,
            source: later,
        } => set::change(&source.then(later).load()?, &name, &pairs),
        Command::Show {
            name,
            json,
            source: later,
        } => {
            output::print(&show::show(&source.then(later).load()?, &name, json)?);
            Ok(())
        }
        Command::List {
            json,
            page,
            source: later,
        } => {
            output::print(&list::list(&source.then(later).load()?, &page, json)?);
            Ok(())
        }
        Command::Remove {
            name,
            source: later,
        } => remove(&source.then(later).load()?, &name),
    }
}

fn remove(loaded: &Loaded, name: &str) -> Result<(), Failure> {
    let path = file(loaded)?;
    known(&path, name)?;
    users_file::edit(&path, |document| {
        document.remove(name);
        Ok(())
    })?;
    output::print(&format!("removed {name} from {}\n", files::short(&path)));
    Ok(())
}

/// Gives a user's key another value, or none.
fn set(
    loaded: &Loaded,
    name: &str,
    key: &str,
    value: Option<toml_edit::Value>,
) -> Result<(), Failure> {
    let path = file(loaded)?;
    known(&path, name)?;
    users_file::edit(&path, |document| document.set(name, key, value))?;
    output::print(&format!("changed {name} in {}\n", files::short(&path)));
    Ok(())
}

/// The file that users are in.
fn file(loaded: &Loaded) -> Result<std::path::PathBuf, Failure> {
    users_file::path(&loaded.config).map_err(Failure::Configuration)
}

/// That there is a user of this name.
fn known(path: &Path, name: &str) -> Result<(), String> {
    known_in(&users_file::read(path)?, path, name)
}

fn known_in(users: &Map<String, Value>, path: &Path, name: &str) -> Result<(), String> {
    if users.contains_key(name) {
        return Ok(());
    }
    Err(format!(
        "there is no user {name:?} in {}",
        files::short(path)
    ))
}

fn check_storage(loaded: &Loaded, storage: &str) -> Result<(), String> {
    if loaded.config.storage.contains_key(storage) {
        return Ok(());
    }
    let names: Vec<_> = loaded.config.storage.keys().map(String::as_str).collect();
    Err(format!(
        "no storage is named {storage:?}; there are {}",
        names.join(", ")
    ))
}

fn check_home(home: &str) -> Result<(), String> {
    let plain =
        |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    match home.strip_prefix('/') {
        Some("") => Ok(()),
        Some(below) if below.trim_end_matches('/').split('/').all(plain) => Ok(()),
        _ => Err(format!(
            "the home {home:?} is not a plain path from \"/\" on"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unreachable, clippy::unwrap_used)]
mod tests;

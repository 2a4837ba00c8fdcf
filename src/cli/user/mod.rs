//! `portcullis user`.

mod add;
mod defaults;
mod keys;
mod list;
mod moment;
mod set;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::{Map, Value};

use self::add::Add;
pub(super) use self::add::check_name;
use super::{Failure, Source, files, host_of, output, page::PageOptions, users_file};
use crate::config::{Host, Loaded};

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

/// The single ones: those before them stand for several.
pub(super) fn single_permissions() -> &'static [&'static str] {
    let [_, _, _, single @ ..] = &PERMISSIONS;
    single
}

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

/// The host whose users they are; taken behind the subcommand's name.
#[derive(Args, Clone, Debug, Default)]
pub struct Of {
    /// The virtual host whose users they are, by its name [default: the top level's]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    #[command(flatten)]
    source: Source,
}

impl Of {
    fn load(self, earlier: Source) -> Result<UsersOf, Failure> {
        let loaded = earlier.then(self.source).load()?;
        UsersOf::new(&loaded, self.host.as_deref())
    }
}

/// The users of a host: where they are, and what the host has for them.
struct UsersOf {
    host: Host,
    state: PathBuf,
}

impl UsersOf {
    /// Those of the host of this name; none is the one of the top level.
    fn new(loaded: &Loaded, host: Option<&str>) -> Result<Self, Failure> {
        let host = host_of(loaded, host)?;
        let state = loaded.config.server.state.clone();
        Ok(Self { host, state })
    }

    /// The file that users are in.
    fn file(&self) -> Result<PathBuf, Failure> {
        users_file::path(&self.host, &self.state).map_err(Failure::Configuration)
    }

    /// The groups that the configuration defines.
    fn groups(&self) -> Result<Map<String, Value>, String> {
        users_file::groups(&self.host, &self.state)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a user
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        #[command(flatten)]
        new: Add,
        #[command(flatten)]
        of: Of,
    },
    /// Give a user another password
    Passwd {
        /// The user
        name: String,
        /// Read the password from standard input instead of asking for it
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Keep a user out, whose sessions end if the server runs
    Disable {
        /// The user
        name: String,
        #[command(flatten)]
        of: Of,
    },
    /// Let a user in again
    Enable {
        /// The user
        name: String,
        #[command(flatten)]
        of: Of,
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
        of: Of,
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
        of: Of,
    },
    /// Show what holds for a user and where that is said: the file, a group, or the configuration
    Show {
        /// The user
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        of: Of,
    },
    /// List the users
    List {
        /// As JSON, without the hashes
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        page: PageOptions,
        #[command(flatten)]
        of: Of,
    },
    /// Remove a user; the files stay
    Remove {
        /// The user
        name: String,
        #[command(flatten)]
        of: Of,
    },
}

pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { new, of } => add::add(&of.load(source)?, new),
        Command::Passwd {
            name,
            password_stdin,
            of,
        } => {
            let users = of.load(source)?;
            add::passwd(&users, &name, || add::password(password_stdin))
        }
        Command::Disable { name, of } => {
            set(&of.load(source)?, &name, "disabled", Some(true.into()))
        }
        Command::Enable { name, of } => set(&of.load(source)?, &name, "disabled", None),
        Command::Permissions {
            name,
            permissions,
            of,
        } => {
            let list: toml_edit::Array = permissions.iter().collect();
            let users = of.load(source)?;
            set(&users, &name, "permissions", Some(list.into()))
        }
        Command::Set { name, pairs, of } => set::change(&of.load(source)?, &name, &pairs),
        Command::Show { name, json, of } => {
            output::print(&show::show(&of.load(source)?, &name, json)?);
            Ok(())
        }
        Command::List { json, page, of } => {
            output::print(&list::list(&of.load(source)?, &page, json)?);
            Ok(())
        }
        Command::Remove { name, of } => remove(&of.load(source)?, &name),
    }
}

fn remove(users: &UsersOf, name: &str) -> Result<(), Failure> {
    let path = users.file()?;
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
    users: &UsersOf,
    name: &str,
    key: &str,
    value: Option<toml_edit::Value>,
) -> Result<(), Failure> {
    let path = users.file()?;
    known(&path, name)?;
    users_file::edit(&path, |document| document.set(name, key, value))?;
    output::print(&format!("changed {name} in {}\n", files::short(&path)));
    Ok(())
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

fn check_storage(users: &UsersOf, storage: &str) -> Result<(), String> {
    let storages = &users.host.storage;
    if storages.contains_key(storage) {
        return Ok(());
    }
    let names: Vec<_> = storages.keys().map(String::as_str).collect();
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

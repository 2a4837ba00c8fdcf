//! `portcullis user`.

use std::{
    io::{self, Read},
    path::Path,
};

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::Value;

use super::{
    Failure, Source, files, output,
    page::PageOptions,
    user_set,
    users_file::{self, NewUser},
};
use zeroize::Zeroizing;

use crate::{config::Loaded, ftp::secret::Secret, passwords};

pub(super) const PERMISSIONS: [&str; 13] = [
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
  portcullis user set alice expires= max-sessions=2
      For ever, and twice at a time.

Keys: addresses, certificates, disabled, download-rate, expires, greeting, groups, home, idle-timeout,
max-sessions, max-upload-size, permissions, quota, require-certificate, storage, upload-rate.
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
    /// Show the keys of a user, without the hash
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

#[derive(Args, Debug)]
#[group(id = "new-user")]
pub struct Add {
    /// The name that the user logs in with
    name: String,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
    /// The directory that the user sees as "/", within the storage [default: "/" and the name]
    #[arg(long, value_name = "DIR")]
    home: Option<String>,
    /// A group, for the other plugins; as often as wanted
    #[arg(long = "group", value_name = "G")]
    groups: Vec<String>,
    /// The most the user may do [default: all]
    #[arg(long, value_name = "P,…", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(PERMISSIONS))]
    permissions: Vec<String>,
    /// The storage, by its name in the configuration
    #[arg(long, value_name = "S")]
    storage: Option<String>,
}

pub fn run(source: Source, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { new, source: later } => add(&source.then(later).load()?, new),
        Command::Passwd {
            name,
            password_stdin,
            source: later,
        } => {
            let loaded = source.then(later).load()?;
            passwd(&loaded, &name, || password(password_stdin))
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
        } => user_set::set(&source.then(later).load()?, &name, &pairs),
        Command::Show {
            name,
            json,
            source: later,
        } => user_set::show(&source.then(later).load()?, &name, json),
        Command::List {
            json,
            page,
            source: later,
        } => {
            output::print(&list(&source.then(later).load()?, &page, json)?);
            Ok(())
        }
        Command::Remove {
            name,
            source: later,
        } => remove(&source.then(later).load()?, &name),
    }
}

fn add(loaded: &Loaded, new: Add) -> Result<(), Failure> {
    let stdin = new.password_stdin;
    add_with(loaded, new, || password(stdin))
}

fn add_with(
    loaded: &Loaded,
    new: Add,
    password: impl FnOnce() -> Result<Secret, String>,
) -> Result<(), Failure> {
    let path = file(loaded)?;
    check_name(&new.name)?;
    let home = new.home.unwrap_or_else(|| format!("/{}", new.name));
    check_home(&home)?;
    if let Some(storage) = &new.storage
        && !loaded.config.storage.contains_key(storage)
    {
        let names: Vec<_> = loaded.config.storage.keys().map(String::as_str).collect();
        return Err(format!(
            "no storage is named {storage:?}; there are {}",
            names.join(", ")
        )
        .into());
    }
    if new
        .groups
        .iter()
        .any(|group| group.is_empty() || group.chars().any(char::is_control))
    {
        return Err("a group's name is empty or has control characters"
            .to_owned()
            .into());
    }
    let exists = || {
        format!(
            "{:?} is there already; `portcullis user passwd` changes the password",
            new.name
        )
    };
    if users_file::read(&path)?.contains_key(&new.name) {
        return Err(exists().into());
    }
    let hash = hashed(&password()?)?;
    let user = NewUser {
        name: new.name.clone(),
        hash,
        home,
        storage: new.storage,
        groups: new.groups,
        permissions: new.permissions,
    };
    users_file::edit(&path, |document| {
        // Somebody else may have been quicker.
        if document.contains(&user.name) {
            return Err(exists());
        }
        document.add(&user);
        Ok(())
    })?;
    output::print(&format!("added {} to {}\n", user.name, files::short(&path)));
    Ok(())
}

fn passwd(
    loaded: &Loaded,
    name: &str,
    password: impl FnOnce() -> Result<Secret, String>,
) -> Result<(), Failure> {
    let path = file(loaded)?;
    known(&path, name)?;
    let hash = hashed(&password()?)?;
    users_file::edit(&path, |document| document.set_password(name, &hash))?;
    output::print(&format!(
        "changed the password of {name} in {}\n",
        files::short(&path)
    ));
    Ok(())
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

fn list(loaded: &Loaded, page: &PageOptions, json: bool) -> Result<String, Failure> {
    let mut users = users_file::read(&file(loaded)?)?;
    without_hashes(&mut users);
    let total = users.len();
    let all: Vec<_> = users.into_iter().collect();
    let (part, matching) = page.of(all);
    if json {
        let users: serde_json::Map<String, Value> = part.into_iter().collect();
        return Ok(output::json(&users)?);
    }
    let head = ["USER", "HOME", "GROUPS", "PERMISSIONS", "PROOF"].map(str::to_owned);
    let rows: Vec<_> = part.iter().map(|(name, user)| row(name, user)).collect();
    let shown = rows.len();
    let table = output::table(&[vec![head], rows].concat());
    Ok(table + &page.told(shown, matching, total))
}

/// With the kind of each hash, and the second factor, in place of themselves.
pub(super) fn without_hashes(users: &mut serde_json::Map<String, Value>) {
    for user in users.values_mut().filter_map(Value::as_object_mut) {
        if let Some(hash) = user.get_mut("password") {
            let kind = hash
                .as_str()
                .and_then(passwords::kind)
                .unwrap_or("unknown")
                .to_owned();
            *hash = kind.into();
        }
        if let Some(key) = user.get_mut("totp") {
            *key = "set".into();
        }
    }
}

fn row(name: &str, user: &Value) -> [String; 5] {
    let text = |key: &str| user.get(key).and_then(Value::as_str);
    let list = |key: &str| {
        let list = user.get(key).and_then(Value::as_array)?;
        Some(
            list.iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(","),
        )
    };
    let switch = |key: &str| user.get(key).and_then(Value::as_bool).unwrap_or(false);
    // Its kind stands in its place.
    let password = text("password");
    let certificate = list("certificates")
        .filter(|list| !list.is_empty())
        .map(|_| "certificate");
    let join = if switch("require-certificate") {
        " and "
    } else {
        " or "
    };
    let mut proof = [password, certificate]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(join);
    if switch("disabled") {
        proof.push_str(" (disabled)");
    }
    if let Some(expires) = text("expires") {
        proof.push_str(&format!(" (until {})", printable(expires)));
    }
    [
        printable(name),
        text("home").map_or_else(|| printable(&format!("/{name}")), printable),
        list("groups").map_or_else(|| "-".to_owned(), |groups| printable(&groups)),
        list("permissions").map_or_else(|| "all".to_owned(), |names| printable(&names)),
        proof,
    ]
}

/// Escapes control characters, lest they reach a terminal: anybody may have written the file.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// The file that users are in.
pub(super) fn file(loaded: &Loaded) -> Result<std::path::PathBuf, Failure> {
    users_file::path(&loaded.config).map_err(Failure::Configuration)
}

/// That there is a user of this name.
pub(super) fn known(path: &Path, name: &str) -> Result<(), String> {
    if users_file::read(path)?.contains_key(name) {
        return Ok(());
    }
    Err(format!(
        "there is no user {name:?} in {}",
        files::short(path)
    ))
}

fn check_name(name: &str) -> Result<(), String> {
    let why = match name {
        "" => "is empty",
        "." | ".." => "means a directory",
        _ if name.contains('/') => "has a slash",
        _ if name.chars().any(char::is_control) => "has control characters",
        _ if name.len() > 128 => "is longer than 128 bytes",
        _ => return Ok(()),
    };
    Err(format!("the name {name:?} {why}"))
}

pub(super) fn check_home(home: &str) -> Result<(), String> {
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

fn hashed(password: &Secret) -> Result<String, String> {
    let text = password.expose();
    if text.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if text.contains(['\r', '\n', '\0']) {
        return Err("the password has line ends or NUL in it, which FTP cannot carry".to_owned());
    }
    passwords::hash(text)
}

fn password(from_stdin: bool) -> Result<Secret, String> {
    if from_stdin {
        let mut text = Zeroizing::new(String::new());
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| format!("no password: {error}"))?;
        let line = text.strip_suffix('\n').unwrap_or(text.as_str());
        return Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Secret::new)
            .map_err(|error| {
                format!("no password: {error}; --password-stdin reads it from standard input")
            })
    };
    let first = ask("Password: ")?;
    if first != ask("Again: ")? {
        return Err("the two passwords differ".to_owned());
    }
    Ok(first)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unreachable, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn loaded(state: &Path) -> Loaded {
        let mut config = Config::default();
        config.server.state = state.to_owned();
        config.into()
    }

    fn new(name: &str) -> Add {
        let (groups, permissions) = (vec!["staff".to_owned()], vec!["read".to_owned()]);
        let name = name.to_owned();
        Add {
            name,
            password_stdin: true,
            home: None,
            groups,
            permissions,
            storage: None,
        }
    }

    fn secret() -> Result<Secret, String> {
        Ok(Secret::new("secret"))
    }

    #[test]
    fn users_come_change_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let loaded = loaded(&directory.path().join("state"));
        assert_eq!(
            list(&loaded, &PageOptions::default(), false)
                .unwrap()
                .lines()
                .count(),
            1
        );
        add_with(&loaded, new("alice"), secret).unwrap();
        add_with(
            &loaded,
            Add {
                home: Some("/".into()),
                ..new("bob")
            },
            secret,
        )
        .unwrap();
        let again = add_with(&loaded, new("alice"), secret).unwrap_err();
        assert!(again.to_string().contains("user passwd"), "{again}");

        let hash = |name: &str| {
            let users = users_file::read(&file(&loaded).unwrap()).unwrap();
            users
                .get(name)
                .unwrap()
                .get("password")
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(passwords::verify("secret", &hash("alice")), Ok(true));
        passwd(&loaded, "alice", || Ok(Secret::new("other"))).unwrap();
        assert_eq!(passwords::verify("other", &hash("alice")), Ok(true));

        let table = list(&loaded, &PageOptions::default(), false).unwrap();
        let lines: Vec<_> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .collect();
        assert_eq!(lines[1], ["alice", "/alice", "staff", "read", "argon2id"]);
        assert_eq!(lines[2], ["bob", "/", "staff", "read", "argon2id"]);
        assert!(
            !list(&loaded, &PageOptions::default(), true)
                .unwrap()
                .contains("$argon2id$")
        );

        remove(&loaded, "alice").unwrap();
        let gone = remove(&loaded, "alice").unwrap_err();
        assert!(
            gone.to_string().starts_with("there is no user \"alice\""),
            "{gone}"
        );
        assert!(passwd(&loaded, "alice", secret).is_err());
    }

    #[test]
    fn what_cannot_be_a_user_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let loaded = loaded(directory.path());
        for name in ["", ".", "..", "a/b", "a\nb", &"x".repeat(129)] {
            assert!(add_with(&loaded, new(name), secret).is_err(), "{name:?}");
        }
        for home in ["", "a", "/..", "/a/../b", "/a//b", "/\u{7}"] {
            let home = Some(home.to_owned());
            assert!(add_with(&loaded, Add { home, ..new("a") }, secret).is_err());
        }
        for password in ["", "a\nb", "a\0"] {
            assert!(add_with(&loaded, new("a"), || Ok(Secret::new(password))).is_err());
        }
        let storage = Some("nowhere".to_owned());
        assert!(
            add_with(
                &loaded,
                Add {
                    storage,
                    ..new("a")
                },
                secret
            )
            .is_err()
        );
        assert!(!directory.path().join("users.toml").exists());
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let user =
            serde_json::json!({ "home": "/\u{1b}[2J", "certificates": ["CN=x"], "disabled": true });
        let row = row("a\u{7}", &user);
        assert_eq!(row[0], "a\\u{7}");
        assert_eq!(row[1], "/\\u{1b}[2J");
        assert_eq!(row[4], "certificate (disabled)");
    }

    #[test]
    fn without_a_file_of_users_there_is_nothing_to_edit() {
        let mut config = Config::default();
        config.plugin.clear();
        assert!(file(&config.clone().into()).is_err());
        config.plugin = crate::config::Config::default().plugin;
        config
            .plugin
            .iter_mut()
            .for_each(|plugin| plugin.settings.clear());
        assert!(
            file(&config.into())
                .unwrap_err()
                .to_string()
                .contains("users = { file")
        );
    }
}

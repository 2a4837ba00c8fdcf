//! `portcullis user add` and `user passwd`.

use std::io::{self, Read};

use clap::{Args, builder::PossibleValuesParser};
use zeroize::Zeroizing;

use super::{PERMISSIONS, UsersOf, check_home, check_storage, defaults::Defaults, known};
use crate::{
    cli::{
        Failure, files, output,
        users_file::{self, NewUser},
    },
    ftp::secret::Secret,
    passwords,
};

#[derive(Args, Debug)]
#[group(id = "new-user")]
pub struct Add {
    /// The name that the user logs in with
    pub(super) name: String,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    pub(super) password_stdin: bool,
    /// The directory that the user sees as "/", within the storage [default: "/" and the name]
    #[arg(long, value_name = "DIR")]
    pub(super) home: Option<String>,
    /// A group, for the other plugins; as often as wanted
    #[arg(long = "group", value_name = "G")]
    pub(super) groups: Vec<String>,
    /// The most the user may do [default: all]
    #[arg(long, value_name = "P,…", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(PERMISSIONS))]
    pub(super) permissions: Vec<String>,
    /// The storage, by its name in the configuration
    #[arg(long, value_name = "S")]
    pub(super) storage: Option<String>,
}

/// Adds a user, and asks for the password.
pub(super) fn add(users: &UsersOf, new: Add) -> Result<(), Failure> {
    let stdin = new.password_stdin;
    add_with(users, new, || password(stdin))
}

pub(super) fn add_with(
    users: &UsersOf,
    new: Add,
    password: impl FnOnce() -> Result<Secret, String>,
) -> Result<(), Failure> {
    let path = users.file()?;
    check_name(&new.name)?;
    // Written, lest a name that is given once more gets at the files of somebody else; but for a home
    // that a group gives.
    let groups = new.groups.iter().map(String::as_str);
    let defined = users.groups()?;
    let by_group = Defaults::of(users, &defined, &new.name, groups).by_group("home");
    let home = match (new.home, by_group) {
        (None, Some(_)) => None,
        (home, _) => Some(home.unwrap_or_else(|| format!("/{}", new.name))),
    };
    if let Some(home) = &home {
        check_home(home)?;
    }
    if let Some(storage) = &new.storage {
        check_storage(users, storage)?;
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
        hash: Some(hash),
        home,
        storage: new.storage,
        groups: new.groups,
        permissions: new.permissions,
        ..NewUser::default()
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

/// Gives a user the password that `password` brings.
pub(super) fn passwd(
    users: &UsersOf,
    name: &str,
    password: impl FnOnce() -> Result<Secret, String>,
) -> Result<(), Failure> {
    let path = users.file()?;
    known(&path, name)?;
    let hash = hashed(&password()?)?;
    users_file::edit(&path, |document| document.set_password(name, &hash))?;
    output::print(&format!(
        "changed the password of {name} in {}\n",
        files::short(&path)
    ));
    Ok(())
}

pub(in crate::cli) fn check_name(name: &str) -> Result<(), String> {
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

/// Asks for a password, or reads it.
pub(super) fn password(from_stdin: bool) -> Result<Secret, String> {
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

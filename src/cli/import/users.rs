//! The users that are written.

use std::{collections::BTreeSet, path::PathBuf};

use toml_edit::{Array, Value};

use super::{
    hash,
    permissions::Permissions,
    report::{Place, Report},
    source,
};
use crate::{
    cli::{
        user::check_name,
        users_file::{Document, NewUser},
    },
    passwords,
};

/// One user of a source.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub place: Place,
    /// The password as it is there.
    pub password: Password,
    /// A path of the machine, if it is known.
    pub home: Option<PathBuf>,
    /// In ours: the storage, if it is not the default, and the path in it.
    pub placed: Option<(Option<String>, String)>,
    pub permissions: Permissions,
    pub groups: Vec<String>,
    /// Other keys, as the users file has them.
    pub keys: Vec<(&'static str, Value)>,
    /// Facts for other plugins.
    pub attributes: Vec<(&'static str, String)>,
    /// Why the user is kept out.
    pub disabled: Option<String>,
}

/// A password as a source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// None that anybody could log in with.
    None,
    /// In the form of a hash, of whatever kind.
    Hash(String),
    /// In the clear: it is hashed, and never written.
    Clear(String),
}

impl User {
    pub fn new(name: &str, place: &Place, password: Password) -> Self {
        Self {
            name: name.to_owned(),
            place: place.clone(),
            password,
            home: None,
            placed: None,
            permissions: Permissions::all(),
            groups: Vec::new(),
            keys: Vec::new(),
            attributes: Vec::new(),
            disabled: None,
        }
    }

    /// Gives a key a value in place of another one.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.keys.retain(|(other, _)| *other != key);
        self.keys.push((key, value.into()));
    }

    /// The same of a limit of which 0 is none.
    pub fn limit(&mut self, key: &'static str, number: u64) {
        match (number, i64::try_from(number)) {
            (1.., Ok(number)) => self.set(key, number),
            _ => self.keys.retain(|(other, _)| *other != key),
        }
    }

    /// The same of a rate or a size.
    pub fn size(&mut self, key: &'static str, bytes: u64) {
        match bytes {
            0 => self.keys.retain(|(other, _)| *other != key),
            bytes => self.set(key, source::size(bytes)),
        }
    }

    /// Networks from which the user may come; what is none is named.
    pub fn addresses<'a>(
        &mut self,
        networks: impl Iterator<Item = &'a str>,
        name: &str,
        report: &mut Report,
    ) {
        let mut list = Array::new();
        for network in networks.map(str::trim).filter(|text| !text.is_empty()) {
            match source::network(network) {
                Some(network) => list.push(network),
                None => {
                    let why = format!(
                        "{network:?} is no network; names of hosts are not looked up, so {} cannot come \
                         from there",
                        self.name
                    );
                    report.lost(&self.place, name, why);
                }
            }
        }
        if list.is_empty() {
            self.disabled = Some("no address is left from which to come".to_owned());
        } else {
            self.set("addresses", list);
        }
    }
}

/// All users, by the order of the sources.
#[derive(Default)]
pub struct Users {
    users: Vec<User>,
    names: BTreeSet<String>,
    summary: (usize, usize),
    /// Whether some of their hashes take seconds.
    pub costly: bool,
}

impl Users {
    /// Adds a user. Of two with one name the first counts.
    pub fn add(&mut self, user: User, report: &mut Report) {
        if let Err(why) = check_name(&user.name) {
            report.error(format!("{}: {why}", user.place));
            return;
        }
        if !self.names.insert(user.name.clone()) {
            let why = "there is a user of this name already, who counts";
            report.lost(&user.place, &user.name, why);
            return;
        }
        self.users.push(user);
    }

    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.users.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut User> {
        self.users.iter_mut()
    }

    /// The user of this name.
    pub fn find(&mut self, name: &str) -> Option<&mut User> {
        if !self.names.contains(name) {
            return None;
        }
        self.users.iter_mut().find(|user| user.name == name)
    }

    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The text of users.toml. Users whose password cannot be verified are kept out, and named.
    ///
    /// # Errors
    /// When the system has no random numbers, or the text cannot be made.
    pub fn text(&mut self, report: &mut Report) -> Result<String, String> {
        let mut document = Document::empty()?;
        let mut kept_out = 0;
        for user in &self.users {
            let mut disabled = user.disabled.clone();
            let hash = match &user.password {
                Password::None => None,
                Password::Clear(password) => {
                    let why = "the password was in the clear there; it is hashed here";
                    report.note(&user.place, &user.name, why);
                    Some(passwords::hash(password)?)
                }
                Password::Hash(hash) => match hash::carry_over(hash) {
                    Ok(hash) => {
                        if hash::is_costly(&hash) {
                            let text = "its hash takes seconds of computing at each login; `portcullis user \
                                        passwd` makes one that takes less";
                            report.note(&user.place, &user.name, text);
                            self.costly = true;
                        }
                        Some(hash)
                    }
                    Err(why) => {
                        let by =
                            format!("`portcullis user passwd {}` gives another one", user.name);
                        report.lost(
                            &user.place,
                            &user.name,
                            format!("the password: {why}; {by}"),
                        );
                        None
                    }
                },
            };
            if hash.is_none() && disabled.is_none() {
                disabled = Some("there is no password to verify".to_owned());
            }
            if let Some(why) = &disabled {
                kept_out += 1;
                let text = format!("disabled: {why}");
                report.note(&user.place, &user.name, text);
            }
            document.add(&user.written(hash, disabled.is_some()));
            for (name, value) in &user.attributes {
                document.set_attribute(&user.name, name, Some(value.into()))?;
            }
        }
        self.summary = (self.users.len(), kept_out);
        document.text()
    }

    /// How many there are.
    pub fn summary(&self) -> String {
        let (all, kept_out) = self.summary;
        format!("{all} users, {kept_out} of them disabled")
    }
}

impl User {
    fn written(&self, hash: Option<String>, disabled: bool) -> NewUser {
        let (storage, home) = match &self.placed {
            Some((storage, home)) => (storage.clone(), Some(home.clone())),
            None => (None, None),
        };
        let mut others = self.keys.clone();
        if let Some(permissions) = self.permissions.value() {
            others.push(("permissions", permissions));
        }
        if disabled {
            others.push(("disabled", true.into()));
        }
        NewUser {
            name: self.name.clone(),
            hash,
            home: Some(home.unwrap_or_else(|| format!("/{}", self.name))),
            storage,
            groups: self.groups.clone(),
            permissions: Vec::new(),
            others,
        }
    }
}

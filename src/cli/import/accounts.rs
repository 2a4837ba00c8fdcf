//! Tables of users with a line for each: `NAME:HASH` in all their forms.

use std::path::Path;

use jiff::{Span, civil::Date};

use super::{
    hash::is_des,
    report::{Place, Report},
    source,
    users::Password,
};

/// The line of a user.
#[derive(Clone, Debug)]
pub struct Account {
    pub place: Place,
    pub name: String,
    /// The second field; none where it says that the password is elsewhere.
    pub password: Option<String>,
    /// The user's first group, if the table has one.
    pub gid: Option<String>,
    pub home: Option<String>,
    pub shell: Option<String>,
    /// The last day, if the table has one.
    pub expires: Option<String>,
}

/// Reads tables in the form of passwd(5), shadow(5) or htpasswd(1), and those that `db_load` takes for
/// `pam_userdb`: a line with the name, and a line with the password. A user who is in several has of
/// each what the others lack.
///
/// # Errors
/// When a file cannot be read.
pub fn read(files: &[impl AsRef<Path>], report: &mut Report) -> Result<Vec<Account>, String> {
    let mut all: Vec<Account> = Vec::new();
    for file in files {
        let file = file.as_ref();
        let text = source::read(file)?;
        let found = match source::lines(file, &text).next() {
            Some((_, first)) if !first.contains(':') => pairs(file, &text, report),
            _ => table(file, &text, report),
        };
        if found.is_empty() {
            report.note(&Place::new(file, 0), "users", "there are none in it");
        }
        let before = all.len();
        let names: std::collections::BTreeMap<String, usize> = all
            .iter()
            .enumerate()
            .map(|(index, account)| (account.name.clone(), index))
            .collect();
        for account in found {
            let known = names.get(&account.name).filter(|index| **index < before);
            match known.and_then(|index| all.get_mut(*index)) {
                Some(known) => known.complete(account),
                None => all.push(account),
            }
        }
    }
    Ok(all)
}

impl Account {
    fn complete(&mut self, other: Self) {
        if self.password.is_none() && other.password.is_some() {
            self.password = other.password;
            self.place = other.place;
        }
        self.gid = self.gid.take().or(other.gid);
        self.home = self.home.take().or(other.home);
        self.shell = self.shell.take().or(other.shell);
        self.expires = self.expires.take().or(other.expires);
    }

    /// The password; text that is no hash is one in the clear where such tables may have them.
    pub fn secret(&self, clear: bool) -> Password {
        match self.password.as_deref() {
            None => Password::None,
            Some(text) if text.is_empty() || text.starts_with(['*', '!']) => Password::None,
            Some(text) if !clear || text.starts_with(['$', '{']) || is_des(text) => {
                Password::Hash(text.to_owned())
            }
            Some(text) => Password::Clear(text.to_owned()),
        }
    }
}

fn table(file: &Path, text: &str, report: &mut Report) -> Vec<Account> {
    let mut accounts = Vec::new();
    for (place, line) in source::lines(file, text) {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, password, rest @ ..] = fields.as_slice() else {
            report.error(format!("{place}: expected a name, \":\" and a hash"));
            continue;
        };
        let (gid, home, shell, days) = match rest {
            [_, gid, _, home, shell] => (Some(*gid), Some(*home), Some(*shell), None),
            [_, _, _, _, _, days, _] => (None, None, None, Some(*days)),
            _ => (None, None, None, None),
        };
        let owned = |field: Option<&str>| field.filter(|text| !text.is_empty()).map(str::to_owned);
        accounts.push(Account {
            name: (*name).to_owned(),
            password: (*password != "x").then(|| (*password).to_owned()),
            gid: owned(gid),
            home: owned(home),
            shell: owned(shell),
            expires: days.and_then(last_day),
            place,
        });
    }
    accounts
}

/// The last day of an account that shadow(5) locks so many days after the first of January 1970.
fn last_day(days: &str) -> Option<String> {
    let days: i64 = days.parse().ok()?;
    let first = Date::constant(1970, 1, 1);
    let last = first
        .checked_add(Span::new().try_days(days.checked_sub(1)?).ok()?)
        .ok()?;
    (days > 0).then(|| last.to_string())
}

fn pairs(file: &Path, text: &str, report: &mut Report) -> Vec<Account> {
    let whole = Place::new(file, 0);
    let lines = text.lines().enumerate();
    let mut lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let mut accounts = Vec::new();
    while let Some((index, name)) = lines.next() {
        let place = whole.line(index + 1);
        let Some((_, password)) = lines.next() else {
            report.error(format!(
                "{place}: expected a line with a password below the name"
            ));
            break;
        };
        accounts.push(Account {
            place,
            name: name.trim().to_owned(),
            password: Some(password.to_owned()),
            gid: None,
            home: None,
            shell: None,
            expires: None,
        });
    }
    accounts
}

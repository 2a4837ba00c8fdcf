//! What a user may do, as operators and services write it.

use crate::table::{Error, Table};
use crate::types::{Account, Permissions};

/// What holds for a user however they prove who they are.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The directory that the user sees as "/".
    pub home: String,
    /// The storage, by its name in the server's configuration.
    pub storage: Option<String>,
    /// For path policy and other plugins.
    pub groups: Vec<String>,
    /// The most that the user may do.
    pub permissions: Vec<Permission>,
    /// Sessions at the same time.
    pub max_sessions: Option<u32>,
    /// Seconds.
    pub idle_timeout: Option<u32>,
    /// Bytes a second.
    pub upload_rate: Option<u64>,
    /// Bytes a second.
    pub download_rate: Option<u64>,
    /// Bytes.
    pub max_upload_size: Option<u64>,
    /// Bytes.
    pub quota: Option<u64>,
    /// Files, directories not counted.
    pub quota_files: Option<u32>,
    /// Seconds since 1970 at which the account ends; whoever reads the table sets it.
    pub expires: Option<u64>,
    /// For the reply to the login.
    pub greeting: Option<String>,
    /// Facts for other plugins.
    pub attributes: Vec<(String, String)>,
}

/// One thing that a user may do, named as in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Permission {
    List,
    Download,
    Upload,
    Overwrite,
    Append,
    Delete,
    Rename,
    MakeDirectory,
    RemoveDirectory,
    ChangeMetadata,
}

const READ: &[Permission] = &[Permission::List, Permission::Download];
const WRITE: &[Permission] = &[
    Permission::Upload,
    Permission::Overwrite,
    Permission::Append,
    Permission::Delete,
    Permission::Rename,
    Permission::MakeDirectory,
    Permission::RemoveDirectory,
    Permission::ChangeMetadata,
];

impl Grant {
    /// Takes its keys from `table`; `user` is whose home it is where none is named, and
    /// `permissions` are what it has where the table says nothing of them.
    pub fn take(
        table: &mut Table,
        user: Option<&str>,
        permissions: &[&str],
    ) -> Result<Self, Error> {
        Ok(Self {
            home: home(table, user)?,
            storage: table.text("storage")?,
            groups: table.texts("groups")?.unwrap_or_default(),
            permissions: self::permissions(table, permissions)?,
            max_sessions: table.count("max-sessions")?,
            idle_timeout: table.seconds("idle-timeout")?,
            upload_rate: limit(table, "upload-rate")?,
            download_rate: limit(table, "download-rate")?,
            max_upload_size: limit(table, "max-upload-size")?,
            quota: limit(table, "quota")?,
            quota_files: table.count("quota-files")?,
            expires: None,
            greeting: table.text("greeting")?,
            attributes: attributes(table)?,
        })
    }

    /// The account to accept a login with.
    pub fn account(&self) -> Account {
        let account = Account::new(&self.home);
        account.set_permissions(self.permissions.iter().map(|&one| flag(one)).collect());
        account.set_groups(&self.groups);
        for (name, value) in &self.attributes {
            account.set_attribute(name, value);
        }
        set(self.storage.as_deref(), |name| account.set_storage(name));
        set(self.max_sessions, |count| account.set_max_sessions(count));
        set(self.idle_timeout, |seconds| {
            account.set_idle_timeout(seconds)
        });
        set(self.upload_rate, |rate| account.set_upload_rate(rate));
        set(self.download_rate, |rate| account.set_download_rate(rate));
        set(self.max_upload_size, |bytes| {
            account.set_max_upload_size(bytes)
        });
        set(self.quota, |bytes| account.set_quota(bytes));
        set(self.quota_files, |count| {
            account.set_quota_files(count.into())
        });
        set(self.expires, |seconds| account.set_expiry(seconds));
        set(self.greeting.as_deref(), |text| account.set_greeting(text));
        account
    }
}

fn set<T>(value: Option<T>, set: impl FnOnce(T)) {
    value.map(set);
}

fn flag(permission: Permission) -> Permissions {
    match permission {
        Permission::List => Permissions::LIST,
        Permission::Download => Permissions::DOWNLOAD,
        Permission::Upload => Permissions::UPLOAD,
        Permission::Overwrite => Permissions::OVERWRITE,
        Permission::Append => Permissions::APPEND,
        Permission::Delete => Permissions::DELETE,
        Permission::Rename => Permissions::RENAME,
        Permission::MakeDirectory => Permissions::MAKE_DIRECTORY,
        Permission::RemoveDirectory => Permissions::REMOVE_DIRECTORY,
        Permission::ChangeMetadata => Permissions::CHANGE_METADATA,
    }
}

/// The key `home`, a plain path from "/" on.
fn home(table: &mut Table, user: Option<&str>) -> Result<String, Error> {
    let home = match (table.text("home")?, user) {
        (Some(home), _) => home,
        (None, Some(user)) if is_file_name(user) => return Ok(format!("/{user}")),
        (None, Some(_)) => return Err(table.wrong("home", "needed: the name is no directory's")),
        (None, None) => return Err(table.wrong("home", "needed")),
    };
    let Some(below) = home.strip_prefix('/') else {
        return Err(table.wrong(
            "home",
            &format!("expected a path from \"/\" on, found {home:?}"),
        ));
    };
    if !below.is_empty() && !below.trim_end_matches('/').split('/').all(is_file_name) {
        return Err(table.wrong("home", &format!("{home:?} is not a plain path")));
    }
    Ok(home)
}

/// Whether it names an entry of a directory.
pub fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(|c: char| c == '/' || c.is_control())
}

fn permissions(table: &mut Table, default: &[&str]) -> Result<Vec<Permission>, Error> {
    let mut permissions = Vec::new();
    let names = table.texts("permissions")?;
    let names = match &names {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => default.to_vec(),
    };
    for name in names {
        match name {
            "read" => permissions.extend(READ),
            "write" => permissions.extend(WRITE),
            "all" => permissions.extend(READ.iter().chain(WRITE)),
            "list" => permissions.push(Permission::List),
            "download" => permissions.push(Permission::Download),
            "upload" => permissions.push(Permission::Upload),
            "overwrite" => permissions.push(Permission::Overwrite),
            "append" => permissions.push(Permission::Append),
            "delete" => permissions.push(Permission::Delete),
            "rename" => permissions.push(Permission::Rename),
            "make-directory" => permissions.push(Permission::MakeDirectory),
            "remove-directory" => permissions.push(Permission::RemoveDirectory),
            "change-metadata" => permissions.push(Permission::ChangeMetadata),
            _ => return Err(table.wrong("permissions", &format!("there is no {name:?}"))),
        }
    }
    Ok(permissions)
}

/// A limit of 0 would be read as "none at all" by some and as "no limit" by others.
fn limit(table: &mut Table, key: &str) -> Result<Option<u64>, Error> {
    match table.bytes(key)? {
        Some(0) => Err(table.wrong(key, "expected more than 0; leave the key out for no limit")),
        limit => Ok(limit),
    }
}

fn attributes(table: &mut Table) -> Result<Vec<(String, String)>, Error> {
    let Some(mut table) = table.table("attributes")? else {
        return Ok(Vec::new());
    };
    let mut attributes = Vec::new();
    for name in table.names() {
        if let Some(value) = table.text(&name)? {
            attributes.push((name, value));
        }
    }
    Ok(attributes)
}

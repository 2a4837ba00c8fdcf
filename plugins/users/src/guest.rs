//! The plugin as the server sees it.

use crate::certificate::Shown;
use crate::entry::{Grant, Permission};
use crate::login::{self, Server};
use bindings::exports::portcullis::plugin::authentication::{Credentials, Failure, Guest, Outcome};
use bindings::portcullis::plugin::log::{self, Level};
use bindings::portcullis::plugin::types::{Account, Permissions, Session};
use bindings::portcullis::plugin::{passwords, settings};

#[expect(unsafe_code, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ world: "authenticator", path: "../../wit" });

    export!(Users with_types_in self);
    use super::Users;
}

struct Users;

impl Guest for Users {
    fn authenticate(session: Session, credentials: Credentials) -> Result<Outcome, Failure> {
        // There is no standard error: without this a panic's text would be lost.
        std::panic::set_hook(Box::new(|panic| {
            log::write(Level::Error, &panic.to_string())
        }));

        let server = Connected { session };
        let password = credentials.password.as_deref();
        match login::authenticate(&server, &credentials.user, password) {
            Ok(login::Outcome::Accept(grant)) => Ok(Outcome::Accept(account(&grant))),
            Ok(login::Outcome::Deny(reason)) => Ok(Outcome::Deny(reason.into())),
            Ok(login::Outcome::Abstain) => Ok(Outcome::Abstain),
            Err(what) => Err(Failure::Internal(what)),
        }
    }
}

struct Connected {
    session: Session,
}

impl Server for Connected {
    fn user(&self, name: &str) -> Option<String> {
        settings::lookup("users", name)
    }

    fn anonymous(&self) -> Option<String> {
        settings::get("anonymous")
    }

    fn verify(&self, password: &str, hash: &str) -> Result<bool, String> {
        passwords::verify(password, hash)
    }

    fn certificate(&self) -> Shown {
        Shown {
            subject: self.session.client_certificate_subject(),
            sha256: self.session.client_certificate_sha256(),
        }
    }

    fn address(&self) -> String {
        self.session.client_address()
    }
}

fn account(grant: &Grant) -> Account {
    let account = Account::new(&grant.home);
    account.set_permissions(grant.permissions.iter().map(|&one| flag(one)).collect());
    account.set_groups(&grant.groups);
    for (name, value) in &grant.attributes {
        account.set_attribute(name, value);
    }
    set(grant.storage.as_deref(), |name| account.set_storage(name));
    set(grant.max_sessions, |count| account.set_max_sessions(count));
    set(grant.idle_timeout, |seconds| {
        account.set_idle_timeout(seconds)
    });
    set(grant.upload_rate, |rate| account.set_upload_rate(rate));
    set(grant.download_rate, |rate| account.set_download_rate(rate));
    set(grant.max_upload_size, |bytes| {
        account.set_max_upload_size(bytes)
    });
    set(grant.quota, |bytes| account.set_quota(bytes));
    set(grant.greeting.as_deref(), |text| account.set_greeting(text));
    account
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

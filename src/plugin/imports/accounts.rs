//! Accounts: written by plugins that authenticate, read by those that come after.

use wasmtime::component::Resource;

use super::Result;
use crate::plugin::{
    bindings::imports::portcullis::plugin::types::{HostAccount, Permissions},
    call::Call,
    resources::{Account, to_contract},
};

/// The cost of a number, of the bytes that all accounts of a store may have.
const NUMBER: usize = 8;

impl HostAccount for Call {
    fn new(&mut self, home: String) -> Result<Resource<Account>> {
        self.make_account(home)
    }

    fn home(&mut self, account: Resource<Account>) -> Result<String> {
        Ok(match self.table.get(&account)? {
            Account::Lent(account) => account.home.as_str().into(),
            Account::Own(draft) => draft.home().into(),
        })
    }

    fn storage(&mut self, account: Resource<Account>) -> Result<Option<String>> {
        Ok(match self.table.get(&account)? {
            Account::Lent(account) => account.storage.clone(),
            Account::Own(draft) => draft.storage.clone(),
        })
    }

    fn set_storage(&mut self, account: Resource<Account>, name: String) -> Result<()> {
        Ok(self.draft(&account, name.len())?.set_storage(name)?)
    }

    fn permissions(&mut self, account: Resource<Account>) -> Result<Permissions> {
        Ok(match self.table.get(&account)? {
            Account::Lent(account) => to_contract(account.permissions),
            Account::Own(draft) => draft.permissions.unwrap_or(Permissions::all()),
        })
    }

    fn set_permissions(
        &mut self,
        account: Resource<Account>,
        permissions: Permissions,
    ) -> Result<()> {
        self.draft(&account, NUMBER)?.permissions = Some(permissions);
        Ok(())
    }

    fn groups(&mut self, account: Resource<Account>) -> Result<Vec<String>> {
        Ok(match self.table.get(&account)? {
            Account::Lent(account) => account.groups.clone(),
            Account::Own(draft) => draft.groups.clone(),
        })
    }

    fn set_groups(&mut self, account: Resource<Account>, groups: Vec<String>) -> Result<()> {
        let bytes = groups
            .iter()
            .map(|group| group.len() + size_of::<String>())
            .sum();
        Ok(self.draft(&account, bytes)?.set_groups(groups)?)
    }

    fn attribute(&mut self, account: Resource<Account>, name: String) -> Result<Option<String>> {
        let attributes = match self.table.get(&account)? {
            Account::Lent(account) => &account.attributes,
            Account::Own(draft) => &draft.attributes,
        };
        Ok(attributes.get(&name).cloned())
    }

    fn set_attribute(
        &mut self,
        account: Resource<Account>,
        name: String,
        value: String,
    ) -> Result<()> {
        let bytes = name.len() + value.len() + 2 * size_of::<String>();
        Ok(self.draft(&account, bytes)?.set_attribute(name, value)?)
    }

    fn set_max_sessions(&mut self, account: Resource<Account>, count: u32) -> Result<()> {
        self.draft(&account, NUMBER)?.max_sessions = Some(count);
        Ok(())
    }

    fn set_idle_timeout(&mut self, account: Resource<Account>, seconds: u32) -> Result<()> {
        self.draft(&account, NUMBER)?.idle_timeout = Some(seconds);
        Ok(())
    }

    fn set_upload_rate(&mut self, account: Resource<Account>, rate: u64) -> Result<()> {
        self.draft(&account, NUMBER)?.upload_rate = Some(rate);
        Ok(())
    }

    fn set_download_rate(&mut self, account: Resource<Account>, rate: u64) -> Result<()> {
        self.draft(&account, NUMBER)?.download_rate = Some(rate);
        Ok(())
    }

    fn set_max_upload_size(&mut self, account: Resource<Account>, bytes: u64) -> Result<()> {
        self.draft(&account, NUMBER)?.max_upload_size = Some(bytes);
        Ok(())
    }

    fn set_quota(&mut self, account: Resource<Account>, bytes: u64) -> Result<()> {
        self.draft(&account, NUMBER)?.quota = Some(bytes);
        Ok(())
    }

    fn set_quota_files(&mut self, account: Resource<Account>, count: u64) -> Result<()> {
        self.draft(&account, NUMBER)?.quota_files = Some(count);
        Ok(())
    }

    fn set_expiry(&mut self, account: Resource<Account>, seconds: u64) -> Result<()> {
        self.draft(&account, NUMBER)?.expires = Some(seconds);
        Ok(())
    }

    fn set_greeting(&mut self, account: Resource<Account>, text: String) -> Result<()> {
        Ok(self.draft(&account, text.len())?.set_greeting(text)?)
    }

    /// A session's account stays lent; the guest's own is gone.
    fn drop(&mut self, account: Resource<Account>) -> Result<()> {
        match self.table.get(&account)? {
            Account::Own(_) => drop(self.table.delete(account)?),
            Account::Lent(_) => self.given_back(),
        }
        Ok(())
    }
}

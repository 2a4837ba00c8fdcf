//! The imports that every plugin has: the log, its settings, its state, and password hashing.

use super::Result;
use crate::gate::grounds::Setting;
use crate::plugin::{
    bindings::imports::portcullis::plugin::{log, passwords, settings, state},
    call::{Call, Spared},
    output::Level,
    state::Full,
};

impl log::Host for Call {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.output.say(level, &message);
        Ok(())
    }
}

impl settings::Host for Call {
    fn get(&mut self, key: String) -> Result<Option<String>> {
        let answer = self.settings.get(&key);
        self.read(Setting::Get(key), answer.as_deref());
        Ok(answer)
    }

    fn lookup(&mut self, table: String, key: String) -> Result<Option<String>> {
        let answer = self.settings.lookup(&table, &key);
        self.read(Setting::Lookup(table, key), answer.as_deref());
        Ok(answer)
    }

    fn keys(&mut self, table: String) -> Result<Option<Vec<String>>> {
        let keys = self.settings.keys(&table);
        let answer = keys.as_ref().map(|keys| keys.join("\n"));
        self.read(Setting::Keys(table), answer.as_deref());
        Ok(keys)
    }

    fn all(&mut self) -> Result<String> {
        let all = self.settings.all().to_owned();
        self.read(Setting::All, Some(&all));
        Ok(all)
    }
}

/// A call fails where its state is away: it cannot be decided without.
impl state::Host for Call {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>> {
        Ok(self.plugin.state.get(&key).await?)
    }

    /// A full `state` is no reason to fail: the log says it.
    async fn set(&mut self, key: String, value: Vec<u8>, seconds: Option<u32>) -> Result<()> {
        let _ = self.try_set(key, value, seconds).await?;
        Ok(())
    }

    async fn add(&mut self, key: String, delta: i64, seconds: Option<u32>) -> Result<i64> {
        let sum = self.plugin.state.add(key, delta, seconds).await?;
        Ok(sum.unwrap_or_else(|unkept| unkept))
    }

    async fn try_set(
        &mut self,
        key: String,
        value: Vec<u8>,
        seconds: Option<u32>,
    ) -> Result<std::result::Result<(), ()>> {
        let set = self.plugin.state.set(key, value, seconds).await?;
        Ok(set.map_err(|Full| ()))
    }

    async fn try_add(
        &mut self,
        key: String,
        delta: i64,
        seconds: Option<u32>,
    ) -> Result<std::result::Result<i64, ()>> {
        let sum = self.plugin.state.add(key, delta, seconds).await?;
        Ok(sum.map_err(|_| ()))
    }

    async fn count(&mut self, key: String, delta: i64, seconds: Option<u32>) -> Result<i64> {
        let sum = self.plugin.state.count(key, delta, seconds).await?;
        Ok(sum.unwrap_or_else(|unkept| unkept))
    }

    async fn delete(&mut self, key: String) -> Result<()> {
        self.plugin.state.delete(&key).await?;
        Ok(())
    }
}

impl passwords::Host for Call {
    /// On threads of its own, in the turn of the client's network: a hash takes long on purpose, and
    /// must hold up nobody else. The wait for its turn is not the guest's. An authenticator is told at
    /// once of a password that was right a short while ago.
    async fn verify(
        &mut self,
        password: String,
        hash: String,
    ) -> Result<std::result::Result<bool, String>> {
        let password = crate::ftp::secret::Secret::new(password);
        let verifier = &self.plugin.shared.verifier;
        let scope = self.remembers_passwords().then(|| self.plugin.kept.clone());
        if let Some(scope) = &scope
            && verifier.remembers(scope, &password, &hash)
        {
            self.spared.push(Spared { password, hash });
            return Ok(Ok(true));
        }
        let client = self.client();
        self.clock.pause();
        let mut verification = verifier.verify(client, password, hash, scope);
        verification.begun().await;
        self.clock.resume();
        Ok(verification.verified().await)
    }
}

//! Components that decide who a client is.

use std::sync::Arc;

use wasmtime::Store;

use super::{
    bindings::authenticator::{
        self as bindings, AuthenticatorPre,
        exports::portcullis::plugin::authentication::{Credentials as Given, Outcome as Answered},
    },
    call::Call,
    fault::bounded,
    instances::{Component, Pool},
    output::one_line,
};
use crate::{
    ftp::secret::Secret,
    gate::{
        Fault, FaultKind, SessionInfo,
        authentication::{Authenticator, Credentials, Outcome},
        grounds::Reads,
    },
    types::BoxFuture,
};

impl Component for AuthenticatorPre<Call> {
    type Instance = bindings::Authenticator;

    async fn instantiate(&self, store: &mut Store<Call>) -> wasmtime::Result<Self::Instance> {
        self.instantiate_async(store).await
    }
}

/// By default a fresh instance for every attempt: no password outlives its call.
pub(super) struct ComponentAuthenticator(pub(super) Pool<AuthenticatorPre<Call>>);

impl Authenticator for ComponentAuthenticator {
    fn ask(
        &self,
        session: Arc<SessionInfo>,
        credentials: Credentials,
    ) -> BoxFuture<'_, Result<(Outcome, Reads), Fault>> {
        Box::pin(async {
            let outcome = self.call(session, credentials).await;
            self.0.plugin.health.note(&outcome);
            outcome
        })
    }

    fn change(&self, reads: &Reads) -> Option<String> {
        self.0.plugin.settings.change(reads)
    }

    fn follow(&self) -> BoxFuture<'_, u64> {
        Box::pin(self.0.plugin.settings.follow())
    }
}

impl ComponentAuthenticator {
    async fn call(
        &self,
        session: Arc<SessionInfo>,
        credentials: Credentials,
    ) -> Result<(Outcome, Reads), Fault> {
        let plugin = &self.0.plugin;
        let mut lease = self.0.lease(session).await?;
        lease.store.data_mut().note_reads();
        let clock = lease.store.data().clock.clone();
        let given = Given {
            user: &credentials.user,
            password: credentials.password.as_ref().map(Secret::expose),
            one_time_code: credentials.one_time_code.as_ref().map(Secret::expose),
        };
        let call = async {
            let session = lease.store.data_mut().lend_session()?;
            let instance = self.0.instance(&mut lease).await?;
            let authentication = instance.portcullis_plugin_authentication();
            let store = &mut lease.store;
            let answer = authentication
                .call_authenticate(store, session, given)
                .await?;
            lease.ended(instance);
            Ok(answer)
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        let outcome = match plugin.conclude(&lease.store, answer)? {
            Answered::Accept(account) => {
                let account = lease.store.data_mut().take_account(account);
                let account =
                    account.map_err(|why| plugin.fault(FaultKind::InvalidResponse, why))?;
                Outcome::Accept(Box::new(account))
            }
            Answered::Deny(why) => Outcome::Deny(bounded(why)),
            Answered::Challenge(prompt) => Outcome::Challenge(one_line(prompt)),
            Answered::Abstain => Outcome::Abstain,
        };
        let reads = lease.store.data().reads();
        self.0.put_back(lease);
        Ok((outcome, reads))
    }
}

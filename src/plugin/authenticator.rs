//! Components that decide who a client is.

use std::sync::Arc;

use super::{
    bindings::authenticator::{
        AuthenticatorPre,
        exports::portcullis::plugin::authentication::{Credentials as Given, Outcome as Answered},
    },
    call::Call,
    component::{Plugin, Term},
    fault::bounded,
    output::one_line,
};
use crate::{
    ftp::secret::Secret,
    gate::{
        Answer, Fault, FaultKind, SessionFacts,
        authentication::{Authenticator, Credentials, Outcome},
    },
};

/// A fresh instance for every attempt: no password outlives its call.
pub(super) struct ComponentAuthenticator {
    pub(super) plugin: Arc<Plugin>,
    pub(super) component: AuthenticatorPre<Call>,
}

impl Authenticator for ComponentAuthenticator {
    fn authenticate(
        &self,
        session: Arc<SessionFacts>,
        credentials: Credentials,
    ) -> Answer<'_, Result<Outcome, Fault>> {
        Box::pin(self.ask(session, credentials))
    }
}

impl ComponentAuthenticator {
    async fn ask(
        &self,
        session: Arc<SessionFacts>,
        credentials: Credentials,
    ) -> Result<Outcome, Fault> {
        let plugin = &self.plugin;
        let settings = plugin.settings.current().await;
        let _slot = plugin.slot(Term::Short).await?;
        let mut store = plugin.store(settings, session);
        let clock = store.data().clock.clone();
        let given = Given {
            user: &credentials.user,
            password: credentials.password.as_ref().map(Secret::expose),
            one_time_code: credentials.one_time_code.as_ref().map(Secret::expose),
        };
        let call = async {
            let session = store.data_mut().lend_session()?;
            let instance = self.component.instantiate_async(&mut store).await?;
            let authentication = instance.portcullis_plugin_authentication();
            authentication
                .call_authenticate(&mut store, session, given)
                .await
        };
        let answer = clock.time(plugin.limits.wall_time, call).await;
        match plugin.conclude(&store, answer)? {
            Answered::Accept(account) => {
                let account = store.data_mut().take_account(account);
                let account = account.map_err(|why| plugin.fault(FaultKind::Nonsense, why))?;
                Ok(Outcome::Accept(Box::new(account)))
            }
            Answered::Deny(why) => Ok(Outcome::Deny(bounded(why))),
            Answered::Challenge(prompt) => Ok(Outcome::Challenge(one_line(prompt))),
            Answered::Abstain => Ok(Outcome::Abstain),
        }
    }
}

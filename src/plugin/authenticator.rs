//! Components that decide who a client is.

use std::{mem, net::IpAddr, sync::Arc};

use wasmtime::{Store, component::Val};

use super::{
    bindings::imports::portcullis::plugin::types::Failure,
    call::{Call, Spared},
    fault::bounded,
    instances::{Export, MakeHandle, Pool, World, bind},
    kind::PluginKind,
    output::one_line,
};
use crate::{
    ftp::secret::Secret,
    gate::{
        Fault, Gates, Named, SessionInfo,
        authentication::{self, Credentials, Outcome},
        grounds::Reads,
    },
    types::BoxFuture,
};

bind!(
    "portcullis:plugin/authenticator",
    Authenticator,
    AuthenticatorPre
);
use bindings::exports::portcullis::plugin::authentication::{
    Credentials as Given, Outcome as Answered,
};

impl Export for Authenticator {
    type Question = Credentials;
    type Answer = Answered;

    async fn ask(
        &self,
        store: &mut Store<Call>,
        credentials: Credentials,
    ) -> wasmtime::Result<Result<Answered, Failure>> {
        let session = store.data_mut().lend_session()?;
        let given = Given {
            user: &credentials.user,
            password: credentials.password.as_ref().map(Secret::expose),
            one_time_code: credentials.one_time_code.as_ref().map(Secret::expose),
        };
        let authentication = self.portcullis_plugin_authentication();
        authentication
            .call_authenticate(store, session, given)
            .await
    }
}

/// By default a fresh instance for every attempt: no password outlives its call.
impl World for Authenticator {
    const KIND: &'static PluginKind = &PluginKind::AUTHENTICATOR;
    type Outcome = (Outcome, Reads, Vec<Spared>);
    type Gate = dyn authentication::Authenticator;

    fn begin(call: &mut Call) {
        call.note_reads();
    }

    fn outcome(call: &mut Call, answer: Answered) -> Result<Self::Outcome, String> {
        let outcome = match answer {
            Answered::Accept(account) => Outcome::Accept(Box::new(call.take_account(account)?)),
            Answered::Deny(why) => Outcome::Deny(bounded(why)),
            Answered::Challenge(prompt) => Outcome::Challenge(one_line(prompt)),
            Answered::Abstain => Outcome::Abstain,
        };
        Ok((outcome, call.reads(), mem::take(&mut call.spared)))
    }

    fn trial(handle: MakeHandle<'_>) -> wasmtime::Result<Vec<Val>> {
        let text = |text: &str| Val::String(text.into());
        let password = Val::Option(Some(Box::new(text("nothing"))));
        let credentials = vec![
            ("user".into(), text("nobody")),
            ("password".into(), password),
            ("one-time-code".into(), Val::Option(None)),
        ];
        Ok(vec![handle()?, Val::Record(credentials)])
    }

    fn gate(pool: Pool<Self>) -> Arc<Self::Gate> {
        Arc::new(pool)
    }

    fn chain(gates: &mut Gates) -> &mut Vec<Named<Self::Gate>> {
        &mut gates.authenticators
    }
}

impl Pool<Authenticator> {
    /// Computes hashes that were spared. Only a login that succeeds is quicker for them: else the time would
    /// tell a right password from a wrong one where a second factor, or the address, is wrong as well.
    async fn catch_up(&self, client: IpAddr, spared: Vec<Spared>) {
        let verifier = &self.plugin().shared.verifier;
        for Spared { password, hash } in spared {
            let _ = verifier
                .verify(client, password, hash, None)
                .verified()
                .await;
        }
    }
}

impl authentication::Authenticator for Pool<Authenticator> {
    fn ask(
        &self,
        session: Arc<SessionInfo>,
        credentials: Credentials,
    ) -> BoxFuture<'_, Result<(Outcome, Reads), Fault>> {
        Box::pin(async move {
            let client = session.client.ip();
            let (outcome, reads, spared) = self.call(session, credentials).await?;
            if !matches!(outcome, Outcome::Accept(_)) {
                self.catch_up(client, spared).await;
            }
            Ok((outcome, reads))
        })
    }

    fn change(&self, reads: &Reads) -> Option<String> {
        self.plugin().settings.change(reads)
    }

    fn follow(&self) -> BoxFuture<'_, u64> {
        Box::pin(self.plugin().settings.follow())
    }
}

//! The server's side of the contract: every function that a plugin may call.

mod accounts;
mod services;
pub(super) mod uploads;

use wasmtime::component::Resource;

use super::{
    bindings::imports::portcullis::plugin::types,
    call::Call,
    resources::{Account, Session},
};
use crate::gate::SessionInfo;

type Result<T> = wasmtime::Result<T>;

impl types::Host for Call {}

impl Call {
    fn facts(&self, session: &Resource<Session>) -> Result<&SessionInfo> {
        Ok(&self.table.get(session)?.0)
    }
}

impl types::HostSession for Call {
    fn id(&mut self, session: Resource<Session>) -> Result<String> {
        Ok(self.facts(&session)?.id.as_ref().into())
    }

    fn client_address(&mut self, session: Resource<Session>) -> Result<String> {
        Ok(self.facts(&session)?.client.ip().to_string())
    }

    fn client_port(&mut self, session: Resource<Session>) -> Result<u16> {
        Ok(self.facts(&session)?.client.port())
    }

    fn server_address(&mut self, session: Resource<Session>) -> Result<String> {
        Ok(self.facts(&session)?.server.ip().to_string())
    }

    fn server_port(&mut self, session: Resource<Session>) -> Result<u16> {
        Ok(self.facts(&session)?.server.port())
    }

    fn host(&mut self, session: Resource<Session>) -> Result<Option<String>> {
        Ok(self.facts(&session)?.host.clone())
    }

    fn tls_version(&mut self, session: Resource<Session>) -> Result<Option<String>> {
        Ok(self.facts(&session)?.tls.map(|tls| tls.version.into()))
    }

    fn tls_cipher_suite(&mut self, session: Resource<Session>) -> Result<Option<String>> {
        Ok(self.facts(&session)?.tls.map(|tls| tls.cipher_suite.into()))
    }

    fn client_certificate(&mut self, session: Resource<Session>) -> Result<Option<Vec<u8>>> {
        self.read_certificate();
        let certificate = &self.facts(&session)?.certificate;
        Ok(certificate
            .as_ref()
            .map(|certificate| certificate.der.clone()))
    }

    fn client_certificate_subject(&mut self, session: Resource<Session>) -> Result<Option<String>> {
        self.read_certificate();
        let certificate = &self.facts(&session)?.certificate;
        Ok(certificate
            .as_ref()
            .map(|certificate| certificate.subject.clone()))
    }

    fn client_certificate_sha256(&mut self, session: Resource<Session>) -> Result<Option<String>> {
        self.read_certificate();
        let certificate = &self.facts(&session)?.certificate;
        Ok(certificate
            .as_ref()
            .map(|certificate| certificate.sha256.clone()))
    }

    fn user(&mut self, session: Resource<Session>) -> Result<Option<String>> {
        Ok(self.facts(&session)?.user.as_deref().map(str::to_owned))
    }

    fn account(&mut self, session: Resource<Session>) -> Result<Option<Resource<Account>>> {
        self.facts(&session)?;
        self.lend_account()
    }

    /// The server keeps what it lent: a guest that lets go of it gives up a handle, no more.
    fn drop(&mut self, _: Resource<Session>) -> Result<()> {
        self.given_back();
        Ok(())
    }
}

//! The file that a client is sending, as its inspector reads it.
//!
//! Waiting for the client counts as nothing, and each piece that came starts the guest's time anew;
//! a guest that reads on after the end gets no more time by that.

use wasmtime::component::Resource;

use super::Result;
use crate::{
    gate::upload::Upload,
    plugin::{
        bindings::imports::portcullis::plugin::{
            types::UploadMode,
            uploads::{Host, HostUpload, Interruption},
        },
        call::Call,
    },
    types,
};

/// The most bytes of one read.
const AT_MOST: usize = 1 << 20;

impl Host for Call {}

impl HostUpload for Call {
    fn path(&mut self, upload: Resource<Upload>) -> Result<String> {
        Ok(self.table.get(&upload)?.facts().path.as_str().into())
    }

    fn mode(&mut self, upload: Resource<Upload>) -> Result<UploadMode> {
        Ok(to_contract(self.table.get(&upload)?.facts().mode))
    }

    fn announced_size(&mut self, upload: Resource<Upload>) -> Result<Option<u64>> {
        Ok(self.table.get(&upload)?.facts().announced_size)
    }

    async fn read(
        &mut self,
        upload: Resource<Upload>,
        at_most: u32,
    ) -> Result<std::result::Result<Option<Vec<u8>>, Interruption>> {
        let upload = self.table.get_mut(&upload)?;
        let at_most = usize::try_from(at_most).unwrap_or(AT_MOST).min(AT_MOST);
        let read = match upload.read_now(at_most) {
            Some(bytes) => Ok(Some(bytes)),
            None => {
                self.clock.pause();
                upload.read(at_most).await
            }
        };
        match read {
            Ok(Some(_)) => self.clock.restart(),
            // Nothing of that has been paused.
            Ok(None) | Err(_) => self.clock.resume(),
        }
        // Free of a copy where nobody else holds the piece and the guest takes all of it.
        Ok(read.map(|bytes| bytes.map(Vec::from)).map_err(interruption))
    }

    async fn drain(
        &mut self,
        upload: Resource<Upload>,
    ) -> Result<std::result::Result<(), Interruption>> {
        let upload = self.table.get_mut(&upload)?;
        self.clock.pause();
        let drained = loop {
            match upload.read(usize::MAX).await {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(why) => break Err(interruption(why)),
            }
        };
        self.clock.resume();
        Ok(drained)
    }

    fn size(&mut self, upload: Resource<Upload>) -> Result<u64> {
        Ok(self.table.get(&upload)?.size())
    }

    /// The server's own computing, which is not the guest's to pay for.
    async fn sha256(&mut self, upload: Resource<Upload>) -> Result<String> {
        let upload = self.table.get_mut(&upload)?;
        self.clock.pause();
        let digest = upload.sha256().await;
        self.clock.resume();
        Ok(digest?)
    }

    /// As for the session: the server keeps what it lent.
    fn drop(&mut self, _: Resource<Upload>) -> Result<()> {
        Ok(())
    }
}

/// The contract's word for what happens to a file that is there already.
pub(in crate::plugin) fn to_contract(mode: types::UploadMode) -> UploadMode {
    match mode {
        types::UploadMode::Create => UploadMode::Create,
        types::UploadMode::Overwrite => UploadMode::Overwrite,
        types::UploadMode::Append => UploadMode::Append,
    }
}

fn interruption(why: crate::gate::upload::Interruption) -> Interruption {
    match why {
        crate::gate::upload::Interruption::Aborted => Interruption::Aborted,
        crate::gate::upload::Interruption::TooLarge => Interruption::TooLarge,
    }
}

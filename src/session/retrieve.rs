//! RETR.

use std::io;

use super::{
    Next, UserSession,
    errors::{self, Failure},
    journal::Operation,
    transfer::{Handle, Work},
};
use crate::{
    data::download::{PumpError, send_file},
    ftp::reply::Reply,
    gate::{event::Event, path_policy},
    tls::session::Direction,
};

/// A file of this size goes out at once, whatever the client does.
const LITTLE: u64 = 16 << 10;

impl UserSession<'_> {
    pub(super) async fn retr(&mut self, path: &str) -> io::Result<Next> {
        match self.download(path).await {
            Ok((announcement, work, handle)) => self.announce(announcement, work, handle).await,
            Err(failure) => {
                let reply = self.failed_at("download", path, failure);
                self.answer(reply).await
            }
        }
    }

    async fn download(&mut self, argument: &str) -> Result<(String, Work, Handle), Failure> {
        let restart = std::mem::take(&mut self.connection.parameters.restart);
        // RANG takes the place of REST (draft-bryan-ftp-range); both last for one transfer.
        let (offset, end) = match self.connection.parameters.range.take() {
            Some((first, last)) => (first, last.saturating_add(1)),
            None => (restart, u64::MAX),
        };
        let path = self.resolve(argument)?;
        let user = &*self.user;
        user.policy
            .check(path_policy::Operation::Download, &path)
            .await?;
        let source = user.tree.read(&path).await?;
        self.not_held_back(&path).await?;
        let size = source.metadata().size;
        // RFC 3659 §5: the error of a REST shows on the transfer.
        if offset > size {
            return Err(Reply::new(554, format!("The file has {size} bytes")).into());
        }
        let rates = user.download_rates.clone();
        let ascii = self.connection.parameters.ascii;
        let (transfer, mut handle) = self
            .prepare(Direction::Send, Operation::Download, Some(&path))
            .await?;
        let left = size.min(end) - offset;
        if left <= LITTLE && rates.is_empty() {
            handle = handle.with_little();
        }
        let journal = transfer.journal.clone();
        let announcement = format!(
            "Opening {} mode data connection for {} ({} bytes)",
            if ascii { "ASCII" } else { "BINARY" },
            path.file_name().unwrap_or("/"),
            left
        );
        let work = async move {
            let (mut channel, guard) = match transfer.open().await {
                Ok(opened) => opened,
                Err(reply) => return reply,
            };
            let pump = async {
                let sent = send_file(&mut channel, &*source, offset, end, ascii, &rates).await?;
                channel
                    .finish_and_learn(guard.ending())
                    .await
                    .map_err(PumpError::Connection)?;
                Ok(sent)
            };
            match guard.watch(pump).await {
                Ok(Ok(bytes)) => {
                    let lasted = journal.lasted();
                    journal.emit(&Event::Downloaded {
                        path: &path,
                        bytes,
                        lasted,
                    });
                    Reply::new(226, "Transfer complete")
                }
                Ok(Err(error)) => {
                    journal.pump(Operation::Download, Some(&path), None, &error);
                    errors::pump(&error)
                }
                Err(ended) => {
                    journal.ended(Operation::Download, Some(&path), None, ended);
                    ended.reply()
                }
            }
        };
        Ok((announcement, Box::pin(work), handle))
    }
}

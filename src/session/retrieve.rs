//! RETR.

use std::io;

use super::{
    Next, Session,
    errors::{self, Failure},
    transfer::{Handle, Work},
};
use crate::{
    data::download::{PumpError, send_file},
    ftp::reply::Reply,
    gate::{
        events::{Event, Kind},
        path_policy::Operation,
    },
    tls::{self, session::Direction},
};

impl Session {
    pub(super) async fn retr(&mut self, path: &str) -> io::Result<Next> {
        match self.download(path).await {
            Ok((announcement, work, handle)) => self.transfer(announcement, work, handle).await,
            Err(failure) => self.answer(failure.reply(self.id())).await,
        }
    }

    async fn download(&mut self, argument: &str) -> Result<(String, Work, Handle), Failure> {
        let restart = std::mem::take(&mut self.parameters.restart);
        // RANG takes the place of REST (draft-bryan-ftp-range); both last for one transfer.
        let (offset, end) = match self.parameters.range.take() {
            Some((first, last)) => (first, last.saturating_add(1)),
            None => (restart, u64::MAX),
        };
        let path = self.resolve(argument)?;
        let user = self.logged_in()?;
        user.policy.check(Operation::Download, &path).await?;
        let source = user.tree.read(&path).await?;
        self.not_held_back(&path).await?;
        let size = source.metadata().size;
        // RFC 3659 §5: the error of a REST shows on the transfer.
        if offset > size {
            return Err(Reply::new(554, format!("The file has {size} bytes")).into());
        }
        let rates = user.download_rates.clone();
        let name = user.user.clone();
        let ascii = self.parameters.ascii;
        let (transfer, handle) = self.prepare(Direction::Send).await?;
        let session = transfer.session.clone();
        let (events, facts) = (self.context.events.clone(), self.facts.clone());
        let announcement = format!(
            "Opening {} mode data connection for {} ({} bytes)",
            if ascii { "ASCII" } else { "BINARY" },
            path.file_name().unwrap_or("/"),
            size.min(end) - offset
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
                    tracing::info!(
                        session = &*session,
                        user = name.as_str(),
                        path = path.as_str(),
                        bytes,
                        "sent"
                    );
                    let event = || Event::of(Kind::Download, &facts).path(&path).size(bytes);
                    events.tell(event);
                    Reply::new(226, "Transfer complete")
                }
                Ok(Err(error)) => failed(&error, &session, path.as_str()),
                Err(reply) => reply,
            }
        };
        Ok((announcement, Box::pin(work), handle))
    }
}

/// What a broken pump means for the client.
pub(super) fn failed(error: &PumpError, session: &str, path: &str) -> Reply {
    match error {
        PumpError::Connection(error) => {
            let reason = tls::errors::describe(error);
            tracing::info!(session, path, reason, "the data connection broke");
            Reply::new(426, "The data connection broke, transfer aborted")
        }
        PumpError::Storage(error) => {
            let reply = errors::storage(error, session);
            // The transfer has begun: what is left of the 5xx is that it did not end well.
            if reply.code() == 550 {
                Reply::new(451, error.to_string())
            } else {
                reply
            }
        }
    }
}

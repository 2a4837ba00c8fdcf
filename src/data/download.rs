//! The pump of a download: storage ⇒ TLS.

use std::{io, sync::Arc};

use super::{Channel, open::BUFFER_LIMIT, rate::Rate};
use crate::{
    ftp::ascii::ToNetwork,
    storage::{self, Content},
};

/// Why a pump stopped.
#[derive(Debug)]
pub enum PumpError {
    /// The data connection: 426.
    Connection(io::Error),
    /// The storage: 451 or 452.
    Storage(storage::Error),
}

/// Sends a file from `offset` on, up to `end`; in TYPE A with `ascii`. Returns the bytes read from
/// it.
///
/// # Errors
/// See [`PumpError`].
pub async fn send_file(
    channel: &mut Channel,
    source: &dyn Content,
    offset: u64,
    end: u64,
    ascii: bool,
    rates: &[Arc<Rate>],
) -> Result<u64, PumpError> {
    let left = source.metadata().size.min(end).saturating_sub(offset);
    let portion = rates
        .iter()
        .map(|rate| rate.portion())
        .min()
        .unwrap_or(BUFFER_LIMIT);
    if rates.is_empty() {
        channel.gather();
    }
    // With room behind a small file, one call reads it and finds its end.
    let size = usize::try_from(left.saturating_add(1))
        .unwrap_or(usize::MAX)
        .clamp(512, portion.clamp(512, BUFFER_LIMIT));
    let mut buffer = vec![0; size];
    let mut convert = ascii.then(|| (ToNetwork::new(), Vec::new()));
    let mut at = offset;
    loop {
        let length = match source
            .try_read_at(&mut buffer, at)
            .map_err(PumpError::Storage)?
        {
            Some(length) => length,
            None => {
                let (back, length) = source
                    .read_at(buffer, at)
                    .await
                    .map_err(PumpError::Storage)?;
                buffer = back;
                length
            }
        };
        let was_full = length == buffer.len();
        let length = length.min(usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX));
        let Some(chunk) = buffer.get(..length).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        for rate in rates {
            rate.take(chunk.len()).await;
        }
        match &mut convert {
            None => channel.write_all(chunk).await,
            Some((convert, out)) => {
                out.clear();
                convert.convert(chunk, out);
                channel.write_all(out).await
            }
        }
        .map_err(PumpError::Connection)?;
        at += length as u64;
        if at >= end || !was_full && at >= source.metadata().size {
            break;
        }
    }
    Ok(at - offset)
}

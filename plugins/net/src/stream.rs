//! Streams that do not wait for ever.

use crate::Deadline;
use std::io;
use std::time::Duration;
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// The most that is read at a time.
const PIECE: u64 = 64 * 1024;

/// How long a peer that has spoken has to take the last that was written.
const GRACE: Duration = Duration::from_secs(1);

/// Both directions of a connection on which questions are answered: a peer that speaks while there is
/// no room for more, answers before it has heard everything, and writing fails, so that its answer is
/// read.
#[derive(Debug)]
pub struct Stream {
    pub(crate) input: InputStream,
    pub(crate) output: OutputStream,
    pub(crate) deadline: Deadline,
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at_most = u64::try_from(buffer.len()).unwrap_or(PIECE);
        let bytes = read(&self.input, at_most.min(PIECE), self.deadline)?.unwrap_or_default();
        let Some(target) = buffer.get_mut(..bytes.len()) else {
            return Err(io::Error::other("more came than was asked for"));
        };
        target.copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let heard = self.input.subscribe();
        match write(&self.output, bytes, &heard, self.deadline)? {
            Some(count) => Ok(count),
            None => Err(early()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let heard = self.input.subscribe();
        if flush(&self.output, &heard, self.deadline)? {
            return Ok(());
        }
        // An answer to all of it may be here before it is known that all has been written.
        let left = self.deadline.left().min(GRACE);
        let written = Deadline::after(left).wait(&self.output.subscribe());
        written.map_err(|_| early())?;
        written_so_far(&self.output)
    }
}

fn early() -> io::Error {
    io::Error::other("it answers before it has heard everything")
}

/// Reads at least one byte; none at the end.
pub fn read(input: &InputStream, at_most: u64, deadline: Deadline) -> io::Result<Option<Vec<u8>>> {
    loop {
        match input.read(at_most) {
            Ok(bytes) if bytes.is_empty() && at_most > 0 => deadline.wait(&input.subscribe())?,
            Ok(bytes) => return Ok(Some(bytes)),
            Err(StreamError::Closed) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// Writes as much as there is room for, at least one byte; nothing where `answered` is ready before
/// there is room.
pub fn write(
    output: &OutputStream,
    bytes: &[u8],
    answered: &Pollable,
    deadline: Deadline,
) -> io::Result<Option<usize>> {
    loop {
        let room = output.check_write().map_err(|error| failed(&error))?;
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let piece = bytes.get(..room).unwrap_or_default();
        if !piece.is_empty() || bytes.is_empty() {
            output.write(piece).map_err(|error| failed(&error))?;
            return Ok(Some(room));
        }
        if !deadline.wait_either(&output.subscribe(), answered)? {
            return Ok(None);
        }
    }
}

/// Waits until all is on its way; no longer than until `answered` is ready, and then it says no.
pub fn flush(output: &OutputStream, answered: &Pollable, deadline: Deadline) -> io::Result<bool> {
    output.flush().map_err(|error| failed(&error))?;
    if !deadline.wait_either(&output.subscribe(), answered)? {
        return Ok(false);
    }
    written_so_far(output).map(|()| true)
}

fn written_so_far(output: &OutputStream) -> io::Result<()> {
    let room = output.check_write();
    room.map(drop).map_err(|error| failed(&error))
}

fn failed(error: &StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    }
}

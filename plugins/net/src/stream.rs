//! Streams that do not wait for ever.

use crate::Deadline;
use std::io;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// The most that is read at a time.
const PIECE: u64 = 64 * 1024;

/// Both directions of a connection.
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
        write(&self.output, bytes, self.deadline)
    }

    fn flush(&mut self) -> io::Result<()> {
        flush(&self.output, self.deadline)
    }
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

/// Writes as much as there is room for, at least one byte.
pub fn write(output: &OutputStream, bytes: &[u8], deadline: Deadline) -> io::Result<usize> {
    loop {
        let room = output.check_write().map_err(|error| failed(&error))?;
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let piece = bytes.get(..room).unwrap_or_default();
        if !piece.is_empty() || bytes.is_empty() {
            output.write(piece).map_err(|error| failed(&error))?;
            return Ok(room);
        }
        deadline.wait(&output.subscribe())?;
    }
}

/// Waits until all is on its way.
pub fn flush(output: &OutputStream, deadline: Deadline) -> io::Result<()> {
    output.flush().map_err(|error| failed(&error))?;
    deadline.wait(&output.subscribe())?;
    output
        .check_write()
        .map(drop)
        .map_err(|error| failed(&error))
}

fn failed(error: &StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) => io::Error::other(error.to_debug_string()),
    }
}

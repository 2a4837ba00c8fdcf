//! Commands that came while another one ran.

use std::collections::VecDeque;

use crate::ftp::secret::Line;

/// Bytes of all lines that wait. One line has no more.
const BYTES: usize = 64 << 10;

/// Lines that wait their turn, in their order.
///
/// It takes whatever comes, so that reading never has to stop: memory is bounded by what is counted
/// rather than kept. NOOP is counted, as clients send it for as long as a transfer lasts. A line that
/// finds no room is counted, too, and so is each one behind it: to leave out `CWD a` and then do
/// `DELE b` would be worse than to do neither.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    lines: usize,
    bytes: usize,
    /// QUIT waits: nothing behind it will be executed.
    quits: bool,
}

/// A command whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// To be executed.
    Line(Line),
    /// There was no room for it: to be answered, and not executed.
    Refused,
}

/// How a line waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Its turn comes.
    Own,
    /// Its turn comes, and it is the same as any other of its kind (NOOP).
    Counted,
    /// Its turn comes, and nothing behind it will be executed (QUIT).
    Last,
}

enum Entry {
    Line(Line),
    Noops(u64),
    Refused(u64),
}

impl Queue {
    /// Takes a line. Up to `capacity` lines are kept.
    pub(super) fn push(&mut self, line: Line, turn: Turn, capacity: usize) {
        if self.quits {
            return;
        }
        self.quits = turn == Turn::Last;
        match (self.entries.back_mut(), turn) {
            // One more line, and the last.
            (_, Turn::Last) => {}
            (Some(Entry::Refused(count)), _) | (Some(Entry::Noops(count)), Turn::Counted) => {
                *count += 1;
                return;
            }
            // Each but the first stands behind a line that was kept.
            (_, Turn::Counted) => return self.entries.push_back(Entry::Noops(1)),
            (_, Turn::Own) if self.lines >= capacity || self.bytes + line.len() > BYTES => {
                return self.entries.push_back(Entry::Refused(1));
            }
            (_, Turn::Own) => {}
        }
        self.lines += 1;
        self.bytes += line.len();
        self.entries.push_back(Entry::Line(line));
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (count, waiting) = match self.entries.front_mut()? {
            Entry::Noops(count) => (count, Waiting::Line(Line::new(b"NOOP"))),
            Entry::Refused(count) => (count, Waiting::Refused),
            Entry::Line(_) => {
                let Some(Entry::Line(line)) = self.entries.pop_front() else {
                    return None;
                };
                self.lines -= 1;
                self.bytes -= line.len();
                // It is the last one.
                self.quits &= !self.entries.is_empty();
                return Some(Waiting::Line(line));
            }
        };
        *count -= 1;
        if *count == 0 {
            self.entries.pop_front();
        }
        Some(waiting)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether QUIT waits.
    pub(super) fn quits(&self) -> bool {
        self.quits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut Queue, line: &str, capacity: usize) {
        let turn = match line.split(' ').next() {
            Some("QUIT") => Turn::Last,
            Some("NOOP" | "noop") => Turn::Counted,
            _ => Turn::Own,
        };
        queue.push(Line::new(line.as_bytes()), turn, capacity);
    }

    fn rest(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop())
            .map(|waiting| match waiting {
                Waiting::Line(line) => String::from_utf8_lossy(&line).into_owned(),
                Waiting::Refused => "-".to_owned(),
            })
            .collect()
    }

    #[test]
    fn everything_keeps_its_turn() {
        for (lines, expected) in [
            (
                &["PWD", "noop x", "NOOP", "a"][..],
                &["PWD", "NOOP", "NOOP", "a"][..],
            ),
            (&["1", "2", "3", "4"], &["1", "2", "3", "-"]),
            // From the first that found no room on, none is executed.
            (
                &["1", "2", "3", "4", "NOOP", "5"],
                &["1", "2", "3", "-", "-", "-"],
            ),
            (&["1", "2", "3", "NOOP", "4"], &["1", "2", "3", "NOOP", "-"]),
            (
                &["1", "2", "3", "4", "QUIT", "5"],
                &["1", "2", "3", "-", "QUIT"],
            ),
            (&["QUIT", "QUIT", "NOOP", "1"], &["QUIT"]),
        ] {
            let mut queue = Queue::default();
            for line in lines {
                push(&mut queue, line, 3);
            }
            assert_eq!(queue.quits(), lines.contains(&"QUIT"));
            assert_eq!(rest(&mut queue), expected);
            assert!(queue.is_empty() && !queue.quits());
            assert_eq!((queue.lines, queue.bytes), (0, 0));
        }
    }

    #[test]
    fn room_comes_back_when_all_refusals_have_been_told() {
        let mut queue = Queue::default();
        for line in ["1", "2", "3"] {
            push(&mut queue, line, 2);
        }
        assert_eq!(queue.pop(), Some(Waiting::Line(Line::new(b"1"))));
        // There is room, and yet not before the others' turn.
        push(&mut queue, "4", 2);
        assert_eq!(rest(&mut queue), ["2", "-", "-"]);
        push(&mut queue, "5", 2);
        assert_eq!(rest(&mut queue), ["5"]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut queue = Queue::default();
        let long = "x".repeat(1000);
        for _ in 0..100_000 {
            push(&mut queue, &long, 10_000);
            push(&mut queue, "NOOP", 10_000);
        }
        assert_eq!(queue.lines, BYTES / 1000);
        assert!(queue.bytes <= BYTES);
        assert!(queue.entries.len() <= 2 * queue.lines + 1);
        assert_eq!(rest(&mut queue).len(), 200_000);
        // One line can always wait, however long lines may be.
        push(&mut queue, &"x".repeat(65_536), 1);
        assert_eq!(rest(&mut queue).len(), 1);
    }
}

//! The EICAR test file: 68 harmless bytes that every virus scanner reports.

use memchr::memmem::Finder;

/// Written backwards, so that no scanner takes this plugin itself for the test file.
const RACIE: &[u8; LENGTH] =
    b"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";
const LENGTH: usize = 68;
const OVERLAP: usize = LENGTH - 1;

/// Looks for it in a file that comes in pieces.
#[derive(Debug)]
pub struct Scanner {
    finder: Finder<'static>,
    /// The last bytes of what came before, at its end those of the last piece.
    before: Vec<u8>,
}

impl Default for Scanner {
    fn default() -> Self {
        // Not at compile time, or the bytes would stand in the component after all.
        let signature: Vec<u8> = std::hint::black_box(RACIE).iter().rev().copied().collect();
        Self {
            finder: Finder::new(&signature).into_owned(),
            before: Vec::with_capacity(2 * OVERLAP),
        }
    }
}

impl Scanner {
    /// Whether it lies in this piece, or across the border to those before it.
    pub fn finds(&mut self, piece: &[u8]) -> bool {
        if self.finder.find(piece).is_some() {
            return true;
        }
        let (start, _) = piece.split_at(piece.len().min(OVERLAP));
        if !self.before.is_empty() {
            self.before.extend_from_slice(start);
            if self.finder.find(&self.before).is_some() {
                return true;
            }
        }
        match piece.last_chunk::<OVERLAP>() {
            Some(end) => {
                self.before.clear();
                self.before.extend_from_slice(end);
            }
            None if self.before.is_empty() => self.before.extend_from_slice(start),
            None => {
                let surplus = self.before.len().saturating_sub(OVERLAP);
                self.before.drain(..surplus);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pieces: &[&[u8]]) -> bool {
        let mut scanner = Scanner::default();
        pieces.iter().any(|piece| scanner.finds(piece))
    }

    fn file(before: usize, after: usize) -> Vec<u8> {
        let mut file = vec![b'X'; before];
        file.extend(RACIE.iter().rev());
        file.resize(before + LENGTH + after, b'*');
        file
    }

    #[test]
    fn wherever_it_is_cut() {
        for (before, after) in [(0, 0), (1, 0), (0, 1), (100, 100)] {
            let file = file(before, after);
            assert!(finds(&[&file]));
            for first in 0..=file.len() {
                let (start, rest) = file.split_at(first);
                assert!(finds(&[start, rest]), "{before} {after} {first}");
                for second in (0..=rest.len()).step_by(7) {
                    let (middle, end) = rest.split_at(second);
                    assert!(
                        finds(&[start, middle, end]),
                        "{before} {after} {first} {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn in_pieces_of_any_size() {
        let file = file(200, 200);
        for size in 1..150 {
            assert!(finds(&file.chunks(size).collect::<Vec<_>>()), "{size}");
        }
    }

    #[test]
    fn only_when_it_is_whole() {
        for missing in 0..LENGTH {
            let mut file = file(10, 10);
            file.remove(10 + missing);
            // A byte that was doubled fills the gap.
            if !file
                .windows(LENGTH)
                .any(|window| window.iter().eq(RACIE.iter().rev()))
            {
                assert!(!finds(&[&file]));
                assert!(!finds(&file.chunks(1).collect::<Vec<_>>()));
            }
        }
        assert!(!finds(&[]) && !finds(&[b""]));
    }
}

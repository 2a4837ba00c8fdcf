//! One upload, from its name to its last byte.

use crate::eicar::Scanner;
use crate::kind::{self, HEAD};
use crate::name;
use crate::settings::{Action, Settings};

/// How much to ask for at a time.
const READ: u32 = 256 * 1024;

/// The file that a client is sending.
pub trait Upload {
    /// Where to.
    fn path(&self) -> String;
    /// How long it will be, if the client said so.
    fn announced_size(&self) -> Option<u64>;
    /// The next bytes; none at the end, and when the client has gone.
    fn read(&self, at_most: u32) -> Option<Vec<u8>>;
    /// Waits for all bytes without looking at them.
    fn drain(&self);
}

/// What becomes of the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Accept,
    /// It is not, for this reason.
    Reject(String),
    /// It is kept for a person to look at, for this reason.
    Quarantine(String),
}

/// Decides as early as it can: by the name before the first byte, by the kind after the first few.
/// What is to be kept for a person is waited for to its end.
pub fn inspect(settings: &Settings, upload: &impl Upload) -> Verdict {
    let name = name::of(&upload.path());
    if let Some(reason) = name::refuse(&name, &settings.names) {
        return Verdict::Reject(reason);
    }
    let announced = upload.announced_size();
    if let Some(reason) = announced.and_then(|size| too_large(settings, size)) {
        return Verdict::Reject(reason);
    }
    let caught = |reason| match settings.action {
        Action::Reject => Verdict::Reject(reason),
        Action::Quarantine => {
            // Whoever looks at it wants all of it.
            upload.drain();
            Verdict::Quarantine(reason)
        }
    };

    let extension = name::extension(&name).filter(|_| settings.content);
    let extension = extension
        .filter(|extension| kind::is_known(extension))
        .unwrap_or_default();
    let mut head = (!extension.is_empty()).then(Head::default);
    let mut eicar = settings.eicar.then(Scanner::default);
    let mut size = 0;
    while head.is_some() || eicar.is_some() || settings.max_size.is_some() {
        let piece = upload.read(READ);
        let bytes = piece.as_deref().unwrap_or_default();
        size += bytes.len() as u64;
        if let Some(reason) = too_large(settings, size) {
            return Verdict::Reject(reason);
        }
        if let Some(gathering) = &mut head
            && let Some(enough) = gathering.add(bytes, piece.is_none())
        {
            if let Some(reason) = kind::refuse(extension, enough) {
                return caught(reason);
            }
            head = None;
        }
        if piece.is_none() {
            break;
        }
        if eicar.as_mut().is_some_and(|eicar| eicar.finds(bytes)) {
            return caught("EICAR test file found".into());
        }
    }
    Verdict::Accept
}

fn too_large(settings: &Settings, size: u64) -> Option<String> {
    let max = settings.max_size.filter(|max| size > *max)?;
    Some(format!("Files of more than {max} bytes are not accepted"))
}

/// Gathers the first bytes of a file, which may come one by one.
#[derive(Default)]
struct Head {
    bytes: Vec<u8>,
}

impl Head {
    /// The first bytes, when these are enough, or are all.
    fn add<'a>(&'a mut self, piece: &'a [u8], last: bool) -> Option<&'a [u8]> {
        let missing = HEAD.saturating_sub(self.bytes.len());
        let (start, _) = piece.split_at(piece.len().min(missing));
        if self.bytes.is_empty() && start.len() == HEAD {
            return Some(start); // as a rule: nothing is copied
        }
        self.bytes.extend_from_slice(start);
        (last || self.bytes.len() == HEAD).then_some(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Fake<'a> {
        path: &'a str,
        announced: Option<u64>,
        content: &'a [u8],
        piece: usize,
        read: Cell<usize>,
    }

    impl Upload for Fake<'_> {
        fn path(&self) -> String {
            self.path.into()
        }
        fn announced_size(&self) -> Option<u64> {
            self.announced
        }
        fn read(&self, at_most: u32) -> Option<Vec<u8>> {
            let rest = &self.content[self.read.get()..];
            let length = rest.len().min(self.piece).min(at_most as usize);
            self.read.set(self.read.get() + length);
            (length > 0).then(|| rest[..length].to_vec())
        }
        fn drain(&self) {
            self.read.set(self.content.len());
        }
    }

    /// The verdict, and how much it took to reach it.
    fn judge(settings: &str, path: &str, content: &[u8], piece: usize) -> (Verdict, usize) {
        let settings = Settings::parse(settings).unwrap();
        let upload = Fake {
            path,
            announced: None,
            content,
            piece,
            read: Cell::new(0),
        };
        (inspect(&settings, &upload), upload.read.get())
    }

    fn rejected(reason: &str) -> Verdict {
        Verdict::Reject(reason.into())
    }

    fn eicar() -> Vec<u8> {
        let backwards = b"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";
        backwards.iter().rev().copied().collect()
    }

    #[test]
    fn the_name_before_the_first_byte() {
        let verdict = judge(r#"{"deny-extensions": ["exe"]}"#, "/x.exe", b"MZ", 10);
        assert_eq!(verdict, (rejected("The extension .exe is not accepted"), 0));
    }

    #[test]
    fn the_size_as_soon_as_it_is_exceeded() {
        let reason = "Files of more than 1000 bytes are not accepted";
        let settings = r#"{"max-size": 1000}"#;
        assert_eq!(
            judge(settings, "/x", &[0; 5000], 300),
            (rejected(reason), 1200)
        );
        assert_eq!(
            judge(settings, "/x", &[0; 1000], 300),
            (Verdict::Accept, 1000)
        );
        let upload = Fake {
            path: "/x",
            announced: Some(1001),
            content: b"",
            piece: 1,
            read: Cell::new(0),
        };
        let settings = Settings::parse(settings).unwrap();
        assert_eq!(inspect(&settings, &upload), rejected(reason));
    }

    #[test]
    fn the_kind_after_the_first_bytes() {
        for piece in [1, 7, 1023, 1024, 5000] {
            let (verdict, read) = judge("{}", "/x.png", &[b'x'; 5000], piece);
            assert_eq!(
                verdict,
                rejected("The content is not a PNG image"),
                "{piece}"
            );
            assert!(read < 1024 + piece, "{piece} {read}");
            let (verdict, _) = judge("{}", "/x.png", b"short", piece);
            assert_eq!(
                verdict,
                rejected("The content is not a PNG image"),
                "{piece}"
            );
            let (verdict, read) = judge("{}", "/x.PNG", b"\x89PNG\r\n\x1a\n and more", piece);
            assert_eq!((verdict, read), (Verdict::Accept, 17), "{piece}");
            assert_eq!(judge("{}", "/x.png", b"", piece).0, Verdict::Accept);
        }
        let (verdict, _) = judge(r#"{"content": false}"#, "/x.png", b"text", 9);
        assert_eq!(verdict, Verdict::Accept);
    }

    #[test]
    fn eicar_wherever_it_lies() {
        let eicar = eicar();
        for before in [0, 1, 100, 4096] {
            for piece in [1, 13, 67, 68, 69, 4096, 100_000] {
                let content = [&vec![b'x'; before], eicar.as_slice(), b"more"].concat();
                let verdict = judge("{}", "/x.bin", &content, piece).0;
                assert_eq!(
                    verdict,
                    rejected("EICAR test file found"),
                    "{before} {piece}"
                );
            }
        }
        let content = [&eicar[..], b"more"].concat();
        let (verdict, read) = judge(r#"{"action": "quarantine"}"#, "/x", &content, 10);
        assert_eq!(verdict, Verdict::Quarantine("EICAR test file found".into()));
        assert_eq!(read, content.len(), "all of it is kept");
        assert_eq!(
            judge(r#"{"eicar": false}"#, "/x", &eicar, 10).0,
            Verdict::Accept
        );
    }

    #[test]
    fn reads_no_more_than_it_needs() {
        let content = [0; 5000];
        for (path, read) in [("/x", 0), ("/x.bin", 0), ("/x.txt", 1100)] {
            let verdict = judge(r#"{"eicar": false}"#, path, &content, 100);
            assert_eq!(verdict, (Verdict::Accept, read), "{path}");
        }
        assert_eq!(judge("{}", "/x", &content, 100), (Verdict::Accept, 5000));
    }
}

use std::{fs, path::PathBuf};

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/import");

/// A source in which something is changed is read, or refused in order.
#[test]
fn no_source_ends_the_program() {
    let sources = [
        ("vsftpd", "vsftpd/vsftpd.conf", "vsftpd/virtual_users"),
        ("proftpd", "proftpd/proftpd.conf", "proftpd/ftpd.passwd"),
        (
            "pure-ftpd",
            "pure-ftpd/pure-ftpd.conf",
            "pure-ftpd/pureftpd.passwd",
        ),
        ("sftpgo", "sftpgo/sftpgo.json", "sftpgo/dump.json"),
        ("sftpgo", "sftpgo/sftpgo.yaml", "sftpgo/dump.json"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    const PIECES: [&[u8]; 12] = [
        b"\n",
        b"=",
        b":",
        b" ",
        b"\"",
        b"{",
        b"<",
        b">",
        b"\xff",
        b"99999999999999999999",
        b"-",
        b"/../",
    ];
    for (product, file, users) in sources {
        let name = file.replace('/', "-");
        for round in 0..150 {
            let mut paths: Vec<PathBuf> = Vec::new();
            for (source, changes) in [(file, round % 4), (users, (round + 1) % 3)] {
                let mut bytes = fs::read(format!("{FIXTURES}/{source}")).unwrap();
                for _ in 0..changes {
                    let at = random(bytes.len());
                    let end = (at + random(8)).min(bytes.len());
                    let piece = PIECES[random(PIECES.len())].to_vec();
                    bytes.splice(at..end, piece);
                }
                let name = PathBuf::from(source);
                let path = directory.path().join(name.file_name().unwrap());
                fs::write(&path, bytes).unwrap();
                paths.push(path);
            }
            let import = Import {
                product: Product::from_str(product, true).unwrap(),
                file: paths[0].clone(),
                users: paths[1..].to_vec(),
                out: directory.path().join(format!("{name}-{round}")),
            };
            // Either both files are there, or none is.
            let (_, made) = make(&import);
            let outcome = made.and_then(|made| write(&import.out, &made));
            let made = [CONFIG, USERS].map(|name| import.out.join(name).exists());
            assert_eq!(made, [outcome.is_ok(); 2], "{name} {round}: {outcome:?}");
        }
    }
}

//! suppaftp, with rustls.

use std::{fs, io::Cursor, path::Path};

use suppaftp::{Mode, RustlsConnector, RustlsFtpStream, types::FileType};
use tempfile::TempDir;

use crate::{
    make_tree, same,
    support::{Server, Setup, Tls, USER, content, tls::VERSIONS},
};

fn login(server: &Server, tls: &Tls) -> RustlsFtpStream {
    let tls = tls.apart();
    let connector = RustlsConnector::from(tls.config);
    let mut ftp = RustlsFtpStream::connect(server.address)
        .unwrap()
        .into_secure(connector, "localhost")
        .unwrap();
    ftp.set_mode(Mode::ExtendedPassive);
    ftp.login(USER, USER).unwrap();
    ftp.transfer_type(FileType::Binary).unwrap();
    ftp
}

#[test]
fn everything() {
    for binding in ["prefer", "require"] {
        for version in VERSIONS {
            let server = Setup::new()
                .set("tls.data-binding", &format!("{binding:?}"))
                .start();
            let mut ftp = login(&server, &Tls::version(version));
            let home = server.home();
            let bytes = content(1_000_000, 4);
            // Up, down, lists.
            ftp.put_file("file", &mut Cursor::new(&bytes)).unwrap();
            assert!(ftp.retr_as_buffer("file").unwrap().into_inner() == bytes);
            assert_eq!(ftp.nlst(None).unwrap(), ["file"]);
            let entries = ftp.list(None).unwrap();
            let entry = suppaftp::list::File::try_from(entries[0].as_str()).unwrap();
            assert_eq!((entry.name(), entry.size()), ("file", 1_000_000));
            let facts = ftp.mlsd(None).unwrap();
            assert!(
                facts.iter().any(|line| line.ends_with(" file")),
                "{facts:?}"
            );
            assert_eq!(ftp.size("file").unwrap(), 1_000_000);
            ftp.mdtm("file").unwrap();
            ftp.feat().unwrap();
            // Resumes both ways.
            ftp.resume_transfer(400_000).unwrap();
            let rest = ftp.retr("file", |reader| {
                let mut bytes = Vec::new();
                reader
                    .read_to_end(&mut bytes)
                    .map_err(suppaftp::FtpError::ConnectionError)?;
                Ok(bytes)
            });
            assert!(rest.unwrap() == bytes[400_000..]);
            ftp.put_file("half", &mut Cursor::new(&bytes[..300_000]))
                .unwrap();
            ftp.append_file("half", &mut Cursor::new(&bytes[300_000..]))
                .unwrap();
            assert!(fs::read(home.join("half")).unwrap() == bytes);
            ftp.resume_transfer(500_000).unwrap();
            ftp.put_file("half", &mut Cursor::new(&bytes[500_000..]))
                .unwrap();
            assert!(fs::read(home.join("half")).unwrap() == bytes);
            // Renames, deletes.
            ftp.rename("half", "moved").unwrap();
            ftp.rm("moved").unwrap();
            ftp.rm("file").unwrap();
            assert!(ftp.rm("file").is_err());
            // A tree there and back.
            let place = TempDir::new().unwrap();
            let tree = place.path().join("tree");
            make_tree(&tree);
            send(&mut ftp, &tree, "/tree");
            same(&tree, &home.join("tree"));
            fetch(&mut ftp, "/tree", &place.path().join("back"));
            same(&tree, &place.path().join("back"));
            ftp.quit().unwrap();
        }
    }
}

fn send(ftp: &mut RustlsFtpStream, local: &Path, remote: &str) {
    ftp.mkdir(remote).unwrap();
    for entry in fs::read_dir(local).unwrap().flatten() {
        let name = format!("{remote}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            send(ftp, &entry.path(), &name);
        } else {
            // In TLS 1.3 rustls uses each ticket once, and uploads bring no new ones.
            ftp.nlst(Some(remote)).unwrap();
            ftp.put_file(&name, &mut fs::File::open(entry.path()).unwrap())
                .unwrap();
        }
    }
}

fn fetch(ftp: &mut RustlsFtpStream, remote: &str, local: &Path) {
    fs::create_dir(local).unwrap();
    for line in ftp.mlsd(Some(remote)).unwrap() {
        let (facts, name) = line.split_once(' ').unwrap();
        let from = format!("{remote}/{name}");
        let facts = facts.to_lowercase();
        if facts.contains("type=dir;") {
            fetch(ftp, &from, &local.join(name));
        } else if facts.contains("type=file;") {
            fs::write(
                local.join(name),
                ftp.retr_as_buffer(&from).unwrap().into_inner(),
            )
            .unwrap();
        }
    }
}

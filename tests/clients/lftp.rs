//! lftp.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    expect, installed, make_tree, same,
    support::{Server, Setup, USER, Version, content, tls::VERSIONS},
};

/// Runs a script of lftp's, which ends at the first command that fails.
#[track_caller]
fn lftp(server: &Server, version: Version, directory: &Path, script: &str) -> String {
    let version = match version {
        Version::V12 => "+VERS-TLS1.2",
        Version::V13 => "+VERS-TLS1.3",
    };
    let certificate = server.certificate();
    let script = format!(
        "set cmd:fail-exit yes; set net:timeout 20; set net:max-retries 2; \
         set net:reconnect-interval-base 1; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; \
         set ssl:priority \"NORMAL:-VERS-ALL:{version}\"; set ssl:ca-file {certificate:?}; \
         set ssl:check-hostname no; set ftp:charset UTF-8; \
         open -u {USER},{USER} -p {} ftp://127.0.0.1; {script}",
        server.address.port(),
    );
    let mut command = Command::new("lftp");
    command
        .arg("--norc")
        .arg("-c")
        .arg(script)
        .current_dir(directory);
    // No history, no bookmarks, no certificates of anybody's.
    command
        .env("HOME", directory)
        .env("LFTP_HOME", directory.join(".lftp"));
    expect(&mut command)
}

#[test]
fn everything() {
    if !installed("lftp") {
        return;
    }
    for version in VERSIONS {
        let server = Server::start();
        let home = server.home();
        let place = TempDir::new().unwrap();
        let local = place.path();
        let bytes = content(2_000_000, 2);
        fs::write(local.join("file"), &bytes).unwrap();

        let list = lftp(
            &server,
            version,
            local,
            "put file; ls; cls -l; get file -o copy",
        );
        assert!(list.contains("2000000") && list.contains("file"), "{list}");
        assert!(fs::read(home.join("file")).unwrap() == bytes);
        assert!(fs::read(local.join("copy")).unwrap() == bytes);
        // Resumes both ways.
        fs::write(local.join("copy"), &bytes[..700_000]).unwrap();
        fs::write(home.join("half"), &bytes[..900_000]).unwrap();
        lftp(
            &server,
            version,
            local,
            "get -c file -o copy; put -c file -o half",
        );
        assert!(fs::read(local.join("copy")).unwrap() == bytes);
        assert!(fs::read(home.join("half")).unwrap() == bytes);
        // Renames, deletes, directories, modes.
        lftp(
            &server,
            version,
            local,
            "mv half moved; mkdir 'a b'; mv moved 'a b/moved'; chmod 600 'a b/moved'; rm file",
        );
        assert!(home.join("a b/moved").exists() && !home.join("file").exists());
        lftp(&server, version, local, "rm 'a b/moved'; rmdir 'a b'");
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
        // A tree there and back, with one connection and with several.
        make_tree(&local.join("tree"));
        for parallel in [1, 3] {
            let back = format!("back{parallel}");
            let script = format!(
                "mirror -R --parallel={parallel} tree {back}; mirror --parallel={parallel} {back} {back}"
            );
            lftp(&server, version, local, &script);
            same(&local.join("tree"), &home.join(&back));
            same(&local.join("tree"), &local.join(&back));
        }
        // Nothing is sent again when nothing has changed: times and sizes are right.
        let again = lftp(&server, version, local, "mirror -R --dry-run tree back1");
        assert!(!again.contains("put") && !again.contains("get"), "{again}");
        lftp(&server, version, local, "rm -r back1 back3");
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    }
}

/// Links beside their targets, in whatever order they are removed, and links that never led anywhere.
#[test]
fn regression_trees_with_links_are_removed() {
    if !installed("lftp") {
        return;
    }
    let server = Server::start();
    let home = server.home();
    let place = TempDir::new().unwrap();
    let outside = server.state().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    for (file, directory, link) in [("b", "d", "a"), ("b", "d", "z")] {
        let tree = home.join("tree");
        fs::create_dir_all(tree.join(directory).join("below")).unwrap();
        fs::write(tree.join(directory).join("below/file"), "content").unwrap();
        fs::write(tree.join(file), "content").unwrap();
        for (name, target) in [
            (format!("{link}-file"), file),
            (format!("{link}-directory"), directory),
            (format!("{link}-gone"), "gone"),
            (format!("{link}-outside"), "../../../outside"),
            (format!("{link}-circle"), &*format!("{link}-circle")),
        ] {
            symlink(target, tree.join(name)).unwrap();
        }
        // A link to a directory, which is gone when its turn comes, is told about and removed.
        let script = match link {
            "a" => "rm -r tree; ls",
            _ => "set cmd:fail-exit no; rm -r tree; set cmd:fail-exit yes; ls",
        };
        lftp(&server, Version::V13, place.path(), script);
        assert!(
            !tree.exists(),
            "{link}: {:?}",
            fs::read_dir(&tree).map(|all| all.count())
        );
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    }
}

#[test]
fn where_resumption_is_required() {
    if !installed("lftp") {
        return;
    }
    for version in VERSIONS {
        let server = Setup::new().set("tls.data-binding", "\"require\"").start();
        let place = TempDir::new().unwrap();
        make_tree(&place.path().join("tree"));
        lftp(
            &server,
            version,
            place.path(),
            "mirror -R tree tree; mirror tree back",
        );
        same(&place.path().join("tree"), &place.path().join("back"));
    }
}

#[test]
fn active_mode() {
    if !installed("lftp") {
        return;
    }
    for version in VERSIONS {
        let server = Setup::new().set("data.active", "true").start();
        let place = TempDir::new().unwrap();
        make_tree(&place.path().join("tree"));
        let script = "set ftp:passive-mode off; mirror -R tree tree; mirror tree back";
        lftp(&server, version, place.path(), script);
        same(&place.path().join("tree"), &place.path().join("back"));
    }
}

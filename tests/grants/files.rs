//! Directories and variables.

use std::{fs, os::unix::fs::symlink};

use crate::plugin::Plugin;

#[tokio::test]
async fn a_directory_is_read_and_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let lists = directory.path().join("lists");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("users"), "alice\n").unwrap();
    fs::write(directory.path().join("secret"), "secret").unwrap();
    symlink("../secret", lists.join("out")).unwrap();
    symlink(directory.path().join("secret"), lists.join("far-out")).unwrap();
    symlink("/proc/self/root", lists.join("root")).unwrap();
    symlink("users", lists.join("in")).unwrap();

    let grant = |access: &str| {
        format!("directories = [{{ host = {lists:?}, guest = \"/lists\", access = {access:?} }}]")
    };
    let plugin = Plugin::with(&grant("read")).await;
    assert_eq!(plugin.tries("read /lists/users").await, "alice");
    assert_eq!(plugin.tries("read /lists/in").await, "alice");
    plugin
        .told("list /lists", "far-out in out root users")
        .await;
    for path in [
        "/lists/../secret",
        "/lists/out",
        "/lists/far-out",
        "/lists/root/etc/passwd",
        "/lists//etc/passwd",
        "/etc/passwd",
        "/lists/../lists/users/../../secret",
    ] {
        plugin.told(&format!("read {path}"), "error: ").await;
    }
    for action in [
        "write /lists/users",
        "write /lists/new",
        "delete /lists/users",
    ] {
        plugin.told(action, "error: ").await;
    }
    assert_eq!(fs::read(lists.join("users")).unwrap(), b"alice\n");
    assert!(!lists.join("new").exists());

    let plugin = Plugin::with(&grant("write")).await;
    assert_eq!(plugin.tries("write /lists/new").await, "21 bytes");
    assert_eq!(
        plugin.tries("read /lists/new").await,
        "written by the plugin"
    );
    assert_eq!(plugin.tries("delete /lists/new").await, "deleted");
    for path in ["/lists/out", "/lists/far-out", "/lists/../new"] {
        plugin.told(&format!("write {path}"), "error: ").await;
    }
    assert_eq!(
        fs::read(directory.path().join("secret")).unwrap(),
        b"secret"
    );
    assert!(!directory.path().join("new").exists());

    let plugin = Plugin::with("").await;
    assert_eq!(
        plugin.tries("read /lists/users").await,
        "error: no such directory"
    );
}

#[tokio::test]
async fn variables_are_seen_by_name() {
    // Set for every test by cargo.
    let plugin = Plugin::with("environment = [\"CARGO_PKG_NAME\", \"NOT_SET_ANYWHERE\"]").await;
    assert_eq!(plugin.tries("variables").await, "CARGO_PKG_NAME=portcullis");
    assert_eq!(Plugin::with("").await.tries("variables").await, "");
}

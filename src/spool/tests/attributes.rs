//! Access control lists, extended attributes, security labels: as if written in place.

use std::os::unix::fs::chown;

use rustix::{
    fs::{XattrFlags, getxattr, listxattr, setxattr},
    io::Errno,
};

use super::*;
use crate::types::Durability;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// In the form of acl(5)'s extended attribute: owner, user 65534, group, mask, others.
fn acl([owner, user, group, mask, others]: [u8; 5]) -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (0x01_u16, owner, u32::MAX),
        (0x02, user, 65_534),
        (0x04, group, u32::MAX),
        (0x10, mask, u32::MAX),
        (0x20, others, u32::MAX),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(u16::from(permissions).to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

fn get(file: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1 << 16];
    match getxattr(file, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Some(value)
        }
        Err(Errno::NODATA) => None,
        Err(error) => panic!("{name} of {}: {error}", file.display()),
    }
}

/// Whether the file system of the tests has such attributes.
fn set(file: &Path, name: &str, value: &[u8]) -> bool {
    match setxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::OPNOTSUPP | Errno::PERM) => {
            eprintln!("Left out: {name} cannot be set here");
            false
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

#[tokio::test]
async fn regression_the_mask_gives_the_group_no_rights() {
    for from in [StartAt::Start, StartAt::End] {
        let fixture = Fixture::new().await;
        fixture.write("file", "old");
        let file = fixture.home().join("file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        // The group may read; the mask, and so the mode, says what the named user may.
        let list = acl([6, 6, 4, 6, 0]);
        if !set(&file, ACCESS, &list) {
            return;
        }
        assert_eq!(fixture.mode("file"), 0o660);
        let mut part = fixture.stage("/file", from, "new").await;
        part.publish(&path("/file"), true).await.unwrap();
        assert_eq!(get(&file, ACCESS), Some(list.clone()));
        assert_eq!(fixture.mode("file"), 0o660);
        // Where there is none any more, none comes back.
        rustix::fs::removexattr(&file, ACCESS).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        fixture.put("/file", "newer").await.unwrap();
        assert_eq!((get(&file, ACCESS), fixture.mode("file")), (None, 0o604));
    }
}

#[tokio::test]
async fn attributes_of_what_is_replaced_stay() {
    for durability in [Durability::None, Durability::FileAndDirectory] {
        let fixture = Fixture::with(|config| config.durability = durability).await;
        fixture.write("file", "old");
        let file = fixture.home().join("file");
        let long = vec![b'x'; 3000];
        let values: [(&str, &[u8]); 3] = [
            ("user.comment", b"kept"),
            ("user.empty", b""),
            ("user.long", &long),
        ];
        for (name, value) in values {
            if !set(&file, name, value) {
                return;
            }
        }
        // These belong to the content, or go when somebody writes.
        set(&file, "user.portcullis.sha256", b"of the old one");
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set(&file, "security.capability", &capability);
        let labelled = set(&file, "security.selinux", b"u:object_r:public_t:s0\0");
        fixture.put("/file", "new").await.unwrap();
        assert_eq!(fixture.content("file"), "new");
        for (name, value) in values {
            assert_eq!(get(&file, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(get(&file, "user.portcullis.sha256"), None);
        assert_eq!(get(&file, "security.capability"), None);
        if labelled {
            assert!(get(&file, "security.selinux").is_some());
        }
    }
}

#[tokio::test]
async fn new_files_have_what_their_directory_gives() {
    for (file_mode, mask, others) in [(0o644, 4, 4), (0o660, 6, 0), (0o600, 0, 0)] {
        let fixture = Fixture::with(|config| config.file_mode = file_mode).await;
        let shared = fixture.home().join("shared");
        fs::create_dir(&shared).unwrap();
        if !set(&shared, DEFAULT, &acl([7, 6, 5, 7, 5])) {
            return;
        }
        let given = acl([6, 6, 5, mask, others]);
        fixture.put("/shared/file", "new").await.unwrap();
        assert_eq!(get(&shared.join("file"), ACCESS), Some(given.clone()));
        // As the system itself would have it.
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        let mode = rustix::fs::Mode::from_raw_mode(file_mode);
        rustix::fs::open(shared.join("other"), flags, mode).unwrap();
        assert_eq!(get(&shared.join("other"), ACCESS), Some(given));
        let modes = ["file", "other"].map(|name| fixture.mode(&format!("shared/{name}")));
        assert_eq!(modes[0], modes[1]);
        // One that was made ready for here, and then is published elsewhere, has none.
        let mut part = fixture.stage("/shared/third", StartAt::Start, "x").await;
        fs::write(shared.join("third"), "faster").unwrap();
        assert_error!(
            part.publish(&path("/shared/third"), false).await,
            Error::Exists
        );
        part.publish(&path("/plain"), false).await.unwrap();
        assert_eq!(get(&fixture.home().join("plain"), ACCESS), None);
        assert_eq!(fixture.mode("plain"), file_mode);
    }
}

/// Staging lies where a list may be given to all that is new.
#[tokio::test]
async fn the_list_of_staging_is_nobodys() {
    let fixture = Fixture::new().await;
    let state = fixture.directory.path().join("state");
    let staging = fixture.local.staging().to_owned();
    if !set(&staging, DEFAULT, &acl([7, 7, 7, 7, 7])) || !set(&state, DEFAULT, &acl([7; 5])) {
        return;
    }
    let fixture = fixture.restart().await;
    for name in ["/file", "/file"] {
        fixture.put(name, "x").await.unwrap();
        let file = fixture.home().join("file");
        assert_eq!((get(&file, ACCESS), fixture.mode("file")), (None, 0o644));
    }
}

#[tokio::test]
async fn owner_and_list_together() {
    let fixture = Fixture::new().await;
    fixture.write("file", "old");
    let file = fixture.home().join("file");
    let list = acl([6, 7, 4, 7, 4]);
    if chown(&file, Some(1234), Some(5678)).is_err() || !set(&file, ACCESS, &list) {
        return;
    }
    fixture.put("/file", "new").await.unwrap();
    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.uid(), found.gid()), (1234, 5678));
    assert_eq!(get(&file, ACCESS), Some(list));
    let mut names = vec![0; 1000];
    let length = listxattr(&file, &mut names[..]).unwrap();
    assert_eq!(&names[..length], b"system.posix_acl_access\0");
}

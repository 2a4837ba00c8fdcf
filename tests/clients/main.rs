//! Real clients against the real server. Those in daily use list, upload, download, resume both ways,
//! rename, delete, and mirror a tree, in TLS 1.2 and 1.3; the others do what they do in their own way.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

mod aioftp;
mod basic_ftp;
mod curl;
mod ftp_ssl;
mod ftplib;
mod lftp;
mod net_ftp;
mod suppaftp;

use std::{collections::BTreeMap, fs, path::Path};

use support::{
    content,
    program::{expect, installed, run},
};

/// Names that break what does not quote, encode or trim with care.
const TREE: &[(&str, usize)] = &[
    ("plain.txt", 1000),
    ("empty", 0),
    ("with blanks  in it.bin", 70_000),
    ("größe ☃.txt", 10),
    ("a directory/inner file.dat", 300_000),
    ("a directory/üben/Ж/deep", 5),
    ("quote's and #hash & 100%.txt", 20),
];

/// Makes the tree below a directory.
fn make_tree(directory: &Path) {
    for (name, length) in TREE {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(*length, *length as u64)).unwrap();
    }
}

/// All files below a directory and the digests of what they hold.
fn digests(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    support::server::walk(directory, &mut |path| {
        let name = path
            .strip_prefix(directory)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let bytes = fs::read(path).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        found.insert(name, support::tls::hex(digest.as_ref()));
    });
    found
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    assert_eq!(digests(one), digests(other));
}

//! Facts as they are chosen, shown and left out.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::ftp::metadata::Partial;

const EVERYTHING: Allowed = Allowed {
    list: true,
    enter: true,
    download: true,
    upload: true,
    append: true,
    delete: true,
    rename: true,
    make_directory: true,
    remove_directory: true,
    create: true,
};

fn metadata(kind: Kind) -> Metadata {
    Metadata {
        kind,
        size: 25_730,
        modified: UNIX_EPOCH + Duration::from_millis(1_709_251_199_999),
        mode: 0o4755,
        links: 1,
        owner: 1000,
        group: 100,
        unique: (0xfd00, 42),
        partial: None,
    }
}

fn line(name: &str, kind: Kind, facts: &Facts, entry: EntryKind, allowed: Allowed) -> String {
    let mut out = b"before\r\n".to_vec();
    write_mlsx(&mut out, name, &metadata(kind), facts, entry, allowed);
    let text = String::from_utf8_lossy(&out).into_owned();
    text.trim_start_matches("before\r\n").to_owned()
}

#[test]
fn entries_of_every_kind() {
    let times = "modify=20240229235959;";
    let rest = "unique=fd00g2a;UNIX.mode=4755;UNIX.owner=1000;UNIX.group=100; a b";
    for (kind, entry, expected) in [
        (
            Kind::File,
            EntryKind::Plain,
            format!("type=file;size=25730;{times}perm=adfrw;{rest}"),
        ),
        (
            Kind::Directory,
            EntryKind::Plain,
            format!("type=dir;{times}perm=cdeflmp;{rest}"),
        ),
        (
            Kind::Directory,
            EntryKind::Current,
            format!("type=cdir;{times}perm=cdeflmp;{rest}"),
        ),
        (
            Kind::Directory,
            EntryKind::Parent,
            format!("type=pdir;{times}perm=cdeflmp;{rest}"),
        ),
        (
            Kind::Link,
            EntryKind::Plain,
            format!("type=OS.unix=slink;{times}perm=df;{rest}"),
        ),
        (
            Kind::Other,
            EntryKind::Plain,
            format!("type=OS.unix=special;{times}perm=df;{rest}"),
        ),
    ] {
        assert_eq!(
            line("a b", kind, &Facts::all(), entry, EVERYTHING),
            expected
        );
    }
}

#[test]
fn each_fact_alone() {
    for (name, expected) in [
        ("type", "type=file; f"),
        ("size", "size=25730; f"),
        ("MODIFY", "modify=20240229235959; f"),
        ("Perm", "perm=; f"),
        ("unique", "unique=fd00g2a; f"),
        ("unix.MODE", "UNIX.mode=4755; f"),
        ("UNIX.owner", "UNIX.owner=1000; f"),
        ("UNIX.group", "UNIX.group=100; f"),
        ("", " f"),
    ] {
        let facts = Facts::select(name);
        let found = line(
            "f",
            Kind::File,
            &facts,
            EntryKind::Plain,
            Allowed::default(),
        );
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_broken_upload_has_a_fact_of_its_own() {
    let file = Metadata {
        partial: Some(Partial {
            size: 200,
            modified: UNIX_EPOCH,
        }),
        ..metadata(Kind::File)
    };
    let facts = Facts::select("size;modify;X.Partial");
    let mut out = Vec::new();
    let none = Allowed::default();
    write_mlsx(&mut out, "f", &file, &facts, EntryKind::Plain, none);
    assert_eq!(out, b"size=25730;modify=20240229235959;X.partial=200; f");
    out.clear();
    let told = file.or_partial();
    write_mlsx(&mut out, "f", &told, &facts, EntryKind::Plain, none);
    assert_eq!(out, b"size=200;modify=19700101000000;X.partial=200; f");
}

#[test]
fn each_permission_alone() {
    let facts = Facts::select("perm");
    let none = Allowed::default();
    for (allowed, file, directory) in [
        (none, "", ""),
        (Allowed { list: true, ..none }, "", "l"),
        (
            Allowed {
                enter: true,
                ..none
            },
            "",
            "e",
        ),
        (
            Allowed {
                download: true,
                ..none
            },
            "r",
            "",
        ),
        (
            Allowed {
                upload: true,
                ..none
            },
            "w",
            "",
        ),
        (
            Allowed {
                append: true,
                ..none
            },
            "a",
            "",
        ),
        (
            Allowed {
                delete: true,
                ..none
            },
            "d",
            "p",
        ),
        (
            Allowed {
                rename: true,
                ..none
            },
            "f",
            "f",
        ),
        (
            Allowed {
                make_directory: true,
                ..none
            },
            "",
            "m",
        ),
        (
            Allowed {
                remove_directory: true,
                ..none
            },
            "",
            "d",
        ),
        (
            Allowed {
                create: true,
                ..none
            },
            "",
            "c",
        ),
    ] {
        for (kind, letters) in [(Kind::File, file), (Kind::Directory, directory)] {
            let found = line("f", kind, &facts, EntryKind::Plain, allowed);
            assert_eq!(found, format!("perm={letters}; f"), "{allowed:?}");
        }
    }
}

#[test]
fn facts_are_chosen_and_shown() {
    let all = "type*;size*;modify*;perm*;unique*;UNIX.mode*;UNIX.owner*;UNIX.group*;X.partial*;";
    assert_eq!(Facts::default().feature_line(), format!("MLST {all}"));
    assert_eq!(Facts::default().list(), all.replace('*', ""));
    for (names, list) in [
        ("", ""),
        (";;;", ""),
        ("nothing;", ""),
        ("typ;types;", ""),
        ("Type;", "type;"),
        ("SIZE;type", "type;size;"),
        ("unix.mode;nothing;modify;modify;", "modify;UNIX.mode;"),
    ] {
        assert_eq!(Facts::select(names).list(), list, "{names:?}");
    }
    let some = "MLST type*;size;modify;perm;unique;UNIX.mode;UNIX.owner;UNIX.group;X.partial;";
    assert_eq!(Facts::select("type;").feature_line(), some);
}

#[test]
fn regression_names_never_split_a_line() {
    let none = Facts::select("");
    for (name, expected) in [
        ("227 Entering\r\n250 End", " 227 Entering__250 End"),
        (" leading; type=dir;", "  leading; type=dir;"),
        ("\u{7f}\0\u{1b}", " ___"),
        ("/ünï/文", " /ünï/文"),
    ] {
        let found = line(name, Kind::File, &none, EntryKind::Plain, EVERYTHING);
        assert_eq!(found, expected);
    }
    let mut out = Vec::new();
    let file = metadata(Kind::File);
    write_mlsd_line(&mut out, "a\nb", &file, &none, EntryKind::Plain, EVERYTHING);
    assert_eq!(out, b" a_b\r\n");
}

#[test]
fn the_longest_facts_fit_into_what_is_reserved() {
    let mut longest = metadata(Kind::File);
    longest.size = u64::MAX;
    longest.owner = u32::MAX;
    longest.group = u32::MAX;
    longest.unique = (u64::MAX, u64::MAX);
    longest.partial = Some(Partial {
        size: u64::MAX,
        modified: longest.modified,
    });
    let mut out = Vec::new();
    let all = Facts::all();
    write_mlsd_line(&mut out, "", &longest, &all, EntryKind::Plain, EVERYTHING);
    assert!(out.len() < 256);
}

use super::*;
use crate::samples::*;

const NONE: &str = "{}";

#[track_caller]
fn fine(entries: &[Vec<u8>]) {
    accepts(NONE, "/x.tar", &tar(entries));
}

#[track_caller]
fn wrong(entries: &[Vec<u8>], why: &str) {
    rejects(NONE, "/x.tar", &tar(entries), why);
}

fn link(name: &str, kind: u8, target: &str) -> Vec<u8> {
    tar_header(name.as_bytes(), kind, 0, target.as_bytes()).to_vec()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len();
        while length != format!("{length}{rest}").len() {
            length = format!("{length}{rest}").len();
        }
        content += &format!("{length}{rest}");
    }
    tar_entry(b"PaxHeader", b'x', content.as_bytes())
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    tar_entry(name.as_bytes(), b'0', content)
}

#[test]
fn ordinary_ones() {
    fine(&[file("a", b"content")]);
    fine(&[
        tar_entry(b"d/", b'5', b""),
        file("d/a", &noise(5000)),
        file("d/b", &[7; 512]),
    ]);
    fine(&[
        tar_entry(b"d/", b'5', b""),
        tar_entry(b"d/", b'5', b""),
        tar_entry(b"old/", 0, b""),
    ]);
    fine(&[
        link("l", b'2', "a"),
        link("d/l", b'2', "../a"),
        link("h", b'1', "d/a"),
    ]);
    let long = "d/".repeat(80) + "name";
    fine(&[
        tar_entry(b"././@LongLink", b'L', format!("{long}\0").as_bytes()),
        file("short", b"x"),
    ]);
    fine(&[
        pax(&[("path", &long), ("mtime", "1.5"), ("comment", "a=b\nc")]),
        file("short", b"x"),
    ]);
    fine(&[
        pax(&[("size", "3")]),
        tar_header(b"a", b'0', 0, b"").to_vec(),
        {
            let mut block = b"abc".to_vec();
            block.resize(512, 0);
            block
        },
    ]);
    fine(&[
        tar_entry(b"g", b'g', b"19 comment=a b c d\n"),
        file("a", b"x"),
    ]);
    // The oldest have no magic.
    let mut old = tar_header(b"a", 0, 0, b"");
    old[257..265].fill(0);
    seal(&mut old);
    accepts(NONE, "/x", &tar(&[old.to_vec()]));
    // Blocks of blocks.
    accepts(
        NONE,
        "/x.tar",
        &[tar(&[file("a", b"x")]), vec![0; 8192]].concat(),
    );
    accepts(NONE, "/x.tgz", &gzip(&tar(&[file("a", b"x")])));
}

#[test]
fn dangerous_names() {
    for name in ["../x", "/x", "a/../../b", "C:x", "a\\b", "a\nb"] {
        wrong(&[file(name, b"x")], "The name of an entry");
        wrong(
            &[pax(&[("path", name)]), file("fine", b"x")],
            "The name of an entry",
        );
        let long = tar_entry(b"././@LongLink", b'L', format!("{name}\0").as_bytes());
        wrong(&[long, file("fine", b"x")], "The name of an entry");
    }
    let mut prefixed = tar_header(b"x", b'0', 0, b"");
    prefixed[345..347].copy_from_slice(b"..");
    seal(&mut prefixed);
    wrong(&[prefixed.to_vec()], "has ..");
    wrong(
        &[tar_entry(b"l", b'L', b"fine\0../x"), file("a", b"x")],
        "damaged",
    );
    wrong(
        &[tar_entry(b"l", b'L', &[b'a'; 5000]), file("a", b"x")],
        "too long",
    );
    wrong(
        &[tar_entry(b"l", b'L', &[b'a'; 70_000]), file("a", b"x")],
        "too long",
    );
    wrong(
        &[tar_header(b"l", b'L', u64::MAX >> 31, b"").to_vec()],
        "too long",
    );
    wrong(
        &[file("a", b"1"), file("./a", b"2")],
        "Twice in the archive",
    );
    wrong(
        &[tar_entry(b"a/", b'5', b""), file("a", b"2")],
        "Twice in the archive",
    );
    wrong(
        &[tar_entry(b"g", b'g', b"10 path=a\n"), file("a", b"x")],
        "one name for all",
    );
}

#[test]
fn links_and_devices() {
    let outside = "A link that leads outside";
    for target in ["/etc/passwd", "../x", "a/../../x", "", "C:x", "s/.."] {
        wrong(&[link("l", b'2', target)], outside);
        wrong(
            &[pax(&[("linkpath", target)]), link("l", b'2', "fine")],
            outside,
        );
    }
    for target in ["/etc/passwd", "../x", ""] {
        wrong(&[link("l", b'1', target)], outside);
    }
    let long = tar_entry(b"././@LongLink", b'K', b"/etc/passwd\0");
    wrong(&[long, link("l", b'2', "fine")], outside);
    // Through a link of its own.
    let behind = "behind a link";
    wrong(&[link("d", b'2', "."), file("d/a", b"x")], behind);
    wrong(
        &[link("a/b", b'2', ".."), link("a/b/c", b'2', "../x")],
        behind,
    );
    for kind in [b'3', b'4', b'6'] {
        wrong(
            &[tar_entry(b"dev", kind, b"")],
            "Neither file nor directory",
        );
    }
    for kind in [b'S', b'M', b'V', b'D', b'N', b'A', b'X', 0xff] {
        wrong(&[tar_entry(b"a", kind, b"x")], "cannot be looked into");
    }
    let sparse = pax(&[
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.realsize", "99999999999"),
    ]);
    wrong(&[sparse, file("a", b"x")], "cannot be looked into");
    wrong(&[tar_entry(b"d/", b'5', b"content")], "is no file");
    wrong(&[tar_entry(b"l", b'2', b"content")], "outside");
}

#[test]
fn wrong_ones() {
    let whole = tar(&[
        pax(&[("path", "name")]),
        file("a", b"content"),
        file("b", &noise(700)),
    ]);
    accepts(NONE, "/x.tar", &whole);
    for length in (1..whole.len() - 1024).step_by(7) {
        let verdict = judge(NONE, "/x.tar", &whole[..length]);
        assert!(
            matches!(verdict, crate::inspect::Verdict::Reject(_)),
            "{length}"
        );
    }
    rejects(
        NONE,
        "/x.tar",
        &[whole.as_slice(), b"x"].concat(),
        "follows the archive's end",
    );
    rejects(
        NONE,
        "/x.tar",
        &[whole.as_slice(), &whole].concat(),
        "follows the archive's end",
    );
    rejects(
        NONE,
        "/x.tar",
        &[file("a", b"x"), vec![7; 512]].concat(),
        "damaged",
    );
    rejects(NONE, "/x.tar", &tar(&[pax(&[("path", "a")])]), "not whole");
    for records in [
        "5 a=",
        "x path=a\n",
        "8 path=a\n",
        "99999999999999999999 a=b\n",
        "10 path=a",
        "0 a=b\n",
        "4 a\n",
        "\0",
    ] {
        wrong(
            &[tar_entry(b"p", b'x', records.as_bytes()), file("a", b"x")],
            "damaged",
        );
    }
    wrong(&[pax(&[("size", "-1")]), file("a", b"x")], "damaged");
    wrong(
        &[pax(&[("size", "18446744073709551615")]), file("a", b"x")],
        "not whole",
    );
    let settings = crate::settings::Settings::parse(NONE).unwrap();
    for at in 0..whole.len() {
        for change in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let block = at / 512 * 512;
            // With a checksum that fits, so that more than that is tried.
            if let Some(header) = bytes.get_mut(block..block + 512) {
                seal(header.try_into().unwrap());
            }
            crate::inspect::inspect(&settings, "bob", &fake("/x.tar", &bytes, 1000)).unwrap();
        }
    }
}

#[test]
fn numbers() {
    let mut block = tar_header(b"a", b'0', 0, b"");
    block[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\x02\x03");
    assert_eq!(Header(&block).number(124, 12), Ok(515));
    for wrong in [
        b"\x80\0\0\xff\0\0\0\0\0\0\0\0",
        b"00000000008\0",
        b"0000000 001\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        block[124..136].copy_from_slice(wrong);
        assert!(Header(&block).number(124, 12).is_err(), "{wrong:?}");
    }
    block[124..136].copy_from_slice(b"  17 \0\0\0\0\0\0\0");
    assert_eq!(Header(&block).number(124, 12), Ok(15));
}

#[test]
fn bombs() {
    let many: Vec<_> = (0..11).map(|n| file(&n.to_string(), b"")).collect();
    let ten = r#"{"archives": {"max-entries": 10}}"#;
    rejects(ten, "/x.tar", &tar(&many), "More than 10 entries");
    accepts(ten, "/x.tar", &tar(&many[..10]));
    // Headers about headers count.
    let mut long: Vec<_> = (0..10).map(|_| tar_entry(b"l", b'L', b"name\0")).collect();
    long.push(file("a", b"x"));
    rejects(ten, "/x.tar", &tar(&long), "More than 10 entries");
    let zeros = tar(&[file("zeros", &vec![0; 30 << 20])]);
    rejects(
        NONE,
        "/x.tgz",
        &gzip(&zeros),
        "x.tar: zeros: More than 200 times as much",
    );
    let settings = r#"{"archives": {"depth": 1}}"#;
    accepts(settings, "/x.tar", &tar(&[file("a", b"x")]));
    rejects(
        settings,
        "/x.tgz",
        &gzip(&tar(&[file("a", b"x")])),
        "x.tar: Archives within archives",
    );
    rejects(
        NONE,
        "/x.tar",
        &tar(&[file("a.zip", &zip(&[deflated("b", b"MZ\x90\0")]))]),
        "a.zip: b: Programs",
    );
}

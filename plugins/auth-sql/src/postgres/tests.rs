use super::*;
use crate::wire::tests::Fake;

const QUESTION: Question = Question {
    database: "ftp",
    user: "portcullis",
    password: "secret",
    encrypted: true,
    query: "select password from users where name = $1",
    name: "bob' or 1=1 --",
};

fn said(tag: u8, body: &[u8]) -> Vec<u8> {
    Writer::new(tag).bytes(body).end()
}

fn authentication(kind: u32, more: &[u8]) -> Vec<u8> {
    said(b'R', &[&kind.to_be_bytes(), more].concat())
}

fn columns(names: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    for name in names {
        body.extend(name.bytes());
        body.extend([0; 19]);
    }
    said(b'T', &body)
}

fn row(values: &[Option<&str>]) -> Vec<u8> {
    let mut writer = Writer::new(b'D').bytes(&u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        writer = match value {
            Some(value) => writer.counted(value.as_bytes()),
            None => writer.bytes(&[255; 4]),
        };
    }
    writer.end()
}

fn ready() -> Vec<u8> {
    said(b'Z', b"I")
}

/// All that a database says to let in and to answer with one row.
fn usual() -> Vec<Vec<u8>> {
    vec![
        authentication(0, b""),
        said(b'S', b"server_version\x0015\0"),
        said(b'K', &[0; 8]),
        ready(),
        said(b'1', b""),
        said(b'2', b""),
        said(b'N', b"SNOTICE\0\0"),
        columns(&["password", "home"]),
        row(&[Some("$6$x"), None]),
        said(b'C', b"SELECT 1\0"),
        ready(),
    ]
}

fn ask(messages: &[Vec<u8>], question: &Question) -> (Result<Found, Error>, Fake) {
    let mut fake = Fake::new(messages.concat());
    let found = look_up(&mut fake, question, &[7; RANDOM]);
    (found, fake)
}

fn error(messages: &[Vec<u8>]) -> String {
    ask(messages, &QUESTION).0.unwrap_err().to_string()
}

#[test]
fn a_row_is_read_and_the_name_is_a_value() {
    let (found, fake) = ask(&usual(), &QUESTION);
    let found = found.unwrap();
    assert_eq!(found.columns, ["password", "home"]);
    assert_eq!(found.rows, [[Some("$6$x".to_owned()), None]]);
    let heard = String::from_utf8_lossy(&fake.heard);
    let query = heard.find(QUESTION.query).unwrap();
    let name = heard.find(QUESTION.name).unwrap();
    assert!(name > query + QUESTION.query.len());
}

#[test]
fn passwords_go_as_it_wants_them() {
    let after = |first: Vec<u8>| [vec![first], usual()].concat();
    let (found, fake) = ask(&after(authentication(3, b"")), &QUESTION);
    assert!(found.is_ok());
    assert!(String::from_utf8_lossy(&fake.heard).contains("\0\0\0\u{b}secret\0"));
    let plain = Question {
        encrypted: false,
        ..QUESTION
    };
    let (found, fake) = ask(&after(authentication(3, b"")), &plain);
    assert!(matches!(found, Err(Error::Settings(_))));
    assert!(!String::from_utf8_lossy(&fake.heard).contains("secret"));
    let (found, fake) = ask(&after(authentication(5, &[0x2a, 0x3d, 0x8f, 0xe0])), &plain);
    assert!(found.is_ok());
    assert!(String::from_utf8_lossy(&fake.heard).contains("\0\0\0\u{28}md5"));
    assert_eq!(
        message::md5("md5_user", "password", [0x2a, 0x3d, 0x8f, 0xe0]),
        "md562af4dd09bbb41884907a838a3233294"
    );
}

#[test]
fn a_server_has_to_know_the_password_itself() {
    let offer = authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    let nonce = data_encoding::BASE64.encode(&[7; RANDOM]);
    let challenge = authentication(11, format!("r={nonce}x,s=c2FsdA==,i=4096").as_bytes());
    let wrong = authentication(12, b"v=AAAA");
    let said = [offer.clone(), challenge.clone(), wrong];
    assert!(error(&said).contains("does not know the password"));
    // To leave the proof out is no way either.
    let said = [vec![offer.clone(), challenge], usual()].concat();
    assert!(error(&said).contains("the authentication"));
    let said = [vec![offer.clone()], usual()].concat();
    assert!(error(&said).contains("the authentication"));
    let said = [authentication(12, b"v=AAAA"), authentication(0, b"")];
    assert!(error(&said).contains("does not know the password"));
    for other in [b"SCRAM-SHA-1\0\0".as_slice(), b"\0", b""] {
        assert!(error(&[authentication(10, other)]).contains("another kind"));
    }
}

#[test]
fn errors_are_told_with_what_they_are_about() {
    let said = |code: &str| {
        let body = format!("SFATAL\0C{code}\0Mno such thing\0\0");
        said(b'E', body.as_bytes())
    };
    let found = ask(&[said("28P01")], &QUESTION).0;
    assert!(matches!(&found, Err(Error::Settings(what))
        if what == "user \"portcullis\": the database says \"no such thing\" (28P01)"));
    let found = ask(&[said("57P03")], &QUESTION).0;
    assert!(matches!(found, Err(Error::Refused(_))));
    let mut messages = usual();
    messages.splice(4.., [said("42P01")]);
    assert!(error(&messages).starts_with("query: the database says"));
    messages.splice(4.., [super::tests::said(b'n', b"")]);
    assert!(error(&messages).contains("has to be a select"));
}

#[test]
fn more_rows_than_asked_for_are_refused() {
    let mut messages = usual();
    let second = row(&[None, None]);
    messages.insert(9, second.clone());
    assert_eq!(ask(&messages, &QUESTION).0.unwrap().rows.len(), 2);
    messages.insert(9, second);
    assert!(error(&messages).contains("a row"));
    let mut messages = usual();
    messages[8] = row(&[None]);
    assert!(error(&messages).contains("a row"));
}

#[test]
fn hostile_servers_are_refused() {
    // However it is cut.
    let all = usual().concat();
    for end in 0..all.len() {
        let mut fake = Fake::new(all[..end].to_vec());
        assert!(
            look_up(&mut fake, &QUESTION, &[7; RANDOM]).is_err(),
            "{end}"
        );
    }
    // With any byte changed: an answer or an error, and never a panic.
    for place in 0..all.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = all.clone();
            bytes[place] ^= change;
            let _ = look_up(&mut Fake::new(bytes), &QUESTION, &[7; RANDOM]);
        }
    }
    for head in [
        [b'R', 0, 0, 0, 3],
        [b'R', 0xff, 0xff, 0xff, 0xff],
        [b'R', 0x7f, 0xff, 0xff, 0xff],
    ] {
        assert!(matches!(
            ask(&[head.to_vec()], &QUESTION).0,
            Err(Error::Nonsense(_))
        ));
    }
    let mut messages = usual();
    messages.splice(4.., [said(b'T', &[0xff, 0xff])]);
    assert!(error(&messages).contains("256 columns"));
    messages.splice(
        4..,
        [columns(&["a"]), said(b'D', &[0, 1, 0x7f, 0xff, 0xff, 0xff])],
    );
    assert!(error(&messages).contains("a row"));
    messages.splice(
        4..,
        [columns(&["a"]), said(b'D', &[0, 1, 0xff, 0xff, 0xff, 0xfe])],
    );
    assert!(error(&messages).contains("a row"));
    // Notices without end.
    let notices = vec![said(b'N', b"\0"); MESSAGES + 1];
    assert!(error(&notices).contains("says too much"));
}

#[test]
fn nothing_said_before_tls_is_taken_for_said_within() {
    let stream = request_tls(Fake::new(b"Sinjected".to_vec())).unwrap();
    assert_eq!(stream.read_so_far(), 1);
    assert_eq!(stream.heard, [0, 0, 0, 8, 4, 210, 22, 47]);
    let refused = request_tls(Fake::new(b"N".to_vec())).unwrap_err();
    assert!(refused.to_string().contains("no TLS"));
    for said in [&b""[..], b"E", b"H"] {
        assert!(request_tls(Fake::new(said.to_vec())).is_err());
    }
}

//! Messages, RFC 4511.

use crate::ber::{
    ENUMERATED, INTEGER, Malformed, OCTET_STRING, Reader, SEQUENCE, SET, element, group, integer,
};
use crate::filter;

const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;

/// The name of STARTTLS, RFC 4511 §4.14.
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

/// What is asked of a directory.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Simple authentication.
    Bind {
        /// Who.
        dn: &'a str,
        /// Never empty where somebody is to be recognised by it.
        password: &'a str,
    },
    /// Entries.
    Search(Search<'a>),
    /// TLS from here on.
    StartTls,
    /// The end.
    Unbind,
}

/// Which entries, and what of them.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// From where on.
    pub base: &'a str,
    /// Whether all below, or only that one.
    pub subtree: bool,
    /// As `filter` has compiled it.
    pub filter: &'a [u8],
    /// No more of them; 0: as many as there are.
    pub at_most: i32,
    /// By their names.
    pub attributes: &'a [&'a str],
}

/// What a directory says.
#[derive(Debug, PartialEq, Eq)]
pub enum Response {
    /// The end of what was asked.
    Done(Outcome),
    /// One that was looked for.
    Entry(Entry),
    /// More may be found elsewhere, where nobody looks.
    Reference,
}

/// How something has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// RFC 4511, appendix A.
    pub code: u32,
    /// For people.
    pub text: String,
}

/// What was found. Values that are no text are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub dn: String,
    /// By their names.
    pub attributes: Vec<(String, Vec<String>)>,
}

impl Entry {
    /// The values of an attribute, whose name has no case.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let same = move |(found, _): &&(String, Vec<String>)| found.eq_ignore_ascii_case(name);
        let attributes = self.attributes.iter().filter(same);
        attributes.flat_map(|(_, values)| values.iter().map(String::as_str))
    }
}

impl Request<'_> {
    /// The whole message.
    pub fn message(&self, id: i32) -> Vec<u8> {
        let operation = match self {
            Self::Bind { dn, password } => group(
                BIND_REQUEST,
                &[
                    integer(INTEGER, 3),
                    element(OCTET_STRING, dn.as_bytes()),
                    element(0x80, password.as_bytes()),
                ],
            ),
            Self::Search(search) => search.operation(),
            Self::StartTls => group(EXTENDED_REQUEST, &[element(0x80, START_TLS.as_bytes())]),
            Self::Unbind => element(UNBIND_REQUEST, &[]),
        };
        group(SEQUENCE, &[integer(INTEGER, id), operation])
    }
}

impl Search<'_> {
    fn operation(&self) -> Vec<u8> {
        let attributes = self.attributes.iter();
        let attributes: Vec<_> = attributes
            .map(|name| element(OCTET_STRING, name.as_bytes()))
            .collect();
        group(
            SEARCH_REQUEST,
            &[
                element(OCTET_STRING, self.base.as_bytes()),
                integer(ENUMERATED, if self.subtree { 2 } else { 0 }),
                // Aliases stay what they are.
                integer(ENUMERATED, 0),
                integer(INTEGER, self.at_most),
                // The connection has a deadline.
                integer(INTEGER, 0),
                filter::no(),
                self.filter.to_vec(),
                group(SEQUENCE, &attributes),
            ],
        )
    }
}

/// Reads a whole message: its number, and what it says.
pub fn read(message: &[u8]) -> Result<(u32, Response), Malformed> {
    let mut message = Reader::new(message).inside(SEQUENCE)?;
    let id = message.number(INTEGER)?;
    let (tag, content) = message.any()?;
    let mut content = Reader::new(content);
    let response = match tag {
        BIND_RESPONSE | SEARCH_DONE | EXTENDED_RESPONSE => {
            let code = content.number(ENUMERATED)?;
            content.expect(OCTET_STRING)?;
            let text = content.text(OCTET_STRING)?;
            Response::Done(Outcome { code, text })
        }
        SEARCH_ENTRY => Response::Entry(entry(&mut content)?),
        SEARCH_REFERENCE => Response::Reference,
        _ => return Err(Malformed),
    };
    Ok((id, response))
}

fn entry(content: &mut Reader) -> Result<Entry, Malformed> {
    let dn = content.text(OCTET_STRING)?;
    let mut list = content.inside(SEQUENCE)?;
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let mut attribute = list.inside(SEQUENCE)?;
        let name = attribute.text(OCTET_STRING)?;
        let mut set = attribute.inside(SET)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            let value = set.expect(OCTET_STRING)?;
            values.extend(String::from_utf8(value.to_vec()));
        }
        attributes.push((name, values));
    }
    Ok(Entry { dn, attributes })
}

/// What a directory says, for tests.
#[cfg(test)]
pub mod tests {
    use super::*;

    /// A response's message, for tests.
    pub fn done(id: i32, tag: u8, code: i32, text: &str) -> Vec<u8> {
        let outcome = group(
            tag,
            &[
                integer(ENUMERATED, code),
                element(OCTET_STRING, b""),
                element(OCTET_STRING, text.as_bytes()),
            ],
        );
        group(SEQUENCE, &[integer(INTEGER, id), outcome])
    }

    /// An entry's message, for tests.
    pub fn found(id: i32, dn: &str, attributes: &[(&str, &[&str])]) -> Vec<u8> {
        let text = |text: &str| element(OCTET_STRING, text.as_bytes());
        let attribute = |(name, values): &(&str, &[&str])| {
            let values: Vec<_> = values.iter().map(|value| text(value)).collect();
            group(SEQUENCE, &[text(name), group(SET, &values)])
        };
        let attributes: Vec<_> = attributes.iter().map(attribute).collect();
        let entry = group(SEARCH_ENTRY, &[text(dn), group(SEQUENCE, &attributes)]);
        group(SEQUENCE, &[integer(INTEGER, id), entry])
    }

    /// As OpenLDAP's ldapwhoami sends it.
    #[test]
    fn a_bind_request() {
        let request = Request::Bind {
            dn: "cn=a",
            password: "pw",
        };
        let bytes = b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw";
        assert_eq!(request.message(1), bytes);
        assert_eq!(Request::Unbind.message(2), [0x30, 5, 2, 1, 2, 0x42, 0]);
    }

    #[test]
    fn a_search_request() {
        let request = Request::Search(Search {
            base: "dc=a",
            subtree: true,
            filter: &filter::everything(),
            at_most: 2,
            attributes: &["cn"],
        });
        let bytes = b"\x30\x2d\x02\x01\x03\x63\x28\x04\x04dc=a\x0a\x01\x02\x0a\x01\x00\x02\x01\x02\
            \x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x04\x04\x02cn";
        assert_eq!(request.message(3), bytes);
    }

    #[test]
    fn reads_what_was_written() {
        let (id, response) = read(&done(7, SEARCH_DONE, 32, "no such")).unwrap();
        let outcome = Outcome {
            code: 32,
            text: "no such".into(),
        };
        assert_eq!((id, response), (7, Response::Done(outcome)));
        let message = found(8, "cn=a", &[("mail", &["x", "y"]), ("empty", &[])]);
        let Ok((8, Response::Entry(entry))) = read(&message) else {
            panic!()
        };
        assert_eq!(entry.values("MAIL").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(entry.values("empty").count(), 0);
        // However it is cut.
        for end in 0..message.len() {
            assert!(read(&message[..end]).is_err());
        }
    }
}

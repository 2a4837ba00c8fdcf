//! Filters, RFC 4515, in their form on the wire, RFC 4511 §4.5.1.7.

use crate::ber::{BOOLEAN, OCTET_STRING, SEQUENCE, element, group};

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const GREATER_OR_EQUAL: u8 = 0xa5;
const LESS_OR_EQUAL: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROXIMATE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// Filters within filters.
const DEEPEST: u32 = 32;

/// Compiles one. The error says what is wrong with it.
pub fn compile(text: &str) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| format!("the filter {text:?}: {what}");
    let mut rest = text.trim();
    let filter = parse(&mut rest, DEEPEST).map_err(wrong)?;
    match rest {
        "" => Ok(filter),
        _ => Err(wrong("something follows it")),
    }
}

fn parse(rest: &mut &str, depth: u32) -> Result<Vec<u8>, &'static str> {
    let inside = rest.strip_prefix('(').ok_or("a \"(\" is missing")?;
    let depth = depth.checked_sub(1).ok_or("too deep")?;
    *rest = inside;
    let filter = if let Some(list) = rest.strip_prefix('&') {
        *rest = list;
        parse_list(AND, rest, depth)?
    } else if let Some(list) = rest.strip_prefix('|') {
        *rest = list;
        parse_list(OR, rest, depth)?
    } else if let Some(negated) = rest.strip_prefix('!') {
        *rest = negated;
        element(NOT, &parse(rest, depth)?)
    } else {
        let end = rest.find(['(', ')']).unwrap_or(rest.len());
        let (item, after) = rest.split_at(end);
        *rest = after;
        parse_item(item)?
    };
    *rest = rest.strip_prefix(')').ok_or("a \")\" is missing")?;
    Ok(filter)
}

fn parse_list(tag: u8, rest: &mut &str, depth: u32) -> Result<Vec<u8>, &'static str> {
    let mut filters = Vec::new();
    while rest.starts_with('(') {
        filters.push(parse(rest, depth)?);
    }
    match filters.is_empty() {
        true => Err("a list of filters is empty"),
        false => Ok(group(tag, &filters)),
    }
}

fn parse_item(item: &str) -> Result<Vec<u8>, &'static str> {
    let (left, value) = item.split_once('=').ok_or("a \"=\" is missing")?;
    let (tag, attribute) = match left.split_at_checked(left.len().saturating_sub(1)) {
        Some((attribute, "~")) => (APPROXIMATE, attribute),
        Some((attribute, ">")) => (GREATER_OR_EQUAL, attribute),
        Some((attribute, "<")) => (LESS_OR_EQUAL, attribute),
        Some((attribute, ":")) => return extensible(attribute, value),
        _ => (EQUAL, left),
    };
    let name = description(attribute)?;
    if tag == EQUAL && value == "*" {
        return Ok(element(PRESENT, name));
    }
    let name = element(OCTET_STRING, name);
    if tag == EQUAL && value.contains('*') {
        return Ok(group(SUBSTRINGS, &[name, substrings(value)?]));
    }
    let value = element(OCTET_STRING, &unescape(value)?);
    Ok(group(tag, &[name, value]))
}

/// `attribute:dn:rule:=value`, each of the three may be missing, but not all that matter.
fn extensible(left: &str, value: &str) -> Result<Vec<u8>, &'static str> {
    let mut parts = left.split(':');
    let attribute = parts.next().unwrap_or_default();
    let mut rule = parts.next();
    let dn = rule == Some("dn");
    if dn {
        rule = parts.next();
    }
    if parts.next().is_some() || (attribute.is_empty() && rule.is_none()) {
        return Err("a matching rule is malformed");
    }
    let mut elements = Vec::new();
    if let Some(rule) = rule {
        elements.push(element(0x81, description(rule)?));
    }
    if !attribute.is_empty() {
        elements.push(element(0x82, description(attribute)?));
    }
    elements.push(element(0x83, &unescape(value)?));
    if dn {
        elements.push(element(0x84, &[0xff]));
    }
    Ok(group(EXTENSIBLE, &elements))
}

fn substrings(value: &str) -> Result<Vec<u8>, &'static str> {
    let last = value.split('*').count().saturating_sub(1);
    let mut elements = Vec::new();
    for (index, piece) in value.split('*').enumerate() {
        let tag = match index {
            0 => 0x80,
            index if index == last => 0x82,
            _ => 0x81,
        };
        if !piece.is_empty() {
            elements.push(element(tag, &unescape(piece)?));
        }
    }
    match elements.is_empty() {
        true => Err("nothing but asterisks"),
        false => Ok(group(SEQUENCE, &elements)),
    }
}

/// An attribute's name or number, with options.
fn description(text: &str) -> Result<&[u8], &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.as_bytes()),
        false => Err("an attribute's name is malformed"),
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let number = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        let byte = number.and_then(|number| u8::try_from(number).ok());
        bytes.push(byte.ok_or("a \"\\\" without two hexadecimal digits")?);
    }
    Ok(bytes)
}

/// The filter that everything fits.
pub fn everything() -> Vec<u8> {
    element(PRESENT, b"objectClass")
}

/// FALSE.
pub fn no() -> Vec<u8> {
    element(BOOLEAN, &[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn compiles() {
        for (text, bytes) in [
            ("(uid=bob)", "a30a04037569640403626f62"),
            ("(uid=*)", "8703756964"),
            ("(uid=b*)", "a40a0403756964300380 0162"),
            ("(uid=*b*c*d)", "a4100403756964300981016281016382 0164"),
            ("(uid=\\2a)", "a308040375696404012a"),
            ("(n>=5)", "a50604016e040135"),
            ("(n<=5)", "a60604016e040135"),
            ("(n~=x)", "a80604016e040178"),
            ("(!(uid=*))", "a2058703756964"),
            ("(&(a=*)(b=*))", "a006870161870162"),
            ("(|(a=*)(!(b=*)))", "a108870161a203870162"),
            ("(m:1.2.840:=x)", "a90f8107312e322e3834308201 6d830178"),
            ("(o:dn:=x)", "a90982016f8301788401ff"),
            (
                "(:caseExactMatch:=x)",
                "a913810e6361736545786163744d61746368830178",
            ),
        ] {
            let bytes = bytes.replace(' ', "");
            assert_eq!(
                compile(text).map(|filter| hex(&filter)),
                Ok(bytes),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses() {
        for text in [
            "",
            "uid=bob",
            "(uid=bob",
            "(uid=bob))",
            "(uid=bob)(a=b)",
            "()",
            "(&)",
            "(=x)",
            "(u id=x)",
            "(uid=a(b)",
            "(uid=\\2)",
            "(uid=\\zz)",
            "(uid=**)",
            "(uid)",
            "(:=x)",
            "(a:b:c:d:=x)",
        ] {
            assert!(compile(text).is_err(), "{text}");
        }
        let deep = "(!".repeat(1000) + "(a=b)" + &")".repeat(1000);
        assert!(compile(&deep).unwrap_err().ends_with("too deep"));
    }

    #[test]
    fn what_a_client_sent_stays_one_value() {
        for user in ["*", "bob)(uid=*", "\\2a", "a\0b", "(|(a=*))", "M\u{fc}ller"] {
            let filter = compile(&format!("(uid={})", crate::escape::filter(user))).unwrap();
            let value = element(OCTET_STRING, user.as_bytes());
            assert_eq!(
                filter,
                group(EQUAL, &[element(OCTET_STRING, b"uid"), value])
            );
        }
    }
}
